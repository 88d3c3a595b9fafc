add_gated/CCU2C.sv
add_pair/CARRY8.sv
add_select/add_select.sv
