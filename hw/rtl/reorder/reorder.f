reorder/reorder.sv
