// SPDX-License-Identifier: Apache-2.0
// widthconv: stream width converter; one width is a multiple of the other, the first narrow beat is in the low bits.
// Latency  : 1 clk cycle after the last beat of a word. Throughput: 1 narrow beat per cycle. Back pressure: full.
// Resources: one word of flip-flops.
// Test     : tests/hw/test_widthconv.py
`default_nettype none
module widthconv #(
    // Widths of the two streams in bits, one a multiple of the other
    parameter int unsigned IN_WIDTH = 8,
    parameter int unsigned OUT_WIDTH = 32
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic [IN_WIDTH-1:0]  s_axis_tdata,
    input  wire logic                 s_axis_tvalid,
    output logic                      s_axis_tready,
    output logic      [OUT_WIDTH-1:0] m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  wire logic                 m_axis_tready
);
  localparam bit WIDEN = OUT_WIDTH > IN_WIDTH;
  localparam int unsigned WIDE = WIDEN ? OUT_WIDTH : IN_WIDTH;
  localparam int unsigned NARROW = WIDEN ? IN_WIDTH : OUT_WIDTH;
  localparam int unsigned RATIO = WIDE / NARROW;
  localparam int unsigned COUNT_BITS = RATIO > 1 ? $clog2(RATIO) : 1;
  localparam logic [COUNT_BITS-1:0] LAST = COUNT_BITS'(RATIO - 1);
  if (WIDE % NARROW != 0) begin : gen_check_ratio
    $error("widthconv: IN_WIDTH=%0d and OUT_WIDTH=%0d: one must be a multiple of the other", IN_WIDTH, OUT_WIDTH);
  end

  wire out_free = !m_axis_tvalid || m_axis_tready;
  if (RATIO == 1) begin : gen_register
    assign s_axis_tready = out_free;
    always_ff @(posedge clk) begin
      if (out_free) m_axis_tdata <= s_axis_tdata;
      if (rst) m_axis_tvalid <= 1'b0;
      else if (out_free) m_axis_tvalid <= s_axis_tvalid;
    end
  end else if (WIDEN) begin : gen_widen
    logic [COUNT_BITS-1:0] count_q;
    assign s_axis_tready = out_free;
    wire push = s_axis_tvalid && out_free;
    always_ff @(posedge clk) begin
      if (push) m_axis_tdata <= {s_axis_tdata, m_axis_tdata[OUT_WIDTH-1:IN_WIDTH]};
      if (rst) begin
        count_q       <= '0;
        m_axis_tvalid <= 1'b0;
      end else begin
        if (push) count_q <= count_q == LAST ? '0 : count_q + 1'b1;
        if (out_free) m_axis_tvalid <= push && count_q == LAST;
      end
    end
  end else begin : gen_narrow
    logic [COUNT_BITS-1:0] count_q;
    logic [IN_WIDTH-1:0] word_q;
    logic valid_q;
    wire  last = count_q == LAST;
    assign s_axis_tready = !valid_q || (m_axis_tready && last);
    assign m_axis_tvalid = valid_q;
    assign m_axis_tdata  = word_q[OUT_WIDTH-1:0];
    always_ff @(posedge clk) begin
      if (s_axis_tready) word_q <= s_axis_tdata;
      else if (m_axis_tready) word_q <= {OUT_WIDTH'(0), word_q[IN_WIDTH-1:OUT_WIDTH]};
      if (rst) begin
        count_q <= '0;
        valid_q <= 1'b0;
      end else begin
        if (s_axis_tready) valid_q <= s_axis_tvalid;
        if (valid_q && m_axis_tready) count_q <= last ? '0 : count_q + 1'b1;
      end
    end
  end

`ifndef SYNTHESIS
  widthconv_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
