// SPDX-License-Identifier: Apache-2.0
// mvu_lane_planes: one row of fixed-point weights on LUTs, by bit planes of the weights.
//   For each weight bit the activations whose weight has it are added (mvu_tree_gated: two gated operands an adder, no
//   AND gates); then the W_BITS sums are added with their shifts, the top one subtracted.
// Limits   : the row sum fits Y_BITS when weights are >= -(2^(W_BITS-1)-1).
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low.
// Resources: about W_BITS * SIMD adders of A_BITS + 1 to A_BITS + clog2(SIMD) bits, 3/4 of them on UltraScale+; LUT a
//   MAC: docs/results/lanes.md.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_planes #(
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
  localparam int unsigned PLANE_BITS = A_BITS + $clog2(SIMD);
  localparam int unsigned LEVELS = $clog2(W_BITS);
  if (W_BITS < 2 || W_BITS > 18 || A_BITS > 18) begin : gen_check_bits
    $error("mvu_lane_planes: W_BITS=%0d must be in 2..18 and A_BITS=%0d at most 18", W_BITS, A_BITS);
  end

  logic [SIMD*A_BITS-1:0] a_q;
  logic [SIMD*W_BITS-1:0] w_q;
  always_ff @(posedge clk) begin
    if (en) begin
      a_q <= a;
      w_q <= w;
    end
  end

  // Named apart from gen_level of the trees inside: Verilator takes one for the other.
  // ---- sums of the planes, then node i of level l: planes i * 2^l up to (i + 1) * 2^l - 1
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_join
    localparam int unsigned COUNT = (W_BITS + 2 ** l - 1) >> l;
    for (genvar i = 0; i < COUNT; i++) begin : gen_node
      localparam int unsigned PLANES = (i + 1) * 2 ** l <= W_BITS ? 2 ** l : W_BITS - i * 2 ** l;
      localparam int unsigned BITS = PLANE_BITS + (PLANES > 1 ? PLANES : 0);
      logic signed [BITS-1:0] sum;
      logic gate;
      if (l == 0) begin : gen_plane
        logic [SIMD-1:0] gates;
        for (genvar s = 0; s < SIMD; s++) begin : gen_gate
          assign gates[s] = w_q[s*W_BITS+i];
        end
        mvu_tree_gated #(.N(SIMD), .IN_BITS(A_BITS), .TARGET(TARGET)) tree_i (
            .clk, .en, .x(a_q), .gate(gates), .y(sum), .y_gate(gate)
        );
      end else if (PLANES <= 2 ** (l - 1)) begin : gen_alone
        assign sum  = gen_join[l-1].gen_node[2*i].sum;
        assign gate = gen_join[l-1].gen_node[2*i].gate;
      end else begin : gen_add
        localparam int unsigned SHIFT = 2 ** (l - 1);
        localparam bit TOP = (2 * i + 1) * SHIFT == W_BITS - 1;  // the upper operand is the top plane alone
        wire gate_low = gen_join[l-1].gen_node[2*i].gate;
        wire signed [BITS-1:0] low = BITS'(gen_join[l-1].gen_node[2*i].sum);
        wire signed [BITS-SHIFT-1:0] high = (BITS - SHIFT)'(gen_join[l-1].gen_node[2*i+1].sum);
        add_pair #(.WIDTH(BITS - SHIFT), .SUBTRACT(TOP), .TARGET(TARGET)) add_i (
            .a(low[BITS-1:SHIFT]), .b(high), .gate_a(gate_low), .gate_b(gen_join[l-1].gen_node[2*i+1].gate),
            .y(sum[BITS-1:SHIFT])
        );
        assign sum[SHIFT-1:0] = low[SHIFT-1:0] & {SHIFT{gate_low}};
        assign gate = 1'b1;
      end
    end
  end

  logic [Y_BITS-1:0] sum_q;
  always_ff @(posedge clk) if (en) sum_q <= gen_join[LEVELS].gen_node[0].sum[Y_BITS-1:0];
  wire unused = ^{gen_join[LEVELS].gen_node[0].sum, gen_join[LEVELS].gen_node[0].gate};
  // as late as the packed lanes
  localparam int unsigned PAIRS = (SIMD + 1) / 2;
  localparam int unsigned TREE = TARGET != 2 || SIMD == 1 ? $clog2(SIMD)  // latency of mvu_tree_gated
      : PAIRS == 1 ? 1 : PAIRS <= 3 ? 2 : PAIRS <= 9 ? 3 : PAIRS <= 27 ? 4 : PAIRS <= 81 ? 5 : 6;
  localparam int unsigned WAIT = $clog2(SIMD) - TREE + (SIMD > 8 ? 1 : 0);
  if (WAIT > 1) begin : gen_delay
    logic [WAIT-2:0][Y_BITS-1:0] delay_q;
    always_ff @(posedge clk) begin
      if (en) {y, delay_q} <= {delay_q, sum_q};
    end
  end else if (WAIT == 1) begin : gen_align
    always_ff @(posedge clk) if (en) y <= sum_q;
  end else begin : gen_direct
    assign y = sum_q;
  end
endmodule
`default_nettype wire
