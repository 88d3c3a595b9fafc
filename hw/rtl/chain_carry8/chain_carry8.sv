// SPDX-License-Identifier: Apache-2.0
// chain_carry8: an adder of UltraScale+ carry cells, from each bit's propagate and the operand that is its carry else.
//   Combinational. TARGET 2 instantiates CARRY8. Other targets: the same sum bit by bit.
// Resources: UltraScale+: no LUTs of its own.
// Test     : tests/hw/test_chain_carry8.py
`default_nettype none
module chain_carry8 #(
    // Bits of the sum
    parameter int unsigned WIDTH = 8,
    // 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    // Carry of bit 0
    input  wire logic             start,
    // 1: the bit hands its carry on; 0: its carry is the operand's bit
    input  wire logic [WIDTH-1:0] propagate,
    input  wire logic [WIDTH-1:0] operand,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("chain_carry8: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned CELLS = (WIDTH + 7) / 8;
    logic [8*CELLS-1:0] propagate_all, operand_all, sum;
    logic [CELLS:0] link;
    logic [7*CELLS-1:0] carry_rest;
    assign propagate_all = (8 * CELLS)'(propagate);
    assign operand_all = (8 * CELLS)'(operand);
    assign link[0] = start;
    for (genvar i = 0; i < CELLS; i++) begin : gen_carry
      CARRY8 carry_i (
          .CI(link[i]), .CI_TOP(1'b0), .DI(operand_all[8*i+:8]), .S(propagate_all[8*i+:8]), .O(sum[8*i+:8]),
          .CO({link[i+1], carry_rest[7*i+:7]})
      );
    end
    assign y = sum[WIDTH-1:0];
    wire unused = ^{sum, link, carry_rest};
  end else begin : gen_model
    logic [WIDTH:0] carry;
    assign carry[0] = start;
    for (genvar i = 0; i < WIDTH; i++) begin : gen_bit
      assign carry[i+1] = propagate[i] ? carry[i] : operand[i];
      assign y[i] = propagate[i] ^ carry[i];
    end
    wire unused = carry[WIDTH];
  end
endmodule
`default_nettype wire
