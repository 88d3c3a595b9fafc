chain_carry8/CARRY8.sv
chain_carry8/chain_carry8.sv
