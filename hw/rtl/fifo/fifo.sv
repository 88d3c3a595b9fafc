// SPDX-License-Identifier: Apache-2.0
// fifo: stream FIFO that holds exactly DEPTH beats.
// Latency  : clk cycles from the first beat in to its m_axis_tvalid: 1 at DEPTH 2, 2 up to 32, 3 above.
//            Throughput: 1 beat per cycle. Back pressure: full, s_axis_tready and m_axis_* are registers.
// Resources: DEPTH 2: skid; up to 32: LUT RAM and an output register; above: block RAM and an output register.
// Simulation: peak = largest number of beats inside since reset, for the sizing of FIFOs.
// Test     : tests/hw/test_fifo.py
`default_nettype none
module fifo #(
    // Width of a beat in bits
    parameter int unsigned WIDTH = 8,
    // Beats held, 2 or more
    parameter int unsigned DEPTH = 16
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
    $error("fifo: WIDTH=%0d must be at least 1", WIDTH);
  end
  if (DEPTH < 2) begin : gen_check_depth
    $error("fifo: DEPTH=%0d must be at least 2", DEPTH);
  end

  if (DEPTH <= 2) begin : gen_skid
    skid #(.WIDTH(WIDTH)) skid_i (
        .clk, .rst, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready, .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
    );
  end else begin : gen_memory
    // Registers behind the memory hold STAGES of the DEPTH beats
    localparam int unsigned STAGES = DEPTH > 32 ? 2 : 1;
    localparam int unsigned WORDS = DEPTH - STAGES;
    localparam int unsigned ADDR_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
    // Rounded up to a power of two, addresses wrap by themselves; beyond one block RAM that could cost a second one
    localparam int unsigned ROOM = WORDS <= 2048 ? 2 ** ADDR_BITS : WORDS;
    localparam bit WRAPS = ROOM == 2 ** ADDR_BITS;
    localparam int unsigned COUNT_BITS = WORDS > 15 ? $clog2(WORDS + 1) : 5;  // 5: mapped to a carry chain, smaller
    localparam logic [ADDR_BITS-1:0] LAST = ADDR_BITS'(ROOM - 1);

    logic [COUNT_BITS-1:0] count_q;  // beats in the memory
    logic [ADDR_BITS-1:0] wr_addr_q, rd_addr_q;
    logic ready_q, filled_q, out_valid_q;
    wire push = s_axis_tvalid && ready_q;
    wire out_free = !out_valid_q || m_axis_tready;
    wire fetch;  // a beat leaves the memory

    assign s_axis_tready = ready_q;
    assign m_axis_tvalid = out_valid_q;

    // From the count alone, ahead of the handshakes, which come late
    wire one_left = count_q == COUNT_BITS'(WORDS - 1);
    wire one_inside = count_q == COUNT_BITS'(1);
    always_ff @(posedge clk) begin
      if (rst) begin
        ready_q   <= 1'b0;
        filled_q  <= 1'b0;
        count_q   <= '0;
        wr_addr_q <= '0;
        rd_addr_q <= '0;
      end else begin
        // not ready: full, or empty just after reset; filled_q is count_q != 0
        ready_q  <= ready_q ? !(one_left && push && !fetch) : fetch || !filled_q;
        filled_q <= filled_q ? !(one_inside && fetch && !push) : push;
        count_q  <= count_q + {{COUNT_BITS - 1{fetch && !push}}, fetch != push};
        if (push) wr_addr_q <= WRAPS || wr_addr_q != LAST ? wr_addr_q + 1'b1 : '0;
        if (fetch) rd_addr_q <= WRAPS || rd_addr_q != LAST ? rd_addr_q + 1'b1 : '0;
      end
    end

    // filled_q lags a write by one cycle, so no read meets a write of the same word
    if (STAGES == 1) begin : gen_lut_ram
      (* ram_style = "distributed" *) logic [WIDTH-1:0] words[ROOM];
      assign fetch = filled_q && out_free;
      always_ff @(posedge clk) begin
        if (push) words[wr_addr_q] <= s_axis_tdata;
        if (out_free) m_axis_tdata <= words[rd_addr_q];
        if (rst) out_valid_q <= 1'b0;
        else if (out_free) out_valid_q <= filled_q;
      end
    end else begin : gen_block_ram
      (* ram_style = "block", no_rw_check *) logic [WIDTH-1:0] words[ROOM];
      logic [WIDTH-1:0] word_q;
      logic word_valid_q;
      wire  word_free = !word_valid_q || out_free;
      assign fetch = filled_q && word_free;
      always_ff @(posedge clk) begin
        if (push) words[wr_addr_q] <= s_axis_tdata;
        if (word_free) word_q <= words[rd_addr_q];
        if (out_free) m_axis_tdata <= word_q;
        if (rst) begin
          word_valid_q <= 1'b0;
          out_valid_q  <= 1'b0;
        end else begin
          if (word_free) word_valid_q <= filled_q;
          if (out_free) out_valid_q <= word_valid_q;
        end
      end
    end
  end

`ifndef SYNTHESIS
  int unsigned peak  /* verilator public_flat_rd */;
  int unsigned inside_q;  // beats inside the unit
  always_ff @(posedge clk) begin
    if (rst) begin
      inside_q <= 0;
      peak     <= 0;
    end else begin
      inside_q <= inside_q + 32'(s_axis_tvalid && s_axis_tready) - 32'(m_axis_tvalid && m_axis_tready);
      if (inside_q > peak) peak <= inside_q;
    end
  end
  fifo_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  fifo_never_overfull : assert property (@(posedge clk) disable iff (rst) inside_q <= DEPTH)
  else $error("%m: more than DEPTH beats inside");
`endif
endmodule
`default_nettype wire
