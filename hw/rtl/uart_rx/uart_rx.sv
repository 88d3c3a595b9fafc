// SPDX-License-Identifier: Apache-2.0
// uart_rx: serial receiver, 8 data bits, no parity, 1 stop bit, least significant bit first.
// Rate     : a phase accumulator adds round(BAUD / CLOCK_HZ * 2^16) per cycle; each overflow samples one bit. The average
//            rate is exact to 2^-16, so CLOCK_HZ need not be a multiple of BAUD. The start edge centres the sampling point.
// Tolerance: at CLOCK_HZ = 25 MHz and BAUD = 3 M it receives frames 2 % too fast or too slow (tests/hw/test_uart.py).
// Errors   : a start bit shorter than half a bit is ignored. A byte without a stop bit is dropped, and the line must
//            return to idle before the next start bit counts.
// No back pressure: a UART cannot wait. m_axis_tvalid is one cycle long; the reader must be ready (a bit takes >= 6 cycles).
// Golden   : none (serial protocol); Test: tests/hw/test_uart.py
`default_nettype none
module uart_rx #(
    // Frequency of clk in Hz, at least 6 times BAUD
    parameter int unsigned CLOCK_HZ = 25_000_000,
    // Line rate in bits per second
    parameter int unsigned BAUD = 3_000_000
) (
    input  wire logic       clk,
    input  wire logic       rst,
    // Serial line, idle high, asynchronous to clk
    input  wire logic       rxd,
    // Received byte, valid for one cycle
    output logic      [7:0] m_axis_tdata,
    output logic            m_axis_tvalid
);
  localparam longint unsigned STEP_WIDE = (longint'(BAUD) * 65536 + longint'(CLOCK_HZ) / 2) / longint'(CLOCK_HZ);
  localparam logic [16:0] STEP = 17'(STEP_WIDE);
  // Half a bit from the detected edge, less the cycle that the detection itself took
  localparam logic [15:0] PHASE_START = 16'h8000 + STEP[15:0];

  if (longint'(CLOCK_HZ) < 6 * longint'(BAUD)) begin : gen_check_rate
    $error("uart_rx: CLOCK_HZ=%0d must be at least 6 times BAUD=%0d", CLOCK_HZ, BAUD);
  end

  typedef enum logic [1:0] {
    IDLE,
    START,
    DATA,
    BREAK
  } state_e;

  state_e        state_q;
  logic   [ 1:0] sync_q;
  logic   [15:0] phase_q;
  logic   [ 8:0] shift_q;
  logic          line;
  logic          sample;
  logic   [15:0] phase_d;

  assign line = sync_q[1];
  assign {sample, phase_d} = {1'b0, phase_q} + STEP;

  always_ff @(posedge clk) begin
    sync_q        <= {sync_q[0], rxd};
    m_axis_tvalid <= 1'b0;
    phase_q       <= phase_d;
    case (state_q)
      IDLE: begin
        phase_q <= PHASE_START;
        if (!line) state_q <= START;
      end
      START: begin
        // shift_q starts with one marker bit; when it reaches the end, the eight data bits and the stop bit are in
        shift_q <= 9'b1_0000_0000;
        if (sample) state_q <= line ? IDLE : DATA;
      end
      DATA: begin
        if (sample) begin
          shift_q <= {line, shift_q[8:1]};
          if (shift_q[0]) begin
            m_axis_tvalid <= line;
            state_q       <= line ? IDLE : BREAK;
          end
        end
      end
      default: if (line) state_q <= IDLE;
    endcase
    if (rst) begin
      state_q       <= IDLE;
      m_axis_tvalid <= 1'b0;
      sync_q        <= 2'b11;
    end
  end

  // With the stop bit just shifted in, the data bits are the eight below it
  assign m_axis_tdata = shift_q[7:0];
endmodule
`default_nettype wire
