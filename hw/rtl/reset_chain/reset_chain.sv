// SPDX-License-Identifier: Apache-2.0
// reset_chain: resets of units that stand in a row, one register each, so that no wire of the reset has to cross the device.
//   rst       a pulse of a cycle or more, at any time
//   unit_rst  reset of each unit; rises and falls first for unit STAGES-1, the last of the row, and last for unit 0
//   open      the units take and give beats; low from the cycle behind the first one of rst
// All units are in reset at once before the first of them leaves it, and a unit leaves it no earlier than those behind it,
// so that none sends a beat to one that is still in reset. A counter of two phases of 2**PHASE >= STAGES cycles times
// both. A new pulse starts it again. Configuration leaves all units in reset: none runs before it has been through one.
// Golden   : none; Test: tests/hw/test_reset_chain.py
`default_nettype none
module reset_chain #(
    parameter int unsigned STAGES = 4
) (
    input  wire logic              clk,
    input  wire logic              rst,
    output logic      [STAGES-1:0] unit_rst,
    output logic                   open
);
  localparam int unsigned PHASE = $clog2(STAGES);

  if (STAGES < 2) begin : gen_check_stages
    $error("reset_chain: STAGES=%0d must be at least 2", STAGES);
  end

  logic [PHASE:0] count_q;
  initial begin
    count_q  = '0;
    unit_rst = '1;
    open     = 1'b0;
  end
  always_ff @(posedge clk) begin
    if (rst) count_q <= '0;
    else if (!(&count_q)) count_q <= count_q + 1'b1;
    unit_rst <= {rst || !count_q[PHASE], unit_rst[STAGES-1:1]};
    open     <= !rst && &count_q;
  end
endmodule
`default_nettype wire
