skid/skid.sv
layernorm/layernorm.sv
