// SPDX-License-Identifier: Apache-2.0
// mvu_join: the sums of bit planes with their weights: y = sum over p of x[p] * 2^p, the top plane negative.
//   Two or three planes at an adder, then groups of planes; a register behind each level. Only a group with the top
//   plane and others is signed; its adder ends where this operand does, so nothing is extended by a sign.
// Latency  : levels(PLANES) clk cycles: the least number with RADIX^levels >= PLANES; held while en is low.
// Resources: about PLANES / (RADIX - 1) adders.
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_join #(
    // Planes, 2 or more, at most 27
    parameter  int unsigned PLANES = 8,
    // Largest sum of a plane, and its width in bits
    parameter  int unsigned IN_MAX = 252,
    localparam int unsigned IN_BITS = $clog2(IN_MAX + 1),
    // Numbers that an adder takes: 2, or 3 (UltraScale+)
    parameter  int unsigned RADIX = 2,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned LEVELS = RADIX == 2 ? $clog2(PLANES) : PLANES <= 3 ? 1 : PLANES <= 9 ? 2 : 3,
    // -2^(PLANES-1) * IN_MAX fits
    localparam int unsigned OUT_BITS = $clog2(IN_MAX) + PLANES
) (
    input  wire logic                      clk,
    input  wire logic                      en,
    // Sums, plane 0 in the low bits
    input  wire logic [PLANES*IN_BITS-1:0] x,
    // Signed
    output logic      [OUT_BITS-1:0]       y
);
  if (PLANES < 2 || PLANES > 27 || (RADIX != 2 && RADIX != 3)) begin : gen_check_size
    $error("mvu_join: PLANES=%0d must be in 2..27 and RADIX=%0d 2 or 3", PLANES, RADIX);
  end
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_level
    localparam int unsigned SPAN = RADIX ** l;  // planes below a node
    localparam int unsigned COUNT = (PLANES + SPAN - 1) / SPAN;
    for (genvar i = 0; i < COUNT; i++) begin : gen_node
      localparam int unsigned OWN = (i + 1) * SPAN <= PLANES ? SPAN : PLANES - i * SPAN;
      localparam bit SIGNED = OWN > 1 && (i + 1) * SPAN >= PLANES;
      localparam int unsigned BITS = SIGNED ? $clog2(IN_MAX) + OWN : $clog2(64'(IN_MAX) * (2 ** OWN - 1) + 1);
      logic [BITS-1:0] sum;
      if (l == 0) begin : gen_plane
        assign sum = x[i*IN_BITS+:IN_BITS];
      end else begin : gen_join
        localparam int unsigned SHIFT = SPAN / RADIX;
        localparam int unsigned CHILDREN = (OWN + SHIFT - 1) / SHIFT;
        // the last operand is the top plane alone
        localparam bit TOP = CHILDREN > 1 && (RADIX * i + CHILDREN - 1) * SHIFT == PLANES - 1;
        wire [BITS-1:0] first = BITS'(gen_level[l-1].gen_node[RADIX*i].sum);
        logic [BITS-1:0] total;
        if (CHILDREN == 1) begin : gen_alone
          assign total = first;
        end else begin : gen_add
          localparam int unsigned WIDTH = BITS - SHIFT;
          wire [WIDTH-1:0] second = WIDTH'(gen_level[l-1].gen_node[RADIX*i+1].sum);
          assign total[SHIFT-1:0] = first[SHIFT-1:0];
          if (CHILDREN == 3) begin : gen_three
            wire [WIDTH-1:0] third = WIDTH'(gen_level[l-1].gen_node[3*i+2].sum);
            // of equal groups of planes; the third reaches SHIFT bits further than the others
            localparam int unsigned PART_BITS = $clog2(64'(IN_MAX) * (2 ** SHIFT - 1) + 1);
            localparam bit TOP_IS_CARRY = !SIGNED && WIDTH > PART_BITS + SHIFT;
            add_three #(.WIDTH(WIDTH), .SUBTRACT(TOP), .TOP_IS_CARRY(TOP_IS_CARRY), .TARGET(TARGET)) add_i (
                .a(first[BITS-1:SHIFT]), .b(second), .c(third << SHIFT), .carry(2'b00), .y(total[BITS-1:SHIFT])
            );
          end else begin : gen_two
            add_pair #(.WIDTH(WIDTH), .SUBTRACT(TOP), .TARGET(TARGET)) add_i (
                .a(first[BITS-1:SHIFT]), .b(second), .gate_a(1'b1), .gate_b(1'b1), .y(total[BITS-1:SHIFT])
            );
          end
        end
        always_ff @(posedge clk) if (en) sum <= total;
      end
    end
  end
  assign y = gen_level[LEVELS].gen_node[0].sum;
endmodule
`default_nettype wire
