split/split.sv
