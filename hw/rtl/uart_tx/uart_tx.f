uart_tx/uart_tx.sv
