clock_meter/clock_meter.sv
