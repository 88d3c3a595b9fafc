// SPDX-License-Identifier: Apache-2.0
// mvu_lane_dsp_cascade: two rows of fixed-point weights share one DSP48E2 per input, summed along the DSP cascade.
//   (w1 * 2^22 + w0) * a = (w1 * a) * 2^22 + w0 * a. The pre-adder packs the weights, chains of up to 12 DSPs sum the
//   products, in parts of four that ripple within a cycle, and the last DSP of a chain may accumulate the beats of a row.
//   Each part is a cycle behind the one before: DSP registers make up for it, the third part has one in front.
//   A sum starts from 2^21: so the low field never is negative and never borrows from the high one.
// Limits   : W_BITS <= 4, activations of at most 8 bits; ACCUMULATE: a chain adds up at most 2047 products of signed,
//   1028 of unsigned activations.
// Latency  : 2 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles, held while en is low: that of mvu_lane_dsp_pair.
// Resources: SIMD DSP48E2, adders where chains meet (three in one LUT a bit, add_three). Unverified on silicon: see
//   dsp48e2_mac.
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
    localparam int unsigned CHAINS = (SIMD + 11) / 12,
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
  localparam int unsigned PARTS = (INPUTS + RIPPLE - 1) / RIPPLE;  // of a chain, at most 3
  localparam int unsigned STAGES = 2 + $clog2(SIMD) + (SIMD > 8 ? 1 : 0);
  localparam int unsigned JOIN = $clog2(CHAINS);  // cycles of the adders where chains meet
  // Registers in front of the products of the last part, one less in each part before
  localparam int unsigned DEPTH = PARTS > 1 ? PARTS : STAGES >= 4 + JOIN ? 2 : 1;
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
    localparam int unsigned LAST = (COUNT - 1) / RIPPLE;  // its last part
    for (genvar i = 0; i < COUNT; i++) begin : gen_dsp
      wire signed [W_BITS-1:0] low_w = w0[(FROM+i)*W_BITS+:W_BITS];
      wire signed [W_BITS-1:0] high_w = w1[(FROM+i)*W_BITS+:W_BITS];
      wire signed [A_BITS:0] ai = {A_SIGNED && a[(FROM+i+1)*A_BITS-1], a[(FROM+i)*A_BITS+:A_BITS]};
      localparam int unsigned REGISTERS = DEPTH - (LAST - i / RIPPLE);
      logic signed [W_BITS-1:0] low_used, high_used;
      logic signed [A_BITS:0] a_used;
      logic valid_used, first_used;
      if (REGISTERS <= 2) begin : gen_inside
        assign {low_used, high_used, a_used, valid_used, first_used} = {low_w, high_w, ai, valid, first};
      end else begin : gen_in_front
        always_ff @(posedge clk) begin
          if (en) {low_used, high_used, a_used, valid_used, first_used} <= {low_w, high_w, ai, valid, first};
        end
      end
      logic [47:0] p, pcin, pcout;
      if (i == 0) begin : gen_start
        assign pcin = '0;
      end else begin : gen_next
        assign pcin = gen_dsp[i-1].pcout;
      end
      dsp48e2_mac #(
          .DEPTH(REGISTERS < 2 ? 1 : 2), .PREG(i % RIPPLE == RIPPLE - 1 || i + 1 == COUNT), .CASCADE(i > 0),
          .SUM(i + 1 != COUNT ? 0 : ACCUMULATE ? 2 : 1), .RND(48'd1 << (FIELD - 1)), .TARGET(TARGET)
      ) dsp_i (
          .clk, .en, .valid(valid_used), .first(first_used), .a(27'(low_used)), .d({5'(high_used), 22'd0}),
          .b(18'(a_used)), .pcin, .p, .pcout
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
  if (CHAINS == 3) begin : gen_three
    logic [1:0][2:0][PART_BITS-1:0] parts_q;
    for (genvar r = 0; r < 2; r++) begin : gen_row
      logic [2:0][Y_BITS-1:0] wide;
      logic [Y_BITS-1:0] total;
      for (genvar g = 0; g < 3; g++) begin : gen_part
        assign wide[g] = Y_BITS'($signed(parts_q[r][g]));
      end
      add_three #(.WIDTH(Y_BITS), .TARGET(TARGET)) add_i (
          .a(wide[0]), .b(wide[1]), .c(wide[2]), .carry(2'b00), .y(total)
      );
    end
    always_ff @(posedge clk) begin
      if (en) begin
        parts_q <= {high_used, low_used};
        sum0    <= gen_row[0].total;
        sum1    <= gen_row[1].total;
      end
    end
  end else begin : gen_tree
    mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) low_i (.clk, .en, .x(low_used), .y(sum0));
    mvu_tree #(.N(CHAINS), .IN_BITS(PART_BITS)) high_i (.clk, .en, .x(high_used), .y(sum1));
  end
  if (WAIT == 0) begin : gen_direct
    assign {y1, y0} = {sum1, sum0};
  end else begin : gen_wait
    always_ff @(posedge clk) if (en) {y1, y0} <= {sum1, sum0};
  end
  assign carry1 = 1'b0;
endmodule
`default_nettype wire
