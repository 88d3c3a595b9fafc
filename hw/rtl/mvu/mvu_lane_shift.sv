// SPDX-License-Identifier: Apache-2.0
// mvu_lane_shift: one row of power-of-two (PoT) or sum-of-two-powers (SP2) weights, products by shift and add.
//   PoT code {sign, e}        : 0 when e is 0, else 2^(e-1); e - 1 at most 14
//   SP2 code {sign, e1, e2}   : q1 + q2; q1 = 0 or 2^(e1-1), q2 = 0 or 2^(e2-1 + 2^M1 - 2^M2); M1 + M2 = W_BITS - 1
//   Signs are not applied to the products: adders behind them subtract, the last sign leaves as `negative`. On
//   UltraScale+ the product's adder takes the sign along: a negative product comes as its complement, which lacks one,
//   and adders of three (mvu_tree_carry) add up numbers and lacking ones; the last one leaves as `carry`.
//   PoT     : the first adders take the last stage of the shift along (add_select) for every second product.
//   SP2 W4  : two digits 0, 1, 2 of weight 1 and 4, which a LUT4 a bit selects, and one adder.
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: SIMD - 1 adders, on UltraScale+ about SIMD / 2 (SP2) and 3/4 SIMD (PoT), and the shifts in front; LUT a MAC
//   of both schemes: docs/results/lanes.md.
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
    localparam int unsigned E_BITS = W_BITS < 5 ? W_BITS - 1 : 4,  // of a PoT exponent, as far as it is used
    localparam int unsigned POT_TOP = 2 ** E_BITS - 2,
    localparam int unsigned SP2_TOP = 2 ** M1 - 2,
    // Largest |weight| is 2^MAG
    localparam int unsigned MAG = SP2 ? SP2_TOP + 1 : POT_TOP,
    localparam int unsigned PRODUCT_BITS = A_BITS + MAG,
    localparam bit          COMPLEMENT = TARGET == 2,
    localparam int unsigned Y_BITS = PRODUCT_BITS + $clog2(SIMD)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w,
    // Row sum: w . a = negative ? -y : y + carry
    output logic      [Y_BITS-1:0]      y,
    output logic                        negative,
    output logic                        carry
);
  if (W_BITS < 2 || W_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_shift: W_BITS=%0d must be in 2..8", W_BITS);
  end

  logic [SIMD*A_BITS-1:0] a_q;
  logic [SIMD*W_BITS-1:0] w_q;
  logic [SIMD-1:0] minus;
  for (genvar i = 0; i < SIMD; i++) begin : gen_input
    always_ff @(posedge clk) begin
      if (en) begin
        a_q[i*A_BITS+:A_BITS] <= a[i*A_BITS+:A_BITS];
        w_q[i*W_BITS+:W_BITS] <= w[i*W_BITS+:W_BITS];
        minus[i] <= w_q[i*W_BITS+W_BITS-1];
      end
    end
  end

  // ---- numbers to add: products, of PoT their pairs; with each a sign, or the one that a complement lacks
  localparam bit PAIRED = !SP2 && SIMD > 1;
  localparam int unsigned NUMBERS = PAIRED ? (SIMD + 1) / 2 : SIMD;
  localparam int unsigned NUMBER_BITS = PAIRED ? PRODUCT_BITS + 1 : PRODUCT_BITS;
  logic [NUMBERS*NUMBER_BITS-1:0] numbers;
  logic [NUMBERS-1:0] signs;
  if (SP2) begin : gen_sp2
    assign signs = minus;
    for (genvar i = 0; i < SIMD; i++) begin : gen_product
      wire signed [A_BITS-1:0] ai = a_q[i*A_BITS+:A_BITS];
      wire [M1-1:0] e1 = w_q[i*W_BITS+W_BITS-2-:M1];
      wire complement = COMPLEMENT && w_q[i*W_BITS+W_BITS-1];
      logic [PRODUCT_BITS-1:0] magnitude;
      if (W_BITS == 4) begin : gen_digits
        // digit of weight 4: e1's 4 and e2's 4
        wire [2:0] code = w[i*W_BITS+:3];
        logic one_q, two_q;
        always_ff @(posedge clk) begin
          if (en) begin
            one_q <= (code[2:1] == 2'd3) != code[0];
            two_q <= code == 3'd7;
          end
        end
        wire signed [A_BITS:0] once = (A_BITS + 1)'(ai);
        wire signed [A_BITS:0] twice = once <<< 1;
        wire signed [A_BITS:0] low = ({(A_BITS + 1){e1 == 1}} & once) | ({(A_BITS + 1){e1 == 2}} & twice);
        wire signed [A_BITS:0] high = ({(A_BITS + 1){one_q}} & once) | ({(A_BITS + 1){two_q}} & twice);
        if (COMPLEMENT) begin : gen_complement
          wire [A_BITS:0] upper;
          add_gated #(.WIDTH(A_BITS + 1), .COMPLEMENTS(1'b1), .TARGET(TARGET)) add_i (
              .a((A_BITS + 1)'($signed(low[A_BITS:2]))), .b(high), .gate(1'b1), .invert(complement), .y(upper)
          );
          assign magnitude = {upper, low[1:0] ^ {2{complement}}};
        end else begin : gen_magnitude
          wire [A_BITS:0] upper = (A_BITS + 1)'($signed(low[A_BITS:2])) + high;
          assign magnitude = {upper, low[1:0]};
          wire unused = complement;
        end
      end else begin : gen_terms
        wire signed [PRODUCT_BITS-1:0] wide = PRODUCT_BITS'(ai);
        logic signed [PRODUCT_BITS-1:0] term1;
        always_comb begin
          term1 = '0;
          for (int k = 0; k <= SP2_TOP; k++) if (e1 == M1'(k + 1)) term1 = wide <<< k;
        end
        if (M2 == 0) begin : gen_one_term
          assign magnitude = term1 ^ {PRODUCT_BITS{complement}};
        end else begin : gen_two_terms
          localparam int unsigned LOW = 2 ** M1 - 2 ** M2;  // least shift of the second term
          localparam int unsigned HIGH_BITS = PRODUCT_BITS - LOW;
          wire [M2-1:0] e2 = w_q[i*W_BITS+:M2];
          wire signed [HIGH_BITS-1:0] narrow = HIGH_BITS'(ai);
          logic [HIGH_BITS-1:0] term2, high;
          always_comb begin
            term2 = narrow;
            for (int k = 1; k < 2 ** M2 - 1; k++) if (e2 == M2'(k + 1)) term2 = narrow <<< k;
          end
          add_gated #(.WIDTH(HIGH_BITS), .INVERTS(COMPLEMENT), .COMPLEMENTS(COMPLEMENT), .TARGET(TARGET)) add_i (
              .a(term1[PRODUCT_BITS-1:LOW]), .b(term2), .gate(e2 != '0), .invert(complement), .y(high)
          );
          if (LOW > 0) begin : gen_low
            assign magnitude = {high, term1[LOW-1:0] ^ {LOW{complement}}};
          end else begin : gen_no_low
            assign magnitude = high;
          end
        end
      end
      always_ff @(posedge clk) if (en) numbers[i*PRODUCT_BITS+:PRODUCT_BITS] <= magnitude;
    end
  end else begin : gen_pot
    // a << e is twice the product. Its upper stage, a shift by HALF, comes behind a register.
    localparam int unsigned HALF = 2 ** (E_BITS - 1);
    localparam int unsigned PART_BITS = A_BITS + HALF - 1;
    logic [SIMD*PRODUCT_BITS-1:0] near, far;  // the product without and with the upper stage
    logic [SIMD-1:0] top;  // which of them it is
    for (genvar i = 0; i < SIMD; i++) begin : gen_product
      wire signed [A_BITS-1:0] ai = a_q[i*A_BITS+:A_BITS];
      wire [E_BITS-1:0] e = w_q[i*W_BITS+:E_BITS];
      logic signed [PART_BITS-1:0] part, part_q;
      logic top_q;
      always_comb begin
        part = e == '0 ? '0 : PART_BITS'(ai);
        for (int k = 0; k < E_BITS - 1; k++) if (e[k]) part = part <<< 2 ** k;
      end
      always_ff @(posedge clk) begin
        if (en) begin
          part_q <= part;
          top_q  <= e[E_BITS-1];
        end
      end
      assign near[i*PRODUCT_BITS+:PRODUCT_BITS] = PRODUCT_BITS'(part_q >>> 1);
      assign far[i*PRODUCT_BITS+:PRODUCT_BITS] = PRODUCT_BITS'(part_q) << (HALF - 1);
      assign top[i] = top_q;
    end

    if (SIMD == 1) begin : gen_single
      wire signed [PRODUCT_BITS-1:0] product = top[0] ? far : near;
      assign numbers = product ^ {PRODUCT_BITS{COMPLEMENT && minus[0]}};
      assign signs = minus;
    end else begin : gen_pairs
      for (genvar i = 0; i < NUMBERS; i++) begin : gen_pair
        wire signed [PRODUCT_BITS-1:0] near_left = near[2*i*PRODUCT_BITS+:PRODUCT_BITS];
        wire signed [PRODUCT_BITS-1:0] far_left = far[2*i*PRODUCT_BITS+:PRODUCT_BITS];
        wire signed [NUMBER_BITS-1:0] left = NUMBER_BITS'(top[2*i] ? far_left : near_left);
        wire complement = COMPLEMENT && minus[2*i];
        logic [NUMBER_BITS-1:0] pair;
        if (2 * i + 1 < SIMD) begin : gen_add
          wire signed [PRODUCT_BITS-1:0] near_right = near[(2*i+1)*PRODUCT_BITS+:PRODUCT_BITS];
          wire signed [PRODUCT_BITS-1:0] far_right = far[(2*i+1)*PRODUCT_BITS+:PRODUCT_BITS];
          // the left operand's sign, or that against the right one's
          wire differ = COMPLEMENT ? complement : minus[2*i] ^ minus[2*i+1];
          wire [NUMBER_BITS-1:0] flip = {NUMBER_BITS{COMPLEMENT && minus[2*i+1]}};
          add_select #(.WIDTH(NUMBER_BITS), .TARGET(TARGET)) add_i (
              .a(left ^ {NUMBER_BITS{differ}}), .b0(NUMBER_BITS'(near_right) ^ flip), .b1(NUMBER_BITS'(far_right) ^ flip),
              .select(top[2*i+1]), .carry(differ), .y(pair)
          );
          always_ff @(posedge clk) if (en) signs[i] <= minus[2*i+1];
        end else begin : gen_odd
          assign pair = left ^ {NUMBER_BITS{complement}};
          always_ff @(posedge clk) if (en) signs[i] <= minus[2*i];
        end
        always_ff @(posedge clk) if (en) numbers[i*NUMBER_BITS+:NUMBER_BITS] <= pair;
      end
    end
  end

  logic [Y_BITS-1:0] sum;
  logic sum_negative, sum_carry;
  if (COMPLEMENT) begin : gen_carries
    mvu_tree_carry #(.N(NUMBERS), .IN_BITS(NUMBER_BITS), .LATENCY($clog2(NUMBERS)), .TARGET(TARGET)) tree_i (
        .clk, .en, .x(numbers), .carry(signs), .y(sum), .y_carry(sum_carry)
    );
    assign sum_negative = 1'b0;
  end else begin : gen_signs
    mvu_tree_signed #(.N(NUMBERS), .IN_BITS(NUMBER_BITS), .TARGET(TARGET)) tree_i (
        .clk, .en, .x(numbers), .minus(signs), .y(sum), .negative(sum_negative)
    );
    assign sum_carry = 1'b0;
  end

  if (SIMD > 8) begin : gen_align  // as late as the packed lanes
    always_ff @(posedge clk) begin
      if (en) begin
        y        <= sum;
        negative <= sum_negative;
        carry    <= sum_carry;
      end
    end
  end else begin : gen_direct
    assign y = sum;
    assign negative = sum_negative;
    assign carry = sum_carry;
  end
endmodule
`default_nettype wire
