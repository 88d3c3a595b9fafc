table_ram/RAM32M16.sv
table_ram/table_ram.sv
