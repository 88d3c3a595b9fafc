// SPDX-License-Identifier: Apache-2.0
// mvu_lane_shift: one row of power-of-two (PoT) or sum-of-two-powers (SP2) weights, products by shift and add.
//   PoT code {sign, e}        : 0 when e is 0, else 2^(e-1); e - 1 at most 14
//   SP2 code {sign, e1, e2}   : q1 + q2; q1 = 0 or 2^(e1-1), q2 = 0 or 2^(e2-1 + 2^M1 - 2^M2); M1 + M2 = W_BITS - 1
//   Signs are not applied to the products: adders behind them subtract, the last sign leaves as `negative`.
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
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned M1 = W_BITS / 2,  // ceil((W_BITS - 1) / 2)
    localparam int unsigned M2 = (W_BITS - 1) / 2,
    localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2,
    localparam int unsigned SP2_TOP = 2 ** M1 - 2,
    // Largest |weight| is 2^MAG
    localparam int unsigned MAG = SP2 ? SP2_TOP + 1 : POT_TOP,
    localparam int unsigned PRODUCT_BITS = A_BITS + MAG,
    localparam int unsigned Y_BITS = PRODUCT_BITS + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w,
    // Row sum: w . a = negative ? -y : y
    output logic      [Y_BITS-1:0]      y,
    output logic                        negative
);
  if (W_BITS < 2 || W_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_shift: W_BITS=%0d must be in 2..8", W_BITS);
  end

  logic [SIMD*PRODUCT_BITS-1:0] products;
  logic [SIMD-1:0] minus;
  for (genvar i = 0; i < SIMD; i++) begin : gen_product
    logic signed [A_BITS-1:0] a_q;
    logic [W_BITS-1:0] w_q;
    logic [PRODUCT_BITS-1:0] magnitude;
    wire signed [PRODUCT_BITS-1:0] wide = PRODUCT_BITS'(a_q);

    if (SP2) begin : gen_sp2
      wire [M1-1:0] e1 = w_q[W_BITS-2-:M1];
      logic signed [PRODUCT_BITS-1:0] term1;
      always_comb begin
        term1 = '0;
        for (int k = 0; k <= SP2_TOP; k++) if (e1 == M1'(k + 1)) term1 = wide <<< k;
      end
      if (M2 == 0) begin : gen_one_term
        assign magnitude = term1;
      end else begin : gen_two_terms
        localparam int unsigned LOW = 2 ** M1 - 2 ** M2;  // least shift of the second term
        localparam int unsigned HIGH_BITS = PRODUCT_BITS - LOW;
        wire [M2-1:0] e2 = w_q[M2-1:0];
        wire signed [HIGH_BITS-1:0] narrow = HIGH_BITS'(a_q);
        logic [HIGH_BITS-1:0] term2, high;
        always_comb begin
          term2 = narrow;
          for (int k = 1; k < 2 ** M2 - 1; k++) if (e2 == M2'(k + 1)) term2 = narrow <<< k;
        end
        add_gated #(.WIDTH(HIGH_BITS), .INVERTS(1'b0), .TARGET(TARGET)) add_i (
            .a(term1[PRODUCT_BITS-1:LOW]), .b(term2), .gate(e2 != '0), .invert(1'b0), .y(high)
        );
        if (LOW > 0) begin : gen_low
          assign magnitude = {high, term1[LOW-1:0]};
        end else begin : gen_no_low
          assign magnitude = high;
        end
      end
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
        products[i*PRODUCT_BITS+:PRODUCT_BITS] <= magnitude;
        minus[i] <= w_q[W_BITS-1];
      end
    end
  end

  logic [Y_BITS-1:0] sum;
  logic sum_negative;
  mvu_tree_signed #(.N(SIMD), .IN_BITS(PRODUCT_BITS), .TARGET(TARGET)) tree_i (
      .clk, .en, .x(products), .minus, .y(sum), .negative(sum_negative)
  );
  if (SIMD > 8) begin : gen_align  // as late as the packed lanes
    always_ff @(posedge clk) begin
      if (en) begin
        y        <= sum;
        negative <= sum_negative;
      end
    end
  end else begin : gen_direct
    assign y = sum;
    assign negative = sum_negative;
  end
endmodule
`default_nettype wire
