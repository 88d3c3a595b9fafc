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
    // Half cell 0 turns carry into the carry of bit 0; LUT = a ^ (select ? b1 : b0), carry from a when that is 0
    localparam int unsigned CELLS = (WIDTH + 2) / 2;
    localparam logic [15:0] ADD = 16'h596A;
    localparam logic [15:0] START = 16'h000A;
    logic [2*CELLS-1:0] a_half, b0_half, b1_half, sum_half;
    logic [CELLS:0] chain;
    assign a_half = (2 * CELLS)'({a, carry});
    assign b0_half = (2 * CELLS)'({b0, 1'b0});
    assign b1_half = (2 * CELLS)'({b1, 1'b1});
    assign chain[0] = 1'b0;
    for (genvar i = 0; i < CELLS; i++) begin : gen_cell
      CCU2C #(
          .INIT0(i == 0 ? START : ADD), .INIT1(ADD), .INJECT1_0("NO"), .INJECT1_1("NO")
      ) cell_i (
          .CIN(chain[i]), .COUT(chain[i+1]),
          .A0(a_half[2*i]), .B0(i != 0 && select), .C0(b1_half[2*i]), .D0(b0_half[2*i]), .S0(sum_half[2*i]),
          .A1(a_half[2*i+1]), .B1(select), .C1(b1_half[2*i+1]), .D1(b0_half[2*i+1]), .S1(sum_half[2*i+1])
      );
    end
    assign y = sum_half[WIDTH:1];
    wire unused = ^{chain[CELLS], sum_half};
  end else if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned CELLS = (WIDTH + 7) / 8;
    logic [8*CELLS-1:0] propagate, operand, sum;
    logic [CELLS:0] link;
    logic [7*CELLS-1:0] carry_rest;
    assign link[0] = carry;
    for (genvar i = 0; i < 8 * CELLS; i++) begin : gen_bit
      if (i < WIDTH) begin : gen_used
        assign propagate[i] = a[i] ^ (select ? b1[i] : b0[i]);
        assign operand[i] = a[i];
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
    assign y = a + (select ? b1 : b0) + WIDTH'(carry);
  end
endmodule
`default_nettype wire
