uart_rx/uart_rx.sv
