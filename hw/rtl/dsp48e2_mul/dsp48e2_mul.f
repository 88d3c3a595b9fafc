dsp48e2_mul/dsp48e2_mul.sv
