// SPDX-License-Identifier: Apache-2.0
// mvu_tree_gated: sum of N signed numbers that each count or not, a register behind every adder level.
//   The gates are part of the first adders (add_pair); a number without a partner takes its gate along.
//   On UltraScale+ three of the sums behind the first adders meet at an adder (mvu_tree_carry), and that number is gated.
// Latency  : clog2(N) clk cycles, held while en is low; on UltraScale+ one and those of mvu_tree_carry for the pairs.
// Resources: N - 1 adders, on UltraScale+ about 3/4 N.
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_tree_gated #(
    // Numbers to add
    parameter  int unsigned N = 4,
    // Width of one number in bits; the sum has one bit more for each level
    parameter  int unsigned IN_BITS = 8,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned PAIRS = (N + 1) / 2,
    localparam int unsigned OUT_BITS = IN_BITS + $clog2(N)
) (
    input  wire logic                 clk,
    input  wire logic                 en,
    // Numbers, signed, number 0 in the low bits; number i counts when gate[i] is set
    input  wire logic [N*IN_BITS-1:0] x,
    input  wire logic [N-1:0]         gate,
    // Sum; it counts when y_gate is set, which is constant unless N is 1
    output logic      [OUT_BITS-1:0]  y,
    output logic                      y_gate
);
  localparam bit THREES = TARGET == 2 && N > 2;
  localparam int unsigned PAIR_LEVELS = THREES ? 1 : $clog2(N);
  // not gen_level: Verilator would look that name up in the unit around this one
  for (genvar l = 0; l <= PAIR_LEVELS; l++) begin : gen_stage
    localparam int unsigned BITS = IN_BITS + l;
    localparam int unsigned COUNT = (N + 2 ** l - 1) >> l;
    logic [COUNT*BITS-1:0] sums;
    logic [COUNT-1:0] gates;
    if (l == 0) begin : gen_input
      assign sums  = x;
      assign gates = gate;
    end else begin : gen_sums
      localparam int unsigned PARTS = (N + 2 ** (l - 1) - 1) >> (l - 1);  // numbers of the level before
      for (genvar i = 0; i < COUNT; i++) begin : gen_sum
        wire signed [BITS-2:0] left = gen_stage[l-1].sums[2*i*(BITS-1)+:BITS-1];
        if (2 * i + 1 < PARTS) begin : gen_add
          wire signed [BITS-2:0] right = gen_stage[l-1].sums[(2*i+1)*(BITS-1)+:BITS-1];
          logic [BITS-1:0] sum;
          add_pair #(.WIDTH(BITS), .TARGET(TARGET)) add_i (
              .a(BITS'(left)), .b(BITS'(right)),
              .gate_a(gen_stage[l-1].gates[2*i]), .gate_b(gen_stage[l-1].gates[2*i+1]), .y(sum)
          );
          always_ff @(posedge clk) if (en) sums[i*BITS+:BITS] <= sum;
          assign gates[i] = 1'b1;
        end else begin : gen_odd
          always_ff @(posedge clk) begin
            if (en) begin
              sums[i*BITS+:BITS] <= BITS'(left) & {BITS{!THREES || gen_stage[l-1].gates[2*i]}};
              gates[i] <= gen_stage[l-1].gates[2*i];
            end
          end
        end
      end
    end
  end
  if (THREES) begin : gen_threes
    logic none;
    mvu_tree_carry #(.N(PAIRS), .IN_BITS(IN_BITS + 1), .TARGET(TARGET)) tree_i (
        .clk, .en, .x(gen_stage[1].sums), .carry('0), .y, .y_carry(none)
    );
    assign y_gate = 1'b1;
    wire unused = none | (|gen_stage[1].gates);
  end else begin : gen_twos
    assign y = gen_stage[PAIR_LEVELS].sums;
    assign y_gate = gen_stage[PAIR_LEVELS].gates;
  end
  if (PAIR_LEVELS == 0) begin : gen_unused
    wire unused = clk | en;
  end
endmodule
`default_nettype wire
