// SPDX-License-Identifier: Apache-2.0
// TRELLIS_IO: simulation model of the ECP5 pad as an input or an output (both directions at once are not modelled).
// An output drives whatever T says.
`default_nettype none
module TRELLIS_IO #(
    parameter DIR = "INPUT"
) (
    inout  wire logic B,
    input  wire logic I, T,
    output wire logic O
);
    if (DIR == "INPUT") begin : gen_input
        assign O = B;
    end else if (DIR == "OUTPUT") begin : gen_output
        assign B = I;
        assign O = I;
    end else begin : gen_check_dir
        $error("TRELLIS_IO: DIR %s is not modelled, INPUT or OUTPUT is expected", DIR);
    end
endmodule
`default_nettype wire
