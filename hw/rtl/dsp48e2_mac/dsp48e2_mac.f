dsp48e2_mac/dsp48e2_mac.sv
