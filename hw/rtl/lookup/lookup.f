lookup/lookup.sv
