skid/skid.sv
fifo/fifo.sv
