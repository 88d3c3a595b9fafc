// SPDX-License-Identifier: Apache-2.0
// mvu_tree_carry: sum of N signed numbers, three at an adder (add_three), a register behind each level.
//   With a number may come a one that is still to be added, so that -v comes as its complement ~v and a one. An adder
//   of three takes two of these ones as carries and hands the third on.
// Latency  : LATENCY clk cycles, held while en is low; the least number of levels with 3^levels >= N, and waiting.
// Resources: about (N - 1) / 2 adders.
// Test     : tests/hw/test_mvu_tree_carry.py
`default_nettype none
module mvu_tree_carry #(
    // Numbers to add, at most 243
    parameter  int unsigned N = 9,
    // Width of one number in bits
    parameter  int unsigned IN_BITS = 8,
    // 0: behavioural, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned LEVELS = N == 1 ? 0 : N <= 3 ? 1 : N <= 9 ? 2 : N <= 27 ? 3 : N <= 81 ? 4 : 5,
    // LEVELS or more
    parameter  int unsigned LATENCY = LEVELS,
    // Numbers with their ones reach 2^(IN_BITS-1), but a sum lacks the one of one of them
    localparam int unsigned OUT_BITS = IN_BITS + $clog2(N)
) (
    input  wire logic                 clk,
    input  wire logic                 en,
    // Numbers, signed, number 0 in the low bits, and the ones to be added
    input  wire logic [N*IN_BITS-1:0] x,
    input  wire logic [N-1:0]         carry,
    // The sum is y + y_carry
    output logic      [OUT_BITS-1:0]  y,
    output logic                      y_carry
);
  if (N > 243 || LATENCY < LEVELS) begin : gen_check
    $error("mvu_tree_carry: N=%0d must be at most 243 (lower SIMD), LATENCY=%0d at least %0d", N, LATENCY, LEVELS);
  end
  // not gen_level: Verilator would look that name up in the unit around this one
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_third
    localparam int unsigned SPAN = 3 ** l;  // numbers below a node
    localparam int unsigned COUNT = (N + SPAN - 1) / SPAN;
    localparam int unsigned MOST = SPAN < N ? SPAN : N;
    localparam int unsigned BITS = IN_BITS + $clog2(MOST);
    logic [COUNT*BITS-1:0] sums;
    logic [COUNT-1:0] ones;
    if (l == 0) begin : gen_input
      assign sums = x;
      assign ones = carry;
    end else begin : gen_sums
      localparam int unsigned BELOW = SPAN / 3;
      localparam int unsigned PARTS = (N + BELOW - 1) / BELOW;  // numbers of the level before
      localparam int unsigned BELOW_MOST = BELOW < N ? BELOW : N;
      localparam int unsigned PART_BITS = IN_BITS + $clog2(BELOW_MOST);
      for (genvar i = 0; i < COUNT; i++) begin : gen_sum
        wire signed [PART_BITS-1:0] first = gen_third[l-1].sums[3*i*PART_BITS+:PART_BITS];
        logic [BITS-1:0] sum;
        logic one;  // still to be added
        if (3 * i + 1 < PARTS) begin : gen_add
          wire signed [PART_BITS-1:0] second = gen_third[l-1].sums[(3*i+1)*PART_BITS+:PART_BITS];
          if (3 * i + 2 < PARTS) begin : gen_three
            wire signed [PART_BITS-1:0] third = gen_third[l-1].sums[(3*i+2)*PART_BITS+:PART_BITS];
            add_three #(.WIDTH(BITS), .TARGET(TARGET)) add_i (
                .a(BITS'(first)), .b(BITS'(second)), .c(BITS'(third)), .carry(gen_third[l-1].ones[3*i+:2]), .y(sum)
            );
            assign one = gen_third[l-1].ones[3*i+2];
          end else begin : gen_two
            add_select #(.WIDTH(BITS), .TARGET(TARGET)) add_i (
                .a(BITS'(first)), .b0(BITS'(second)), .b1(BITS'(second)), .select(1'b0),
                .carry(gen_third[l-1].ones[3*i]), .y(sum)
            );
            assign one = gen_third[l-1].ones[3*i+1];
          end
        end else begin : gen_alone
          assign sum = BITS'(first);
          assign one = gen_third[l-1].ones[3*i];
        end
        always_ff @(posedge clk) begin
          if (en) begin
            sums[i*BITS+:BITS] <= sum;
            ones[i] <= one;
          end
        end
      end
    end
  end
  // ---- as late as asked for
  for (genvar i = 0; i <= LATENCY - LEVELS; i++) begin : gen_wait
    logic [OUT_BITS:0] word;
    if (i == 0) begin : gen_now
      assign word = {gen_third[LEVELS].ones, gen_third[LEVELS].sums};
    end else begin : gen_later
      always_ff @(posedge clk) if (en) word <= gen_wait[i-1].word;
    end
  end
  assign {y_carry, y} = gen_wait[LATENCY-LEVELS].word;
  wire unused = clk | en | (|carry);
endmodule
`default_nettype wire
