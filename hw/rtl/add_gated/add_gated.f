chain_ccu2c/CCU2C.sv
chain_ccu2c/chain_ccu2c.sv
chain_carry8/CARRY8.sv
chain_carry8/chain_carry8.sv
add_gated/add_gated.sv
