// SPDX-License-Identifier: Apache-2.0
// alu54b_mac: one half of an ECP5 DSP block: r = c + a0 * b0 + a1 * b1, modulo 2^54.
//   TARGET 1 instantiates two MULT18X18D and the ALU54B between them; otherwise the model below stands in.
// Registers: in front of the multipliers, and behind them with PIPELINE; both have clock enables that Project Trellis'
//   database knows (REG_INPUTA, REG_INPUTB, REG_PIPELINE). It knows none for the registers behind multiplier and ALU,
//   so these stay unused and r is registered in the fabric.
// Not verified on silicon: the opcode 0100 011 01 01 (add; C; MB; MA), read off vendor tools' netlists in public
//   repositories; the ALU without its output register; its delay, which nextpnr does not know (its timing reports leave
//   out what goes through the ALU).
// Latency  : 1 + PIPELINE clk cycles from factors, 0 from c; held while en is low. No reset.
// Resources: 2 MULT18X18D and 1 ALU54B.
// Test     : tests/hw/test_multipliers.py
`default_nettype none
module alu54b_mac #(
    // Register behind the multipliers
    parameter bit          PIPELINE = 1'b1,
    // 1: ECP5 primitives. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic        clk,
    input  wire logic        en,
    // Factors, signed
    input  wire logic [17:0] a0,
    input  wire logic [17:0] b0,
    input  wire logic [17:0] a1,
    input  wire logic [17:0] b1,
    // Added without a register
    input  wire logic [53:0] c,
    output logic      [53:0] r
);
  if (TARGET == 1) begin : gen_ecp5
    localparam logic [10:0] OPCODE = 11'b0100_011_01_01;
    // Cascade inputs stay unconnected: nextpnr does not route constants to them.
    logic [35:0] p0, p1;
    logic [17:0] roa0, rob0, roa1, rob1;
    logic signed0, signed1;
    MULT18X18D #(
        .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE0"), .REG_INPUTA_RST("RST0"),
        .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE0"), .REG_INPUTB_RST("RST0"),
        .REG_PIPELINE_CLK(PIPELINE ? "CLK0" : "NONE"), .REG_PIPELINE_CE("CE0"), .REG_PIPELINE_RST("RST0"),
        .REG_OUTPUT_CLK("NONE"),
        .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
        .GSR("DISABLED"), .MULT_BYPASS("DISABLED"), .RESETMODE("SYNC"), .SOURCEB_MODE("B_SHIFT")
    ) mult0_i (
        .A0(a0[0]), .A1(a0[1]), .A2(a0[2]), .A3(a0[3]), .A4(a0[4]), .A5(a0[5]),
        .A6(a0[6]), .A7(a0[7]), .A8(a0[8]), .A9(a0[9]), .A10(a0[10]), .A11(a0[11]),
        .A12(a0[12]), .A13(a0[13]), .A14(a0[14]), .A15(a0[15]), .A16(a0[16]), .A17(a0[17]),
        .B0(b0[0]), .B1(b0[1]), .B2(b0[2]), .B3(b0[3]), .B4(b0[4]), .B5(b0[5]),
        .B6(b0[6]), .B7(b0[7]), .B8(b0[8]), .B9(b0[9]), .B10(b0[10]), .B11(b0[11]),
        .B12(b0[12]), .B13(b0[13]), .B14(b0[14]), .B15(b0[15]), .B16(b0[16]), .B17(b0[17]),
        .P0(p0[0]), .P1(p0[1]), .P2(p0[2]), .P3(p0[3]), .P4(p0[4]), .P5(p0[5]),
        .P6(p0[6]), .P7(p0[7]), .P8(p0[8]), .P9(p0[9]), .P10(p0[10]), .P11(p0[11]),
        .P12(p0[12]), .P13(p0[13]), .P14(p0[14]), .P15(p0[15]), .P16(p0[16]), .P17(p0[17]),
        .P18(p0[18]), .P19(p0[19]), .P20(p0[20]), .P21(p0[21]), .P22(p0[22]), .P23(p0[23]),
        .P24(p0[24]), .P25(p0[25]), .P26(p0[26]), .P27(p0[27]), .P28(p0[28]), .P29(p0[29]),
        .P30(p0[30]), .P31(p0[31]), .P32(p0[32]), .P33(p0[33]), .P34(p0[34]), .P35(p0[35]),
        .ROA0(roa0[0]), .ROA1(roa0[1]), .ROA2(roa0[2]), .ROA3(roa0[3]), .ROA4(roa0[4]), .ROA5(roa0[5]),
        .ROA6(roa0[6]), .ROA7(roa0[7]), .ROA8(roa0[8]), .ROA9(roa0[9]), .ROA10(roa0[10]), .ROA11(roa0[11]),
        .ROA12(roa0[12]), .ROA13(roa0[13]), .ROA14(roa0[14]), .ROA15(roa0[15]), .ROA16(roa0[16]), .ROA17(roa0[17]),
        .ROB0(rob0[0]), .ROB1(rob0[1]), .ROB2(rob0[2]), .ROB3(rob0[3]), .ROB4(rob0[4]), .ROB5(rob0[5]),
        .ROB6(rob0[6]), .ROB7(rob0[7]), .ROB8(rob0[8]), .ROB9(rob0[9]), .ROB10(rob0[10]), .ROB11(rob0[11]),
        .ROB12(rob0[12]), .ROB13(rob0[13]), .ROB14(rob0[14]), .ROB15(rob0[15]), .ROB16(rob0[16]), .ROB17(rob0[17]),
        .CLK0(clk), .CE0(en), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0), .SIGNEDP(signed0)
    );
    MULT18X18D #(
        .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE0"), .REG_INPUTA_RST("RST0"),
        .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE0"), .REG_INPUTB_RST("RST0"),
        .REG_PIPELINE_CLK(PIPELINE ? "CLK0" : "NONE"), .REG_PIPELINE_CE("CE0"), .REG_PIPELINE_RST("RST0"),
        .REG_OUTPUT_CLK("NONE"),
        .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
        .GSR("DISABLED"), .MULT_BYPASS("DISABLED"), .RESETMODE("SYNC"), .SOURCEB_MODE("B_SHIFT")
    ) mult1_i (
        .A0(a1[0]), .A1(a1[1]), .A2(a1[2]), .A3(a1[3]), .A4(a1[4]), .A5(a1[5]),
        .A6(a1[6]), .A7(a1[7]), .A8(a1[8]), .A9(a1[9]), .A10(a1[10]), .A11(a1[11]),
        .A12(a1[12]), .A13(a1[13]), .A14(a1[14]), .A15(a1[15]), .A16(a1[16]), .A17(a1[17]),
        .B0(b1[0]), .B1(b1[1]), .B2(b1[2]), .B3(b1[3]), .B4(b1[4]), .B5(b1[5]),
        .B6(b1[6]), .B7(b1[7]), .B8(b1[8]), .B9(b1[9]), .B10(b1[10]), .B11(b1[11]),
        .B12(b1[12]), .B13(b1[13]), .B14(b1[14]), .B15(b1[15]), .B16(b1[16]), .B17(b1[17]),
        .P0(p1[0]), .P1(p1[1]), .P2(p1[2]), .P3(p1[3]), .P4(p1[4]), .P5(p1[5]),
        .P6(p1[6]), .P7(p1[7]), .P8(p1[8]), .P9(p1[9]), .P10(p1[10]), .P11(p1[11]),
        .P12(p1[12]), .P13(p1[13]), .P14(p1[14]), .P15(p1[15]), .P16(p1[16]), .P17(p1[17]),
        .P18(p1[18]), .P19(p1[19]), .P20(p1[20]), .P21(p1[21]), .P22(p1[22]), .P23(p1[23]),
        .P24(p1[24]), .P25(p1[25]), .P26(p1[26]), .P27(p1[27]), .P28(p1[28]), .P29(p1[29]),
        .P30(p1[30]), .P31(p1[31]), .P32(p1[32]), .P33(p1[33]), .P34(p1[34]), .P35(p1[35]),
        .ROA0(roa1[0]), .ROA1(roa1[1]), .ROA2(roa1[2]), .ROA3(roa1[3]), .ROA4(roa1[4]), .ROA5(roa1[5]),
        .ROA6(roa1[6]), .ROA7(roa1[7]), .ROA8(roa1[8]), .ROA9(roa1[9]), .ROA10(roa1[10]), .ROA11(roa1[11]),
        .ROA12(roa1[12]), .ROA13(roa1[13]), .ROA14(roa1[14]), .ROA15(roa1[15]), .ROA16(roa1[16]), .ROA17(roa1[17]),
        .ROB0(rob1[0]), .ROB1(rob1[1]), .ROB2(rob1[2]), .ROB3(rob1[3]), .ROB4(rob1[4]), .ROB5(rob1[5]),
        .ROB6(rob1[6]), .ROB7(rob1[7]), .ROB8(rob1[8]), .ROB9(rob1[9]), .ROB10(rob1[10]), .ROB11(rob1[11]),
        .ROB12(rob1[12]), .ROB13(rob1[13]), .ROB14(rob1[14]), .ROB15(rob1[15]), .ROB16(rob1[16]), .ROB17(rob1[17]),
        .CLK0(clk), .CE0(en), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0), .SIGNEDP(signed1)
    );
    ALU54B #(
        .REG_INPUTC0_CLK("NONE"), .REG_INPUTC1_CLK("NONE"), .REG_OUTPUT0_CLK("NONE"), .REG_OUTPUT1_CLK("NONE"),
        .REG_FLAG_CLK("NONE"), .REG_INPUTCFB_CLK("NONE"),
        .REG_OPCODEOP0_0_CLK("NONE"), .REG_OPCODEOP1_0_CLK("NONE"), .REG_OPCODEOP0_1_CLK("NONE"),
        .REG_OPCODEOP1_1_CLK("NONE"), .REG_OPCODEIN_0_CLK("NONE"), .REG_OPCODEIN_1_CLK("NONE"),
        .MCPAT_SOURCE("STATIC"), .MASKPAT_SOURCE("STATIC"),
        .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
        .GSR("DISABLED"), .RESETMODE("SYNC"), .MULT9_MODE("DISABLED"), .LEGACY("DISABLED")
    ) alu_i (
        .A0(roa0[0]), .A1(roa0[1]), .A2(roa0[2]), .A3(roa0[3]), .A4(roa0[4]), .A5(roa0[5]),
        .A6(roa0[6]), .A7(roa0[7]), .A8(roa0[8]), .A9(roa0[9]), .A10(roa0[10]), .A11(roa0[11]),
        .A12(roa0[12]), .A13(roa0[13]), .A14(roa0[14]), .A15(roa0[15]), .A16(roa0[16]), .A17(roa0[17]),
        .A18(rob0[0]), .A19(rob0[1]), .A20(rob0[2]), .A21(rob0[3]), .A22(rob0[4]), .A23(rob0[5]),
        .A24(rob0[6]), .A25(rob0[7]), .A26(rob0[8]), .A27(rob0[9]), .A28(rob0[10]), .A29(rob0[11]),
        .A30(rob0[12]), .A31(rob0[13]), .A32(rob0[14]), .A33(rob0[15]), .A34(rob0[16]), .A35(rob0[17]),
        .MA0(p0[0]), .MA1(p0[1]), .MA2(p0[2]), .MA3(p0[3]), .MA4(p0[4]), .MA5(p0[5]),
        .MA6(p0[6]), .MA7(p0[7]), .MA8(p0[8]), .MA9(p0[9]), .MA10(p0[10]), .MA11(p0[11]),
        .MA12(p0[12]), .MA13(p0[13]), .MA14(p0[14]), .MA15(p0[15]), .MA16(p0[16]), .MA17(p0[17]),
        .MA18(p0[18]), .MA19(p0[19]), .MA20(p0[20]), .MA21(p0[21]), .MA22(p0[22]), .MA23(p0[23]),
        .MA24(p0[24]), .MA25(p0[25]), .MA26(p0[26]), .MA27(p0[27]), .MA28(p0[28]), .MA29(p0[29]),
        .MA30(p0[30]), .MA31(p0[31]), .MA32(p0[32]), .MA33(p0[33]), .MA34(p0[34]), .MA35(p0[35]),
        .B0(roa1[0]), .B1(roa1[1]), .B2(roa1[2]), .B3(roa1[3]), .B4(roa1[4]), .B5(roa1[5]),
        .B6(roa1[6]), .B7(roa1[7]), .B8(roa1[8]), .B9(roa1[9]), .B10(roa1[10]), .B11(roa1[11]),
        .B12(roa1[12]), .B13(roa1[13]), .B14(roa1[14]), .B15(roa1[15]), .B16(roa1[16]), .B17(roa1[17]),
        .B18(rob1[0]), .B19(rob1[1]), .B20(rob1[2]), .B21(rob1[3]), .B22(rob1[4]), .B23(rob1[5]),
        .B24(rob1[6]), .B25(rob1[7]), .B26(rob1[8]), .B27(rob1[9]), .B28(rob1[10]), .B29(rob1[11]),
        .B30(rob1[12]), .B31(rob1[13]), .B32(rob1[14]), .B33(rob1[15]), .B34(rob1[16]), .B35(rob1[17]),
        .MB0(p1[0]), .MB1(p1[1]), .MB2(p1[2]), .MB3(p1[3]), .MB4(p1[4]), .MB5(p1[5]),
        .MB6(p1[6]), .MB7(p1[7]), .MB8(p1[8]), .MB9(p1[9]), .MB10(p1[10]), .MB11(p1[11]),
        .MB12(p1[12]), .MB13(p1[13]), .MB14(p1[14]), .MB15(p1[15]), .MB16(p1[16]), .MB17(p1[17]),
        .MB18(p1[18]), .MB19(p1[19]), .MB20(p1[20]), .MB21(p1[21]), .MB22(p1[22]), .MB23(p1[23]),
        .MB24(p1[24]), .MB25(p1[25]), .MB26(p1[26]), .MB27(p1[27]), .MB28(p1[28]), .MB29(p1[29]),
        .MB30(p1[30]), .MB31(p1[31]), .MB32(p1[32]), .MB33(p1[33]), .MB34(p1[34]), .MB35(p1[35]),
        .C0(c[0]), .C1(c[1]), .C2(c[2]), .C3(c[3]), .C4(c[4]), .C5(c[5]),
        .C6(c[6]), .C7(c[7]), .C8(c[8]), .C9(c[9]), .C10(c[10]), .C11(c[11]),
        .C12(c[12]), .C13(c[13]), .C14(c[14]), .C15(c[15]), .C16(c[16]), .C17(c[17]),
        .C18(c[18]), .C19(c[19]), .C20(c[20]), .C21(c[21]), .C22(c[22]), .C23(c[23]),
        .C24(c[24]), .C25(c[25]), .C26(c[26]), .C27(c[27]), .C28(c[28]), .C29(c[29]),
        .C30(c[30]), .C31(c[31]), .C32(c[32]), .C33(c[33]), .C34(c[34]), .C35(c[35]),
        .C36(c[36]), .C37(c[37]), .C38(c[38]), .C39(c[39]), .C40(c[40]), .C41(c[41]),
        .C42(c[42]), .C43(c[43]), .C44(c[44]), .C45(c[45]), .C46(c[46]), .C47(c[47]),
        .C48(c[48]), .C49(c[49]), .C50(c[50]), .C51(c[51]), .C52(c[52]), .C53(c[53]),
        .OP0(OPCODE[0]), .OP1(OPCODE[1]), .OP2(OPCODE[2]), .OP3(OPCODE[3]), .OP4(OPCODE[4]), .OP5(OPCODE[5]),
        .OP6(OPCODE[6]), .OP7(OPCODE[7]), .OP8(OPCODE[8]), .OP9(OPCODE[9]), .OP10(OPCODE[10]),
        .SIGNEDIA(signed0), .SIGNEDIB(signed1),
        .R0(r[0]), .R1(r[1]), .R2(r[2]), .R3(r[3]), .R4(r[4]), .R5(r[5]),
        .R6(r[6]), .R7(r[7]), .R8(r[8]), .R9(r[9]), .R10(r[10]), .R11(r[11]),
        .R12(r[12]), .R13(r[13]), .R14(r[14]), .R15(r[15]), .R16(r[16]), .R17(r[17]),
        .R18(r[18]), .R19(r[19]), .R20(r[20]), .R21(r[21]), .R22(r[22]), .R23(r[23]),
        .R24(r[24]), .R25(r[25]), .R26(r[26]), .R27(r[27]), .R28(r[28]), .R29(r[29]),
        .R30(r[30]), .R31(r[31]), .R32(r[32]), .R33(r[33]), .R34(r[34]), .R35(r[35]),
        .R36(r[36]), .R37(r[37]), .R38(r[38]), .R39(r[39]), .R40(r[40]), .R41(r[41]),
        .R42(r[42]), .R43(r[43]), .R44(r[44]), .R45(r[45]), .R46(r[46]), .R47(r[47]),
        .R48(r[48]), .R49(r[49]), .R50(r[50]), .R51(r[51]), .R52(r[52]), .R53(r[53])
    );
  end else begin : gen_model
    logic signed [17:0] a0_q, b0_q, a1_q, b1_q;
    logic signed [53:0] sum, sum_used;
    assign sum = 54'(a0_q) * 54'(b0_q) + 54'(a1_q) * 54'(b1_q);
    always_ff @(posedge clk) begin
      if (en) begin
        a0_q <= a0;
        b0_q <= b0;
        a1_q <= a1;
        b1_q <= b1;
      end
    end
    if (PIPELINE) begin : gen_pipeline
      always_ff @(posedge clk) if (en) sum_used <= sum;
    end else begin : gen_direct
      assign sum_used = sum;
    end
    assign r = sum_used + c;
  end
endmodule
`default_nettype wire
