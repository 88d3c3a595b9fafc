// SPDX-License-Identifier: Apache-2.0
// select: passes one token of a job and drops the others (class token).
// Latency  : 0 clk cycles. Throughput: 1 beat per cycle in. Back pressure: full; dropped beats never wait.
// Job      : cfg_tokens x cfg_channels beats, token-major; cfg_* are sampled with its first beat.
// Resources: two counters, of clog2(T_MAX+1) and clog2(C_MAX+1) bits. ECP5, 17 x 64: 43 LUT4 (carries included), 14 FF.
// Test     : tests/hw/test_select.py
`default_nettype none
module select #(
    // Width of a beat in bits
    parameter int unsigned WIDTH = 12,
    // Largest number of tokens
    parameter int unsigned T_MAX = 65535,
    // Largest number of channels
    parameter int unsigned C_MAX = 65535
) (
    input  wire logic             clk,
    input  wire logic             rst,
    // Tokens of the job, 1..T_MAX
    input  wire logic [15:0]      cfg_tokens,
    // Channels of a token, 1..C_MAX
    input  wire logic [15:0]      cfg_channels,
    // The token that passes, 0..cfg_tokens-1
    input  wire logic [15:0]      cfg_index,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output logic                  s_axis_tready,
    output logic      [WIDTH-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  wire logic             m_axis_tready
);
  localparam int unsigned TOKEN_BITS = $clog2(T_MAX + 1);
  localparam int unsigned CHANNEL_BITS = $clog2(C_MAX + 1);
  if (WIDTH < 1) begin : gen_check_width
    $error("select: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (T_MAX < 1 || T_MAX > 65535 || C_MAX < 1 || C_MAX > 65535) begin : gen_check_max
    $error("select: T_MAX=%0d and C_MAX=%0d must be 1 to 65535", T_MAX, C_MAX);
  end

  logic job_start_q, token_start_q;                       // the next beat is the first of a job, of a token
  logic [TOKEN_BITS-1:0] token_q, last_token_q, index_q;  // token number; sampled sizes
  logic [CHANNEL_BITS-1:0] left_q, last_channel_q;        // beats that follow in this token; sampled size

  wire [TOKEN_BITS-1:0] token = job_start_q ? '0 : token_q;
  wire [TOKEN_BITS-1:0] last_token = job_start_q ? TOKEN_BITS'(cfg_tokens) - 1'b1 : last_token_q;
  wire [TOKEN_BITS-1:0] index = job_start_q ? TOKEN_BITS'(cfg_index) : index_q;
  wire [CHANNEL_BITS-1:0] last_channel = job_start_q ? CHANNEL_BITS'(cfg_channels) - 1'b1 : last_channel_q;
  wire [CHANNEL_BITS-1:0] left = token_start_q ? last_channel : left_q;
  wire token_last = left == '0;
  wire pass = token == index;
  wire beat = s_axis_tvalid && s_axis_tready;

  assign m_axis_tdata  = s_axis_tdata;
  assign m_axis_tvalid = s_axis_tvalid && pass;
  assign s_axis_tready = m_axis_tready || !pass;

  always_ff @(posedge clk) begin
    if (rst) begin
      job_start_q   <= 1'b1;
      token_start_q <= 1'b1;
    end else if (beat) begin
      job_start_q   <= token_last && token == last_token;
      token_start_q <= token_last;
    end
    if (beat) begin
      left_q  <= left - 1'b1;
      token_q <= token + TOKEN_BITS'(token_last);
    end
    if (beat && job_start_q) begin
      last_token_q   <= TOKEN_BITS'(cfg_tokens) - 1'b1;
      last_channel_q <= CHANNEL_BITS'(cfg_channels) - 1'b1;
      index_q        <= TOKEN_BITS'(cfg_index);
    end
  end

`ifndef SYNTHESIS
  select_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
