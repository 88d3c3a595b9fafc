rom/rom.sv
