// SPDX-License-Identifier: Apache-2.0
// MULT18X18D: simulation model of the ECP5 multiplier: 18 x 18 bits, each factor signed or unsigned, optional registers
// behind the factors (REG_INPUTA, REG_INPUTB), inside (REG_PIPELINE) and behind the product (REG_OUTPUT), each with one
// of four clocks, enables and synchronous resets. Reset wins over enable.
// Not verified: Yosys has no simulation model of the cell.
`default_nettype none
module MULT18X18D #(
    parameter REG_INPUTA_CLK = "NONE",
    parameter REG_INPUTA_CE = "CE0",
    parameter REG_INPUTA_RST = "RST0",
    parameter REG_INPUTB_CLK = "NONE",
    parameter REG_INPUTB_CE = "CE0",
    parameter REG_INPUTB_RST = "RST0",
    parameter REG_INPUTC_CLK = "NONE",
    parameter REG_INPUTC_CE = "CE0",
    parameter REG_INPUTC_RST = "RST0",
    parameter REG_PIPELINE_CLK = "NONE",
    parameter REG_PIPELINE_CE = "CE0",
    parameter REG_PIPELINE_RST = "RST0",
    parameter REG_OUTPUT_CLK = "NONE",
    parameter REG_OUTPUT_CE = "CE0",
    parameter REG_OUTPUT_RST = "RST0",
    parameter CLK0_DIV = "ENABLED",
    parameter CLK1_DIV = "ENABLED",
    parameter CLK2_DIV = "ENABLED",
    parameter CLK3_DIV = "ENABLED",
    parameter HIGHSPEED_CLK = "NONE",
    parameter GSR = "ENABLED",
    parameter CAS_MATCH_REG = "FALSE",
    parameter SOURCEB_MODE = "B_SHIFT",
    parameter MULT_BYPASS = "DISABLED",
    parameter RESETMODE = "SYNC"
) (
    input  wire logic A17, A16, A15, A14, A13, A12, A11, A10, A9,
    input  wire logic A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input  wire logic B17, B16, B15, B14, B13, B12, B11, B10, B9,
    input  wire logic B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input  wire logic C17, C16, C15, C14, C13, C12, C11, C10, C9,
    input  wire logic C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input  wire logic SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input  wire logic CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0,
    input  wire logic RST3, RST2, RST1, RST0,
    input  wire logic SRIA17, SRIA16, SRIA15, SRIA14, SRIA13, SRIA12, SRIA11, SRIA10, SRIA9,
    input  wire logic SRIA8, SRIA7, SRIA6, SRIA5, SRIA4, SRIA3, SRIA2, SRIA1, SRIA0,
    input  wire logic SRIB17, SRIB16, SRIB15, SRIB14, SRIB13, SRIB12, SRIB11, SRIB10, SRIB9,
    input  wire logic SRIB8, SRIB7, SRIB6, SRIB5, SRIB4, SRIB3, SRIB2, SRIB1, SRIB0,
    output wire logic SROA17, SROA16, SROA15, SROA14, SROA13, SROA12, SROA11, SROA10, SROA9,
    output wire logic SROA8, SROA7, SROA6, SROA5, SROA4, SROA3, SROA2, SROA1, SROA0,
    output wire logic SROB17, SROB16, SROB15, SROB14, SROB13, SROB12, SROB11, SROB10, SROB9,
    output wire logic SROB8, SROB7, SROB6, SROB5, SROB4, SROB3, SROB2, SROB1, SROB0,
    output wire logic ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9,
    output wire logic ROA8, ROA7, ROA6, ROA5, ROA4, ROA3, ROA2, ROA1, ROA0,
    output wire logic ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9,
    output wire logic ROB8, ROB7, ROB6, ROB5, ROB4, ROB3, ROB2, ROB1, ROB0,
    output wire logic ROC17, ROC16, ROC15, ROC14, ROC13, ROC12, ROC11, ROC10, ROC9,
    output wire logic ROC8, ROC7, ROC6, ROC5, ROC4, ROC3, ROC2, ROC1, ROC0,
    output wire logic P35, P34, P33, P32, P31, P30, P29, P28, P27,
    output wire logic P26, P25, P24, P23, P22, P21, P20, P19, P18,
    output wire logic P17, P16, P15, P14, P13, P12, P11, P10, P9,
    output wire logic P8, P7, P6, P5, P4, P3, P2, P1, P0,
    output wire logic SIGNEDP
);
    wire logic [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire logic [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire logic [17:0] sria = {SRIA17, SRIA16, SRIA15, SRIA14, SRIA13, SRIA12, SRIA11, SRIA10, SRIA9, SRIA8, SRIA7,
        SRIA6, SRIA5, SRIA4, SRIA3, SRIA2, SRIA1, SRIA0};
    wire logic [17:0] srib = {SRIB17, SRIB16, SRIB15, SRIB14, SRIB13, SRIB12, SRIB11, SRIB10, SRIB9, SRIB8, SRIB7,
        SRIB6, SRIB5, SRIB4, SRIB3, SRIB2, SRIB1, SRIB0};
    if (MULT_BYPASS != "DISABLED" || SOURCEB_MODE != "B_SHIFT" || CAS_MATCH_REG != "FALSE") begin : gen_check_mode
        $error("MULT18X18D: bypass, the C input and cascades are not modelled");
    end
    if (RESETMODE != "SYNC" || HIGHSPEED_CLK != "NONE") begin : gen_check_clock
        $error("MULT18X18D: only synchronous resets and plain clocks are modelled");
    end
    wire logic [3:0] clks = {CLK3, CLK2, CLK1, CLK0}, ces = {CE3, CE2, CE1, CE0}, rsts = {RST3, RST2, RST1, RST0};
    // Index of a clock, enable or reset from the last character of its name
    function automatic int unsigned index(input logic [31:0] name);
        return {30'd0, name[1:0]};
    endfunction
    // Factors with the sign that their SIGNED input gives them; the sign travels with the factor
    wire logic [18:0] a_in = {SIGNEDA && (SOURCEA ? SRIA17 : A17), SOURCEA ? sria : a};
    wire logic [18:0] b_in = {SIGNEDB && (SOURCEB ? SRIB17 : B17), SOURCEB ? srib : b};
    wire logic [18:0] a_used, b_used;
    wire logic [35:0] product, p_used, p;
    if (REG_INPUTA_CLK == "NONE") begin : gen_inputa_wire
        assign a_used = a_in;
    end else begin : gen_inputa_register
        logic [18:0] value_q;
        always_ff @(posedge clks[index(REG_INPUTA_CLK)]) begin
            if (rsts[index(REG_INPUTA_RST)]) value_q <= '0;
            else if (ces[index(REG_INPUTA_CE)]) value_q <= a_in;
        end
        assign a_used = value_q;
    end
    if (REG_INPUTB_CLK == "NONE") begin : gen_inputb_wire
        assign b_used = b_in;
    end else begin : gen_inputb_register
        logic [18:0] value_q;
        always_ff @(posedge clks[index(REG_INPUTB_CLK)]) begin
            if (rsts[index(REG_INPUTB_RST)]) value_q <= '0;
            else if (ces[index(REG_INPUTB_CE)]) value_q <= b_in;
        end
        assign b_used = value_q;
    end
    if (REG_PIPELINE_CLK == "NONE") begin : gen_pipeline_wire
        assign p_used = product;
    end else begin : gen_pipeline_register
        logic [35:0] value_q;
        always_ff @(posedge clks[index(REG_PIPELINE_CLK)]) begin
            if (rsts[index(REG_PIPELINE_RST)]) value_q <= '0;
            else if (ces[index(REG_PIPELINE_CE)]) value_q <= product;
        end
        assign p_used = value_q;
    end
    if (REG_OUTPUT_CLK == "NONE") begin : gen_output_wire
        assign p = p_used;
    end else begin : gen_output_register
        logic [35:0] value_q;
        always_ff @(posedge clks[index(REG_OUTPUT_CLK)]) begin
            if (rsts[index(REG_OUTPUT_RST)]) value_q <= '0;
            else if (ces[index(REG_OUTPUT_CE)]) value_q <= p_used;
        end
        assign p = value_q;
    end
    assign product = 36'($signed({{17{a_used[18]}}, a_used}) * $signed({{17{b_used[18]}}, b_used}));
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19,
        P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
    assign {ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6,
        ROA5, ROA4, ROA3, ROA2, ROA1, ROA0} = a_used[17:0];
    assign {ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6,
        ROB5, ROB4, ROB3, ROB2, ROB1, ROB0} = b_used[17:0];
    assign {SROA17, SROA16, SROA15, SROA14, SROA13, SROA12, SROA11, SROA10, SROA9, SROA8, SROA7,
        SROA6, SROA5, SROA4, SROA3, SROA2, SROA1, SROA0} = a_used[17:0];
    assign {SROB17, SROB16, SROB15, SROB14, SROB13, SROB12, SROB11, SROB10, SROB9, SROB8, SROB7,
        SROB6, SROB5, SROB4, SROB3, SROB2, SROB1, SROB0} = b_used[17:0];
    assign {ROC17, ROC16, ROC15, ROC14, ROC13, ROC12, ROC11, ROC10, ROC9, ROC8, ROC7, ROC6,
        ROC5, ROC4, ROC3, ROC2, ROC1, ROC0} =
        {C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0};
    assign SIGNEDP = SIGNEDA || SIGNEDB;
endmodule
`default_nettype wire
