// SPDX-License-Identifier: Apache-2.0
// mvu_lane_dsp_cascade: two rows of fixed-point weights share one DSP48E2 per input, summed along the DSP cascade.
//   (w1 * 2^22 + w0) * a = (w1 * a) * 2^22 + w0 * a. The pre-adder packs the weights, chains of up to 8 DSPs sum the
//   products, in two parts of four that ripple within a cycle, and the last DSP of a chain may accumulate the beats of
//   a row. A sum starts from 2^21: so the low field never is negative and never borrows from the high one.
// Limits   : W_BITS <= 4, activations of at most 8 bits; ACCUMULATE: a chain adds up at most 2047 products of signed,
//   1028 of unsigned activations.
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low: that of mvu_lane_dsp_pair.
// Resources: SIMD DSP48E2, adders where chains meet. Unverified on silicon: see dsp48e2_mac.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes_dsp.py
`default_nettype none
module mvu_lane_dsp_cascade #(
    // 2 or more
    parameter  int unsigned SIMD = 4,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // Activations are signed
    parameter  bit          A_SIGNED = 1'b1,
    // y0 and y1 are sums of all beats since `first`, not of one beat
    parameter  bit          ACCUMULATE = 1'b0,
    // 0: behavioural, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned CHAINS = (SIMD + 7) / 8,
    localparam int unsigned FIELD = 22,
    localparam int unsigned PART_BITS = ACCUMULATE ? FIELD
        : A_BITS + (A_SIGNED ? 0 : 1) + W_BITS + $clog2((SIMD + CHAINS - 1) / CHAINS),  // of a chain
    localparam int unsigned Y_BITS = PART_BITS + $clog2(CHAINS)
) (
    input  wire logic                   clk,
    input  wire logic                   en,
    // Used by ACCUMULATE: the beat counts; it is the first of its sum
    input  wire logic                   valid,
    input  wire logic                   first,
    input  wire logic [SIMD*A_BITS-1:0] a,
    input  wire logic [SIMD*W_BITS-1:0] w0,
    input  wire logic [SIMD*W_BITS-1:0] w1,
    // Row sums: w0 . a = y0 and w1 . a = y1 + carry1 (always 0 here)
    output logic      [Y_BITS-1:0]      y0,
    output logic      [Y_BITS-1:0]      y1,
    output logic                        carry1
);
  localparam int unsigned INPUTS = (SIMD + CHAINS - 1) / CHAINS;  // of a chain
  localparam int unsigned RIPPLE = 4;  // DSPs of a chain between registers
  localparam bit TWO = INPUTS > RIPPLE;  // the chain has a second part, a cycle behind the first
  localparam int unsigned STAGES = 2 + $clog2(SIMD) + (SIMD > 8 ? 1 : 0);
  localparam int unsigned JOIN = $clog2(CHAINS);  // cycles of the adders where chains meet
  // Registers in front of the products of the last part, one less in the first of two
  localparam int unsigned DEPTH = TWO || STAGES >= 4 + JOIN ? 2 : 1;
  localparam int unsigned WAIT = STAGES - DEPTH - 2 - JOIN;
  if (WAIT > 2) begin : gen_check_wait
    $error("mvu_lane_dsp_cascade: SIMD=%0d would wait %0d cycles", SIMD, WAIT);
  end
  if (SIMD < 2 || W_BITS < 2 || W_BITS > 4 || A_BITS > 8) begin : gen_check_bits
    $error("mvu_lane_dsp_cascade: SIMD=%0d must be at least 2, W_BITS=%0d in 2..4 and A_BITS=%0d at most 8",
           SIMD, W_BITS, A_BITS);
  end

  logic [CHAINS*PART_BITS-1:0] low, high;
  for (genvar g = 0; g < CHAINS; g++) begin : gen_chain
    // Inputs of this chain
    localparam int unsigned FROM = g * INPUTS;
    localparam int unsigned COUNT = FROM + INPUTS <= SIMD ? INPUTS : SIMD - FROM;
    localparam int unsigned SPLIT = COUNT > RIPPLE ? RIPPLE : 0;  // of them in the first part
    for (genvar i = 0; i < COUNT; i++) begin : gen_dsp
      wire signed [W_BITS-1:0] low_w = w0[(FROM+i)*W_BITS+:W_BITS];
      wire signed [W_BITS-1:0] high_w = w1[(FROM+i)*W_BITS+:W_BITS];
      wire signed [A_BITS:0] ai = {A_SIGNED && a[(FROM+i+1)*A_BITS-1], a[(FROM+i)*A_BITS+:A_BITS]};
      logic [47:0] p, pcin, pcout;
      if (i == 0) begin : gen_start
        assign pcin = '0;
      end else begin : gen_next
        assign pcin = gen_dsp[i-1].pcout;
      end
      dsp48e2_mac #(
          .DEPTH(i < SPLIT ? DEPTH - 1 : DEPTH), .PREG(i + 1 == SPLIT || i + 1 == COUNT), .CASCADE(i > 0),
          .SUM(i + 1 != COUNT ? 0 : ACCUMULATE ? 2 : 1), .RND(48'd1 << (FIELD - 1)), .TARGET(TARGET)
      ) dsp_i (
          .clk, .en, .valid, .first, .a(27'(low_w)), .d({5'(high_w), 22'd0}), .b(18'(ai)), .pcin, .p, .pcout
      );
      wire unused = ^{p, pcout};
    end
    wire [47:0] sum = gen_dsp[COUNT-1].p;
    wire [FIELD-1:0] row0 = {~sum[FIELD-1], sum[FIELD-2:0]};  // less 2^21
    assign low[g*PART_BITS+:PART_BITS]  = row0[PART_BITS-1:0];
    assign high[g*PART_BITS+:PART_BITS] = sum[FIELD+:PART_BITS];
    wire unused = ^{row0, sum};
  end

  // Of two cycles to wait, one is in front of the adders: shift registers as long as three become LUTs
  logic [CHAINS*PART_BITS-1:0] low_used, high_used;
  if (WAIT < 2) begin : gen_chains
    assign {high_used, low_used} = {high, low};
  end else begin : gen_chains_wait
    always_ff @(posedge clk) if (en) {high_used, low_used} <= {high, low};
  end
  logic [Y_BITS-1:0] sum0, sum1;
  mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) low_i (.clk, .en, .x(low_used), .y(sum0));
  mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) high_i (.clk, .en, .x(high_used), .y(sum1));
  if (WAIT == 0) begin : gen_direct
    assign {y1, y0} = {sum1, sum0};
  end else begin : gen_wait
    always_ff @(posedge clk) if (en) {y1, y0} <= {sum1, sum0};
  end
  assign carry1 = 1'b0;
endmodule
`default_nettype wire
