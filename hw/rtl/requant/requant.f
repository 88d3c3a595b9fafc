mult18x18/mult18x18.sv
requant/requant.sv
