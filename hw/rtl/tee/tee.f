tee/tee.sv
