// SPDX-License-Identifier: Apache-2.0
// DSP48E2: three of Yosys' DSP48E1 in a cascade as one DSP48E2, for tests/sim/test_cells.py. A DSP48E1 has no
// multiplexer W: the first one multiplies and adds Z, the second one adds RND, the third one adds P or C and holds P.
// Not in it: factors above 25 bits (A + D: terms above 24), P by W and Z at once, P without its register, INMODE[0]
// without A registers, INMODE[4] without B registers (Yosys' DSP48E1 takes the input then).
`default_nettype none
module DSP48E2 #(
    parameter AMULTSEL = "A",
    parameter int AREG = 1,
    parameter int ACASCREG = 1,
    parameter int ADREG = 1,
    parameter int ALUMODEREG = 1,
    parameter int BREG = 1,
    parameter int BCASCREG = 1,
    parameter int CARRYINREG = 1,
    parameter int CARRYINSELREG = 1,
    parameter int CREG = 1,
    parameter int DREG = 1,
    parameter int INMODEREG = 1,
    parameter int MREG = 1,
    parameter int OPMODEREG = 1,
    parameter int PREG = 1,
    parameter logic [47:0] RND = 48'd0
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
  wire logic [1:0] w = OPMODE[8:7];
  wire logic [2:0] z = OPMODE[6:4];
  wire logic from_p = w == 2'b01 || z == 3'b010;
  wire logic [47:0] product, rounded;
  DSP48E1 #(
      .USE_DPORT(AMULTSEL == "AD" ? "TRUE" : "FALSE"), .AREG(AREG), .ACASCREG(ACASCREG), .ADREG(ADREG),
      .ALUMODEREG(ALUMODEREG), .BREG(BREG), .BCASCREG(BCASCREG), .CARRYINREG(CARRYINREG), .CARRYINSELREG(CARRYINSELREG),
      .CREG(CREG), .DREG(DREG), .INMODEREG(INMODEREG), .MREG(MREG), .OPMODEREG(OPMODEREG), .PREG(0)
  ) product_i (
      .OPMODE({z == 3'b010 ? 3'b000 : z, OPMODE[3:0]}), .D(D[24:0]), .PCOUT(product),
      .CLK, .A, .B, .C, .PCIN, .ALUMODE, .INMODE, .CARRYIN, .CARRYINSEL,
      .CEA1, .CEA2, .CEAD, .CEALUMODE, .CEB1, .CEB2, .CEC, .CECARRYIN, .CECTRL, .CED, .CEINMODE, .CEM, .CEP,
      .RSTA, .RSTALLCARRYIN, .RSTALUMODE, .RSTB, .RSTC, .RSTCTRL, .RSTD, .RSTINMODE, .RSTM, .RSTP
  );
  DSP48E1 #(
      .USE_MULT("NONE"), .AREG(0), .ACASCREG(0), .BREG(0), .BCASCREG(0), .ALUMODEREG(ALUMODEREG),
      .CARRYINREG(CARRYINREG), .CARRYINSELREG(CARRYINSELREG), .CREG(0), .INMODEREG(0), .MREG(0), .OPMODEREG(OPMODEREG),
      .PREG(0)
  ) rounded_i (
      .OPMODE({3'b001, {2{w == 2'b10}}, 2'b00}), .C(RND), .PCIN(product), .PCOUT(rounded),
      .A('0), .B('0), .D('0), .INMODE('0), .CLK, .ALUMODE, .CARRYIN, .CARRYINSEL,
      .CEA1, .CEA2, .CEAD, .CEALUMODE, .CEB1, .CEB2, .CEC, .CECARRYIN, .CECTRL, .CED, .CEINMODE, .CEM, .CEP,
      .RSTA, .RSTALLCARRYIN, .RSTALUMODE, .RSTB, .RSTC, .RSTCTRL, .RSTD, .RSTINMODE, .RSTM, .RSTP
  );
  DSP48E1 #(
      .USE_MULT("NONE"), .AREG(0), .ACASCREG(0), .BREG(0), .BCASCREG(0), .ALUMODEREG(ALUMODEREG),
      .CARRYINREG(CARRYINREG), .CARRYINSELREG(CARRYINSELREG), .CREG(CREG), .INMODEREG(0), .MREG(0),
      .OPMODEREG(OPMODEREG), .PREG(PREG)
  ) sum_i (
      .OPMODE({3'b001, {2{w == 2'b11}}, from_p, 1'b0}), .C, .PCIN(rounded), .PCOUT, .P,
      .A('0), .B('0), .D('0), .INMODE('0), .CLK, .ALUMODE, .CARRYIN, .CARRYINSEL,
      .CEA1, .CEA2, .CEAD, .CEALUMODE, .CEB1, .CEB2, .CEC, .CECARRYIN, .CECTRL, .CED, .CEINMODE, .CEM, .CEP,
      .RSTA, .RSTALLCARRYIN, .RSTALUMODE, .RSTB, .RSTC, .RSTCTRL, .RSTD, .RSTINMODE, .RSTM, .RSTP
  );
endmodule
`default_nettype wire
