// SPDX-License-Identifier: Apache-2.0
// mvu_lane_dsp_ecp5: two rows of fixed-point weights share one multiplier per input, products summed in ALU54B.
//   (w1 * 2^14 + w0) * a = (w1 * a) * 2^14 + w0 * a. A chain of up to four alu54b_mac sums the packed products of up to
//   8 inputs, each half DSP block one cycle after the one before, and starts from 2^13: so the low field never is
//   negative and never borrows from the high one.
// Limits   : W_BITS <= 4 with weights >= -(2^(W_BITS-1)-1); activations of at most 8 bits signed, 7 unsigned.
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low: that of mvu_lane_dsp_pair.
// Resources: ceil(SIMD / 8) chains of one alu54b_mac for two inputs; adders where chains meet; without PACKED 5 LUT4 an
//   input to pack the weights. Unverified on silicon: see alu54b_mac.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes_dsp.py
`default_nettype none
module mvu_lane_dsp_ecp5 #(
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // Activations are signed
    parameter  bit          A_SIGNED = 1'b1,
    // w1 holds w1 - (w0 < 0), the upper half of the packed word, ready from memory
    parameter  bit          PACKED = 1'b0,
    // 0: behavioural, 1: ECP5
    parameter  int unsigned TARGET = 0,
    localparam int unsigned X_BITS = A_SIGNED ? A_BITS : A_BITS + 1,  // of an activation with its sign
    localparam int unsigned Y_BITS = X_BITS + W_BITS - 1 + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w0,
    input  wire logic [SIMD*W_BITS-1:0] w1,
    // Row sums: w0 . a = y0 and w1 . a = y1 + carry1 (always 0 here)
    output logic      [Y_BITS-1:0]      y0,
    output logic      [Y_BITS-1:0]      y1,
    output logic                        carry1
);
  localparam int unsigned FIELD = 14;
  localparam int unsigned CHAINS = (SIMD + 7) / 8;
  localparam int unsigned INPUTS = (SIMD + CHAINS - 1) / CHAINS;  // of a chain
  localparam int unsigned HALVES = (INPUTS + 1) / 2;  // half DSP blocks of a chain
  localparam int unsigned PART_BITS = X_BITS + W_BITS - 1 + $clog2(INPUTS);  // of one row
  localparam int unsigned SUM_BITS = FIELD + PART_BITS;
  localparam int unsigned STAGES = 2 + $clog2(SIMD) + (SIMD > 8 ? 1 : 0);
  localparam int unsigned JOIN = $clog2(CHAINS);  // cycles of the adders where chains meet
  // The first half may have its pipeline register where the latency allows; what then remains is waited for
  localparam int unsigned FIRST = HALVES + JOIN + 2 <= STAGES ? 2 : 1;
  localparam int unsigned WAIT = STAGES - FIRST - HALVES - JOIN;
  if (W_BITS < 2 || W_BITS > 4 || X_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_dsp_ecp5: W_BITS=%0d must be in 2..4 and A_BITS=%0d at most 8, or 7 with A_SIGNED=%0d clear",
           W_BITS, A_BITS, A_SIGNED);
  end

  logic [CHAINS*PART_BITS-1:0] low, high;
  for (genvar g = 0; g < CHAINS; g++) begin : gen_chain
    // Factors of each input, those past the end zero
    logic [2*HALVES-1:0][17:0] factor_w, factor_a;
    for (genvar i = 0; i < 2 * HALVES; i++) begin : gen_input
      localparam int unsigned INDEX = g * INPUTS + i;
      // A later half gets its factors later, by as much as its registers do not make up for
      localparam int unsigned DELAY = i < 2 ? 0 : FIRST + i / 2 - 2;
      if (i < INPUTS && INDEX < SIMD) begin : gen_used
        wire [A_BITS-1:0] a_now = a[INDEX*A_BITS+:A_BITS];
        wire [W_BITS-1:0] low_now = w0[INDEX*W_BITS+:W_BITS];
        // w1 - 1 stays in W_BITS bits because w1 is never the most negative code
        wire [W_BITS-1:0] high_now = w1[INDEX*W_BITS+:W_BITS] - (PACKED ? '0 : W_BITS'(low_now[W_BITS-1]));
        wire signed [X_BITS-1:0] a_used;
        wire signed [W_BITS-1:0] low_used, high_used;
        if (DELAY == 0) begin : gen_now
          assign a_used = X_BITS'(a_now);  // as it is, or a zero in front
          assign {high_used, low_used} = {high_now, low_now};
        end else begin : gen_late
          logic [DELAY-1:0][A_BITS-1:0] a_q;  // the same in all lanes
          logic [DELAY-1:0][2*W_BITS-1:0] w_q;
          assign a_used = X_BITS'(a_q[DELAY-1]);
          assign {high_used, low_used} = w_q[DELAY-1];
          always_ff @(posedge clk) begin
            if (en) begin
              a_q <= (A_BITS * DELAY)'({a_q, a_now});
              w_q <= (2 * W_BITS * DELAY)'({w_q, high_now, low_now});
            end
          end
        end
        assign factor_w[i] = {4'(high_used), FIELD'(low_used)};
        assign factor_a[i] = 18'(a_used);
      end else begin : gen_unused
        assign factor_w[i] = '0;
        assign factor_a[i] = '0;
      end
    end

    for (genvar h = 0; h < HALVES; h++) begin : gen_half
      logic [SUM_BITS-1:0] sum_q;
      logic [53:0] so_far, r;
      if (h == 0) begin : gen_start
        assign so_far = 54'd1 << (FIELD - 1);
      end else begin : gen_add
        assign so_far = 54'(gen_half[h-1].sum_q);  // sums count modulo 2^SUM_BITS
      end
      alu54b_mac #(.PIPELINE(h > 0 || FIRST == 2), .TARGET(TARGET)) half_i (
          .clk, .en, .a0(factor_w[2*h]), .b0(factor_a[2*h]), .a1(factor_w[2*h+1]), .b1(factor_a[2*h+1]), .c(so_far), .r
      );
      always_ff @(posedge clk) if (en) sum_q <= r[SUM_BITS-1:0];
      wire unused = ^r[53:SUM_BITS];
    end

    wire [SUM_BITS-1:0] sum = gen_half[HALVES-1].sum_q;
    wire [FIELD-1:0] row0 = {~sum[FIELD-1], sum[FIELD-2:0]};  // less 2^13
    assign low[g*PART_BITS+:PART_BITS]  = row0[PART_BITS-1:0];
    assign high[g*PART_BITS+:PART_BITS] = sum[SUM_BITS-1:FIELD];
    if (PART_BITS < FIELD) begin : gen_unused_bits
      wire unused = ^row0[FIELD-1:PART_BITS];
    end
  end

  logic [Y_BITS-1:0] sum0, sum1;
  mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) low_i (.clk, .en, .x(low), .y(sum0));
  mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) high_i (.clk, .en, .x(high), .y(sum1));
  if (WAIT == 0) begin : gen_direct
    assign {y1, y0} = {sum1, sum0};
  end else begin : gen_wait
    logic [WAIT-1:0][2*Y_BITS-1:0] wait_q;
    assign {y1, y0} = wait_q[WAIT-1];
    always_ff @(posedge clk) if (en) wait_q <= (2 * Y_BITS * WAIT)'({wait_q, sum1, sum0});
  end
  assign carry1 = 1'b0;
endmodule
`default_nettype wire
