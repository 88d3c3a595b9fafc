widthconv/widthconv.sv
