// SPDX-License-Identifier: Apache-2.0
// layernorm: normalizes each token over its channels in integers; gamma and beta live in the requant behind it.
//   S1 = sum x, S2 = sum x*x, V = C*S2 - S1*S1, z = clip(round((C*x - S1) * rsqrt(V)), 16 bits), 10 fraction bits
//   rsqrt: V shifted left by pairs to a mantissa of 16 bits, seed from a table, one Newton step; all as in the golden model.
// Rounding : half toward +inf.
// Latency  : from the last code of a token 22 + p clk cycles, p leading zero bit pairs of V, at most X_BITS+clog2(C_MAX)-2;
//            one more when C_MAX * 2^(X_BITS-1) is 2^18 or more.
// Throughput: 1 beat per cycle: while a token is normalized the next one is summed. A token takes at least 19 + p cycles
//            (35 for equal codes, 12 bits, 64 channels). Back pressure: full.
// Job      : one token; cfg_channels is sampled with its first beat.
// Resources: multipliers x*x, S1*S1, one for the Newton step, n*r, and C*S2 and C*x where these are no sums of two shifts;
//            block RAM for the token buffer and for the table. ECP5, 12 bits, C_FIXED: 64 channels 506 LUT
//            (carries included), 561 FF, 4 MULT18X18D, 2 EBR; 96 channels 637 LUT, 586 FF, 4 MULT18X18D, 2 EBR.
// Golden   : sim/golden/layernorm.py::layernorm       Test: tests/hw/test_layernorm.py
`default_nettype none
module layernorm #(
    // Width of the codes in bits, signed, 8 to 16
    parameter int unsigned X_BITS = 12,
    // Largest number of channels, 2 to 2048
    parameter int unsigned C_MAX  = 64,
    // All tokens have C_MAX channels
    parameter bit C_FIXED = 1'b0,
    // Seeds of the reciprocal square root for $readmemh, 192 words of 16 bits (sim.golden.layernorm.rsqrt_table)
    parameter INIT_FILE = ""
) (
    input  wire logic              clk,
    input  wire logic              rst,
    // Channels of a token, 1..C_MAX (C_FIXED: C_MAX)
    input  wire logic [15:0]       cfg_channels,
    // Codes in, (token, channel)
    input  wire logic [X_BITS-1:0] s_axis_tdata,
    input  wire logic              s_axis_tvalid,
    output logic                   s_axis_tready,
    // Normalized values out, signed
    output logic      [15:0]       m_axis_tdata,
    output logic                   m_axis_tvalid,
    input  wire logic              m_axis_tready
);
  localparam int unsigned LOG_C = $clog2(C_MAX);
  localparam int unsigned COUNT_BITS = $clog2(C_MAX + 1);
  localparam int unsigned S1_BITS = X_BITS + LOG_C;            // signed
  localparam int unsigned S1_MAG_BITS = $clog2((C_MAX << (X_BITS - 1)) + 1);  // its magnitude
  localparam int unsigned S2_BITS = 2 * X_BITS - 1 + LOG_C;    // unsigned
  localparam int unsigned V_BITS = 2 * (X_BITS - 1 + LOG_C);   // unsigned: V < (C * 2^(X_BITS-1))^2
  localparam int unsigned K_MAX = V_BITS / 2;                  // largest exponent k of rsqrt; j = k - 1 is kept
  localparam int unsigned J_BITS = $clog2(K_MAX);
  localparam int unsigned N_BITS = X_BITS + LOG_C + 1;         // signed: C*x - S1
  localparam int unsigned R_BITS = 16;
  // |z| < sqrt(C) * 2^10, so the shifted product fits in these bits and needs a clip only above 1024 channels
  localparam int unsigned Z_BITS = 11 + (LOG_C + 1) / 2;
  // token buffer: one whole token, and the elements that arrive while its rsqrt is computed
  localparam int unsigned ADDR_BITS = $clog2(C_MAX + 64);
  // A fixed number of channels that has one bit set, or two, multiplies by shifts
  localparam bit BY_SHIFTS = C_FIXED && $countones(C_MAX) <= 2;
  localparam int unsigned HIGH_ONE = $clog2(C_MAX + 1) - 1;
  localparam int unsigned LOW_ONE = $clog2(C_MAX & (~C_MAX + 1));
  function automatic logic [V_BITS-1:0] times_channels(input logic [V_BITS-1:0] value);
    return (value << HIGH_ONE) + (LOW_ONE < HIGH_ONE ? value << LOW_ONE : '0);
  endfunction
  if (X_BITS < 8 || X_BITS > 16) begin : gen_check_x_bits
    $error("layernorm: X_BITS=%0d must be 8 to 16", X_BITS);
  end
  if (C_MAX < 2 || C_MAX > 2048) begin : gen_check_c_max
    $error("layernorm: C_MAX=%0d must be 2 to 2048", C_MAX);
  end
  wire unused_ok = &{cfg_channels};  // high bits beyond the maximum

  /* verilator lint_off UNDRIVEN */  // without a file the table stays empty, as in a lint of this file alone
  (* ram_style = "block" *) logic [R_BITS-1:0] seeds[192];
  /* verilator lint_on UNDRIVEN */
  if (INIT_FILE != "") begin : gen_init
    initial $readmemh(INIT_FILE, seeds);
  end
  (* ram_style = "block", no_rw_check *) logic [X_BITS-1:0] tokens[2**ADDR_BITS];

  // ---- load: into the token buffer and the sums
  logic start_q;                                     // the next beat is the first of a token
  logic [COUNT_BITS-1:0] left_q, channels_q;         // beats that follow in the token; its sampled size
  logic [COUNT_BITS-1:0] token_channels_q;           // size of the token whose statistics are in use
  logic stats_busy_q;                                // statistics of the last complete token are in use
  logic [ADDR_BITS:0] level_q;                       // elements in the token buffer, and the one that left a cycle ago
  logic [ADDR_BITS-1:0] write_addr_q, read_addr_q;
  wire fetch;                                        // an element leaves the token buffer
  logic fetch_q;                                     // counted a cycle later: the enable it hangs on is a long path
  wire stats_free;                                   // the output stage has taken over the statistics

  wire [COUNT_BITS-1:0] first_channels = C_FIXED ? COUNT_BITS'(C_MAX) : COUNT_BITS'(cfg_channels);
  wire [COUNT_BITS-1:0] channels = start_q ? first_channels : channels_q;
  wire [COUNT_BITS-1:0] left = start_q ? first_channels - 1'b1 : left_q;
  wire last = left == '0;
  wire beat = s_axis_tvalid && s_axis_tready;
  assign s_axis_tready = !level_q[ADDR_BITS] && !(last && stats_busy_q);

  always_ff @(posedge clk) begin
    if (beat) begin
      tokens[write_addr_q] <= s_axis_tdata;
      left_q               <= left - 1'b1;
      if (last) token_channels_q <= channels;
    end
    if (beat && start_q) channels_q <= first_channels;
    if (rst) begin
      start_q      <= 1'b1;
      stats_busy_q <= 1'b0;
      fetch_q      <= 1'b0;
      level_q      <= '0;
      write_addr_q <= '0;
    end else begin
      fetch_q      <= fetch;
      if (beat) begin
        start_q      <= last;
        write_addr_q <= write_addr_q + 1'b1;
      end
      stats_busy_q <= (beat && last) || (stats_busy_q && !stats_free);
      level_q      <= level_q + {{ADDR_BITS{!beat && fetch_q}}, beat != fetch_q};
    end
  end

  // ---- sums: x, its square, S1 and S2
  logic x_valid_q, x_first_q, x_last_q, square_valid_q, square_first_q, square_last_q, sums_valid_q;
  logic signed [X_BITS-1:0] x_q, x_q2;
  logic [2*X_BITS-2:0] square_q;
  logic signed [S1_BITS-1:0] s1_q;
  logic [S2_BITS-1:0] s2_q;
  wire [2*X_BITS-2:0] square = x_q * x_q;
  always_ff @(posedge clk) begin
    x_q            <= s_axis_tdata;
    x_first_q      <= start_q;
    x_last_q       <= last;
    x_q2           <= x_q;
    square_q       <= square;
    square_first_q <= x_first_q;
    square_last_q  <= x_last_q;
    if (square_valid_q) begin
      s1_q <= (square_first_q ? '0 : s1_q) + S1_BITS'(x_q2);
      s2_q <= (square_first_q ? '0 : s2_q) + S2_BITS'(square_q);
    end
    if (rst) begin
      x_valid_q      <= 1'b0;
      square_valid_q <= 1'b0;
      sums_valid_q   <= 1'b0;
    end else begin
      x_valid_q      <= beat;
      square_valid_q <= x_valid_q;
      sums_valid_q   <= square_valid_q && square_last_q;
    end
  end

  // ---- statistics of one token: V, its exponent and mantissa, the reciprocal square root
  logic signed [S1_BITS-1:0] mean_q;                  // S1 of the token
  logic [V_BITS-1:0] s1_square_q, channels_s2_q, v_q;
  logic [J_BITS-1:0] j_q;
  logic more_q;                                       // j_q is not 0
  logic [R_BITS-1:0] seed_word_q, seed_q, r0_q, r_q;
  logic [16:0] factor_q;
  logic [17:0] product_q;                             // of a product of 33 bits the upper 18
  localparam int unsigned PRODUCT_CYCLES = S1_BITS > 18 && S1_MAG_BITS > 18 ? 4 : 3;
  logic [PRODUCT_CYCLES-1:0] products_q;              // a one walks to the top while C*S2 and S1*S1 are made
  logic shifting_q, done_q;
  logic [7:0] step_q;                                 // one-hot sequence after the normalization
  logic [S2_BITS-1:0] token_s2_q;
  always_ff @(posedge clk) if (sums_valid_q) token_s2_q <= s2_q;
  if (BY_SHIFTS) begin : gen_s2_shifts
    always_ff @(posedge clk) channels_s2_q <= times_channels(V_BITS'(token_s2_q));
  end else begin : gen_s2_parts  // two parts that fit a multiplier up to 18 bits of C and 36 bits of S2
    logic [V_BITS-1:0] low_q, high_q;
    always_ff @(posedge clk) begin
      low_q         <= V_BITS'(token_channels_q) * V_BITS'(token_s2_q[17:0]);
      high_q        <= V_BITS'(token_channels_q) * V_BITS'(token_s2_q[S2_BITS-1:18]);
      channels_s2_q <= low_q + (high_q << 18);
    end
  end
  // S1*S1: of the signed number when it has 18 bits, else of its magnitude, in parts when that has more than 18 bits
  if (S1_BITS <= 18) begin : gen_signed
    always_ff @(posedge clk) s1_square_q <= mean_q * mean_q;
  end else if (S1_MAG_BITS <= 18) begin : gen_magnitude
    logic [S1_MAG_BITS-1:0] mag_q;
    always_ff @(posedge clk) begin
      mag_q       <= mean_q[S1_BITS-1] ? S1_MAG_BITS'(-mean_q) : S1_MAG_BITS'(mean_q);
      s1_square_q <= V_BITS'(mag_q) * V_BITS'(mag_q);
    end
  end else begin : gen_parts
    logic [S1_MAG_BITS-1:0] mag_q;
    logic [V_BITS-1:0] low_square_q, cross_q, high_square_q;
    wire [V_BITS-1:0] low = V_BITS'(mag_q[17:0]);
    wire [V_BITS-1:0] high = V_BITS'(mag_q[S1_MAG_BITS-1:18]);
    always_ff @(posedge clk) begin
      mag_q         <= mean_q[S1_BITS-1] ? S1_MAG_BITS'(-mean_q) : S1_MAG_BITS'(mean_q);
      low_square_q  <= low * low;
      cross_q       <= low * high;
      high_square_q <= high * high;
      s1_square_q   <= low_square_q + (cross_q << 19) + (high_square_q << 36);
    end
  end
  wire [R_BITS-1:0] mantissa = v_q[V_BITS-1-:16];
  wire shift = !(|v_q[V_BITS-1-:2]) && more_q;
  // mantissa >> 8 is 64..255; V = 0 has no mantissa: any seed serves, since all deviations are zero
  wire [7:0] seed_index = {&mantissa[15:14], mantissa[15] && !mantissa[14], mantissa[13:8]};
  wire take;                                          // the output stage starts this token
  always_ff @(posedge clk) begin
    if (sums_valid_q) mean_q <= s1_q;
    if (products_q[PRODUCT_CYCLES-1]) begin
      v_q <= channels_s2_q - s1_square_q;
      j_q <= J_BITS'(K_MAX - 1);
      more_q <= K_MAX > 1;
    end else if (shifting_q && shift) begin
      v_q <= v_q << 2;
      j_q <= j_q - 1'b1;
      more_q <= j_q != J_BITS'(1);
    end
    seed_word_q <= seeds[seed_index];
    seed_q <= seed_word_q;                            // in the block RAM's register
    if (step_q[1]) r0_q <= seed_q;
    // products (step 2, 4, 6): m*r0, t*r0, (3*2^15-u)*r0; no enable and no reset: a register of the multiplier
    factor_q  <= ({17{step_q[1]}} & 17'(mantissa)) | ({17{step_q[3]}} & 17'(product_q[16:1]))
               | ({17{step_q[5]}} & (17'(3 << 15) - product_q[16:0]));
    product_q <= 18'((33'(factor_q) * 33'(r0_q)) >> 15);
    if (step_q[7]) r_q <= product_q[17] ? '1 : product_q[16:1];
    if (rst) begin
      products_q <= '0;
      shifting_q <= 1'b0;
      step_q     <= '0;
      done_q     <= 1'b0;
    end else begin
      products_q <= {products_q[PRODUCT_CYCLES-2:0], sums_valid_q};
      shifting_q <= products_q[PRODUCT_CYCLES-1] || (shifting_q && shift);
      step_q     <= {step_q[6:0], shifting_q && !shift};
      done_q     <= step_q[2] || (done_q && !take);  // the first element needs r_q five cycles after take
    end
  end

  // ---- output: n = C*x - S1, times r, shifted by 5 + k; the token's constants wander along with its first element
  logic reading_q, read_first_q;
  logic [COUNT_BITS-1:0] read_left_q, out_channels_q;
  logic word_valid_q, near_valid_q, x_out_valid_q, scaled_valid_q, n_valid_q, product_valid_q, sum_valid_q, coarse_valid_q;
  logic word_first_q, near_first_q, x_out_first_q, scaled_first_q, n_first_q, product_first_q;
  logic signed [X_BITS-1:0] word_q, near_q, x_out_q;  // read; in the block RAM's register; in the multiplier's
  logic signed [N_BITS-1:0] scaled_q, n_q;
  logic signed [S1_BITS-1:0] mean_out_q;
  logic [R_BITS-1:0] r_out_q;
  logic [J_BITS-1:0] j_out_q;
  // A skid behind cuts the way from the ready of the units behind to the enables of this stage
  logic [15:0] z_q;
  logic z_valid_q, z_ready;
  wire advance = !z_valid_q || z_ready;
  skid #(.WIDTH(16)) skid_i (
      .clk, .rst, .s_axis_tdata(z_q), .s_axis_tvalid(z_valid_q), .s_axis_tready(z_ready), .m_axis_tdata, .m_axis_tvalid,
      .m_axis_tready
  );
  wire read_last = read_left_q == '0;
  wire signed [N_BITS-1:0] scaled;
  if (BY_SHIFTS) begin : gen_scaled_shifts
    assign scaled = N_BITS'(times_channels(V_BITS'(x_out_q)));
    wire unused = ^out_channels_q;
  end else begin : gen_scaled_product
    assign scaled = $signed({1'b0, out_channels_q}) * x_out_q;
  end
  assign take  = done_q && advance && (!reading_q || read_last);
  assign fetch = reading_q && advance;
  assign stats_free = advance && product_valid_q && product_first_q;

  // n has up to 19 bits at 12 bit codes and 64 channels: its low bits are multiplied apart, so that 18 bits remain
  localparam int unsigned LOW_BITS = N_BITS > 18 ? N_BITS - 18 : 0;
  localparam int unsigned HIGH_BITS = N_BITS - LOW_BITS;
  localparam int unsigned PRODUCT_BITS = N_BITS + R_BITS;
  logic signed [HIGH_BITS+R_BITS-1:0] product_out_q;
  logic signed [PRODUCT_BITS-1:0] sum_q;
  wire signed [HIGH_BITS+R_BITS-1:0] product_out = $signed(n_q[N_BITS-1:LOW_BITS]) * $signed({1'b0, r_out_q});
  wire signed [PRODUCT_BITS-1:0] sum;
  if (LOW_BITS == 0) begin : gen_whole
    assign sum = product_out_q;
  end else begin : gen_low
    logic [LOW_BITS+R_BITS-1:0] low_q;
    if (LOW_BITS == 1) begin : gen_one_bit
      always_ff @(posedge clk) if (advance) low_q <= {1'b0, r_out_q & {R_BITS{n_q[0]}}};
    end else if (LOW_BITS == 2) begin : gen_two_bits  // an adder is less than a multiplier block
      wire [R_BITS-1:0] one = r_out_q & {R_BITS{n_q[0]}};
      wire [R_BITS-1:0] two = r_out_q & {R_BITS{n_q[1]}};
      always_ff @(posedge clk) if (advance) low_q <= (R_BITS + 2)'(one) + {1'b0, two, 1'b0};
    end else begin : gen_bits
      always_ff @(posedge clk) if (advance) low_q <= n_q[LOW_BITS-1:0] * r_out_q;
    end
    assign sum = $signed({product_out_q, {LOW_BITS{1'b0}}}) + $signed(PRODUCT_BITS'(low_q));
  end

  // shift by 5 + k in two steps, down to one bit below the result: 5 + 4*(j / 4), then j % 4; round away that bit
  localparam int unsigned COARSE_BITS = Z_BITS + 4;
  localparam int unsigned COARSE_STEPS = (K_MAX + 3) / 4;
  logic [COARSE_BITS-1:0] coarse, coarse_q;
  logic [1:0] fine_q;
  localparam int unsigned WIDE_BITS = 5 + 4 * (COARSE_STEPS - 1) + COARSE_BITS > PRODUCT_BITS
      ? 5 + 4 * (COARSE_STEPS - 1) + COARSE_BITS : PRODUCT_BITS;
  wire [WIDE_BITS-1:0] wide = WIDE_BITS'(sum_q);
  always_comb begin
    coarse = '0;
    for (int unsigned i = 0; i < COARSE_STEPS; i++) begin
      if ((j_out_q >> 2) == J_BITS'(i)) coarse |= wide[5+4*i+:COARSE_BITS];
    end
  end
  wire [Z_BITS:0] fine = (Z_BITS + 1)'($signed(coarse_q) >>> fine_q);
  wire signed [Z_BITS-1:0] z = fine[Z_BITS:1] + Z_BITS'(fine[0]);
  logic [15:0] clipped;
  if (Z_BITS > 16) begin : gen_clip
    wire overflow = z[Z_BITS-1:15] != {(Z_BITS - 15) {z[Z_BITS-1]}};
    assign clipped = overflow ? {z[Z_BITS-1], {15{!z[Z_BITS-1]}}} : z[15:0];
  end else begin : gen_extend
    assign clipped = 16'(z);
  end

  always_ff @(posedge clk) begin
    if (take) begin
      read_left_q <= token_channels_q - 1'b1;
    end else if (fetch) read_left_q <= read_left_q - 1'b1;
    if (advance) begin
      read_first_q    <= take;
      word_q          <= tokens[read_addr_q];
      word_first_q    <= read_first_q;
      near_q          <= word_q;
      near_first_q    <= word_first_q;
      x_out_q         <= near_q;
      x_out_first_q   <= near_first_q;
      if (near_first_q) out_channels_q <= token_channels_q;
      scaled_q        <= scaled;
      scaled_first_q  <= x_out_first_q;
      if (x_out_first_q) mean_out_q <= mean_q;
      n_q             <= scaled_q - N_BITS'(mean_out_q);
      n_first_q       <= scaled_first_q;
      if (scaled_first_q) r_out_q <= r_q;
      product_out_q   <= product_out;
      product_first_q <= n_first_q;
      sum_q           <= sum;
      if (product_first_q) j_out_q <= j_q;
      coarse_q        <= coarse;
      fine_q          <= j_out_q[1:0];
      z_q             <= clipped;
    end
    if (rst) begin
      reading_q       <= 1'b0;
      read_addr_q     <= '0;
      word_valid_q    <= 1'b0;
      near_valid_q    <= 1'b0;
      x_out_valid_q   <= 1'b0;
      scaled_valid_q  <= 1'b0;
      n_valid_q       <= 1'b0;
      product_valid_q <= 1'b0;
      sum_valid_q     <= 1'b0;
      coarse_valid_q  <= 1'b0;
      z_valid_q       <= 1'b0;
    end else if (advance) begin
      reading_q       <= take || (reading_q && !read_last);
      if (reading_q) read_addr_q <= read_addr_q + 1'b1;
      word_valid_q    <= reading_q;
      near_valid_q    <= word_valid_q;
      x_out_valid_q   <= near_valid_q;
      scaled_valid_q  <= x_out_valid_q;
      n_valid_q       <= scaled_valid_q;
      product_valid_q <= n_valid_q;
      sum_valid_q     <= product_valid_q;
      coarse_valid_q  <= sum_valid_q;
      z_valid_q       <= coarse_valid_q;
    end
  end

`ifndef SYNTHESIS
  layernorm_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      beat && start_q |-> cfg_channels >= 1 && 32'(cfg_channels) <= C_MAX && (!C_FIXED || 32'(cfg_channels) == C_MAX))
  else $error("%m: cfg_channels=%0d out of range (C_MAX=%0d, C_FIXED=%0d)", cfg_channels, C_MAX, C_FIXED);
`endif
endmodule
`default_nettype wire
