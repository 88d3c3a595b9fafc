// SPDX-License-Identifier: Apache-2.0
// uart_tx: serial transmitter, 8 data bits, no parity, 1 stop bit, least significant bit first.
// Rate     : a phase accumulator adds round(BAUD / CLOCK_HZ * 2^16) per cycle; each overflow ends one bit. Every edge lies
//            within one clock cycle of its ideal place, and the error does not accumulate over the ten bits.
// Golden   : none (serial protocol); Test: tests/hw/test_uart.py
`default_nettype none
module uart_tx #(
    // Frequency of clk in Hz, at least 6 times BAUD
    parameter int unsigned CLOCK_HZ = 25_000_000,
    // Line rate in bits per second
    parameter int unsigned BAUD = 3_000_000
) (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic [7:0] s_axis_tdata,
    input  wire logic       s_axis_tvalid,
    output logic            s_axis_tready,
    // Serial line, idle high
    output logic            txd
);
  localparam longint unsigned STEP_WIDE = (longint'(BAUD) * 65536 + longint'(CLOCK_HZ) / 2) / longint'(CLOCK_HZ);
  localparam logic [16:0] STEP = 17'(STEP_WIDE);

  if (longint'(CLOCK_HZ) < 6 * longint'(BAUD)) begin : gen_check_rate
    $error("uart_tx: CLOCK_HZ=%0d must be at least 6 times BAUD=%0d", CLOCK_HZ, BAUD);
  end

  // Bits still to send; the marker above them ends the frame. txd is its lowest bit.
  logic [ 9:0] shift_q;
  logic [ 3:0] left_q;
  logic [15:0] phase_q;
  logic        next_bit;
  logic [15:0] phase_d;

  assign {next_bit, phase_d} = {1'b0, phase_q} + STEP;
  assign s_axis_tready = left_q == 4'd0;
  assign txd = shift_q[0];

  always_ff @(posedge clk) begin
    if (left_q == 4'd0) begin
      // Half a cycle of phase rounds every later edge to the nearest cycle
      phase_q <= STEP[16:1];
      if (s_axis_tvalid) begin
        shift_q <= {1'b1, s_axis_tdata, 1'b0};
        left_q  <= 4'd10;
      end
    end else begin
      phase_q <= phase_d;
      if (next_bit) begin
        shift_q <= {1'b1, shift_q[9:1]};
        left_q  <= left_q - 4'd1;
      end
    end
    if (rst) begin
      shift_q <= '1;
      left_q  <= '0;
    end
  end
endmodule
`default_nettype wire
