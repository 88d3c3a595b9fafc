// SPDX-License-Identifier: Apache-2.0
// mult18x18: signed 18 x 18 multiplier with input and output registers.
//   TARGET 1 instantiates the ECP5 primitive MULT18X18D with the same registers; otherwise the model below stands in.
// Latency  : 2 clk cycles (input register, output register), both held while en is low. No reset.
// Resources: 1 MULT18X18D.
// Test     : tests/hw/test_multipliers.py
`default_nettype none
module mult18x18 #(
    // 1: ECP5 primitive. Other values: behavioural model (left to the tool's inference)
    parameter int unsigned TARGET = 0
) (
    input  wire logic        clk,
    input  wire logic        en,
    // Factors, signed
    input  wire logic [17:0] a,
    input  wire logic [17:0] b,
    // Product of the factors of two enabled cycles ago, signed
    output logic      [35:0] p
);
  if (TARGET == 1) begin : gen_ecp5
    // Cascade inputs stay unconnected: nextpnr does not route constants to them.
    MULT18X18D #(
        .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE0"), .REG_INPUTA_RST("RST0"),
        .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE0"), .REG_INPUTB_RST("RST0"),
        .REG_PIPELINE_CLK("NONE"),
        .REG_OUTPUT_CLK("CLK0"), .REG_OUTPUT_CE("CE0"), .REG_OUTPUT_RST("RST0"),
        .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
        .GSR("DISABLED"), .MULT_BYPASS("DISABLED"), .RESETMODE("SYNC"), .SOURCEB_MODE("B_SHIFT")
    ) mult_i (
        .A0(a[0]), .A1(a[1]), .A2(a[2]), .A3(a[3]), .A4(a[4]), .A5(a[5]),
        .A6(a[6]), .A7(a[7]), .A8(a[8]), .A9(a[9]), .A10(a[10]), .A11(a[11]),
        .A12(a[12]), .A13(a[13]), .A14(a[14]), .A15(a[15]), .A16(a[16]), .A17(a[17]),
        .B0(b[0]), .B1(b[1]), .B2(b[2]), .B3(b[3]), .B4(b[4]), .B5(b[5]),
        .B6(b[6]), .B7(b[7]), .B8(b[8]), .B9(b[9]), .B10(b[10]), .B11(b[11]),
        .B12(b[12]), .B13(b[13]), .B14(b[14]), .B15(b[15]), .B16(b[16]), .B17(b[17]),
        .P0(p[0]), .P1(p[1]), .P2(p[2]), .P3(p[3]), .P4(p[4]), .P5(p[5]),
        .P6(p[6]), .P7(p[7]), .P8(p[8]), .P9(p[9]), .P10(p[10]), .P11(p[11]),
        .P12(p[12]), .P13(p[13]), .P14(p[14]), .P15(p[15]), .P16(p[16]), .P17(p[17]),
        .P18(p[18]), .P19(p[19]), .P20(p[20]), .P21(p[21]), .P22(p[22]), .P23(p[23]),
        .P24(p[24]), .P25(p[25]), .P26(p[26]), .P27(p[27]), .P28(p[28]), .P29(p[29]),
        .P30(p[30]), .P31(p[31]), .P32(p[32]), .P33(p[33]), .P34(p[34]), .P35(p[35]),
        .CLK0(clk), .CE0(en), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0)
    );
  end else begin : gen_model
    logic signed [17:0] a_q, b_q;
    always_ff @(posedge clk) begin
      if (en) begin
        a_q <= a;
        b_q <= b;
        p   <= 36'(a_q) * 36'(b_q);
      end
    end
  end
endmodule
`default_nettype wire
