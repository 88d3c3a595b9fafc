// SPDX-License-Identifier: Apache-2.0
// add_gated: adder whose second operand can be switched off and be subtracted, in one LUT for each bit.
//   y = a + b, a - b or a, by gate and invert; or with COMPLEMENTS the sum or its complement.   Combinational.
//   TARGET 1 instantiates the ECP5 carry cell CCU2C, TARGET 2 CARRY8: the LUT of a bit takes gate and invert along, which
//   inferred adders leave to LUTs of their own.
// Resources: WIDTH LUTs; on ECP5 one or two more with INVERTS, which start the carry, and two LUTs a CCU2C; with
//   COMPLEMENTS a second one a bit where the logic that makes a cannot take invert along.
// Test     : tests/hw/test_add_gated.py
`default_nettype none
module add_gated #(
    // Width of operands and result in bits; the sum wraps
    parameter int unsigned WIDTH = 8,
    // 0: invert is ignored, b is never subtracted
    parameter bit          INVERTS = 1'b1,
    // 1: invert does not subtract b but complements the result, -y - 1; not with the cells of ECP5
    parameter bit          COMPLEMENTS = 1'b0,
    // 1: ECP5 primitives, 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic [WIDTH-1:0] a,
    input  wire logic [WIDTH-1:0] b,
    // 0: b counts as 0
    input  wire logic             gate,
    // 1: b is subtracted, or the result complemented
    input  wire logic             invert,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("add_gated: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (COMPLEMENTS && TARGET == 1) begin : gen_check_complements
    $error("add_gated: TARGET=%0d has no cells for COMPLEMENTS; expected 0 or 2", TARGET);
  end
  wire minus = INVERTS && invert;
  if (TARGET == 1) begin : gen_ecp5
    // LUT = a ^ ((b & gate) ^ minus), carry from a when that is 0; minus starts the carry
    chain_ccu2c #(.WIDTH(WIDTH), .INIT(16'h956A), .STARTS(INVERTS), .TARGET(TARGET)) chain_i (
        .start(minus), .a, .b, .c({WIDTH{gate}}), .d({WIDTH{minus}}), .y
    );
  end else if (TARGET == 2) begin : gen_ultrascale
    // ~(a + b) is ~a + ~b + 1
    wire [WIDTH-1:0] operand = a ^ {WIDTH{COMPLEMENTS && minus}};
    wire [WIDTH-1:0] propagate = operand ^ ((b & {WIDTH{gate}}) ^ {WIDTH{minus}});
    chain_carry8 #(.WIDTH(WIDTH), .TARGET(TARGET)) chain_i (.start(minus), .propagate, .operand, .y);
  end else begin : gen_model
    wire [WIDTH-1:0] term = b & {WIDTH{gate}};
    wire [WIDTH-1:0] sum = minus && !COMPLEMENTS ? a - term : a + term;
    assign y = sum ^ {WIDTH{COMPLEMENTS && minus}};
  end
endmodule
`default_nettype wire
