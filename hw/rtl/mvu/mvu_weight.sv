// SPDX-License-Identifier: Apache-2.0
// mvu_weight: magnitude of a weight code, whose top bit is the sign in every scheme; combinational, one LUT a bit for
//   codes of up to 4 (ECP5) or 6 bits.
//   fixed: two's complement; PoT {sign, e} and SP2 {sign, e1, e2}: see mvu_lane_shift.
// Limits   : fixed weights >= -(2^(W_BITS-1)-1).
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_weight #(
    parameter  int unsigned W_BITS = 4,
    // 0: fixed-point, 1: PoT, 2: SP2
    parameter  int unsigned SCHEME = 0,
    localparam int unsigned M1 = W_BITS / 2,
    localparam int unsigned M2 = (W_BITS - 1) / 2,
    localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2,
    // Bits of a magnitude, unsigned
    localparam int unsigned VALUE_BITS = SCHEME == 0 ? W_BITS - 1 : SCHEME == 1 ? POT_TOP + 1 : 2 ** M1
) (
    input  wire logic [W_BITS-1:0]     code,
    output logic      [VALUE_BITS-1:0] magnitude
);
  if (SCHEME == 0) begin : gen_fixed
    // -code: a bit is inverted when one below it is set
    for (genvar i = 0; i < VALUE_BITS; i++) begin : gen_bit
      localparam logic [W_BITS-1:0] BELOW = W_BITS'(2 ** i - 1);
      assign magnitude[i] = code[i] ^ (code[W_BITS-1] && (code & BELOW) != '0);
    end
  end else begin : gen_shift
    logic [2**(W_BITS-1)*VALUE_BITS-1:0] values;
    for (genvar e = 0; e < 2 ** (W_BITS - 1); e++) begin : gen_code
      localparam int unsigned E = e;
      localparam int unsigned E1 = E >> M2;
      localparam int unsigned E2 = E % 2 ** M2;
      localparam int unsigned TERM1 = E1 == 0 ? 0 : 2 ** (E1 - 1);
      localparam int unsigned TERM2 = E2 == 0 ? 0 : 2 ** (E2 - 1 + 2 ** M1 - 2 ** M2);
      localparam int unsigned POWER = E == 0 || E > POT_TOP + 1 ? 0 : 2 ** (E - 1);
      localparam int unsigned MAGNITUDE = SCHEME == 1 ? POWER : TERM1 + TERM2;
      assign values[e*VALUE_BITS+:VALUE_BITS] = VALUE_BITS'(MAGNITUDE);
    end
    assign magnitude = values[code[W_BITS-2:0]*VALUE_BITS+:VALUE_BITS];
    wire unused = code[W_BITS-1];
  end
endmodule
`default_nettype wire
