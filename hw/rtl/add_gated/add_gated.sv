// SPDX-License-Identifier: Apache-2.0
// add_gated: adder whose second operand can be switched off and be subtracted, in one LUT for each bit.
//   y = a + b, a - b or a, by gate and invert.   Combinational.
//   TARGET 1 instantiates the ECP5 carry cell CCU2C, whose LUT takes gate and invert along: inferred adders leave the
//   two to LUTs of their own. Other targets: the expression.
// Resources: WIDTH LUTs (one or two more with INVERTS, which start the carry), two LUTs a CCU2C.
// Test     : tests/hw/test_add_gated.py
`default_nettype none
module add_gated #(
    // Width of operands and result in bits; the sum wraps
    parameter int unsigned WIDTH = 8,
    // 0: invert is ignored, b is never subtracted
    parameter bit          INVERTS = 1'b1,
    // 1: ECP5 primitive. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic [WIDTH-1:0] a,
    input  wire logic [WIDTH-1:0] b,
    // 0: b counts as 0
    input  wire logic             gate,
    // 1: b is subtracted
    input  wire logic             invert,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("add_gated: WIDTH=%0d must be at least 1", WIDTH);
  end
  wire minus = INVERTS && invert;
  if (TARGET == 1) begin : gen_ecp5
    // Half cell 0 turns minus into the carry of bit 0; LUT = a ^ ((b & gate) ^ minus), carry from a when that is 0.
    localparam int unsigned FIRST = INVERTS ? 1 : 0;
    localparam int unsigned CELLS = (WIDTH + FIRST + 1) / 2;
    localparam logic [15:0] ADD = 16'h956A;
    localparam logic [15:0] START = 16'h000A;
    logic [2*CELLS-1:0] a_half, b_half, sum_half;
    logic [CELLS:0] carry;
    assign a_half = (2 * CELLS)'({a, minus} >> (1 - FIRST));
    assign b_half = (2 * CELLS)'({b, 1'b0} >> (1 - FIRST));
    assign carry[0] = 1'b0;
    for (genvar i = 0; i < CELLS; i++) begin : gen_cell
      localparam bit STARTS = INVERTS && i == 0;
      CCU2C #(
          .INIT0(STARTS ? START : ADD), .INIT1(ADD), .INJECT1_0("NO"), .INJECT1_1("NO")
      ) cell_i (
          .CIN(carry[i]), .COUT(carry[i+1]),
          .A0(a_half[2*i]), .B0(b_half[2*i]), .C0(STARTS || gate), .D0(!STARTS && minus), .S0(sum_half[2*i]),
          .A1(a_half[2*i+1]), .B1(b_half[2*i+1]), .C1(gate), .D1(minus), .S1(sum_half[2*i+1])
      );
    end
    assign y = sum_half[FIRST+:WIDTH];
    wire unused = ^{carry[CELLS], sum_half};
  end else begin : gen_model
    wire [WIDTH-1:0] term = b & {WIDTH{gate}};
    assign y = minus ? a - term : a + term;
  end
endmodule
`default_nettype wire
