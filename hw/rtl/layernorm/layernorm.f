layernorm/layernorm.sv
