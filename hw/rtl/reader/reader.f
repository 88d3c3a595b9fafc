reader/reader.sv
