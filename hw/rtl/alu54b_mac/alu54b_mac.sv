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
    logic [17:0] a[2], b[2], roa[2], rob[2];
    logic [35:0] p[2];
    logic is_signed[2];
    assign a = '{a0, a1};
    assign b = '{b0, b1};
    for (genvar m = 0; m < 2; m++) begin : gen_mult
      MULT18X18D #(
          .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE0"), .REG_INPUTA_RST("RST0"),
          .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE0"), .REG_INPUTB_RST("RST0"),
          .REG_PIPELINE_CLK(PIPELINE ? "CLK0" : "NONE"), .REG_PIPELINE_CE("CE0"), .REG_PIPELINE_RST("RST0"),
          .REG_OUTPUT_CLK("NONE"),
          .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
          .GSR("DISABLED"), .MULT_BYPASS("DISABLED"), .RESETMODE("SYNC"), .SOURCEB_MODE("B_SHIFT")
      ) mult_i (
          .A0(a[m][0]), .A1(a[m][1]), .A2(a[m][2]), .A3(a[m][3]), .A4(a[m][4]), .A5(a[m][5]),
          .A6(a[m][6]), .A7(a[m][7]), .A8(a[m][8]), .A9(a[m][9]), .A10(a[m][10]), .A11(a[m][11]),
          .A12(a[m][12]), .A13(a[m][13]), .A14(a[m][14]), .A15(a[m][15]), .A16(a[m][16]), .A17(a[m][17]),
          .B0(b[m][0]), .B1(b[m][1]), .B2(b[m][2]), .B3(b[m][3]), .B4(b[m][4]), .B5(b[m][5]),
          .B6(b[m][6]), .B7(b[m][7]), .B8(b[m][8]), .B9(b[m][9]), .B10(b[m][10]), .B11(b[m][11]),
          .B12(b[m][12]), .B13(b[m][13]), .B14(b[m][14]), .B15(b[m][15]), .B16(b[m][16]), .B17(b[m][17]),
          .P0(p[m][0]), .P1(p[m][1]), .P2(p[m][2]), .P3(p[m][3]), .P4(p[m][4]), .P5(p[m][5]),
          .P6(p[m][6]), .P7(p[m][7]), .P8(p[m][8]), .P9(p[m][9]), .P10(p[m][10]), .P11(p[m][11]),
          .P12(p[m][12]), .P13(p[m][13]), .P14(p[m][14]), .P15(p[m][15]), .P16(p[m][16]), .P17(p[m][17]),
          .P18(p[m][18]), .P19(p[m][19]), .P20(p[m][20]), .P21(p[m][21]), .P22(p[m][22]), .P23(p[m][23]),
          .P24(p[m][24]), .P25(p[m][25]), .P26(p[m][26]), .P27(p[m][27]), .P28(p[m][28]), .P29(p[m][29]),
          .P30(p[m][30]), .P31(p[m][31]), .P32(p[m][32]), .P33(p[m][33]), .P34(p[m][34]), .P35(p[m][35]),
          .ROA0(roa[m][0]), .ROA1(roa[m][1]), .ROA2(roa[m][2]), .ROA3(roa[m][3]), .ROA4(roa[m][4]), .ROA5(roa[m][5]),
          .ROA6(roa[m][6]), .ROA7(roa[m][7]), .ROA8(roa[m][8]),
          .ROA9(roa[m][9]), .ROA10(roa[m][10]), .ROA11(roa[m][11]),
          .ROA12(roa[m][12]), .ROA13(roa[m][13]), .ROA14(roa[m][14]),
          .ROA15(roa[m][15]), .ROA16(roa[m][16]), .ROA17(roa[m][17]),
          .ROB0(rob[m][0]), .ROB1(rob[m][1]), .ROB2(rob[m][2]), .ROB3(rob[m][3]), .ROB4(rob[m][4]), .ROB5(rob[m][5]),
          .ROB6(rob[m][6]), .ROB7(rob[m][7]), .ROB8(rob[m][8]),
          .ROB9(rob[m][9]), .ROB10(rob[m][10]), .ROB11(rob[m][11]),
          .ROB12(rob[m][12]), .ROB13(rob[m][13]), .ROB14(rob[m][14]),
          .ROB15(rob[m][15]), .ROB16(rob[m][16]), .ROB17(rob[m][17]),
          .CLK0(clk), .CE0(en), .RST0(1'b0),
          .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0), .SIGNEDP(is_signed[m])
      );
    end
    ALU54B #(
        .REG_INPUTC0_CLK("NONE"), .REG_INPUTC1_CLK("NONE"), .REG_OUTPUT0_CLK("NONE"), .REG_OUTPUT1_CLK("NONE"),
        .REG_FLAG_CLK("NONE"), .REG_INPUTCFB_CLK("NONE"),
        .REG_OPCODEOP0_0_CLK("NONE"), .REG_OPCODEOP1_0_CLK("NONE"), .REG_OPCODEOP0_1_CLK("NONE"),
        .REG_OPCODEOP1_1_CLK("NONE"), .REG_OPCODEIN_0_CLK("NONE"), .REG_OPCODEIN_1_CLK("NONE"),
        .MCPAT_SOURCE("STATIC"), .MASKPAT_SOURCE("STATIC"),
        .CLK0_DIV("DISABLED"), .CLK1_DIV("DISABLED"), .CLK2_DIV("DISABLED"), .CLK3_DIV("DISABLED"),
        .GSR("DISABLED"), .RESETMODE("SYNC"), .MULT9_MODE("DISABLED"), .LEGACY("DISABLED")
    ) alu_i (
        .A0(roa[0][0]), .A1(roa[0][1]), .A2(roa[0][2]), .A3(roa[0][3]), .A4(roa[0][4]), .A5(roa[0][5]),
        .A6(roa[0][6]), .A7(roa[0][7]), .A8(roa[0][8]), .A9(roa[0][9]), .A10(roa[0][10]), .A11(roa[0][11]),
        .A12(roa[0][12]), .A13(roa[0][13]), .A14(roa[0][14]), .A15(roa[0][15]), .A16(roa[0][16]), .A17(roa[0][17]),
        .A18(rob[0][0]), .A19(rob[0][1]), .A20(rob[0][2]), .A21(rob[0][3]), .A22(rob[0][4]), .A23(rob[0][5]),
        .A24(rob[0][6]), .A25(rob[0][7]), .A26(rob[0][8]), .A27(rob[0][9]), .A28(rob[0][10]), .A29(rob[0][11]),
        .A30(rob[0][12]), .A31(rob[0][13]), .A32(rob[0][14]), .A33(rob[0][15]), .A34(rob[0][16]), .A35(rob[0][17]),
        .MA0(p[0][0]), .MA1(p[0][1]), .MA2(p[0][2]), .MA3(p[0][3]), .MA4(p[0][4]), .MA5(p[0][5]),
        .MA6(p[0][6]), .MA7(p[0][7]), .MA8(p[0][8]), .MA9(p[0][9]), .MA10(p[0][10]), .MA11(p[0][11]),
        .MA12(p[0][12]), .MA13(p[0][13]), .MA14(p[0][14]), .MA15(p[0][15]), .MA16(p[0][16]), .MA17(p[0][17]),
        .MA18(p[0][18]), .MA19(p[0][19]), .MA20(p[0][20]), .MA21(p[0][21]), .MA22(p[0][22]), .MA23(p[0][23]),
        .MA24(p[0][24]), .MA25(p[0][25]), .MA26(p[0][26]), .MA27(p[0][27]), .MA28(p[0][28]), .MA29(p[0][29]),
        .MA30(p[0][30]), .MA31(p[0][31]), .MA32(p[0][32]), .MA33(p[0][33]), .MA34(p[0][34]), .MA35(p[0][35]),
        .B0(roa[1][0]), .B1(roa[1][1]), .B2(roa[1][2]), .B3(roa[1][3]), .B4(roa[1][4]), .B5(roa[1][5]),
        .B6(roa[1][6]), .B7(roa[1][7]), .B8(roa[1][8]), .B9(roa[1][9]), .B10(roa[1][10]), .B11(roa[1][11]),
        .B12(roa[1][12]), .B13(roa[1][13]), .B14(roa[1][14]), .B15(roa[1][15]), .B16(roa[1][16]), .B17(roa[1][17]),
        .B18(rob[1][0]), .B19(rob[1][1]), .B20(rob[1][2]), .B21(rob[1][3]), .B22(rob[1][4]), .B23(rob[1][5]),
        .B24(rob[1][6]), .B25(rob[1][7]), .B26(rob[1][8]), .B27(rob[1][9]), .B28(rob[1][10]), .B29(rob[1][11]),
        .B30(rob[1][12]), .B31(rob[1][13]), .B32(rob[1][14]), .B33(rob[1][15]), .B34(rob[1][16]), .B35(rob[1][17]),
        .MB0(p[1][0]), .MB1(p[1][1]), .MB2(p[1][2]), .MB3(p[1][3]), .MB4(p[1][4]), .MB5(p[1][5]),
        .MB6(p[1][6]), .MB7(p[1][7]), .MB8(p[1][8]), .MB9(p[1][9]), .MB10(p[1][10]), .MB11(p[1][11]),
        .MB12(p[1][12]), .MB13(p[1][13]), .MB14(p[1][14]), .MB15(p[1][15]), .MB16(p[1][16]), .MB17(p[1][17]),
        .MB18(p[1][18]), .MB19(p[1][19]), .MB20(p[1][20]), .MB21(p[1][21]), .MB22(p[1][22]), .MB23(p[1][23]),
        .MB24(p[1][24]), .MB25(p[1][25]), .MB26(p[1][26]), .MB27(p[1][27]), .MB28(p[1][28]), .MB29(p[1][29]),
        .MB30(p[1][30]), .MB31(p[1][31]), .MB32(p[1][32]), .MB33(p[1][33]), .MB34(p[1][34]), .MB35(p[1][35]),
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
        .SIGNEDIA(is_signed[0]), .SIGNEDIB(is_signed[1]),
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
