// SPDX-License-Identifier: Apache-2.0
// LUT6_2: declaration of the UltraScale+ LUT with two outputs for synthesis; Yosys' file of black boxes lacks it.
// A simulation with TARGET 2 brings its own model of the cell.
`ifdef SYNTHESIS
(* blackbox *)
module LUT6_2 #(
    parameter [63:0] INIT = 64'd0
) (
    output O6,
    output O5,
    input  I0,
    input  I1,
    input  I2,
    input  I3,
    input  I4,
    input  I5
);
endmodule
`endif
