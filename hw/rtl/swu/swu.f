swu/swu.sv
