select/select.sv
