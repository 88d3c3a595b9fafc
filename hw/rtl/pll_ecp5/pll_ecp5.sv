// SPDX-License-Identifier: Apache-2.0
// pll_ecp5: clock of clkin * FEEDBACK_DIV * LOOP_DIV / (INPUT_DIV * OUTPUT_DIV) from the ECP5's EHXPLLL primitive.
// The VCO runs at clkin * FEEDBACK_DIV * LOOP_DIV / INPUT_DIV and must stay within 400..800 MHz; the phase detector at
// clkin / INPUT_DIV, at least 3.125 MHz. Output CLKOP, which divides the VCO by LOOP_DIV, is fed back and clocks nothing
// else. synthesis/backends/nextpnr.py::pll_dividers finds the four numbers.
// Simulation model (without SYNTHESIS): clkout is clkin itself, and locked is high.
// Golden   : none; Test: tests/synthesis/test_backends.py (dividers), tests/e2e/test_board.py (model)
`default_nettype none
module pll_ecp5 #(
    parameter int unsigned INPUT_DIV = 1,
    parameter int unsigned FEEDBACK_DIV = 1,
    parameter int unsigned LOOP_DIV = 24,
    parameter int unsigned OUTPUT_DIV = 7
) (
    input  wire logic clkin,
    output wire logic clkout,
    output wire logic locked
);
`ifdef SYNTHESIS
  wire logic feedback;
  (* ICP_CURRENT = "12" *) (* LPF_RESISTOR = "8" *) (* MFG_ENABLE_FILTEROPAMP = "1" *) (* MFG_GMCREF_SEL = "2" *)
  EHXPLLL #(
      .PLLRST_ENA      ("DISABLED"),
      .INTFB_WAKE      ("DISABLED"),
      .STDBY_ENABLE    ("DISABLED"),
      .DPHASE_SOURCE   ("DISABLED"),
      .OUTDIVIDER_MUXA ("DIVA"),
      .OUTDIVIDER_MUXB ("DIVB"),
      .OUTDIVIDER_MUXC ("DIVC"),
      .OUTDIVIDER_MUXD ("DIVD"),
      .CLKI_DIV        (INPUT_DIV),
      .CLKFB_DIV       (FEEDBACK_DIV),
      .CLKOP_ENABLE    ("ENABLED"),
      .CLKOP_DIV       (LOOP_DIV),
      // Half a period, the setting Lattice's own generator chooses
      .CLKOP_CPHASE    (LOOP_DIV / 2),
      .CLKOP_FPHASE    (0),
      .CLKOS_ENABLE    ("ENABLED"),
      .CLKOS_DIV       (OUTPUT_DIV),
      .CLKOS_CPHASE    (OUTPUT_DIV / 2),
      .CLKOS_FPHASE    (0),
      .FEEDBK_PATH     ("CLKOP")
  ) pll_i (
      .CLKI        (clkin),
      .CLKFB       (feedback),
      .CLKOP       (feedback),
      .CLKOS       (clkout),
      .LOCK        (locked),
      .RST         (1'b0),
      .STDBY       (1'b0),
      .PHASESEL0   (1'b0),
      .PHASESEL1   (1'b0),
      .PHASEDIR    (1'b1),
      .PHASESTEP   (1'b1),
      .PHASELOADREG(1'b1),
      .PLLWAKESYNC (1'b0),
      .ENCLKOP     (1'b0)
  );
`else
  assign locked = 1'b1;
  assign clkout = clkin;
  // The dividers have no meaning here; naming them keeps lint quiet
  wire logic unused_ok = &{1'b0, INPUT_DIV[0], FEEDBACK_DIV[0], LOOP_DIV[0], OUTPUT_DIV[0]};
`endif
endmodule
`default_nettype wire
