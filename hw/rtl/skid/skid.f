skid/skid.sv
