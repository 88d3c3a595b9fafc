// SPDX-License-Identifier: Apache-2.0
// pair: two lanes in packed ports, lane 0 passes, lane 1 negates; a write port sets what lane 1 adds. For tests of sim.
`default_nettype none
module pair #(
    parameter int unsigned WIDTH = 12
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic               wr_en,
    input  wire logic [0:0]         wr_addr,
    input  wire logic [WIDTH-1:0]   wr_data,
    input  wire logic [WIDTH-1:0]   s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output logic                    s_axis_tready,
    output logic [2*WIDTH-1:0]      m_axis_tdata,
    output logic [1:0]              m_axis_tvalid,
    input  wire logic [1:0]         m_axis_tready
);
    logic [WIDTH-1:0] add_q [2];
    wire logic [1:0] done = ~m_axis_tvalid | m_axis_tready;
    assign s_axis_tready = &done;
    always_ff @(posedge clk) begin
        if (wr_en) add_q[wr_addr] <= wr_data;
        m_axis_tvalid <= m_axis_tvalid & ~m_axis_tready;
        if (s_axis_tvalid && s_axis_tready) begin
            m_axis_tvalid <= 2'b11;
            m_axis_tdata  <= {add_q[1] - s_axis_tdata, add_q[0] + s_axis_tdata};
        end
        if (rst) m_axis_tvalid <= 2'b00;
    end
endmodule
