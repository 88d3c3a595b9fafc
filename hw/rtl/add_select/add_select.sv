// SPDX-License-Identifier: Apache-2.0
// add_select: adder whose second operand is one of two, in one LUT for each bit.
//   y = a + (select ? b1 : b0) + carry.   Combinational.
//   TARGET 1 instantiates the ECP5 carry cell CCU2C, TARGET 2 CARRY8: the LUT of a bit takes the selection along.
// Resources: WIDTH LUTs, and on ECP5 one that starts the carry; two LUTs a CCU2C.
// Test     : tests/hw/test_add_select.py
`default_nettype none
module add_select #(
    // Width of operands and result in bits; the sum wraps
    parameter int unsigned WIDTH = 8,
    // 1: ECP5 primitives, 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic [WIDTH-1:0] a,
    // Second operand: b1 when select is set, else b0
    input  wire logic [WIDTH-1:0] b0,
    input  wire logic [WIDTH-1:0] b1,
    input  wire logic             select,
    input  wire logic             carry,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("add_select: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TARGET == 1) begin : gen_ecp5
    // LUT = a ^ (select ? b1 : b0), carry from a when that is 0
    chain_ccu2c #(.WIDTH(WIDTH), .INIT(16'h596A), .STARTS(1'b1), .TARGET(TARGET)) chain_i (
        .start(carry), .a, .b({WIDTH{select}}), .c(b1), .d(b0), .y
    );
  end else if (TARGET == 2) begin : gen_ultrascale
    wire [WIDTH-1:0] propagate = a ^ (select ? b1 : b0);
    chain_carry8 #(.WIDTH(WIDTH), .TARGET(TARGET)) chain_i (.start(carry), .propagate, .operand(a), .y);
  end else begin : gen_model
    assign y = a + (select ? b1 : b0) + WIDTH'(carry);
  end
endmodule
`default_nettype wire
