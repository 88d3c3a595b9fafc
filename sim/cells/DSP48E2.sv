// SPDX-License-Identifier: Apache-2.0
// DSP48E2: simulation model of the UltraScale+ cell: pre-adder, 27 x 18 multiplier, sum of four terms in 48 bits.
// Written from the vendor's manuals (UG579, UG974). Ports and parameters are those of Yosys' declaration, without the
// ports ACIN, BCIN, ACOUT, BCOUT, MULTSIGNIN, MULTSIGNOUT, CARRYCASCIN, CARRYCASCOUT, CARRYOUT, OVERFLOW, UNDERFLOW,
// PATTERNDETECT, PATTERNBDETECT, XOROUT and the parameters IS_*_INVERTED, AUTORESET_*, SEL_*, MASK, PATTERN,
// USE_WIDEXOR, XORSIMD. What else our wrappers do not use stops the elaboration (or, where an input chooses it, the
// simulation): A and B cascades, SIMD, logic modes, carries, shifted cascade, pattern detection, the squarer.
// Equal to Yosys' DSP48E1 in what both have (tests/sim/test_cells.py).
// Not verified beyond that, as Yosys has no simulation model of the cell: factors above 25 bits, W and Z both P,
// INMODE[0] and [4] without A and B registers (here they read the first register all the same).
//   AREG, BREG 2: both registers; 1: the second one (CEA2, CEB2).
//   INMODE: [0] A1 instead of A2, [1] A is 0, [2] D counts, [3] D - A, [4] B1 instead of B2.
//   OPMODE: [8:7] W = 0, P, RND, C; [6:4] Z = 0, PCIN, P, C; [3:0] 0101 the product, 0000 zero (as after power-up).
//   Every register has a clock enable, and a synchronous reset that wins over it.
`default_nettype none
module DSP48E2 #(
    parameter int ACASCREG = 1,
    parameter int ADREG = 1,
    parameter int ALUMODEREG = 1,
    parameter AMULTSEL = "A",
    parameter int AREG = 1,
    parameter A_INPUT = "DIRECT",
    parameter int BCASCREG = 1,
    parameter BMULTSEL = "B",
    parameter int BREG = 1,
    parameter B_INPUT = "DIRECT",
    parameter int CARRYINREG = 1,
    parameter int CARRYINSELREG = 1,
    parameter int CREG = 1,
    parameter int DREG = 1,
    parameter int INMODEREG = 1,
    parameter int MREG = 1,
    parameter int OPMODEREG = 1,
    parameter PREADDINSEL = "A",
    parameter int PREG = 1,
    parameter logic [47:0] RND = 48'd0,
    parameter USE_MULT = "MULTIPLY",
    parameter USE_PATTERN_DETECT = "NO_PATDET",
    parameter USE_SIMD = "ONE48"
) (
    input  wire logic        CLK,
    input  wire logic [29:0] A,
    input  wire logic [17:0] B,
    input  wire logic [47:0] C,
    input  wire logic [26:0] D,
    input  wire logic [47:0] PCIN,
    output wire logic [47:0] PCOUT,
    output wire logic [47:0] P,
    input  wire logic [8:0]  OPMODE,
    input  wire logic [3:0]  ALUMODE,
    input  wire logic [4:0]  INMODE,
    input  wire logic        CARRYIN,
    input  wire logic [2:0]  CARRYINSEL,
    input  wire logic CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
    input  wire logic RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP
);
    if (BMULTSEL != "B" || PREADDINSEL != "A" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT") begin : gen_check_inputs
        $error("DSP48E2: only direct inputs and the pre-adder on A are modelled");
    end
    if (USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || USE_PATTERN_DETECT != "NO_PATDET") begin : gen_check_mode
        $error("DSP48E2: only one multiplication and one sum are modelled");
    end
    if (ALUMODEREG != 0 || INMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0) begin : gen_check_controls
        $error("DSP48E2: registers of ALUMODE, INMODE and the carry are not modelled");
    end
    if (AREG > 2 || BREG > 2 || (AREG != ACASCREG && AREG != 2) || (BREG != BCASCREG && BREG != 2))
    begin : gen_check_reg
        $error("DSP48E2: AREG=%0d, ACASCREG=%0d, BREG=%0d, BCASCREG=%0d do not go together",
            AREG, ACASCREG, BREG, BCASCREG);
    end

    logic [29:0] a1_q, a2_q;
    logic [17:0] b1_q, b2_q;
    logic [26:0] d_q, ad_q;
    logic [47:0] c_q, p_q;
    logic [44:0] m_q;
    logic [8:0] opmode_q;
    wire logic [29:0] a2 = AREG == 0 ? A : a2_q;
    wire logic [17:0] b2 = BREG == 0 ? B : b2_q;
    wire logic [26:0] a_gated = INMODE[1] ? 27'd0 : INMODE[0] ? a1_q[26:0] : a2[26:0];
    wire logic [26:0] d_gated = INMODE[2] ? (DREG == 0 ? D : d_q) : 27'd0;
    wire logic [26:0] ad = INMODE[3] ? d_gated - a_gated : d_gated + a_gated;
    wire logic signed [26:0] a_factor = AMULTSEL == "A" ? a_gated : ADREG == 0 ? ad : ad_q;
    wire logic signed [17:0] b_factor = INMODE[4] ? b1_q : b2;
    wire logic signed [44:0] product = 45'(a_factor) * 45'(b_factor);
    wire logic signed [44:0] m = MREG == 0 ? product : m_q;
    wire logic [47:0] c = CREG == 0 ? C : c_q;
    wire logic [8:0] opmode = OPMODEREG == 0 ? OPMODE : opmode_q;
    logic [47:0] w, z, sum;
    always_comb begin
        case (opmode[8:7])
            2'b00: w = 48'd0;
            2'b01: w = p_q;
            2'b10: w = RND;
            default: w = c;
        endcase
        case (opmode[6:4])
            3'b001: z = PCIN;
            3'b010: z = p_q;
            3'b011: z = c;
            default: z = 48'd0;
        endcase
        sum = w + (opmode[3:0] == 4'b0101 ? 48'(m) : 48'd0) + z;
    end
    assign P = PREG == 0 ? sum : p_q;
    assign PCOUT = P;
    always_ff @(posedge CLK) begin
        if (RSTA) {a1_q, a2_q} <= '0;
        else begin
            if (CEA1) a1_q <= A;
            if (CEA2) a2_q <= AREG == 2 ? a1_q : A;
        end
        if (RSTB) {b1_q, b2_q} <= '0;
        else begin
            if (CEB1) b1_q <= B;
            if (CEB2) b2_q <= BREG == 2 ? b1_q : B;
        end
        if (RSTD) {d_q, ad_q} <= '0;
        else begin
            if (CED) d_q <= D;
            if (CEAD) ad_q <= ad;
        end
        if (RSTC) c_q <= '0;
        else if (CEC) c_q <= C;
        if (RSTM) m_q <= '0;
        else if (CEM) m_q <= product;
        if (RSTCTRL) opmode_q <= '0;
        else if (CECTRL) opmode_q <= OPMODE;
        if (RSTP) p_q <= '0;
        else if (CEP) p_q <= sum;
    end
    // Modes that are not modelled, and what the manual forbids
    initial opmode_q = '0;
    dsp48e2_mode : assert property (@(posedge CLK) CEP || PREG == 0 |->
        (opmode[3:0] == 4'b0101 || opmode[3:0] == 4'b0000) && opmode[6:4] <= 3'b011
        && ALUMODE == 4'b0000 && !CARRYIN && CARRYINSEL == 3'b000)
    else $error("%m: OPMODE %b or ALUMODE %b is not modelled", opmode, ALUMODE);
    dsp48e2_feedback : assert property (@(posedge CLK) PREG != 0 || (opmode[8:7] != 2'b01 && opmode[6:4] != 3'b010))
    else $error("%m: the sum feeds back without a register");
    wire logic unused = CEALUMODE | CECARRYIN | CEINMODE | RSTALLCARRYIN | RSTALUMODE | RSTINMODE;
endmodule
`default_nettype wire
