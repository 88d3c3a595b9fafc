// SPDX-License-Identifier: Apache-2.0
// chain: a network of three units in the form of a generated one, for the tests of sim/network.py.
//   image (ROWS x COLS codes) -> scaled: table[code], 8 bit -> pairs: two codes per beat, lane 0 the odd column
//   -> fifo -> logits: sum of every row, 16 bit.
// FAULT plants an error: 1 a wrong code in unit `pair` (image 1, row 2, columns 2 and 3), 2 a wrong logit from image 3 on.
`default_nettype none
`ifdef VITRAIL_PROBE
`define PROBE /* verilator public_flat_rd */
`else
`define PROBE
`endif
module chain #(
    parameter int unsigned ROWS  = 4,
    parameter int unsigned COLS  = 6,
    parameter int unsigned FAULT = 0
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [7:0]  s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output logic             s_axis_tready,
    output logic [15:0]      m_axis_tdata,
    output logic             m_axis_tvalid,
    input  wire logic        m_axis_tready,
    output logic             m_axis_tlast
);
    logic [7:0]  e_image_tdata `PROBE, e_scaled_tdata `PROBE;
    logic [15:0] e_pairs_tdata `PROBE, q_pairs_tdata, e_logits_tdata `PROBE;
    logic e_image_tvalid `PROBE, e_scaled_tvalid `PROBE, e_pairs_tvalid `PROBE, q_pairs_tvalid, e_logits_tvalid `PROBE;
    logic e_image_tready `PROBE, e_scaled_tready `PROBE, e_pairs_tready `PROBE, q_pairs_tready, e_logits_tready `PROBE;
    logic [15:0] image_q, row_q, col_q;
    logic [7:0]  table_q [256];
    initial $readmemh("table.hex", table_q);

    assign e_image_tdata  = s_axis_tdata;
    assign e_image_tvalid = s_axis_tvalid;
    assign s_axis_tready  = e_image_tready;
    assign e_image_tready = !e_scaled_tvalid || e_scaled_tready;
    // pair
    logic        half_q;
    logic [7:0]  even_q;
    wire logic   spoil = FAULT == 1 && image_q == 16'd1 && row_q == 16'd2 && col_q == 16'd3;
    assign e_scaled_tready = !half_q || !e_pairs_tvalid || e_pairs_tready;
    // fifo of one beat
    assign e_pairs_tready = !q_pairs_tvalid || q_pairs_tready;
    int unsigned peak /* verilator public_flat_rd */;
    // row sum
    logic [15:0] sum_q, taken_q, done_q;
    assign q_pairs_tready = !e_logits_tvalid || e_logits_tready;
    assign e_logits_tready = m_axis_tready;
    assign m_axis_tdata  = e_logits_tdata;
    assign m_axis_tvalid = e_logits_tvalid;
    assign m_axis_tlast  = done_q % 16'(ROWS) == 16'(ROWS - 1);
    wire logic [15:0] add = sum_q + {{8{q_pairs_tdata[15]}}, q_pairs_tdata[15:8]} + {{8{q_pairs_tdata[7]}}, q_pairs_tdata[7:0]};

    always_ff @(posedge clk) begin
        if (e_scaled_tready) e_scaled_tvalid <= 1'b0;
        if (e_image_tvalid && e_image_tready) begin
            e_scaled_tdata  <= table_q[e_image_tdata];
            e_scaled_tvalid <= 1'b1;
        end
        if (e_pairs_tready) e_pairs_tvalid <= 1'b0;
        if (e_scaled_tvalid && e_scaled_tready) begin
            half_q <= !half_q;
            even_q <= e_scaled_tdata;
            if (half_q) begin
                e_pairs_tvalid <= 1'b1;
                e_pairs_tdata  <= {even_q ^ {7'd0, spoil}, e_scaled_tdata};
            end
            col_q <= col_q == 16'(COLS - 1) ? 16'd0 : col_q + 16'd1;
            if (col_q == 16'(COLS - 1)) begin
                row_q <= row_q == 16'(ROWS - 1) ? 16'd0 : row_q + 16'd1;
                if (row_q == 16'(ROWS - 1)) image_q <= image_q + 16'd1;
            end
        end
        if (q_pairs_tready) q_pairs_tvalid <= 1'b0;
        if (e_pairs_tvalid && e_pairs_tready) begin
            q_pairs_tvalid <= 1'b1;
            q_pairs_tdata  <= e_pairs_tdata;
            peak           <= 1;
        end
        if (m_axis_tready) e_logits_tvalid <= 1'b0;
        if (e_logits_tvalid && e_logits_tready) done_q <= done_q + 16'd1;
        if (q_pairs_tvalid && q_pairs_tready) begin
            taken_q <= taken_q == 16'(COLS / 2 - 1) ? 16'd0 : taken_q + 16'd1;
            sum_q   <= taken_q == 16'(COLS / 2 - 1) ? 16'd0 : add;
            if (taken_q == 16'(COLS / 2 - 1)) begin
                e_logits_tvalid <= 1'b1;
                e_logits_tdata  <= add + 16'(FAULT == 2 && image_q >= 16'd3 && row_q == 16'd2);
            end
        end
        if (rst) begin
            {e_scaled_tvalid, e_pairs_tvalid, q_pairs_tvalid, e_logits_tvalid, half_q} <= 5'd0;
            {image_q, row_q, col_q, sum_q, taken_q, done_q} <= 96'd0;
            peak <= 0;
        end
    end
endmodule
`undef PROBE
