argmax/argmax.sv
