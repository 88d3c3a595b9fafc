// SPDX-License-Identifier: Apache-2.0
// add_pair: sum or difference of two operands, each behind its own gate, in one LUT for each bit.
//   y = (a & gate_a) + (b & gate_b), or - with SUBTRACT.   Combinational.
//   TARGET 1 instantiates the ECP5 carry cell CCU2C: its LUT computes (a & gate_a) ^ (b & gate_b), and its carry is
//   A & B, which is the operand at ports A and B, whenever that is 0. TARGET 2 does the same with LUT6_2 and CARRY8.
//   Inferred adders leave both gates to LUTs of their own.
// Resources: WIDTH LUTs, and on ECP5 one that starts the carry of SUBTRACT; two LUTs a CCU2C.
// Test     : tests/hw/test_add_pair.py
`default_nettype none
module add_pair #(
    // Width of operands and result in bits; the sum wraps
    parameter int unsigned WIDTH = 8,
    // 1: b is subtracted
    parameter bit          SUBTRACT = 1'b0,
    // 1: ECP5 primitives, 2: UltraScale+ primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic [WIDTH-1:0] a,
    input  wire logic [WIDTH-1:0] b,
    // 0: the operand counts as 0
    input  wire logic             gate_a,
    input  wire logic             gate_b,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("add_pair: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TARGET == 1) begin : gen_ecp5
    // b sits at A and B: with C and D at 0 the LUT must equal the carry
    chain_ccu2c #(.WIDTH(WIDTH), .INIT(SUBTRACT ? 16'h8777 : 16'h7888), .STARTS(SUBTRACT), .TARGET(TARGET)) chain_i (
        .start(1'b1), .a(b), .b({WIDTH{gate_b}}), .c({WIDTH{gate_a}}), .d(a), .y
    );
  end else if (TARGET == 2) begin : gen_ultrascale
    // O5 = operand b, O6 = operand a ^ operand b, of I0 = b, I1 = gate_b, I2 = a, I3 = gate_a
    localparam logic [63:0] INIT = SUBTRACT ? 64'h8777_8777_7777_7777 : 64'h7888_7888_8888_8888;
    logic [WIDTH-1:0] propagate, operand;
    for (genvar i = 0; i < WIDTH; i++) begin : gen_bit
      LUT6_2 #(.INIT(INIT)) lut_i (
          .I0(b[i]), .I1(gate_b), .I2(a[i]), .I3(gate_a), .I4(1'b0), .I5(1'b1), .O5(operand[i]), .O6(propagate[i])
      );
    end
    chain_carry8 #(.WIDTH(WIDTH), .TARGET(TARGET)) chain_i (.start(SUBTRACT), .propagate, .operand, .y);
  end else begin : gen_model
    wire [WIDTH-1:0] left = a & {WIDTH{gate_a}};
    wire [WIDTH-1:0] right = b & {WIDTH{gate_b}};
    assign y = SUBTRACT ? left - right : left + right;
  end
endmodule
`default_nettype wire
