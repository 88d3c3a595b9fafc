cdc/cdc.sv
