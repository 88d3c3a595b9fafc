// SPDX-License-Identifier: Apache-2.0
// mvu_lane_dsp_pair: two rows of fixed-point weights share one multiplier per input.
//   (w1 * 2^FIELD + w0) * a = (w1 * a) * 2^FIELD + w0 * a: the packed products of up to 8 inputs are added, then the
//   low field is cut off; a negative low field has borrowed one from the high field, which carry1 gives back.
//   PACKED: w1 comes as w1 - (w0 < 0), so that no LUT is in front of the multipliers.
// Limits   : W_BITS <= 4 with weights >= -(2^(W_BITS-1)-1), A_BITS <= 8, so that 8 products fit the low field.
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: SIMD MULT18X18D (fields 14 bits apart) or DSP48E2 (TARGET 2, 22 bits apart; products added in fabric);
//            without PACKED 5 LUT4 an input.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_dsp_pair #(
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    parameter  bit          PACKED = 1'b0,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned Y_BITS = A_BITS + W_BITS - 1 + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w0,
    input  wire logic [SIMD*W_BITS-1:0] w1,
    // Row sums: w0 . a = y0 and w1 . a = y1 + carry1
    output logic      [Y_BITS-1:0]      y0,
    output logic      [Y_BITS-1:0]      y1,
    output logic                        carry1
);
  localparam int unsigned FIELD = TARGET == 2 ? 22 : 14;
  localparam int unsigned GROUP = SIMD < 8 ? SIMD : 8;  // products added before the split
  localparam int unsigned GROUPS = (SIMD + 7) / 8;
  localparam int unsigned PRODUCT_BITS = FIELD + A_BITS + W_BITS - 1;
  localparam int unsigned SUM_BITS = PRODUCT_BITS + $clog2(GROUP);
  localparam int unsigned PART_BITS = SUM_BITS - FIELD;  // of one row
  if (W_BITS < 2 || W_BITS > 4 || A_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_dsp_pair: W_BITS=%0d must be in 2..4 and A_BITS=%0d at most 8", W_BITS, A_BITS);
  end

  logic [GROUPS*PART_BITS-1:0] low, high;
  logic [GROUPS-1:0] borrow;
  for (genvar g = 0; g < GROUPS; g++) begin : gen_group
    logic [GROUP*PRODUCT_BITS-1:0] products;
    for (genvar i = 0; i < GROUP; i++) begin : gen_mult
      localparam int unsigned INDEX = g * GROUP + i;
      if (INDEX < SIMD) begin : gen_used
        wire signed [A_BITS-1:0] ai = a[INDEX*A_BITS+:A_BITS];
        wire signed [W_BITS-1:0] low_w = w0[INDEX*W_BITS+:W_BITS];
        // w1 - 1 stays in W_BITS bits because w1 is never the most negative code
        wire [W_BITS-1:0] high_w = w1[INDEX*W_BITS+:W_BITS] - (PACKED ? '0 : W_BITS'(low_w[W_BITS-1]));
        wire signed [FIELD+W_BITS-1:0] packed_w = {high_w, FIELD'(low_w)};
        if (TARGET == 2) begin : gen_dsp48e2
          logic [44:0] p;
          dsp48e2_mul #(.TARGET(TARGET)) mul_i (.clk, .en, .a(27'(packed_w)), .b(18'(ai)), .p);
          assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = p[PRODUCT_BITS-1:0];
          wire unused = ^p[44:PRODUCT_BITS];
        end else begin : gen_mult18
          logic [35:0] p;
          mult18x18 #(.TARGET(TARGET)) mul_i (.clk, .en, .a(18'(packed_w)), .b(18'(ai)), .p);
          assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = p[PRODUCT_BITS-1:0];
          wire unused = ^p[35:PRODUCT_BITS];
        end
      end else begin : gen_unused
        assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = '0;
      end
    end

    logic [SUM_BITS-1:0] sum;
    mvu_tree #(.N(GROUP), .IN_BITS(PRODUCT_BITS)) tree_i (.clk, .en, .x(products), .y(sum));
    assign low[g*PART_BITS+:PART_BITS]  = sum[PART_BITS-1:0];
    assign high[g*PART_BITS+:PART_BITS] = sum[SUM_BITS-1:FIELD];
    assign borrow[g] = sum[FIELD-1];
    if (PART_BITS < FIELD) begin : gen_unused_bits
      wire unused = ^sum[FIELD-1:PART_BITS];
    end
  end

  if (GROUPS == 1) begin : gen_single
    assign y0     = low;
    assign y1     = high;
    assign carry1 = borrow;
  end else begin : gen_join
    logic [GROUPS*PART_BITS-1:0] low_q, high_q;
    for (genvar g = 0; g < GROUPS; g++) begin : gen_split
      always_ff @(posedge clk) begin
        if (en) begin
          low_q[g*PART_BITS+:PART_BITS]  <= low[g*PART_BITS+:PART_BITS];
          high_q[g*PART_BITS+:PART_BITS] <= high[g*PART_BITS+:PART_BITS] + PART_BITS'(borrow[g]);
        end
      end
    end
    mvu_tree #(.N(GROUPS), .IN_BITS(PART_BITS)) low_i (.clk, .en, .x(low_q), .y(y0));
    mvu_tree #(.N(GROUPS), .IN_BITS(PART_BITS)) high_i (.clk, .en, .x(high_q), .y(y1));
    assign carry1 = 1'b0;
  end
endmodule
`default_nettype wire
