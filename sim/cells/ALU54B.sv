// SPDX-License-Identifier: Apache-2.0
// ALU54B: simulation model of the ECP5 cell between two MULT18X18D: R = A + B + C in 54 bits, without registers.
//   OP[10:7] 0100 add; OP[6:4] C operand: 000 zero, 011 C; OP[3:2] B operand: 00 zero, 01 MB; OP[1:0] A operand:
//   00 zero, 01 MA. MA and MB are extended by their sign when SIGNEDIA, SIGNEDIB say so.
// Source: these opcodes stand in netlists that the vendor's tools wrote for sums of products (public repositories).
//   Other operations, registers, cascades, patterns and flags are not modelled and stop elaboration or simulation.
// Ports and parameters are those of Yosys' declaration, without the ports CE*, CLK*, RST*, CFB*, CIN*, CO*, EQ*, OVER,
//   UNDER, OVERUNDER, SIGNEDR and the parameters REG_*_CE, REG_*_RST, FORCE_ZERO_BARREL_SHIFT, MASK01, *PAT.
// Not verified: Yosys has no simulation model of the cell.
`default_nettype none
module ALU54B #(
    parameter REG_INPUTC0_CLK = "NONE",
    parameter REG_INPUTC1_CLK = "NONE",
    parameter REG_OUTPUT0_CLK = "NONE",
    parameter REG_OUTPUT1_CLK = "NONE",
    parameter REG_FLAG_CLK = "NONE",
    parameter REG_INPUTCFB_CLK = "NONE",
    parameter REG_OPCODEOP0_0_CLK = "NONE",
    parameter REG_OPCODEOP1_0_CLK = "NONE",
    parameter REG_OPCODEOP0_1_CLK = "NONE",
    parameter REG_OPCODEOP1_1_CLK = "NONE",
    parameter REG_OPCODEIN_0_CLK = "NONE",
    parameter REG_OPCODEIN_1_CLK = "NONE",
    parameter MCPAT_SOURCE = "STATIC",
    parameter MASKPAT_SOURCE = "STATIC",
    parameter CLK0_DIV = "ENABLED",
    parameter CLK1_DIV = "ENABLED",
    parameter CLK2_DIV = "ENABLED",
    parameter CLK3_DIV = "ENABLED",
    parameter GSR = "ENABLED",
    parameter RESETMODE = "SYNC",
    parameter MULT9_MODE = "DISABLED",
    parameter LEGACY = "DISABLED"
) (
    input  wire logic A35, A34, A33, A32, A31, A30, A29, A28, A27, A26, A25, A24, A23, A22,
        A21, A20, A19, A18, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8,
        A7, A6, A5, A4, A3, A2, A1, A0,
    input  wire logic B35, B34, B33, B32, B31, B30, B29, B28, B27, B26, B25, B24, B23, B22,
        B21, B20, B19, B18, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8,
        B7, B6, B5, B4, B3, B2, B1, B0,
    input  wire logic MA35, MA34, MA33, MA32, MA31, MA30, MA29, MA28, MA27, MA26, MA25, MA24, MA23, MA22,
        MA21, MA20, MA19, MA18, MA17, MA16, MA15, MA14, MA13, MA12, MA11, MA10, MA9, MA8,
        MA7, MA6, MA5, MA4, MA3, MA2, MA1, MA0,
    input  wire logic MB35, MB34, MB33, MB32, MB31, MB30, MB29, MB28, MB27, MB26, MB25, MB24, MB23, MB22,
        MB21, MB20, MB19, MB18, MB17, MB16, MB15, MB14, MB13, MB12, MB11, MB10, MB9, MB8,
        MB7, MB6, MB5, MB4, MB3, MB2, MB1, MB0,
    input  wire logic C53, C52, C51, C50, C49, C48, C47, C46, C45, C44, C43, C42, C41, C40,
        C39, C38, C37, C36, C35, C34, C33, C32, C31, C30, C29, C28, C27, C26,
        C25, C24, C23, C22, C21, C20, C19, C18, C17, C16, C15, C14, C13, C12,
        C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input  wire logic OP10, OP9, OP8, OP7, OP6, OP5, OP4, OP3, OP2, OP1, OP0,
    input  wire logic SIGNEDIA, SIGNEDIB, SIGNEDCIN,
    output wire logic R53, R52, R51, R50, R49, R48, R47, R46, R45, R44, R43, R42, R41, R40,
        R39, R38, R37, R36, R35, R34, R33, R32, R31, R30, R29, R28, R27, R26,
        R25, R24, R23, R22, R21, R20, R19, R18, R17, R16, R15, R14, R13, R12,
        R11, R10, R9, R8, R7, R6, R5, R4, R3, R2, R1, R0
);
    if (REG_INPUTC0_CLK != "NONE" || REG_INPUTC1_CLK != "NONE" || REG_OUTPUT0_CLK != "NONE" || REG_OUTPUT1_CLK != "NONE"
        || REG_OPCODEOP0_0_CLK != "NONE" || REG_OPCODEOP1_0_CLK != "NONE" || REG_OPCODEOP0_1_CLK != "NONE"
        || REG_OPCODEOP1_1_CLK != "NONE" || REG_OPCODEIN_0_CLK != "NONE" || REG_OPCODEIN_1_CLK != "NONE")
    begin : gen_check
        $error("ALU54B: registers are not modelled");
    end
    if (MULT9_MODE != "DISABLED" || LEGACY != "DISABLED") begin : gen_check_mode
        $error("ALU54B: MULT9_MODE and LEGACY are not modelled");
    end
    wire logic [35:0] ma = {MA35, MA34, MA33, MA32, MA31, MA30, MA29, MA28, MA27, MA26, MA25, MA24, MA23, MA22,
        MA21, MA20, MA19, MA18, MA17, MA16, MA15, MA14, MA13, MA12, MA11, MA10, MA9, MA8,
        MA7, MA6, MA5, MA4, MA3, MA2, MA1, MA0};
    wire logic [35:0] mb = {MB35, MB34, MB33, MB32, MB31, MB30, MB29, MB28, MB27, MB26, MB25, MB24, MB23, MB22,
        MB21, MB20, MB19, MB18, MB17, MB16, MB15, MB14, MB13, MB12, MB11, MB10, MB9, MB8,
        MB7, MB6, MB5, MB4, MB3, MB2, MB1, MB0};
    wire logic [53:0] c = {C53, C52, C51, C50, C49, C48, C47, C46, C45, C44, C43, C42, C41, C40,
        C39, C38, C37, C36, C35, C34, C33, C32, C31, C30, C29, C28, C27, C26,
        C25, C24, C23, C22, C21, C20, C19, C18, C17, C16, C15, C14, C13, C12,
        C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0};
    wire logic [10:0] op = {OP10, OP9, OP8, OP7, OP6, OP5, OP4, OP3, OP2, OP1, OP0};
    wire logic [53:0] a_operand = op[1:0] == 2'b01 ? {{18{SIGNEDIA && MA35}}, ma} : 54'd0;
    wire logic [53:0] b_operand = op[3:2] == 2'b01 ? {{18{SIGNEDIB && MB35}}, mb} : 54'd0;
    wire logic [53:0] c_operand = op[6:4] == 3'b011 ? c : 54'd0;
    wire logic known = op[10:7] == 4'b0100 && !op[1] && !op[3] && (op[6:4] == 3'b000 || op[6:4] == 3'b011);
    assign {R53, R52, R51, R50, R49, R48, R47, R46, R45, R44, R43, R42, R41, R40,
        R39, R38, R37, R36, R35, R34, R33, R32, R31, R30, R29, R28, R27, R26,
        R25, R24, R23, R22, R21, R20, R19, R18, R17, R16, R15, R14, R13, R12,
        R11, R10, R9, R8, R7, R6, R5, R4, R3, R2, R1, R0} = a_operand + b_operand + c_operand;
    always_comb begin
        if (!known) $error("%m: opcode %b is not modelled", op);
    end
endmodule
`default_nettype wire
