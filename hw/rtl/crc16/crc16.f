crc16/crc16.sv
