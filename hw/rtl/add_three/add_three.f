chain_carry8/CARRY8.sv
chain_carry8/chain_carry8.sv
add_pair/LUT6_2.sv
add_three/add_three.sv
