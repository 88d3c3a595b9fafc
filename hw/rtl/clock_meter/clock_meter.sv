// SPDX-License-Identifier: Apache-2.0
// clock_meter: frequency of clk in kHz, counted against a reference clock, and a pulse every millisecond in clk's domain.
// The board reports the measured figure, so that a host can compare the clock that runs with the clock that was built.
// khz is 0 until the first full millisecond has passed. Accuracy: +-1 kHz plus the error of the reference oscillator.
// Golden   : none; Test: tests/hw/test_host_link.py
`default_nettype none
module clock_meter #(
    // Frequency of ref_clk in Hz, a multiple of 1000
    parameter int unsigned REF_HZ = 25_000_000,
    // Width of the result: 17 bits reach 131 MHz
    parameter int unsigned KHZ_BITS = 17
) (
    input  wire logic                ref_clk,
    input  wire logic                ref_rst,
    input  wire logic                clk,
    input  wire logic                rst,
    output logic                     tick_ms,
    output logic      [KHZ_BITS-1:0] khz
);
  localparam int unsigned DIVIDE = REF_HZ / 1000;
  localparam int unsigned REF_BITS = $clog2(DIVIDE);

  if (REF_HZ % 1000 != 0) begin : gen_check_ref
    $error("clock_meter: REF_HZ=%0d must be a multiple of 1000", REF_HZ);
  end

  logic [REF_BITS-1:0] ref_count_q;
  logic                toggle_q;
  always_ff @(posedge ref_clk) begin
    ref_count_q <= ref_count_q + 1'b1;
    if (ref_count_q == REF_BITS'(DIVIDE - 1)) begin
      ref_count_q <= '0;
      toggle_q    <= !toggle_q;
    end
    if (ref_rst) begin
      ref_count_q <= '0;
      toggle_q    <= 1'b0;
    end
  end

  logic [         2:0] sync_q;
  logic [KHZ_BITS-1:0] count_q;
  logic                started_q;
  assign tick_ms = sync_q[2] != sync_q[1];
  always_ff @(posedge clk) begin
    sync_q  <= {sync_q[1:0], toggle_q};
    count_q <= count_q + 1'b1;
    if (tick_ms) begin
      count_q   <= KHZ_BITS'(1);
      started_q <= 1'b1;
      if (started_q) khz <= count_q;
    end
    if (rst) begin
      sync_q    <= '0;
      started_q <= 1'b0;
      khz       <= '0;
    end
  end
endmodule
`default_nettype wire
