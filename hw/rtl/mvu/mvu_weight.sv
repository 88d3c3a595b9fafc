// SPDX-License-Identifier: Apache-2.0
// mvu_weight: integer of a weight code, combinational.
//   fixed: two's complement; PoT {sign, e} and SP2 {sign, e1, e2}: see mvu_lane_shift.
// Test     : tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_weight #(
    parameter  int unsigned W_BITS = 4,
    // 0: fixed-point, 1: PoT, 2: SP2
    parameter  int unsigned SCHEME = 0,
    localparam int unsigned M1 = W_BITS / 2,
    localparam int unsigned M2 = (W_BITS - 1) / 2,
    localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2,
    // Bits of a value, signed
    localparam int unsigned VALUE_BITS = SCHEME == 0 ? W_BITS : SCHEME == 1 ? POT_TOP + 2 : 2 ** M1 + 1
) (
    input  wire logic [W_BITS-1:0]     code,
    output logic      [VALUE_BITS-1:0] value
);
  if (SCHEME == 0) begin : gen_fixed
    assign value = code;
  end else begin : gen_shift
    logic [VALUE_BITS-1:0] magnitude;
    if (SCHEME == 1) begin : gen_pot
      always_comb begin
        magnitude = '0;
        for (int k = 0; k <= POT_TOP; k++) magnitude[k] = code[W_BITS-2:0] == (W_BITS - 1)'(k + 1);
      end
    end else begin : gen_sp2
      logic [VALUE_BITS-1:0] term1, term2;
      always_comb begin
        term1 = '0;
        for (int k = 0; k < 2 ** M1 - 1; k++) term1[k] = code[W_BITS-2-:M1] == M1'(k + 1);
      end
      if (M2 == 0) begin : gen_one_term
        assign term2 = '0;
      end else begin : gen_two_terms
        always_comb begin
          term2 = '0;
          for (int k = 0; k < 2 ** M2 - 1; k++) term2[k+2**M1-2**M2] = code[M2-1:0] == M2'(k + 1);
        end
      end
      assign magnitude = term1 + term2;
    end
    assign value = code[W_BITS-1] ? -magnitude : magnitude;
  end
endmodule
`default_nettype wire
