// SPDX-License-Identifier: Apache-2.0
// reset_chain: resets of units that stand in a row, one register each: no wire of the reset has to cross the device.
//   All units are in reset at once before the first of them leaves it, and a unit leaves it no earlier than those behind
//   it, so that none sends a beat to one that is still in reset. A counter of two phases of 2^clog2(STAGES) cycles times
//   both; a new pulse starts it again. Configuration leaves all units in reset and starts the counter.
// Latency  : open rises 2 * 2^clog2(STAGES) clk cycles after the last cycle of rst.
// Resources: STAGES + clog2(STAGES) + 2 FF.
// Golden   : synthesis/generate.py::start_cycles  Test: tests/hw/test_reset_chain.py
`default_nettype none
// Initial values are what configuration leaves
/* verilator lint_off PROCASSINIT */
module reset_chain #(
    // Units, 2 or more
    parameter int unsigned STAGES = 4
) (
    input  wire logic              clk,
    // A pulse of one cycle or more, at any time
    input  wire logic              rst,
    // Reset of each unit; rises and falls first for unit STAGES-1, the last of the row, and last for unit 0
    output logic      [STAGES-1:0] unit_rst = '1,
    // The units may take and give beats; low from the cycle behind the first one of rst
    output logic                   open = 1'b0
);
  localparam int unsigned PHASE = $clog2(STAGES);

  if (STAGES < 2) begin : gen_check_stages
    $error("reset_chain: STAGES=%0d must be at least 2", STAGES);
  end

  logic [PHASE:0] count_q = '0;
  always_ff @(posedge clk) begin
    if (rst) count_q <= '0;
    else if (!(&count_q)) count_q <= count_q + 1'b1;
    unit_rst <= {rst || !count_q[PHASE], unit_rst[STAGES-1:1]};
    open     <= !rst && &count_q;
  end
endmodule
/* verilator lint_on PROCASSINIT */
`default_nettype wire
