add_gated/CCU2C.sv
add_gated/add_gated.sv
