// SPDX-License-Identifier: Apache-2.0
// offset: adds cfg_offset, sampled with a job's first beat, to every element of a beat. A subject for the tests of sim.
// FAULT plants an error: 1 drops tvalid while stalled, 2 changes tdata while stalled, 3 doubles beat 5, 4 loses beat 5,
// 5 wrong value in element 1 of beat 5, 6 tvalid waits for tready, 7 a failing assertion, 8 does not clear at rst.
// Latency  : 1 clk cycle. Throughput: 1 beat per cycle. Back pressure: full.
`default_nettype none
module offset #(
    // Elements per beat and their width
    parameter int unsigned ELEMS     = 10,
    parameter int unsigned ELEM_BITS = 8,
    parameter int unsigned FAULT     = 0
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic [15:0]                cfg_offset,
    input  wire logic [15:0]                cfg_beats,
    input  wire logic [ELEMS*ELEM_BITS-1:0] s_axis_tdata,
    input  wire logic                       s_axis_tvalid,
    output logic                            s_axis_tready,
    output logic [ELEMS*ELEM_BITS-1:0]      m_axis_tdata,
    output logic                            m_axis_tvalid,
    input  wire logic                       m_axis_tready
);
    logic [15:0] beat_q, offset_q, beats_q;
    logic        valid_q;
    logic [ELEMS*ELEM_BITS-1:0] data_q;
    logic [15:0] seen_q;
    int unsigned peak /* verilator public_flat_rd */;
    wire logic first = beat_q == 16'd0;
    wire logic [15:0] offset_now = first ? cfg_offset : offset_q;
    wire logic [15:0] beats_now  = first ? cfg_beats : beats_q;
    wire logic again = FAULT == 3 && seen_q == 16'd5;

    assign s_axis_tready = (!valid_q || m_axis_tready) && !again;
    assign m_axis_tvalid = FAULT == 6 ? valid_q && m_axis_tready : valid_q;
    assign m_axis_tdata  = data_q;

    always_ff @(posedge clk) begin
        peak <= 32'(seen_q);
        if (m_axis_tready && valid_q) valid_q <= again;
        if (FAULT == 1 && valid_q && !m_axis_tready) valid_q <= 1'b0;
        if (FAULT == 2 && valid_q && !m_axis_tready) data_q <= ~data_q;
        if (again && m_axis_tready && valid_q) seen_q <= 16'd6;
        if (s_axis_tvalid && s_axis_tready) begin
            valid_q  <= !(FAULT == 4 && seen_q == 16'd5);
            seen_q   <= seen_q + 16'd1;
            beat_q   <= beat_q + 16'd1 == beats_now ? 16'd0 : beat_q + 16'd1;
            offset_q <= offset_now;
            beats_q  <= beats_now;
            for (int i = 0; i < ELEMS; i++)
                data_q[i*ELEM_BITS +: ELEM_BITS] <= s_axis_tdata[i*ELEM_BITS +: ELEM_BITS] + ELEM_BITS'(offset_now)
                    + ELEM_BITS'(FAULT == 5 && i == 1 && seen_q == 16'd5);
        end
        if (rst) begin
            valid_q <= 1'b0;
            seen_q  <= 16'd0;
            if (FAULT != 8) beat_q <= 16'd0;
        end
    end
`ifndef SYNTHESIS
    planted : assert property (@(posedge clk) disable iff (rst) !(FAULT == 7 && seen_q == 16'd5))
        else $error("%m: planted");
`endif
endmodule
