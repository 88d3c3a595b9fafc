// SPDX-License-Identifier: Apache-2.0
// embed: puts the class token in front of the patches and adds the position embedding.
//   y[0] = param[0]; y[t] = clip(x[t-1] + param[t], -2^(OUT_BITS-1), 2^(OUT_BITS-1)-1) for t >= 1
// Latency  : 1 clk cycle. Throughput: 1 beat per cycle. Back pressure: full.
// Job      : cfg_tokens x cfg_channels beats out, token-major; cfg_* are sampled with the first beat of s_axis_param.
// Resources: one adder with clip, two counters of clog2(T_MAX+1) and clog2(C_MAX+1) bits. ECP5, 12 bits, 17 x 64:
//            74 LUT4 (carries included), 28 FF.
// Golden   : sim/golden/embed.py::embed       Test: tests/hw/test_embed.py
`default_nettype none
module embed #(
    // Width of the patch codes in bits, signed
    parameter int unsigned X_BITS   = 12,
    // Width of the output codes and of the parameters in bits, signed
    parameter int unsigned OUT_BITS = 12,
    // Largest number of tokens, class token included
    parameter int unsigned T_MAX    = 65535,
    // Largest number of channels
    parameter int unsigned C_MAX    = 65535
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // Tokens out, class token included, 1..T_MAX
    input  wire logic [15:0]         cfg_tokens,
    // Channels of a token, 1..C_MAX
    input  wire logic [15:0]         cfg_channels,
    // Patches: cfg_tokens - 1 tokens
    input  wire logic [X_BITS-1:0]   s_axis_tdata,
    input  wire logic                s_axis_tvalid,
    output logic                     s_axis_tready,
    // Class token with its position, then the positions of the patches: cfg_tokens tokens
    input  wire logic [OUT_BITS-1:0] s_axis_param_tdata,
    input  wire logic                s_axis_param_tvalid,
    output logic                     s_axis_param_tready,
    // Tokens
    output logic      [OUT_BITS-1:0] m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready
);
  localparam int unsigned TOKEN_BITS = $clog2(T_MAX + 1);
  localparam int unsigned CHANNEL_BITS = $clog2(C_MAX + 1);
  localparam int unsigned SUM_BITS = (X_BITS > OUT_BITS ? X_BITS : OUT_BITS) + 1;
  if (X_BITS < 1 || OUT_BITS < 2) begin : gen_check_bits
    $error("embed: X_BITS=%0d must be at least 1, OUT_BITS=%0d at least 2", X_BITS, OUT_BITS);
  end
  if (T_MAX < 1 || T_MAX > 65535 || C_MAX < 1 || C_MAX > 65535) begin : gen_check_max
    $error("embed: T_MAX=%0d and C_MAX=%0d must be 1 to 65535", T_MAX, C_MAX);
  end

  logic job_start_q, token_start_q, class_token_q;   // next beat: first of a job, of a token, in the class token
  logic [TOKEN_BITS-1:0] tokens_left_q;              // tokens that follow
  logic [CHANNEL_BITS-1:0] left_q, last_channel_q;   // beats that follow in this token; sampled size

  wire [TOKEN_BITS-1:0] tokens_left = job_start_q ? TOKEN_BITS'(cfg_tokens) - 1'b1 : tokens_left_q;
  wire [CHANNEL_BITS-1:0] last_channel = job_start_q ? CHANNEL_BITS'(cfg_channels) - 1'b1 : last_channel_q;
  wire [CHANNEL_BITS-1:0] left = token_start_q ? last_channel : left_q;
  wire token_last = left == '0;
  wire job_last = token_last && tokens_left == '0;

  wire advance = !m_axis_tvalid || m_axis_tready;
  wire beat = advance && s_axis_param_tvalid && (class_token_q || s_axis_tvalid);
  assign s_axis_tready       = advance && s_axis_param_tvalid && !class_token_q;
  assign s_axis_param_tready = advance && (class_token_q || s_axis_tvalid);

  wire [X_BITS-1:0] patch = class_token_q ? '0 : s_axis_tdata;
  wire [SUM_BITS-1:0] sum = SUM_BITS'($signed(patch)) + SUM_BITS'($signed(s_axis_param_tdata));
  wire overflow = sum[SUM_BITS-1:OUT_BITS-1] != {(SUM_BITS - OUT_BITS + 1) {sum[SUM_BITS-1]}};

  always_ff @(posedge clk) begin
    if (advance) m_axis_tdata <= overflow ? {sum[SUM_BITS-1], {(OUT_BITS - 1) {!sum[SUM_BITS-1]}}} : sum[OUT_BITS-1:0];
    if (beat) begin
      left_q        <= left - 1'b1;
      tokens_left_q <= tokens_left - TOKEN_BITS'(token_last);
    end
    if (beat && job_start_q) last_channel_q <= CHANNEL_BITS'(cfg_channels) - 1'b1;
    if (rst) begin
      job_start_q   <= 1'b1;
      token_start_q <= 1'b1;
      class_token_q <= 1'b1;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (advance) m_axis_tvalid <= beat;
      if (beat) begin
        job_start_q   <= job_last;
        token_start_q <= token_last;
        if (token_last) class_token_q <= job_last;
      end
    end
  end

`ifndef SYNTHESIS
  embed_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
