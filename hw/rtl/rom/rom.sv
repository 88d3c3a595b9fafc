// SPDX-License-Identifier: Apache-2.0
// rom: constant stream, words 0..DEPTH-1 of INIT_FILE again and again, from word 0 after reset.
// Latency  : 2 clk cycles after reset. Throughput: 1 beat per cycle. Back pressure: full.
// Resources: DEPTH x WIDTH bits of block RAM (or LUTs when small), WIDTH flip-flops.
// Test     : tests/hw/test_rom.py
`default_nettype none
module rom #(
    // Width of a word in bits
    parameter int unsigned WIDTH = 8,
    // Words
    parameter int unsigned DEPTH = 16,
    // $readmemh file of DEPTH words, path relative to the tool's working directory; "": zeros
    parameter INIT_FILE = ""
) (
    input  wire logic             clk,
    input  wire logic             rst,
    output logic      [WIDTH-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  wire logic             m_axis_tready
);
  localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam logic [ADDR_BITS-1:0] LAST = ADDR_BITS'(DEPTH - 1);
  if (WIDTH < 1 || DEPTH < 1) begin : gen_check_size
    $error("rom: WIDTH=%0d and DEPTH=%0d must be at least 1", WIDTH, DEPTH);
  end

  // From 1 kbit on a block RAM costs less than the LUTs
  (* rom_style = WIDTH * DEPTH >= 1024 ? "block" : "auto" *)
  logic [WIDTH-1:0] words[DEPTH];
  if (INIT_FILE != "") begin : gen_init
    initial $readmemh(INIT_FILE, words);
  end else begin : gen_zero
    initial for (int i = 0; i < DEPTH; i++) words[i] = '0;
  end

  logic [WIDTH-1:0] word_q;
  logic [ADDR_BITS-1:0] addr_q;
  logic word_valid_q;
  wire step = !m_axis_tvalid || m_axis_tready;
  always_ff @(posedge clk) begin
    if (step) begin
      word_q       <= words[addr_q];
      m_axis_tdata <= word_q;
    end
    if (rst) begin
      addr_q        <= '0;
      word_valid_q  <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (step) begin
      addr_q        <= addr_q == LAST ? '0 : addr_q + 1'b1;
      word_valid_q  <= 1'b1;
      m_axis_tvalid <= word_valid_q;
    end
  end

`ifndef SYNTHESIS
  rom_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
