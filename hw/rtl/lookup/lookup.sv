// SPDX-License-Identifier: Apache-2.0
// lookup: code to code through a table (the op `table`; that name is a reserved word of Verilog). GELU runs on it.
//   y = content[bit pattern of x]
// Latency  : 2 clk cycles. Throughput: 1 beat per cycle. Back pressure: full.
// Resources: with the write port in use, one memory of 2^IN_BITS words with registered output: ECP5, 8 to 8 bits, 1 LUT4,
//            10 FF, 1 EBR. With wr_en tied to 0, as in dataflow designs, a constant that synthesis makes LUTs of:
//            83 to 87 LUT, 36 FF, no EBR for the trained GELU tables of vit_mini_w4a8.
// Content  : INIT_FILE; the write port replaces words between two jobs.
// Golden   : sim/golden/lookup.py::lookup       Test: tests/hw/test_lookup.py
`default_nettype none
module lookup #(
    // Width of the input codes in bits
    parameter int unsigned IN_BITS  = 8,
    // Width of the output codes in bits
    parameter int unsigned OUT_BITS = 8,
    // Content for $readmemh, 2^IN_BITS words of OUT_BITS; "" leaves it to the write port
    parameter INIT_FILE = ""
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // Codes in
    input  wire logic [IN_BITS-1:0]  s_axis_tdata,
    input  wire logic                s_axis_tvalid,
    output logic                     s_axis_tready,
    // Codes out
    output logic      [OUT_BITS-1:0] m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready,
    // Write port of the table
    input  wire logic                wr_en,
    input  wire logic [IN_BITS-1:0]  wr_addr,
    input  wire logic [OUT_BITS-1:0] wr_data
);
  if (IN_BITS < 1 || IN_BITS > 16) begin : gen_check_in_bits
    $error("lookup: IN_BITS=%0d must be 1 to 16", IN_BITS);
  end
  if (OUT_BITS < 1) begin : gen_check_out_bits
    $error("lookup: OUT_BITS=%0d must be at least 1", OUT_BITS);
  end

  (* no_rw_check *) logic [OUT_BITS-1:0] content[2**IN_BITS];
  if (INIT_FILE != "") begin : gen_init
    initial $readmemh(INIT_FILE, content);
  end

  logic [OUT_BITS-1:0] word_q;
  logic word_valid_q;
  wire  advance = !m_axis_tvalid || m_axis_tready;
  assign s_axis_tready = advance;

  always_ff @(posedge clk) begin
    if (wr_en) content[wr_addr] <= wr_data;
  end
  always_ff @(posedge clk) begin
    if (advance) begin
      word_q       <= content[s_axis_tdata];
      m_axis_tdata <= word_q;
    end
    if (rst) begin
      word_valid_q  <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (advance) begin
      word_valid_q  <= s_axis_tvalid;
      m_axis_tvalid <= word_valid_q;
    end
  end

`ifndef SYNTHESIS
  lookup_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
