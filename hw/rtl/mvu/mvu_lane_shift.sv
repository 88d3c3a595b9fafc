// SPDX-License-Identifier: Apache-2.0
// mvu_lane_shift: one row of power-of-two (PoT) or sum-of-two-powers (SP2) weights, products by shift and add.
//   PoT code {sign, e}        : 0 when e is 0, else 2^(e-1); e - 1 at most 14
//   SP2 code {sign, e1, e2}   : q1 + q2; q1 = 0 or 2^(e1-1), q2 = 0 or 2^(e2-1 + 2^M1 - 2^M2); M1 + M2 = W_BITS - 1
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: LUTs only.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_shift #(
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // 0: PoT, 1: SP2
    parameter  bit          SP2 = 1'b1,
    localparam int unsigned M1 = W_BITS / 2,  // ceil((W_BITS - 1) / 2)
    localparam int unsigned M2 = (W_BITS - 1) / 2,
    localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2,
    localparam int unsigned SP2_TOP = 2 ** M1 - 2,
    // Largest |weight| is 2^MAG
    localparam int unsigned MAG = SP2 ? SP2_TOP + 1 : POT_TOP,
    localparam int unsigned PRODUCT_BITS = A_BITS + MAG + 1,
    localparam int unsigned Y_BITS = PRODUCT_BITS + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w,
    // Row sum w . a
    output logic      [Y_BITS-1:0]      y
);
  if (W_BITS < 2 || W_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_shift: W_BITS=%0d must be in 2..8", W_BITS);
  end

  logic [SIMD*PRODUCT_BITS-1:0] products;
  for (genvar i = 0; i < SIMD; i++) begin : gen_product
    logic signed [A_BITS-1:0] a_q;
    logic [W_BITS-1:0] w_q;
    logic signed [PRODUCT_BITS-1:0] magnitude;
    wire signed [PRODUCT_BITS-1:0] wide = PRODUCT_BITS'(a_q);

    if (SP2) begin : gen_sp2
      wire [M1-1:0] e1 = w_q[W_BITS-2-:M1];
      logic signed [PRODUCT_BITS-1:0] term1, term2;
      always_comb begin
        term1 = '0;
        for (int k = 0; k <= SP2_TOP; k++) if (e1 == M1'(k + 1)) term1 = wide <<< k;
      end
      if (M2 > 0) begin : gen_term2
        wire [M2-1:0] e2 = w_q[M2-1:0];
        always_comb begin
          term2 = '0;
          for (int k = 0; k < 2 ** M2 - 1; k++) if (e2 == M2'(k + 1)) term2 = wide <<< (k + 2 ** M1 - 2 ** M2);
        end
      end else begin : gen_no_term2
        assign term2 = '0;
      end
      assign magnitude = term1 + term2;
    end else begin : gen_pot
      wire [W_BITS-2:0] e = w_q[W_BITS-2:0];
      always_comb begin
        magnitude = '0;
        for (int k = 0; k <= POT_TOP; k++) if (e == (W_BITS - 1)'(k + 1)) magnitude = wide <<< k;
      end
    end

    always_ff @(posedge clk) begin
      if (en) begin
        a_q <= a[i*A_BITS+:A_BITS];
        w_q <= w[i*W_BITS+:W_BITS];
        products[i*PRODUCT_BITS+:PRODUCT_BITS] <= w_q[W_BITS-1] ? -magnitude : magnitude;
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
