// SPDX-License-Identifier: Apache-2.0
// mvu_lane_fixed: one row of fixed-point weights, a multiplier block per input.
// Limits   : weights >= -(2^(W_BITS-1)-1).
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: SIMD MULT18X18D and a tree of adders.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_fixed #(
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned Y_BITS = A_BITS + W_BITS - 1 + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w,
    // Row sum w . a
    output logic      [Y_BITS-1:0]      y
);
  localparam int unsigned PRODUCT_BITS = A_BITS + W_BITS - 1;
  if (W_BITS < 2 || W_BITS > 18 || A_BITS > 18) begin : gen_check_bits
    $error("mvu_lane_fixed: W_BITS=%0d must be in 2..18 and A_BITS=%0d at most 18", W_BITS, A_BITS);
  end

  logic [SIMD*PRODUCT_BITS-1:0] products;
  for (genvar i = 0; i < SIMD; i++) begin : gen_product
    wire signed [A_BITS-1:0] ai = a[i*A_BITS+:A_BITS];
    wire signed [W_BITS-1:0] wi = w[i*W_BITS+:W_BITS];
    logic [35:0] p;
    mult18x18 #(.TARGET(TARGET)) mul_i (.clk, .en, .a(18'(wi)), .b(18'(ai)), .p);
    assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = p[PRODUCT_BITS-1:0];
    wire unused = ^p[35:PRODUCT_BITS];
  end

  logic [Y_BITS-1:0] sum;
  mvu_tree #(.N(SIMD), .IN_BITS(PRODUCT_BITS)) tree_i (.clk, .en, .x(products), .y(sum));
  if (SIMD > 8) begin : gen_align  // as late as the packed lanes
    always_ff @(posedge clk) if (en) y <= sum;
  end else begin : gen_direct
    assign y = sum;
  end
endmodule
`default_nettype wire
