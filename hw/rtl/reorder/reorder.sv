// SPDX-License-Identifier: Apache-2.0
// reorder: turns the order tile { group of PE rows { token { row of the group }}} into token-major order, by tiles.
//   A tile is cfg_tile tokens, the last one what is left; the last group what is left of cfg_rows. Ping-pong buffer.
// Latency  : one tile and 3 clk cycles. Throughput: 1 element per cycle, no gap between tiles or jobs.
//            Back pressure: full.
// Resources: 2 * T_MAX * ROWS_MAX elements of RAM.
// Golden   : sim/golden/reorder.py::reorder       Test: tests/hw/test_reorder.py
`default_nettype none
module reorder #(
    // Width of an element in bits
    parameter int unsigned ELEM_BITS = 8,
    // Rows of a group
    parameter int unsigned PE = 4,
    // Largest cfg_rows and cfg_tile
    parameter int unsigned ROWS_MAX = 64,
    parameter int unsigned T_MAX = 4
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    // Rows of a token, tokens of a tile, tokens of the job (1 or more each), sampled with the first beat of a job
    input  wire logic [15:0]          cfg_rows,
    input  wire logic [15:0]          cfg_tile,
    input  wire logic [15:0]          cfg_tokens,
    input  wire logic [ELEM_BITS-1:0] s_axis_tdata,
    input  wire logic                 s_axis_tvalid,
    output logic                      s_axis_tready,
    output logic      [ELEM_BITS-1:0] m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  wire logic                 m_axis_tready
);
  localparam int unsigned WORDS = T_MAX * ROWS_MAX;  // of one bank
  localparam int unsigned ADDR_BITS = $clog2(2 * WORDS);
  localparam int unsigned R_BITS = $clog2(ROWS_MAX + 1);
  localparam int unsigned T_BITS = $clog2(T_MAX + 1);
  localparam int unsigned P_BITS = PE > 1 ? $clog2(PE) : 1;
  localparam logic [ADDR_BITS-1:0] BANK = ADDR_BITS'(WORDS);  // first word of the second bank
  if (PE < 1 || ROWS_MAX < 1 || T_MAX < 1) begin : gen_check_size
    $error("reorder: PE=%0d, ROWS_MAX=%0d and T_MAX=%0d must be at least 1", PE, ROWS_MAX, T_MAX);
  end

  // ---- write side: element (token, row) goes to word token * rows + row of the bank
  logic first_q;  // the next element is the first of a job
  logic [15:0] rows_q, tile_q, tokens_q;
  wire  [R_BITS-1:0] rows = R_BITS'(first_q ? cfg_rows : rows_q);
  wire  [R_BITS-1:0] row_last = rows - 1'b1;
  wire  [T_BITS-1:0] slot_last = T_BITS'((first_q ? cfg_tile : tile_q) - 16'd1);
  wire  [15:0] token_last = (first_q ? cfg_tokens : tokens_q) - 16'd1;

  logic wr_bank_q;
  logic [P_BITS-1:0] place_q;  // row in the group
  logic [R_BITS-1:0] row_q, group_base_q;  // row; first row of the group
  logic [T_BITS-1:0] slot_q;  // token in the tile
  logic [15:0] token_q, tile_base_q;  // token in the job; first token of the tile
  // word; first word of the group in this token; first word of the group in the tile's first token
  logic [ADDR_BITS-1:0] wr_addr_q, token_addr_q, group_addr_q;
  logic [1:0] full_q;

  wire load = s_axis_tvalid && s_axis_tready;
  wire end_rows = row_q == row_last;
  wire end_place = end_rows || place_q == P_BITS'(PE - 1);
  wire end_tokens = token_q == token_last;
  wire end_slots = slot_q == slot_last || end_tokens;
  wire end_group = end_place && end_slots;
  wire end_tile = end_group && end_rows;
  wire end_job = end_tile && end_tokens;
  wire [ADDR_BITS-1:0] next_token_addr = token_addr_q + ADDR_BITS'(rows);
  wire [ADDR_BITS-1:0] next_group_addr = group_addr_q + ADDR_BITS'(PE);
  assign s_axis_tready = !full_q[wr_bank_q];

  always_ff @(posedge clk) begin
    if (load && first_q) begin
      rows_q   <= cfg_rows;
      tile_q   <= cfg_tile;
      tokens_q <= cfg_tokens;
    end
    if (rst) begin
      first_q      <= 1'b1;
      wr_bank_q    <= 1'b0;
      place_q      <= '0;
      row_q        <= '0;
      group_base_q <= '0;
      slot_q       <= '0;
      token_q      <= '0;
      tile_base_q  <= '0;
      wr_addr_q    <= '0;
      token_addr_q <= '0;
      group_addr_q <= '0;
    end else if (load) begin
      first_q   <= end_job;
      wr_bank_q <= wr_bank_q ^ end_tile;
      place_q   <= end_place ? '0 : place_q + 1'b1;
      if (!end_place) row_q <= row_q + 1'b1;
      else if (!end_slots) row_q <= group_base_q;
      else row_q <= end_rows ? '0 : row_q + 1'b1;
      if (end_group) group_base_q <= end_rows ? '0 : row_q + 1'b1;
      if (end_place) begin
        slot_q <= end_slots ? '0 : slot_q + 1'b1;
        if (!end_slots) token_q <= token_q + 1'b1;
        else if (!end_tile) token_q <= tile_base_q;
        else token_q <= end_tokens ? '0 : token_q + 1'b1;
      end
      if (end_tile) tile_base_q <= end_tokens ? '0 : token_q + 1'b1;
      if (end_tile) begin
        wr_addr_q    <= wr_bank_q ? '0 : BANK;
        token_addr_q <= wr_bank_q ? '0 : BANK;
        group_addr_q <= wr_bank_q ? '0 : BANK;
      end else if (end_group) begin
        wr_addr_q    <= next_group_addr;
        token_addr_q <= next_group_addr;
        group_addr_q <= next_group_addr;
      end else if (end_place) begin
        wr_addr_q    <= next_token_addr;
        token_addr_q <= next_token_addr;
      end else begin
        wr_addr_q <= wr_addr_q + 1'b1;
      end
    end
  end

  // ---- read side: word after word; the last word of a full bank is where the last element was written
  logic [1:0][ADDR_BITS-1:0] bank_last_q;
  logic rd_bank_q, word_valid_q;
  logic [ADDR_BITS-1:0] rd_addr_q;
  wire step = !m_axis_tvalid || m_axis_tready;
  wire read = step && full_q[rd_bank_q];
  wire end_read = rd_addr_q == bank_last_q[rd_bank_q];
  for (genvar b = 0; b < 2; b++) begin : gen_bank
    always_ff @(posedge clk) begin
      if (load && end_tile && wr_bank_q == 1'(b)) bank_last_q[b] <= wr_addr_q;
      if (rst) full_q[b] <= 1'b0;
      else if (load && end_tile && wr_bank_q == 1'(b)) full_q[b] <= 1'b1;
      else if (read && end_read && rd_bank_q == 1'(b)) full_q[b] <= 1'b0;
    end
  end

  // ---- buffer, above 32 words in block RAM: a bank is read only when it is full and written only when it is not
  (* no_rw_check, ram_style = WORDS > 16 ? "block" : "distributed" *) logic [ELEM_BITS-1:0] words[2*WORDS];
  logic [ELEM_BITS-1:0] word_q;
  always_ff @(posedge clk) begin
    if (load) words[wr_addr_q] <= s_axis_tdata;
    if (step) begin
      word_q       <= words[rd_addr_q];
      m_axis_tdata <= word_q;
    end
    if (rst) begin
      rd_bank_q     <= 1'b0;
      rd_addr_q     <= '0;
      word_valid_q  <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (step) begin
      word_valid_q  <= read;
      m_axis_tvalid <= word_valid_q;
      if (read) begin
        rd_bank_q <= rd_bank_q ^ end_read;
        if (end_read) rd_addr_q <= rd_bank_q ? '0 : BANK;
        else rd_addr_q <= rd_addr_q + 1'b1;
      end
    end
  end

`ifndef SYNTHESIS
  reorder_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  reorder_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      load && first_q |-> cfg_rows >= 1 && 32'(cfg_rows) <= ROWS_MAX && cfg_tile >= 1 && 32'(cfg_tile) <= T_MAX
      && cfg_tokens >= 1)
  else $error("%m: cfg_rows=%0d cfg_tile=%0d cfg_tokens=%0d out of range (ROWS_MAX=%0d, T_MAX=%0d)",
              cfg_rows, cfg_tile, cfg_tokens, ROWS_MAX, T_MAX);
`endif
endmodule
`default_nettype wire
