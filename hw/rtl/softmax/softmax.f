softmax/softmax.sv
