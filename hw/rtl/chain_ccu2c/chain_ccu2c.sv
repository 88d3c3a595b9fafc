// SPDX-License-Identifier: Apache-2.0
// chain_ccu2c: an adder of ECP5 carry cells; a LUT of four inputs makes each bit's propagate.
//   y = sum bits of the chain; where a bit's LUT is 0, its carry is the LUT at C = D = 0, a function of a and b.
//   Combinational. TARGET 1 instantiates CCU2C. Other targets: the same sum bit by bit.
// Resources: WIDTH LUTs and one that starts the carry with STARTS; two LUTs a CCU2C.
// Test     : tests/hw/test_chain_ccu2c.py
`default_nettype none
module chain_ccu2c #(
    // Bits of the sum
    parameter int unsigned WIDTH = 8,
    // LUT of every bit, of {D, C, B, A}
    parameter logic [15:0] INIT = 16'h956A,
    // 1: half a cell in front turns start into the carry of bit 0; 0: that carry is 0
    parameter bit          STARTS = 1'b1,
    // 1: ECP5 primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic             start,
    // LUT inputs of each bit
    input  wire logic [WIDTH-1:0] a,
    input  wire logic [WIDTH-1:0] b,
    input  wire logic [WIDTH-1:0] c,
    input  wire logic [WIDTH-1:0] d,
    output logic      [WIDTH-1:0] y
);
  if (WIDTH < 1) begin : gen_check_width
    $error("chain_ccu2c: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (TARGET == 1) begin : gen_ecp5
    localparam int unsigned FIRST = STARTS ? 1 : 0;
    localparam int unsigned CELLS = (WIDTH + FIRST + 1) / 2;
    localparam logic [15:0] START = 16'h000A;  // with C at 1 the LUT is 0 and the carry is A
    logic [2*CELLS-1:0] a_half, b_half, c_half, d_half, sum_half;
    logic [CELLS:0] carry;
    assign a_half = (2 * CELLS)'({a, start} >> (1 - FIRST));
    assign b_half = (2 * CELLS)'({b, 1'b0} >> (1 - FIRST));
    assign c_half = (2 * CELLS)'({c, 1'b1} >> (1 - FIRST));
    assign d_half = (2 * CELLS)'({d, 1'b0} >> (1 - FIRST));
    assign carry[0] = 1'b0;
    for (genvar i = 0; i < CELLS; i++) begin : gen_cell
      CCU2C #(
          .INIT0(STARTS && i == 0 ? START : INIT), .INIT1(INIT), .INJECT1_0("NO"), .INJECT1_1("NO")
      ) cell_i (
          .CIN(carry[i]), .COUT(carry[i+1]),
          .A0(a_half[2*i]), .B0(b_half[2*i]), .C0(c_half[2*i]), .D0(d_half[2*i]), .S0(sum_half[2*i]),
          .A1(a_half[2*i+1]), .B1(b_half[2*i+1]), .C1(c_half[2*i+1]), .D1(d_half[2*i+1]), .S1(sum_half[2*i+1])
      );
    end
    assign y = sum_half[FIRST+:WIDTH];
    wire unused = ^{carry[CELLS], sum_half, start};
  end else begin : gen_model
    logic [WIDTH:0] carry;
    assign carry[0] = STARTS && start;
    for (genvar i = 0; i < WIDTH; i++) begin : gen_bit
      wire propagate = INIT[{d[i], c[i], b[i], a[i]}];
      assign carry[i+1] = propagate ? carry[i] : INIT[{2'b00, b[i], a[i]}];
      assign y[i] = propagate ^ carry[i];
    end
    wire unused = carry[WIDTH] ^ start;
  end
endmodule
`default_nettype wire
