// SPDX-License-Identifier: Apache-2.0
// TRELLIS_DPR16X4: simulation model of the ECP5 cell, LUT RAM of 16 x 4 bits, written at the clock, read at once.
`default_nettype none
module TRELLIS_DPR16X4 #(
    parameter WCKMUX = "WCK",
    parameter WREMUX = "WRE",
    parameter logic [63:0] INITVAL = 64'd0
) (
    input  wire logic [3:0] DI, WAD,
    input  wire logic       WRE, WCK,
    input  wire logic [3:0] RAD,
    output wire logic [3:0] DO
);
    logic [3:0] words_q[16];
    initial for (int i = 0; i < 16; i++) words_q[i] = INITVAL[4*i+:4];
    wire logic clk = WCKMUX == "INV" ? !WCK : WCK;
    wire logic we  = WREMUX == "1" ? 1'b1 : WREMUX == "0" ? 1'b0 : WREMUX == "INV" ? !WRE : WRE;
    always_ff @(posedge clk) if (we) words_q[WAD] <= DI;
    assign DO = words_q[RAD];
endmodule
`default_nettype wire
