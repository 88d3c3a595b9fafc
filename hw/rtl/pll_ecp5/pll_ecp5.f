pll_ecp5/pll_ecp5.sv
