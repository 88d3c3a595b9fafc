// SPDX-License-Identifier: Apache-2.0
// CCU2C: simulation model of the ECP5 cell, two bits of a carry chain.
// A bit's LUT4 of (A, B, C, D) chooses between carry in (LUT4 high: propagate) and the LUT2 of (A, B) made of the low
// four bits of INIT (generate). The sum is LUT4 xor carry. INJECT1 "YES" takes the carry from the sum, and the generate
// term away.
`default_nettype none
module CCU2C #(
    parameter logic [15:0] INIT0 = 16'h0000,
    parameter logic [15:0] INIT1 = 16'h0000,
    parameter INJECT1_0 = "YES",
    parameter INJECT1_1 = "YES"
) (
    input  wire logic CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output wire logic S0, S1, COUT
);
    wire logic lut_0 = INIT0[{D0, C0, B0, A0}];
    wire logic lut_1 = INIT1[{D1, C1, B1, A1}];
    wire logic generate_0 = INJECT1_0 == "YES" ? 1'b0 : INIT0[{2'b00, B0, A0}];
    wire logic generate_1 = INJECT1_1 == "YES" ? 1'b0 : INIT1[{2'b00, B1, A1}];
    wire logic carry = lut_0 ? CIN : generate_0;
    assign S0   = lut_0 ^ (INJECT1_0 == "YES" ? 1'b0 : CIN);
    assign S1   = lut_1 ^ (INJECT1_1 == "YES" ? 1'b0 : carry);
    assign COUT = lut_1 ? carry : generate_1;
endmodule
`default_nettype wire
