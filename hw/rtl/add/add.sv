// SPDX-License-Identifier: Apache-2.0
// add: saturating sum of two streams of one scale (residual connection).
//   y = clip(a + b, -2^(OUT_BITS-1), 2^(OUT_BITS-1)-1)
// Latency  : 1 clk cycle. Throughput: 1 beat per cycle. Back pressure: full; waits for both inputs.
// Resources: one adder of max(A_BITS, B_BITS) + 1 bits and the clip. ECP5, 12 bits: 29 LUT4 (carries included), 13 FF.
// Golden   : sim/golden/add.py::add       Test: tests/hw/test_add.py
`default_nettype none
module add #(
    // Width of the first operand in bits, signed
    parameter int unsigned A_BITS   = 12,
    // Width of the second operand in bits, signed
    parameter int unsigned B_BITS   = 12,
    // Width of the sum in bits, signed
    parameter int unsigned OUT_BITS = 12
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // First operand
    input  wire logic [A_BITS-1:0]   s_axis_a_tdata,
    input  wire logic                s_axis_a_tvalid,
    output logic                     s_axis_a_tready,
    // Second operand
    input  wire logic [B_BITS-1:0]   s_axis_b_tdata,
    input  wire logic                s_axis_b_tvalid,
    output logic                     s_axis_b_tready,
    // Sums
    output logic      [OUT_BITS-1:0] m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready
);
  localparam int unsigned SUM_BITS = (A_BITS > B_BITS ? A_BITS : B_BITS) + 1;
  if (A_BITS < 1 || B_BITS < 1 || OUT_BITS < 2) begin : gen_check_bits
    $error("add: A_BITS=%0d, B_BITS=%0d must be at least 1, OUT_BITS=%0d at least 2", A_BITS, B_BITS, OUT_BITS);
  end

  wire advance = !m_axis_tvalid || m_axis_tready;
  assign s_axis_a_tready = advance && s_axis_b_tvalid;
  assign s_axis_b_tready = advance && s_axis_a_tvalid;

  wire [SUM_BITS-1:0] sum = SUM_BITS'($signed(s_axis_a_tdata)) + SUM_BITS'($signed(s_axis_b_tdata));
  logic [OUT_BITS-1:0] clipped;
  if (OUT_BITS >= SUM_BITS) begin : gen_extend
    assign clipped = OUT_BITS'($signed(sum));
  end else begin : gen_clip
    wire overflow = sum[SUM_BITS-1:OUT_BITS-1] != {(SUM_BITS - OUT_BITS + 1) {sum[SUM_BITS-1]}};
    assign clipped = overflow ? {sum[SUM_BITS-1], {(OUT_BITS - 1) {!sum[SUM_BITS-1]}}} : sum[OUT_BITS-1:0];
  end

  always_ff @(posedge clk) begin
    if (advance) m_axis_tdata <= clipped;
    if (rst) m_axis_tvalid <= 1'b0;
    else if (advance) m_axis_tvalid <= s_axis_a_tvalid && s_axis_b_tvalid;
  end

`ifndef SYNTHESIS
  add_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
