// SPDX-License-Identifier: Apache-2.0
// mvu_lane_fixed: one row of fixed-point weights, a product per input.
// Limits   : weights >= -(2^(W_BITS-1)-1).
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: USE_DSP: SIMD MULT18X18D; else W_BITS - 1 adders for each product, at most four in a row.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_fixed #(
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // Products on multiplier blocks instead of LUTs
    parameter  bit          USE_DSP = 1'b0,
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
    if (USE_DSP) begin : gen_dsp
      logic [35:0] p;
      mult18x18 #(.TARGET(TARGET)) mul_i (.clk, .en, .a(18'(wi)), .b(18'(ai)), .p);
      assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = p[PRODUCT_BITS-1:0];
      wire unused = ^p[35:PRODUCT_BITS];
    end else begin : gen_lut
      // Written out, because `*` would be mapped to a multiplier block: one gated adder for each weight bit, from the
      // lowest; its lowest sum bit is a bit of the product. The top bit weighs -2^(W_BITS-1). More than four bits make
      // two chains, which are added.
      localparam int unsigned CHAINS = W_BITS > 4 ? 2 : 1;
      localparam int unsigned SPLIT = CHAINS == 2 ? W_BITS / 2 : W_BITS;  // weight bits of the lower chain
      logic signed [A_BITS-1:0] a_q;
      logic [W_BITS-1:0] w_q;
      logic [PRODUCT_BITS-1:0] chain[CHAINS];  // its upper bits repeat the sign
      for (genvar c = 0; c < CHAINS; c++) begin : gen_chain
        localparam int unsigned FIRST = c * SPLIT;
        localparam int unsigned BITS = c == CHAINS - 1 ? W_BITS - FIRST : SPLIT;
        logic [BITS-1:0] low;
        for (genvar b = 0; b < BITS; b++) begin : gen_bit
          logic signed [A_BITS:0] part;
          if (b == 0) begin : gen_lowest
            assign part = w_q[FIRST] ? (A_BITS + 1)'(a_q) : '0;
          end else begin : gen_add
            add_gated #(.WIDTH(A_BITS + 1), .INVERTS(FIRST + b == W_BITS - 1), .TARGET(TARGET)) add_i (
                .a((A_BITS + 1)'($signed(gen_bit[b-1].part[A_BITS:1]))), .b((A_BITS + 1)'(a_q)),
                .gate(w_q[FIRST+b]), .invert(1'b1), .y(part)
            );
          end
          assign low[b] = part[0];
        end
        wire signed [BITS+A_BITS-1:0] sum = {gen_bit[BITS-1].part[A_BITS:1], low};
        assign chain[c] = PRODUCT_BITS'(sum);
      end
      if (CHAINS == 1) begin : gen_one
        always_ff @(posedge clk) if (en) products[i*PRODUCT_BITS+:PRODUCT_BITS] <= chain[0];
      end else begin : gen_two
        always_ff @(posedge clk) begin
          if (en) products[i*PRODUCT_BITS+:PRODUCT_BITS] <= chain[0] + (chain[1] << SPLIT);
        end
      end
      always_ff @(posedge clk) begin
        if (en) begin
          a_q <= ai;
          w_q <= wi;
        end
      end
    end
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
