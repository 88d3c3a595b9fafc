// SPDX-License-Identifier: Apache-2.0
// TRELLIS_IO: Yosys' model of the cell as tests/sim/test_cells.py has it written out, a module for each direction.
`default_nettype none
module TRELLIS_IO #(
    parameter DIR = "INPUT"
) (
    inout  wire logic B,
    input  wire logic I, T,
    output wire logic O
);
  if (DIR == "INPUT") begin : gen_input
    pad_input pad_i (.B, .I, .T, .O);
  end else begin : gen_output
    pad_output pad_i (.B, .I, .T, .O);
  end
endmodule
`default_nettype wire
