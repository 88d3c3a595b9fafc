// SPDX-License-Identifier: Apache-2.0
// mvu_tree_radix: sum of N unsigned numbers of limited size, two or three at an adder, a register behind each level.
// Latency  : levels(N) clk cycles: the least number with RADIX^levels >= N; held while en is low.
// Resources: about N / (RADIX - 1) adders, no bit wider than the sum of the numbers below it needs.
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_tree_radix #(
    // Numbers to add, at most 243
    parameter  int unsigned N = 9,
    // Largest number, and its width in bits
    parameter  int unsigned IN_MAX = 28,
    localparam int unsigned IN_BITS = $clog2(IN_MAX + 1),
    // Numbers that an adder takes: 2, or 3 (UltraScale+)
    parameter  int unsigned RADIX = 2,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned LEVELS = RADIX == 2 ? $clog2(N)
        : N == 1 ? 0 : N <= 3 ? 1 : N <= 9 ? 2 : N <= 27 ? 3 : N <= 81 ? 4 : 5,
    localparam int unsigned OUT_BITS = $clog2(N * IN_MAX + 1)
) (
    input  wire logic                 clk,
    input  wire logic                 en,
    // Numbers, number 0 in the low bits
    input  wire logic [N*IN_BITS-1:0] x,
    output logic      [OUT_BITS-1:0]  y
);
  if (RADIX != 2 && RADIX != 3) begin : gen_check_radix
    $error("mvu_tree_radix: RADIX=%0d must be 2 or 3", RADIX);
  end
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_level
    localparam int unsigned SPAN = RADIX ** l;  // numbers below a node
    localparam int unsigned COUNT = (N + SPAN - 1) / SPAN;
    localparam int unsigned BITS = $clog2((SPAN < N ? SPAN : N) * IN_MAX + 1);
    logic [COUNT*BITS-1:0] sums;
    if (l == 0) begin : gen_input
      assign sums = x;
    end else begin : gen_sums
      localparam int unsigned BELOW = SPAN / RADIX;
      localparam int unsigned PARTS = (N + BELOW - 1) / BELOW;  // numbers of the level before
      localparam int unsigned PART_BITS = $clog2((BELOW < N ? BELOW : N) * IN_MAX + 1);
      for (genvar i = 0; i < COUNT; i++) begin : gen_sum
        wire [PART_BITS-1:0] first = gen_level[l-1].sums[RADIX*i*PART_BITS+:PART_BITS];
        logic [BITS-1:0] sum;
        if (RADIX * i + 1 < PARTS) begin : gen_add
          wire [PART_BITS-1:0] second = gen_level[l-1].sums[(RADIX*i+1)*PART_BITS+:PART_BITS];
          if (RADIX == 3 && 3 * i + 2 < PARTS) begin : gen_three
            wire [PART_BITS-1:0] third = gen_level[l-1].sums[(3*i+2)*PART_BITS+:PART_BITS];
            add_three #(.WIDTH(BITS), .TOP_IS_CARRY(BITS == PART_BITS + 2), .TARGET(TARGET)) add_i (
                .a(BITS'(first)), .b(BITS'(second)), .c(BITS'(third)), .carry(2'b00), .y(sum)
            );
          end else begin : gen_two
            assign sum = BITS'(first) + BITS'(second);
          end
        end else begin : gen_alone
          assign sum = BITS'(first);
        end
        always_ff @(posedge clk) if (en) sums[i*BITS+:BITS] <= sum;
      end
    end
  end
  assign y = gen_level[LEVELS].sums;
  if (LEVELS == 0) begin : gen_unused
    wire unused = clk | en;
  end
endmodule
`default_nettype wire
