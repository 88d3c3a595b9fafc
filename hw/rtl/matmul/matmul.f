mult18x18/mult18x18.sv
mvu/mvu_tree.sv
matmul/matmul.sv
