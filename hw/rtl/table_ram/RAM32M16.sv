// SPDX-License-Identifier: Apache-2.0
// RAM32M16: declaration of the UltraScale+ LUT RAM for synthesis; Yosys' file of black boxes lacks it.
// A simulation with TARGET 2 brings its own model of the cell.
`ifdef SYNTHESIS
(* blackbox *)
module RAM32M16 (
    output [1:0] DOA, DOB, DOC, DOD, DOE, DOF, DOG, DOH,
    input  [4:0] ADDRA, ADDRB, ADDRC, ADDRD, ADDRE, ADDRF, ADDRG, ADDRH,
    input  [1:0] DIA, DIB, DIC, DID, DIE, DIF, DIG, DIH,
    input        WCLK,
    input        WE
);
endmodule
`endif
