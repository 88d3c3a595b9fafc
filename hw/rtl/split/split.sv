// SPDX-License-Identifier: Apache-2.0
// split: the channels of a token go to branches, the first sizes[0] to branch 0, the next sizes[1] to branch 1, ...
// Latency  : 0 clk cycles. Throughput: 1 beat per cycle. Back pressure: full.
// Job      : one token; cfg_sizes is sampled with its first beat.
// Ports    : branch i uses bits [i*WIDTH +: WIDTH] of m_axis_tdata, bit i of m_axis_tvalid and m_axis_tready,
//            bits [i*16 +: 16] of cfg_sizes.
// Resources: one counter of clog2(C_MAX+1) bits. ECP5, 3 x 64 channels: 30 LUT4 (carries included), 11 FF.
// Test     : tests/hw/test_split.py
`default_nettype none
module split #(
    // Width of a beat in bits
    parameter int unsigned WIDTH   = 8,
    // Number of branches, 2 or more
    parameter int unsigned OUTPUTS = 3,
    // Largest number of channels of a branch
    parameter int unsigned C_MAX   = 65535
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    // Channels of each branch, 1..C_MAX
    input  wire logic [OUTPUTS*16-1:0]    cfg_sizes,
    // Elements in, (token, channel)
    input  wire logic [WIDTH-1:0]         s_axis_tdata,
    input  wire logic                     s_axis_tvalid,
    output logic                          s_axis_tready,
    // Branches, branch 0 in the low bits
    output logic      [OUTPUTS*WIDTH-1:0] m_axis_tdata,
    output logic      [OUTPUTS-1:0]       m_axis_tvalid,
    input  wire logic [OUTPUTS-1:0]       m_axis_tready
);
  localparam int unsigned COUNT_BITS = $clog2(C_MAX + 1);
  if (WIDTH < 1 || OUTPUTS < 2) begin : gen_check
    $error("split: WIDTH=%0d must be at least 1, OUTPUTS=%0d at least 2", WIDTH, OUTPUTS);
  end
  if (C_MAX < 1 || C_MAX > 65535) begin : gen_check_c_max
    $error("split: C_MAX=%0d must be 1 to 65535", C_MAX);
  end

  logic [OUTPUTS-1:0] branch_q;                         // one-hot: branch of the next beat
  logic start_q;                                        // the next beat is the first of its branch
  logic [COUNT_BITS-1:0] left_q;                        // beats that follow in this branch
  logic [OUTPUTS-1:0][COUNT_BITS-1:0] size_q;           // sizes sampled with the first beat of the token

  wire token_start = start_q && branch_q[0];
  logic [COUNT_BITS-1:0] size;
  always_comb begin
    size = COUNT_BITS'(cfg_sizes[15:0]);
    for (int i = 1; i < OUTPUTS; i++) if (branch_q[i]) size = size_q[i];
  end
  wire [COUNT_BITS-1:0] left = start_q ? size - 1'b1 : left_q;
  wire last = left == '0;
  wire beat = s_axis_tvalid && s_axis_tready;

  assign m_axis_tdata  = {OUTPUTS{s_axis_tdata}};
  assign m_axis_tvalid = {OUTPUTS{s_axis_tvalid}} & branch_q;
  assign s_axis_tready = |(branch_q & m_axis_tready);

  always_ff @(posedge clk) begin
    if (rst) begin
      branch_q <= OUTPUTS'(1);
      start_q  <= 1'b1;
    end else if (beat) begin
      if (last) branch_q <= {branch_q[OUTPUTS-2:0], branch_q[OUTPUTS-1]};
      start_q <= last;
    end
    if (beat) left_q <= left - 1'b1;
    if (beat && token_start) for (int i = 0; i < OUTPUTS; i++) size_q[i] <= COUNT_BITS'(cfg_sizes[i*16+:16]);
  end

`ifndef SYNTHESIS
  for (genvar i = 0; i < OUTPUTS; i++) begin : gen_assert
    split_holds_beat : assert property (@(posedge clk) disable iff (rst)
        m_axis_tvalid[i] && !m_axis_tready[i] |=> m_axis_tvalid[i] && $stable(m_axis_tdata[i*WIDTH+:WIDTH]))
    else $error("%m: beat changed while stalled");
  end
`endif
endmodule
`default_nettype wire
