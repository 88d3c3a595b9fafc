add_gated/CCU2C.sv
add_pair/CARRY8.sv
add_pair/LUT6_2.sv
add_pair/add_pair.sv
