chain_ccu2c/CCU2C.sv
chain_ccu2c/chain_ccu2c.sv
add_gated/add_gated.sv
