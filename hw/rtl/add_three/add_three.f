add_pair/CARRY8.sv
add_pair/LUT6_2.sv
add_three/add_three.sv
