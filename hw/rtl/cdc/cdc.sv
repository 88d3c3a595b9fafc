// SPDX-License-Identifier: Apache-2.0
// cdc: one stream across two unrelated clocks, by a word register and a toggle in each direction.
// The word is stable from the moment its toggle leaves until the other side's toggle has come back, so only the two
// toggles pass synchronizers. Throughput: one beat per about 3 cycles of each clock. Back pressure: full.
// Both resets must be held until both clocks run; resetting one side alone may lose or repeat one beat.
// Golden   : none (identity); Test: tests/hw/test_uart.py
`default_nettype none
module cdc #(
    parameter int unsigned WIDTH = 8
) (
    input  wire logic             s_clk,
    input  wire logic             s_rst,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output logic                  s_axis_tready,
    input  wire logic             m_clk,
    input  wire logic             m_rst,
    output logic      [WIDTH-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  wire logic             m_axis_tready
);
  logic [WIDTH-1:0] word_q;
  logic             sent_q;
  logic [      1:0] sent_sync_q;
  logic             taken_q;
  logic [      1:0] taken_sync_q;

  assign s_axis_tready = sent_q == taken_sync_q[1];
  always_ff @(posedge s_clk) begin
    taken_sync_q <= {taken_sync_q[0], taken_q};
    if (s_axis_tvalid && s_axis_tready) begin
      word_q <= s_axis_tdata;
      sent_q <= !sent_q;
    end
    if (s_rst) begin
      sent_q       <= 1'b0;
      taken_sync_q <= 2'b00;
    end
  end

  assign m_axis_tdata  = word_q;
  assign m_axis_tvalid = taken_q != sent_sync_q[1];
  always_ff @(posedge m_clk) begin
    sent_sync_q <= {sent_sync_q[0], sent_q};
    if (m_axis_tvalid && m_axis_tready) taken_q <= !taken_q;
    if (m_rst) begin
      taken_q     <= 1'b0;
      sent_sync_q <= 2'b00;
    end
  end
endmodule
`default_nettype wire
