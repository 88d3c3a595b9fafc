alu54b_mac/alu54b_mac.sv
