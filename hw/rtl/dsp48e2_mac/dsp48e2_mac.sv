// SPDX-License-Identifier: Apache-2.0
// dsp48e2_mac: one DSP48E2 of a cascade: p = (a + d) * b, plus the sum of the DSP below it, plus what SUM asks for.
//   TARGET 2 instantiates the primitive; otherwise the model below stands in, register for register.
// Registers: DEPTH in front of the product (1: behind the pre-adder, and b; 2: in front of it too), one behind the
//   product, one behind the sum with PREG. Without PREG the sum ripples on to the next DSP in the same cycle.
// Not verified: attributes and modes follow the vendor's manuals (UG579, UG974); no vendor model and no silicon was
//   available. The primitive is simulated with our own model of it, sim/cells/DSP48E2.sv. How many DSPs may ripple in a
//   cycle is for the vendor's timing analysis.
// Latency  : DEPTH + 1 + PREG clk cycles, held while en is low. No reset: `first` starts a sum.
// Resources: 1 DSP48E2; with SUM 2 also DEPTH + 1 flip-flops for `valid`, DEPTH for `first`.
// Test     : tests/hw/test_multipliers.py
`default_nettype none
module dsp48e2_mac #(
    // Registers in front of the multiplication: 1 or 2
    parameter int unsigned DEPTH = 1,
    // Register behind the sum
    parameter bit          PREG = 1'b1,
    // Add pcin
    parameter bit          CASCADE = 1'b0,
    // 0: nothing more; 1: add RND; 2: accumulate, from RND on (needs PREG)
    parameter int unsigned SUM = 0,
    parameter logic [47:0] RND = 48'd0,
    // 2: UltraScale+ primitive. Other values: behavioural model
    parameter int unsigned TARGET = 0
) (
    input  wire logic        clk,
    input  wire logic        en,
    // Used by SUM 2: the beat counts; its sum starts anew
    input  wire logic        valid,
    input  wire logic        first,
    // Terms of the first factor (a + d fits 27 bits) and the second factor, signed
    input  wire logic [26:0] a,
    input  wire logic [26:0] d,
    input  wire logic [17:0] b,
    // From pcout of the DSP below
    input  wire logic [47:0] pcin,
    // Sum, to the fabric and to pcin of the DSP above
    output logic      [47:0] p,
    output logic      [47:0] pcout
);
  if (DEPTH < 1 || DEPTH > 2 || SUM > 2 || (SUM == 2 && !PREG)) begin : gen_check
    $error("dsp48e2_mac: DEPTH=%0d must be 1 or 2, SUM=%0d at most 2, and 2 only with PREG=%0d set", DEPTH, SUM, PREG);
  end

  // `first` beside the product's inputs, `valid` beside the product
  logic [DEPTH-1:0] first_q;
  logic [DEPTH:0] valid_q;
  wire first_used = first_q[DEPTH-1];
  wire sum_en = en && (SUM != 2 || valid_q[DEPTH]);
  if (SUM == 2) begin : gen_flags
    always_ff @(posedge clk) begin
      if (en) begin
        first_q <= DEPTH'({first_q, first});
        valid_q <= (DEPTH + 1)'({valid_q, valid});
      end
    end
  end else begin : gen_no_flags
    assign first_q = '0;
    assign valid_q = '0;
    wire unused = ^{valid, first, first_used};
  end

  if (TARGET == 2) begin : gen_ultrascale
    localparam logic [2:0] Z = CASCADE ? 3'b001 : 3'b000;
    // The product takes multiplexers X and Y, pcin Z; W adds P or the constant RND
    wire [1:0] w = SUM == 0 ? 2'b00 : SUM == 1 || first_used ? 2'b10 : 2'b01;
    DSP48E2 #(
        .AMULTSEL("AD"), .BMULTSEL("B"), .PREADDINSEL("A"), .USE_MULT("MULTIPLY"), .A_INPUT("DIRECT"),
        .B_INPUT("DIRECT"), .AREG(DEPTH - 1), .ACASCREG(DEPTH - 1), .DREG(DEPTH - 1), .ADREG(1), .BREG(DEPTH),
        .BCASCREG(DEPTH), .CREG(0), .MREG(1), .PREG(PREG), .OPMODEREG(SUM == 2), .ALUMODEREG(0), .INMODEREG(0),
        .CARRYINREG(0), .CARRYINSELREG(0), .RND(RND)
    ) dsp_i (
        .CLK(clk),
        .A({{3{a[26]}}, a}), .B(b), .C(48'd0), .D(d), .PCIN(CASCADE ? pcin : 48'd0), .PCOUT(pcout), .P(p),
        .OPMODE({w, Z, 4'b0101}), .ALUMODE(4'b0000), .INMODE(5'b00100), .CARRYIN(1'b0), .CARRYINSEL(3'b000),
        .CEA1(1'b0), .CEA2(en), .CED(en), .CEAD(en), .CEB1(en), .CEB2(en), .CEM(en), .CEP(sum_en), .CECTRL(en),
        .CEALUMODE(1'b0), .CEC(1'b0), .CECARRYIN(1'b0), .CEINMODE(1'b0),
        .RSTA(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTCTRL(1'b0), .RSTD(1'b0),
        .RSTINMODE(1'b0), .RSTM(1'b0), .RSTP(1'b0)
    );
  end else begin : gen_model
    assign pcout = p;
    logic signed [26:0] a_used, d_used, ad_q;
    logic signed [17:0] b_used, b_q;
    logic signed [44:0] product_q;
    logic first_m_q;  // beside product_q
    wire [47:0] sum = 48'(product_q) + (CASCADE ? pcin : 48'd0)
        + (SUM == 0 ? 48'd0 : SUM == 1 || first_m_q ? RND : p);
    if (DEPTH == 2) begin : gen_inputs
      always_ff @(posedge clk) begin
        if (en) begin
          a_used <= a;
          d_used <= d;
          b_used <= b;
        end
      end
    end else begin : gen_no_inputs
      assign a_used = a;
      assign d_used = d;
      assign b_used = b;
    end
    always_ff @(posedge clk) begin
      if (en) begin
        ad_q      <= a_used + d_used;
        b_q       <= b_used;
        product_q <= 45'(ad_q) * 45'(b_q);
        first_m_q <= first_used;
      end
    end
    if (PREG) begin : gen_sum
      always_ff @(posedge clk) if (sum_en) p <= sum;
    end else begin : gen_ripple
      assign p = sum;
      wire unused = sum_en;
    end
  end
endmodule
`default_nettype wire
