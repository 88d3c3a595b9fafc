// SPDX-License-Identifier: Apache-2.0
// LUT6_2: model of the UltraScale+ LUT with two outputs: O6 of all six inputs, O5 of I0..I4 from the lower half of
// INIT.
`default_nettype none
module LUT6_2 #(
    parameter [63:0] INIT = 64'd0
) (
    output wire logic O6,
    output wire logic O5,
    input  wire logic I0,
    input  wire logic I1,
    input  wire logic I2,
    input  wire logic I3,
    input  wire logic I4,
    input  wire logic I5
);
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule
`default_nettype wire
