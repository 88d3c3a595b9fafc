// SPDX-License-Identifier: Apache-2.0
// dsp48e2_mul: signed 27 x 18 multiplier with input and output registers, for UltraScale+.
//   TARGET 2 instantiates the primitive DSP48E2 with the same registers; otherwise the model below stands in.
// Not verified: the primitive's attributes follow the vendor's manual; no vendor model and no silicon was available,
//   only the behavioural model is tested.
// Latency  : 2 clk cycles (A and B register, P register), both held while en is low. No reset.
// Resources: 1 DSP48E2.
// Test     : tests/hw/test_multipliers.py
`default_nettype none
module dsp48e2_mul #(
    // 2: UltraScale+ primitive. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic        clk,
    input  wire logic        en,
    // Factors, signed
    input  wire logic [26:0] a,
    input  wire logic [17:0] b,
    // Product of the factors of two enabled cycles ago, signed
    output logic      [44:0] p
);
  if (TARGET == 2) begin : gen_ultrascale
    logic [47:0] p_full;
    assign p = p_full[44:0];
    DSP48E2 #(
        .AMULTSEL("A"), .BMULTSEL("B"), .USE_MULT("MULTIPLY"), .A_INPUT("DIRECT"), .B_INPUT("DIRECT"),
        .AREG(1), .ACASCREG(1), .BREG(1), .BCASCREG(1), .CREG(0), .DREG(0), .ADREG(0), .MREG(0), .PREG(1),
        .OPMODEREG(0), .ALUMODEREG(0), .INMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0)
    ) dsp_i (
        .CLK(clk),
        .A({{3{a[26]}}, a}), .B(b), .C(48'd0), .D(27'd0), .P(p_full),
        // P = A * B: X and Y multiplexers take the product, Z and W zero
        .OPMODE(9'b00_000_01_01), .ALUMODE(4'b0000), .INMODE(5'b00000), .CARRYIN(1'b0), .CARRYINSEL(3'b000),
        .CEA1(1'b0), .CEA2(en), .CEB1(1'b0), .CEB2(en), .CEP(en),
        .CEAD(1'b0), .CEALUMODE(1'b0), .CEC(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CED(1'b0), .CEINMODE(1'b0),
        .CEM(1'b0),
        .RSTA(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTCTRL(1'b0), .RSTD(1'b0),
        .RSTINMODE(1'b0), .RSTM(1'b0), .RSTP(1'b0)
    );
  end else begin : gen_model
    logic signed [26:0] a_q;
    logic signed [17:0] b_q;
    always_ff @(posedge clk) begin
      if (en) begin
        a_q <= a;
        b_q <= b;
        p   <= 45'(a_q) * 45'(b_q);
      end
    end
  end
endmodule
`default_nettype wire
