// SPDX-License-Identifier: Apache-2.0
// tee: one stream to several branches (the op `fork`; that name is a reserved word of Verilog).
//   Every branch takes a beat in its own time; the input moves on when the last branch has it.
// Latency  : 0 clk cycles. Throughput: 1 beat per cycle. Back pressure: full.
// Resources: one flip-flop and 3 LUT4 per branch.
// Ports    : branch i uses bits [i*WIDTH +: WIDTH] of m_axis_tdata and bit i of m_axis_tvalid and m_axis_tready.
// Test     : tests/hw/test_tee.py
`default_nettype none
module tee #(
    // Width of a beat in bits
    parameter int unsigned WIDTH   = 12,
    // Number of branches
    parameter int unsigned OUTPUTS = 2
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic [WIDTH-1:0]         s_axis_tdata,
    input  wire logic                     s_axis_tvalid,
    output logic                          s_axis_tready,
    // Branches, branch 0 in the low bits
    output logic      [OUTPUTS*WIDTH-1:0] m_axis_tdata,
    output logic      [OUTPUTS-1:0]       m_axis_tvalid,
    input  wire logic [OUTPUTS-1:0]       m_axis_tready
);
  if (WIDTH < 1 || OUTPUTS < 1) begin : gen_check
    $error("tee: WIDTH=%0d and OUTPUTS=%0d must be at least 1", WIDTH, OUTPUTS);
  end

  logic [OUTPUTS-1:0] done_q;  // branches that have the current beat already
  wire  [OUTPUTS-1:0] done_d = done_q | m_axis_tready;
  assign m_axis_tdata  = {OUTPUTS{s_axis_tdata}};
  assign m_axis_tvalid = {OUTPUTS{s_axis_tvalid}} & ~done_q;
  assign s_axis_tready = &done_d;

  always_ff @(posedge clk) begin
    if (rst || s_axis_tready) done_q <= '0;
    else if (s_axis_tvalid) done_q <= done_d;
  end

`ifndef SYNTHESIS
  for (genvar i = 0; i < OUTPUTS; i++) begin : gen_assert
    tee_holds_beat : assert property (@(posedge clk) disable iff (rst)
        m_axis_tvalid[i] && !m_axis_tready[i] |=> m_axis_tvalid[i] && $stable(m_axis_tdata[i*WIDTH+:WIDTH]))
    else $error("%m: beat changed while stalled");
  end
`endif
endmodule
`default_nettype wire
