add/add.sv
