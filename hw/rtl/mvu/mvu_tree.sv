// SPDX-License-Identifier: Apache-2.0
// mvu_tree: sum of N signed numbers, a register behind every adder level.
// Latency  : clog2(N) clk cycles, held while en is low (0 when N is 1).
// Resources: N - 1 adders.
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_tree #(
    // Numbers to add
    parameter  int unsigned N = 4,
    // Width of one number in bits; the sum has one bit more for each level
    parameter  int unsigned IN_BITS = 8,
    localparam int unsigned LEVELS = $clog2(N),
    localparam int unsigned OUT_BITS = IN_BITS + LEVELS
) (
    input  wire logic                 clk,
    input  wire logic                 en,
    // Numbers, signed, number 0 in the low bits
    input  wire logic [N*IN_BITS-1:0] x,
    output logic      [OUT_BITS-1:0]  y
);
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_level
    localparam int unsigned BITS = IN_BITS + l;
    localparam int unsigned COUNT = (N + 2 ** l - 1) >> l;
    logic [COUNT*BITS-1:0] sums;
    if (l == 0) begin : gen_input
      assign sums = x;
    end else begin : gen_sums
      localparam int unsigned PARTS = (N + 2 ** (l - 1) - 1) >> (l - 1);  // numbers of the level before
      for (genvar i = 0; i < COUNT; i++) begin : gen_sum
        wire signed [BITS-2:0] left = gen_level[l-1].sums[2*i*(BITS-1)+:BITS-1];
        if (2 * i + 1 < PARTS) begin : gen_add
          wire signed [BITS-2:0] right = gen_level[l-1].sums[(2*i+1)*(BITS-1)+:BITS-1];
          always_ff @(posedge clk) if (en) sums[i*BITS+:BITS] <= BITS'(left) + BITS'(right);
        end else begin : gen_odd
          always_ff @(posedge clk) if (en) sums[i*BITS+:BITS] <= BITS'(left);
        end
      end
    end
  end
  assign y = gen_level[LEVELS].sums;
  if (LEVELS == 0) begin : gen_unused
    wire unused = clk | en;
  end
endmodule
`default_nettype wire
