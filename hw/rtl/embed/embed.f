embed/embed.sv
