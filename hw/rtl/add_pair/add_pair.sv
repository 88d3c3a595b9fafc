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
    // Half cell 0 starts the carry of SUBTRACT. b sits at A and B: with C and D at 0 the LUT must equal the carry.
    localparam int unsigned FIRST = SUBTRACT ? 1 : 0;
    localparam int unsigned CELLS = (WIDTH + FIRST + 1) / 2;
    localparam logic [15:0] ADD = SUBTRACT ? 16'h8777 : 16'h7888;
    localparam logic [15:0] START = 16'h000A;
    logic [2*CELLS-1:0] a_half, b_half, sum_half;
    logic [CELLS:0] carry;
    assign a_half = (2 * CELLS)'({a, 1'b0} >> (1 - FIRST));
    assign b_half = (2 * CELLS)'({b, 1'b1} >> (1 - FIRST));
    assign carry[0] = 1'b0;
    for (genvar i = 0; i < CELLS; i++) begin : gen_cell
      localparam bit STARTS = SUBTRACT && i == 0;
      CCU2C #(
          .INIT0(STARTS ? START : ADD), .INIT1(ADD), .INJECT1_0("NO"), .INJECT1_1("NO")
      ) cell_i (
          .CIN(carry[i]), .COUT(carry[i+1]),
          .A0(b_half[2*i]), .B0(gate_b), .C0(STARTS || gate_a), .D0(!STARTS && a_half[2*i]), .S0(sum_half[2*i]),
          .A1(b_half[2*i+1]), .B1(gate_b), .C1(gate_a), .D1(a_half[2*i+1]), .S1(sum_half[2*i+1])
      );
    end
    assign y = sum_half[FIRST+:WIDTH];
    wire unused = ^{carry[CELLS], sum_half};
  end else if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned CELLS = (WIDTH + 7) / 8;
    // O5 = operand b, O6 = operand a ^ operand b, of I0 = b, I1 = gate_b, I2 = a, I3 = gate_a
    localparam logic [63:0] INIT = SUBTRACT ? 64'h8777_8777_7777_7777 : 64'h7888_7888_8888_8888;
    logic [8*CELLS-1:0] propagate, operand, sum;
    logic [CELLS:0] link;
    logic [7*CELLS-1:0] carry_rest;
    assign link[0] = SUBTRACT;
    for (genvar i = 0; i < 8 * CELLS; i++) begin : gen_bit
      if (i < WIDTH) begin : gen_used
        LUT6_2 #(.INIT(INIT)) lut_i (
            .I0(b[i]), .I1(gate_b), .I2(a[i]), .I3(gate_a), .I4(1'b0), .I5(1'b1),
            .O5(operand[i]), .O6(propagate[i])
        );
      end else begin : gen_rest
        assign operand[i] = 1'b0;
        assign propagate[i] = 1'b0;
      end
    end
    for (genvar i = 0; i < CELLS; i++) begin : gen_carry
      CARRY8 carry_i (
          .CI(link[i]), .CI_TOP(1'b0), .DI(operand[8*i+:8]), .S(propagate[8*i+:8]), .O(sum[8*i+:8]),
          .CO({link[i+1], carry_rest[7*i+:7]})
      );
    end
    assign y = sum[WIDTH-1:0];
    wire unused = ^{sum, link, carry_rest};
  end else begin : gen_model
    wire [WIDTH-1:0] left = a & {WIDTH{gate_a}};
    wire [WIDTH-1:0] right = b & {WIDTH{gate_b}};
    assign y = SUBTRACT ? left - right : left + right;
  end
endmodule
`default_nettype wire
