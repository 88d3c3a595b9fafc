// SPDX-License-Identifier: Apache-2.0
// TRELLIS_FF: simulation model of the ECP5 cell, a flip-flop with clock enable and set or reset (over the enable).
// Power-up: the value that LSR loads. GSR is not modelled, as nothing drives it.
`default_nettype none
module TRELLIS_FF #(
    parameter GSR     = "ENABLED",
    parameter CEMUX   = "1",
    parameter CLKMUX  = "CLK",
    parameter LSRMUX  = "LSR",
    parameter SRMODE  = "LSR_OVER_CE",
    parameter REGSET  = "RESET",
    parameter LSRMODE = "LSR"
) (
    input  wire logic CLK, LSR, CE, DI, M,
    output logic      Q
);
    if (LSRMODE != "LSR") begin : gen_check_lsrmode
        $error("TRELLIS_FF: LSRMODE %s is not modelled, LSR is expected", LSRMODE);
    end
    localparam logic VALUE = REGSET == "SET";
    wire logic clk = CLKMUX == "INV" ? !CLK : CLK;
    wire logic lsr = LSRMUX == "INV" ? !LSR : LSR;
    wire logic ce  = CEMUX == "1" ? 1'b1 : CEMUX == "0" ? 1'b0 : CEMUX == "INV" ? !CE : CE;
    initial Q = VALUE;
    if (SRMODE == "ASYNC") begin : gen_async
        always_ff @(posedge clk or posedge lsr) begin
            if (lsr) Q <= VALUE;
            else if (ce) Q <= DI;
        end
    end else begin : gen_sync
        always_ff @(posedge clk) begin
            if (lsr) Q <= VALUE;
            else if (ce) Q <= DI;
        end
    end
endmodule
`default_nettype wire
