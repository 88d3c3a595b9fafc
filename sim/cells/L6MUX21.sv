// SPDX-License-Identifier: Apache-2.0
// L6MUX21: simulation model of the ECP5 cell, multiplexer of two PFUMX or L6MUX21.
`default_nettype none
module L6MUX21 (
    input  wire logic D0, D1, SD,
    output wire logic Z
);
    assign Z = SD ? D1 : D0;
endmodule
`default_nettype wire
