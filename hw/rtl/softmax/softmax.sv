// SPDX-License-Identifier: Apache-2.0
// softmax: probabilities of rows of scores, in integers.
//   e = table[max - x]; total = sum e; r = floor(2^28 / total); s = 28 - FRACTION_BITS
//   p = min((e * r + 2^(s-1)) >> s, 2^OUT_BITS - 1)
//   TWIN_SHIFT m > 0: p of more than n = OUT_BITS - m bits is min((e * r + 2^(s+m-1)) >> (s+m), 2^n - 1) << m
// Rounding : half toward +inf.
// Latency  : from the last score of a row L + 31 clk cycles. Three rows are in work at a time: one is loaded
//            (maximum), one is summed, one is written out, while the reciprocal of the next is divided.
// Throughput: a row of L scores takes max(L + 7, 22) cycles. Back pressure: full.
// Job      : one row; cfg_length is sampled with its first beat.
// Table    : 256 words of 12 bits, INIT_FILE or the write port between two jobs; word 0 is above 2048 (it is 4095 in
//            sim.golden.softmax.exp_table), so that the reciprocal has 17 bits.
// Resources: one multiplier of 12 x 17 bits, block RAM for the table, the scores and the exponentials (3 rows each),
//            a divider of one bit a cycle. ECP5, L = 17: 193 LUT4 (carries included), 180 FF, 1 MULT18X18D, 3 EBR.
// Golden   : sim/golden/softmax.py::softmax       Test: tests/hw/test_softmax.py
`default_nettype none
module softmax #(
    // Longest row, 1 to 4096
    parameter int unsigned L_MAX = 17,
    // Width of the probabilities, their scale 2^-FRACTION_BITS: OUT_BITS <= FRACTION_BITS <= 12
    parameter int unsigned OUT_BITS = 8,
    parameter int unsigned FRACTION_BITS = 8,
    // Large probabilities are multiples of 2^TWIN_SHIFT (twin ranges), below OUT_BITS; 0: one range
    parameter int unsigned TWIN_SHIFT = 0,
    // Exponential table for $readmemh; "" leaves it to the write port
    parameter INIT_FILE = ""
) (
    input  wire logic        clk,
    input  wire logic        rst,
    // Scores of a row, 1..L_MAX
    input  wire logic [15:0] cfg_length,
    // Scores in, signed
    input  wire logic [7:0]  s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output logic             s_axis_tready,
    // Probabilities out, unsigned
    output logic      [OUT_BITS-1:0] m_axis_tdata,
    output logic             m_axis_tvalid,
    input  wire logic        m_axis_tready,
    // Write port of the exponential table
    input  wire logic        wr_en,
    input  wire logic [7:0]  wr_addr,
    input  wire logic [11:0] wr_data
);
  localparam int unsigned LENGTH_BITS = $clog2(L_MAX + 1);
  localparam int unsigned ADDR_BITS = $clog2(3 * L_MAX);           // three rows fit in each buffer
  localparam int unsigned TOTAL_BITS = $clog2(4095 * L_MAX + 1);
  localparam int unsigned RECIP_BITS = 17;
  typedef logic [LENGTH_BITS-1:0] length_t;
  if (L_MAX < 1 || L_MAX > 4096) begin : gen_check_l_max
    $error("softmax: L_MAX=%0d must be 1 to 4096", L_MAX);
  end
  if (OUT_BITS < 1 || OUT_BITS > FRACTION_BITS || FRACTION_BITS > 12 || TWIN_SHIFT >= OUT_BITS) begin : gen_check_bits
    $error("softmax: OUT_BITS=%0d, FRACTION_BITS=%0d, TWIN_SHIFT=%0d must be 1 <= OUT_BITS <= FRACTION_BITS <= 12, TWIN_SHIFT < OUT_BITS",
           OUT_BITS, FRACTION_BITS, TWIN_SHIFT);
  end
  wire unused_ok = &{cfg_length};  // high bits beyond the maximum

  (* ram_style = "block", no_rw_check *) logic [11:0] exponential[256];
  (* ram_style = "block", no_rw_check *) logic [7:0] scores[2**ADDR_BITS];
  (* ram_style = "block", no_rw_check *) logic [11:0] exps[2**ADDR_BITS];
  if (INIT_FILE != "") begin : gen_init
    initial $readmemh(INIT_FILE, exponential);
  end
  always_ff @(posedge clk) begin
    if (wr_en) exponential[wr_addr] <= wr_data;
  end

  // ---- load: scores into their buffer, running maximum. At most three rows lie there: the one being summed, a
  // complete one that waits (its successor's last beat waits for it), one being loaded.
  logic start_q, row_waits_q;
  length_t left_q, length_q, row_length_q;
  logic [7:0] max_q, row_max_q;
  logic [ADDR_BITS-1:0] score_write_q, score_read_q;
  wire sum_begin;                                  // the waiting row is taken
  wire length_t length = start_q ? length_t'(cfg_length) : length_q;
  wire length_t left = start_q ? length_t'(cfg_length) - 1'b1 : left_q;
  wire last = left == '0;
  wire beat = s_axis_tvalid && s_axis_tready;
  wire [7:0] max = start_q || $signed(s_axis_tdata) > $signed(max_q) ? s_axis_tdata : max_q;
  assign s_axis_tready = !(last && row_waits_q);

  always_ff @(posedge clk) begin
    if (beat) begin
      scores[score_write_q] <= s_axis_tdata;
      left_q <= left - 1'b1;
      max_q  <= max;
      if (last) begin
        row_max_q    <= max;
        row_length_q <= length;
      end
    end
    if (beat && start_q) length_q <= length_t'(cfg_length);
    if (rst) begin
      start_q       <= 1'b1;
      row_waits_q   <= 1'b0;
      score_write_q <= '0;
    end else begin
      if (beat) begin
        start_q       <= last;
        score_write_q <= score_write_q + 1'b1;
      end
      row_waits_q <= (beat && last) || (row_waits_q && !sum_begin);
    end
  end

  // ---- sum: exponentials of one row into their buffer, and their total. At most three rows lie there: this one, the
  // one whose total is divided, the one being written out; none moves on before the next has room.
  logic sum_busy_q, sum_reading_q, sum_done_q;
  logic score_word_valid_q, score_valid_q, index_valid_q, word_valid_q, exp_valid_q;
  length_t sum_length_q, sum_left_q;
  logic [7:0] sum_max_q, score_word_q, score_q, index_q;
  logic [11:0] word_q, exp_q;
  logic [TOTAL_BITS-1:0] total_q;
  logic [ADDR_BITS-1:0] exp_write_q, exp_read_q;
  wire divide_begin;
  wire sum_last = sum_reading_q && sum_left_q == '0;
  assign sum_begin = row_waits_q && !sum_busy_q;

  always_ff @(posedge clk) begin
    if (sum_begin) begin
      sum_length_q <= row_length_q;
      sum_left_q   <= row_length_q - 1'b1;
      sum_max_q    <= row_max_q;
    end else sum_left_q <= sum_left_q - 1'b1;
    score_word_q <= scores[score_read_q];
    score_q <= score_word_q;                         // in the block RAM's register
    index_q <= sum_max_q - score_q;
    word_q  <= exponential[index_q];
    exp_q   <= word_q;
    if (exp_valid_q) exps[exp_write_q] <= exp_q;
    if (sum_begin) total_q <= '0;
    else if (exp_valid_q) total_q <= total_q + TOTAL_BITS'(exp_q);
    if (rst) begin
      sum_busy_q    <= 1'b0;
      sum_reading_q <= 1'b0;
      sum_done_q    <= 1'b0;
      score_read_q  <= '0;
      exp_write_q   <= '0;
      score_word_valid_q <= 1'b0;
      score_valid_q <= 1'b0;
      index_valid_q <= 1'b0;
      word_valid_q  <= 1'b0;
      exp_valid_q   <= 1'b0;
    end else begin
      sum_busy_q    <= sum_begin || (sum_busy_q && !divide_begin);
      sum_reading_q <= sum_begin || (sum_reading_q && !sum_last);
      if (sum_reading_q) score_read_q <= score_read_q + 1'b1;
      score_word_valid_q <= sum_reading_q;
      score_valid_q <= score_word_valid_q;
      index_valid_q <= score_valid_q;
      word_valid_q  <= index_valid_q;
      exp_valid_q   <= word_valid_q;
      if (exp_valid_q) exp_write_q <= exp_write_q + 1'b1;
      // the row is complete when the pipeline behind the last read has run dry
      sum_done_q <= (exp_valid_q && !word_valid_q) || (sum_done_q && !divide_begin);
    end
  end

  // ---- divide: floor(2^28 / total), 17 bits, non-restoring. A bit is one where the remainder is not negative.
  logic divide_busy_q;                             // until the output stage has the reciprocal
  logic [TOTAL_BITS-1:0] divisor_q;
  logic [TOTAL_BITS:0] remainder_q;                // two's complement, between -divisor and divisor
  logic [RECIP_BITS:0] quotient_q;                 // starts at one; complete when that one arrives at the top
  length_t divide_length_q;
  wire recip_taken;
  wire recip_done = divide_busy_q && quotient_q[RECIP_BITS];
  wire [TOTAL_BITS:0] doubled = {remainder_q[TOTAL_BITS-1:0], 1'b0};
  wire [TOTAL_BITS:0] remainder = remainder_q[TOTAL_BITS] ? doubled + (TOTAL_BITS + 1)'(divisor_q)
                                                           : doubled - (TOTAL_BITS + 1)'(divisor_q);
  assign divide_begin = sum_done_q && !divide_busy_q;
  always_ff @(posedge clk) begin
    if (divide_begin) begin
      divisor_q       <= total_q;
      remainder_q     <= (TOTAL_BITS + 1)'(1 << (28 - RECIP_BITS));
      quotient_q      <= (RECIP_BITS + 1)'(1);
      divide_length_q <= sum_length_q;
    end else if (!quotient_q[RECIP_BITS]) begin
      remainder_q <= remainder;
      quotient_q  <= {quotient_q[RECIP_BITS-1:0], !remainder[TOTAL_BITS]};
    end
    if (rst) divide_busy_q <= 1'b0;
    else divide_busy_q <= divide_begin || (divide_busy_q && !recip_taken);
  end

  // ---- output: exponentials times the reciprocal, which wanders along with the first element of its row
  logic out_reading_q, out_wait_q, out_first_q, out_word_first_q;
  logic out_near_first_q;
  logic out_word_valid_q, out_near_valid_q, out_exp_valid_q, product_valid_q;
  length_t out_left_q;
  logic [11:0] out_word_q, out_near_q, out_exp_q;     // read; beside the block RAM; in the multiplier, which may be far
  logic [RECIP_BITS-1:0] recip_q;
  localparam int unsigned DROPPED = 27 - FRACTION_BITS;
  localparam int unsigned ROUND_BITS = FRACTION_BITS + 2;
  typedef logic [ROUND_BITS-1:0] round_t;
  round_t product_q;                               // of 29 bits the upper ones from bit DROPPED
  wire advance = !m_axis_tvalid || m_axis_tready;
  wire out_last = out_left_q == '0;
  // out_wait_q: this reciprocal is on its way already
  wire out_begin = recip_done && !out_wait_q && advance && (!out_reading_q || out_last);
  assign recip_taken = advance && out_near_first_q && out_near_valid_q;
  wire round_t product = round_t'((29'(out_exp_q) * 29'(recip_q)) >> DROPPED);
  wire round_t rounded = (product_q + 1'b1) >> 1;
  logic [OUT_BITS-1:0] probability;
  if (TWIN_SHIFT == 0) begin : gen_one_range
    assign probability = rounded[OUT_BITS-1:0] | {OUT_BITS{|rounded[ROUND_BITS-1:OUT_BITS]}};
  end else begin : gen_twin_range
    localparam int unsigned RANGE_BITS = OUT_BITS - TWIN_SHIFT;
    wire round_t coarse = (product_q + round_t'(1 << TWIN_SHIFT)) >> (TWIN_SHIFT + 1);
    wire [RANGE_BITS-1:0] clipped = coarse[RANGE_BITS-1:0] | {RANGE_BITS{|coarse[ROUND_BITS-1:RANGE_BITS]}};
    assign probability = |rounded[ROUND_BITS-1:RANGE_BITS] ? OUT_BITS'(clipped) << TWIN_SHIFT
                                                           : OUT_BITS'(rounded[RANGE_BITS-1:0]);
  end

  always_ff @(posedge clk) begin
    if (out_begin) out_left_q <= divide_length_q - 1'b1;
    else if (advance) out_left_q <= out_left_q - 1'b1;
    if (advance) begin
      out_first_q      <= out_begin;
      out_word_q       <= exps[exp_read_q];
      out_word_first_q <= out_first_q;
      out_near_first_q <= out_word_first_q;
      out_near_q       <= out_word_q;
      out_exp_q        <= out_near_q;
      if (out_near_first_q) recip_q <= quotient_q[RECIP_BITS-1:0];
      product_q    <= product;
      m_axis_tdata <= probability;
    end
    if (rst) begin
      out_reading_q    <= 1'b0;
      out_wait_q       <= 1'b0;
      exp_read_q       <= '0;
      out_word_valid_q <= 1'b0;
      out_near_valid_q <= 1'b0;
      out_exp_valid_q  <= 1'b0;
      product_valid_q  <= 1'b0;
      m_axis_tvalid    <= 1'b0;
    end else begin
      out_wait_q <= out_begin || (out_wait_q && !recip_taken);
      if (advance) begin
        out_reading_q <= out_begin || (out_reading_q && !out_last);
        if (out_reading_q) exp_read_q <= exp_read_q + 1'b1;
        out_word_valid_q <= out_reading_q;
        out_near_valid_q <= out_word_valid_q;
        out_exp_valid_q  <= out_near_valid_q;
        product_valid_q  <= out_exp_valid_q;
        m_axis_tvalid    <= product_valid_q;
      end
    end
  end

`ifndef SYNTHESIS
  softmax_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
