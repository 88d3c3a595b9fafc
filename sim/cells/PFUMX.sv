// SPDX-License-Identifier: Apache-2.0
// PFUMX: simulation model of the ECP5 cell, multiplexer of two LUT4 of a slice.
`default_nettype none
module PFUMX (
    input  wire logic ALUT, BLUT, C0,
    output wire logic Z
);
    assign Z = C0 ? ALUT : BLUT;
endmodule
`default_nettype wire
