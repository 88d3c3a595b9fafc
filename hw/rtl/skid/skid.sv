// SPDX-License-Identifier: Apache-2.0
// skid: stream register of two entries that cuts the forward and the backward path.
// Latency  : 1 clk cycle. Throughput: 1 beat per cycle. Back pressure: full, s_axis_tready is a register.
// Resources: 2 * WIDTH flip-flops, WIDTH LUT.
// Test     : tests/hw/test_skid.py
`default_nettype none
module skid #(
    // Width of a beat in bits
    parameter int unsigned WIDTH = 8
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output logic                  s_axis_tready,
    output logic      [WIDTH-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  wire logic             m_axis_tready
);
  if (WIDTH < 1) begin : gen_check_width
    $error("skid: WIDTH=%0d must be at least 1", WIDTH);
  end

  logic [WIDTH-1:0] spare_q;  // beat that arrived in the cycle in which the output stalled
  logic ready_q, valid_q;
  wire  out_free = !valid_q || m_axis_tready;

  assign s_axis_tready = ready_q;
  assign m_axis_tvalid = valid_q;

  always_ff @(posedge clk) begin
    if (ready_q) spare_q <= s_axis_tdata;
    if (out_free) m_axis_tdata <= ready_q ? s_axis_tdata : spare_q;
    if (rst) begin
      ready_q <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      // the spare entry is in use while ready_q is low and the output is valid
      ready_q <= out_free || (ready_q && !s_axis_tvalid);
      if (out_free) valid_q <= ready_q ? s_axis_tvalid : valid_q;
    end
  end

`ifndef SYNTHESIS
  skid_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
