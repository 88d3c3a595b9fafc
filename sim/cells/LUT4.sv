// SPDX-License-Identifier: Apache-2.0
// LUT4: simulation model of the ECP5 cell, a table of four inputs, A the lowest address bit.
`default_nettype none
module LUT4 #(
    parameter logic [15:0] INIT = 16'h0000
) (
    input  wire logic A, B, C, D,
    output wire logic Z
);
    assign Z = INIT[{D, C, B, A}];
endmodule
`default_nettype wire
