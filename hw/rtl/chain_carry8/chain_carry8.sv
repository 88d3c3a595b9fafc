// SPDX-License-Identifier: Apache-2.0
// chain_carry8: an adder of UltraScale+ carry cells, from each bit's propagate and the operand that is its carry else.
//   Combinational. TARGET 2 instantiates CARRY8. Other targets: the same sum bit by bit.
//   TOP_IS_CARRY: both operands end below the top bit of the sum, which then is a carry output and needs no LUT.
// Resources: UltraScale+: no LUTs of its own.
// Test     : tests/hw/test_chain_carry8.py
`default_nettype none
module chain_carry8 #(
    // Bits of the sum
    parameter int unsigned WIDTH = 8,
    // 1: the top bit is the carry out of the bit below; WIDTH is 2 or more
    parameter bit          TOP_IS_CARRY = 1'b0,
    // 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    // Carry of bit 0
    input  wire logic             start,
    // 1: the bit hands its carry on; 0: its carry is the operand's bit. Not read at the top bit with TOP_IS_CARRY
    input  wire logic [WIDTH-1:0] propagate,
    input  wire logic [WIDTH-1:0] operand,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("chain_carry8: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TOP_IS_CARRY && WIDTH < 2) begin : gen_check_top
    $error("chain_carry8: WIDTH=%0d must be at least 2 with TOP_IS_CARRY", WIDTH);
  end
  localparam int unsigned BITS = TOP_IS_CARRY ? WIDTH - 1 : WIDTH;  // of the operands
  if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned CELLS = (BITS + 7) / 8;
    logic [8*CELLS-1:0] propagate_all, operand_all, sum;
    logic [8*CELLS:0] carry;  // into each bit
    assign propagate_all = (8 * CELLS)'(propagate[BITS-1:0]);
    assign operand_all = (8 * CELLS)'(operand[BITS-1:0]);
    assign carry[0] = start;
    for (genvar i = 0; i < CELLS; i++) begin : gen_carry
      CARRY8 carry_i (
          .CI(carry[8*i]), .CI_TOP(1'b0), .DI(operand_all[8*i+:8]), .S(propagate_all[8*i+:8]), .O(sum[8*i+:8]),
          .CO(carry[8*i+1+:8])
      );
    end
    assign y = WIDTH'({carry[BITS], sum[BITS-1:0]});
    wire unused = ^{sum, carry};
  end else begin : gen_model
    logic [BITS:0] carry;
    assign carry[0] = start;
    for (genvar i = 0; i < BITS; i++) begin : gen_bit
      assign carry[i+1] = propagate[i] ? carry[i] : operand[i];
    end
    assign y = WIDTH'({carry[BITS], propagate[BITS-1:0] ^ carry[BITS-1:0]});
    wire unused = carry[BITS];
  end
  wire unused_top = propagate[WIDTH-1] ^ operand[WIDTH-1];
endmodule
`default_nettype wire
