// SPDX-License-Identifier: Apache-2.0
// add_three: sum of three operands, in one LUT for each bit on UltraScale+.
//   y = a + b + c, or a + b - c with SUBTRACT, and the carries.   Combinational.
//   TARGET 2: a LUT6_2 makes the majority of a bit's operands, which the next bit takes, and the sum bit without carry;
//   CARRY8 adds both. Other targets: the expression.
// Resources: UltraScale+: WIDTH LUTs, one less with TOP_IS_CARRY.
// Test     : tests/hw/test_add_three.py
`default_nettype none
module add_three #(
    // Width of operands and result in bits; the sum wraps
    parameter int unsigned WIDTH = 8,
    // 1: c is subtracted
    parameter bit          SUBTRACT = 1'b0,
    // 1: no operand has the top bit, only one the bit below, and nothing is subtracted: the top bit of y is a carry
    parameter bit          TOP_IS_CARRY = 1'b0,
    // 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic [WIDTH-1:0] a,
    input  wire logic [WIDTH-1:0] b,
    input  wire logic [WIDTH-1:0] c,
    // Two more ones; 0 with TOP_IS_CARRY, and carry[0] with SUBTRACT
    input  wire logic [1:0]       carry,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("add_three: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TOP_IS_CARRY && (SUBTRACT || WIDTH < 2)) begin : gen_check_top
    $error("add_three: TOP_IS_CARRY needs WIDTH=%0d of at least 2 and no SUBTRACT", WIDTH);
  end
  if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned BITS = TOP_IS_CARRY ? WIDTH - 1 : WIDTH;
    // O5 = majority of I0, I1, I2; O6 = I0 ^ I1 ^ I2 ^ I3; I2 inverted by SUBTRACT
    localparam logic [63:0] INIT = SUBTRACT ? 64'h9669_9669_8E8E_8E8E : 64'h6996_6996_E8E8_E8E8;
    logic [WIDTH-1:0] propagate;
    logic [WIDTH:0] majority;
    assign majority[0] = carry[1];
    for (genvar i = 0; i < BITS; i++) begin : gen_bit
      LUT6_2 #(.INIT(INIT)) lut_i (
          .I0(a[i]), .I1(b[i]), .I2(c[i]), .I3(majority[i]), .I4(1'b0), .I5(1'b1),
          .O5(majority[i+1]), .O6(propagate[i])
      );
    end
    if (TOP_IS_CARRY) begin : gen_top
      assign propagate[WIDTH-1] = 1'b0;
      assign majority[WIDTH] = 1'b0;
      wire unused_top = a[WIDTH-1] ^ b[WIDTH-1] ^ c[WIDTH-1];
    end
    chain_carry8 #(.WIDTH(WIDTH), .TOP_IS_CARRY(TOP_IS_CARRY), .TARGET(TARGET)) chain_i (
        .start(SUBTRACT || carry[0]), .propagate, .operand(majority[WIDTH-1:0]), .y
    );
    wire unused = majority[WIDTH];
  end else begin : gen_model
    assign y = (SUBTRACT ? a + b - c : a + b + c) + WIDTH'(carry[0]) + WIDTH'(carry[1]);
  end
endmodule
`default_nettype wire
