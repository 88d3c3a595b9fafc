reset_chain/reset_chain.sv
