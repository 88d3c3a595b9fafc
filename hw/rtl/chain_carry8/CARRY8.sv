// SPDX-License-Identifier: Apache-2.0
// CARRY8: declaration of the UltraScale+ carry cell for synthesis; Yosys' file of black boxes lacks it.
// A simulation with TARGET 2 brings its own model of the cell.
`ifdef SYNTHESIS
(* blackbox *)
module CARRY8 #(
    parameter CARRY_TYPE = "SINGLE_CY8"
) (
    output [7:0] CO,
    output [7:0] O,
    input        CI,
    input        CI_TOP,
    input  [7:0] DI,
    input  [7:0] S
);
endmodule
`endif
