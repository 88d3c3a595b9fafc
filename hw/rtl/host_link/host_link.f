crc16/crc16.sv
host_link/host_link.sv
