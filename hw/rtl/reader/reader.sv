// SPDX-License-Identifier: Apache-2.0
// reader: cuts a token-major element stream into words of SIMD elements and replays each tile for every output group.
//   m_axis order: tile { group { chunk { token of the tile }}}, token fastest. A tile is cfg_tile tokens (the last one
//   what is left), a chunk is SIMD consecutive elements of a token, the last one padded with zeros.
//   Ping-pong: the next tile loads while this one is replayed.
// Latency  : 5 clk cycles from the last element of a tile to its first word.
//            Throughput: 1 element per cycle in, 1 word per cycle out; a bank changes hands in 3 cycles, hidden unless
//            loading and replay take equally long. Back pressure: full.
// Resources: 2 * T_MAX * ceil(K_MAX / SIMD) words of RAM.
// Golden   : sim/golden/reader.py::reader         Test: tests/hw/test_reader.py
`default_nettype none
module reader #(
    // Elements in a word
    parameter int unsigned SIMD = 4,
    // Width of an element in bits
    parameter int unsigned ELEM_BITS = 8,
    // Largest cfg_k and cfg_tile
    parameter int unsigned K_MAX = 64,
    parameter int unsigned T_MAX = 1,
    // Largest cfg_groups
    parameter int unsigned GROUPS_MAX = 65535
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    // Elements of a token, replays of a tile, tokens of a tile, tokens of the job (1 or more each), sampled with the
    // first element of a job
    input  wire logic [15:0]               cfg_k,
    input  wire logic [15:0]               cfg_groups,
    input  wire logic [15:0]               cfg_tile,
    input  wire logic [15:0]               cfg_tokens,
    input  wire logic [ELEM_BITS-1:0]      s_axis_tdata,
    input  wire logic                      s_axis_tvalid,
    output logic                           s_axis_tready,
    output logic      [SIMD*ELEM_BITS-1:0] m_axis_tdata,
    output logic                           m_axis_tvalid,
    input  wire logic                      m_axis_tready
);
  localparam int unsigned CHUNKS_MAX = (K_MAX + SIMD - 1) / SIMD;
  localparam int unsigned WORDS = T_MAX * CHUNKS_MAX;  // of one bank
  localparam int unsigned ADDR_BITS = WORDS > 0 ? $clog2(2 * WORDS) : 1;
  localparam int unsigned K_BITS = $clog2(K_MAX + 1);
  localparam int unsigned C_BITS = $clog2(CHUNKS_MAX + 1);
  localparam int unsigned T_BITS = $clog2(T_MAX + 1);
  localparam int unsigned G_BITS = $clog2(GROUPS_MAX + 1);
  localparam int unsigned S_BITS = SIMD > 1 ? $clog2(SIMD) : 1;
  localparam logic [ADDR_BITS-1:0] BANK = ADDR_BITS'(WORDS);  // first word of the second bank
  if (SIMD < 1 || K_MAX < 1 || T_MAX < 1) begin : gen_check_size
    $error("reader: SIMD=%0d, K_MAX=%0d and T_MAX=%0d must be at least 1", SIMD, K_MAX, T_MAX);
  end

  // ---- load side: elements to words, words to the bank wr_bank_q
  logic first_q;  // the next element is the first of a job
  logic [15:0] k_q, groups_q, tile_q, tokens_q;
  wire  [G_BITS-1:0] group_last = G_BITS'((first_q ? cfg_groups : groups_q) - 16'd1);
  wire  [15:0] tile_cfg = first_q ? cfg_tile : tile_q;
  wire  [15:0] tokens_last = (first_q ? cfg_tokens : tokens_q) - 16'd1;
  wire  [K_BITS-1:0] k_last = K_BITS'((first_q ? cfg_k : k_q) - 16'd1);
  wire  [T_BITS-1:0] tile_last = T_BITS'(tile_cfg - 16'd1);

  logic [K_BITS-1:0] elem_q;
  logic [S_BITS-1:0] slot_q;
  logic [C_BITS-1:0] chunk_q;
  logic [T_BITS-1:0] token_q;
  logic [15:0] job_token_q;
  logic wr_bank_q;
  // The element, the end of its word and of its tile, a cycle later: few bits hang on the handshake
  logic [ELEM_BITS-1:0] beat_q;
  logic [SIMD-1:0] hit_q;  // its place in the word
  logic word_last_q, done_q, done_bank_q;
  logic wr_en_q, wr_done_q, wr_done_bank_q;
  logic [ADDR_BITS-1:0] wr_addr_q;
  logic [SIMD*ELEM_BITS-1:0] wr_word_q;
  logic [1:0] taken_q, full_q;  // the last element of its tile has come, has been written

  wire load = s_axis_tvalid && s_axis_tready;
  wire elem_last = elem_q == k_last;
  wire word_last = elem_last || slot_q == S_BITS'(SIMD - 1);
  wire job_last = job_token_q == tokens_last;
  wire token_last = T_MAX == 1 || token_q == tile_last || job_last;
  wire tile_done = load && elem_last && token_last;
  assign s_axis_tready = !taken_q[wr_bank_q];

  for (genvar s = 0; s < SIMD; s++) begin : gen_slot
    always_ff @(posedge clk) begin
      hit_q[s] <= load && slot_q == S_BITS'(s);
      if (hit_q[s]) wr_word_q[s*ELEM_BITS+:ELEM_BITS] <= beat_q;
      else if (hit_q[0]) wr_word_q[s*ELEM_BITS+:ELEM_BITS] <= '0;
    end
  end

  always_ff @(posedge clk) begin
    if (load && first_q) begin
      k_q      <= cfg_k;
      groups_q <= cfg_groups;
      tile_q   <= cfg_tile;
      tokens_q <= cfg_tokens;
    end
    beat_q         <= s_axis_tdata;
    done_bank_q    <= wr_bank_q;
    wr_done_bank_q <= done_bank_q;
    if (rst) begin
      first_q     <= 1'b1;
      elem_q      <= '0;
      slot_q      <= '0;
      chunk_q     <= '0;
      token_q     <= '0;
      job_token_q <= '0;
      wr_bank_q   <= 1'b0;
      word_last_q <= 1'b0;
      done_q      <= 1'b0;
      wr_en_q     <= 1'b0;
      wr_done_q   <= 1'b0;
      wr_addr_q   <= '0;
    end else begin
      word_last_q <= load && word_last;
      done_q      <= tile_done;
      wr_en_q     <= word_last_q;
      wr_done_q   <= done_q;
      if (wr_done_q) wr_addr_q <= wr_done_bank_q ? '0 : BANK;
      else if (wr_en_q) wr_addr_q <= wr_addr_q + 1'b1;
      if (load) begin
        first_q <= elem_last && job_last;
        elem_q  <= elem_last ? '0 : elem_q + 1'b1;
        slot_q  <= word_last ? '0 : slot_q + 1'b1;
        chunk_q <= elem_last ? '0 : chunk_q + C_BITS'(word_last);
        if (elem_last) begin
          token_q     <= token_last ? '0 : token_q + 1'b1;
          job_token_q <= job_last ? '0 : job_token_q + 1'b1;
          wr_bank_q   <= wr_bank_q ^ token_last;
        end
      end
    end
  end

  // ---- shape of the tile in each bank
  logic [1:0][C_BITS-1:0] bank_chunk_last_q;
  logic [1:0][T_BITS-1:0] bank_token_last_q;
  logic [1:0][G_BITS-1:0] bank_group_last_q;
  for (genvar b = 0; b < 2; b++) begin : gen_bank
    always_ff @(posedge clk) begin
      if (tile_done && wr_bank_q == 1'(b)) begin
        bank_chunk_last_q[b] <= (SIMD & (SIMD - 1)) == 0 ? C_BITS'(k_last >> $clog2(SIMD)) : chunk_q;
        bank_token_last_q[b] <= token_q;
        bank_group_last_q[b] <= group_last;
      end
    end
  end

  // ---- replay side
  logic rd_bank_q, word_valid_q;
  logic [T_BITS-1:0] rd_token_q;
  logic [C_BITS-1:0] rd_chunk_q;
  logic [G_BITS-1:0] rd_group_q;
  logic [ADDR_BITS-1:0] rd_addr_q, rd_base_q;  // word, and word of the chunk's first token
  wire [C_BITS-1:0] rd_chunk_last = bank_chunk_last_q[rd_bank_q];
  wire step = !m_axis_tvalid || m_axis_tready;
  wire read = step && full_q[rd_bank_q];
  wire end_chunk = T_MAX == 1 || rd_token_q == bank_token_last_q[rd_bank_q];
  wire end_group = end_chunk && rd_chunk_q == rd_chunk_last;
  wire end_tile = end_group && rd_group_q == bank_group_last_q[rd_bank_q];
  wire [ADDR_BITS-1:0] bank_base = rd_bank_q ? BANK : '0;

  always_ff @(posedge clk) begin
    if (rst) begin
      taken_q    <= '0;
      full_q     <= '0;
      rd_bank_q  <= 1'b0;
      rd_token_q <= '0;
      rd_chunk_q <= '0;
      rd_group_q <= '0;
      rd_addr_q  <= '0;
      rd_base_q  <= '0;
    end else begin
      if (tile_done) taken_q[wr_bank_q] <= 1'b1;
      if (wr_done_q) full_q[wr_done_bank_q] <= 1'b1;
      if (read) begin
        rd_token_q <= end_chunk ? '0 : rd_token_q + 1'b1;
        if (end_chunk) rd_chunk_q <= end_group ? '0 : rd_chunk_q + 1'b1;
        if (end_group) rd_group_q <= end_tile ? '0 : rd_group_q + 1'b1;
        if (end_tile) begin
          taken_q[rd_bank_q] <= 1'b0;
          full_q[rd_bank_q] <= 1'b0;
          rd_bank_q <= !rd_bank_q;
          rd_addr_q <= rd_bank_q ? '0 : BANK;
          rd_base_q <= rd_bank_q ? '0 : BANK;
        end else if (end_group) begin
          rd_addr_q <= bank_base;
          rd_base_q <= bank_base;
        end else if (end_chunk) begin
          rd_addr_q <= rd_base_q + 1'b1;
          rd_base_q <= rd_base_q + 1'b1;
        end else begin
          rd_addr_q <= rd_addr_q + ADDR_BITS'(rd_chunk_last) + 1'b1;
        end
      end
    end
  end

  // ---- tile buffer: a bank is read only when it is full and written only when it is not
  (* no_rw_check, ram_style = WORDS > 8 ? "block" : "auto" *)
  logic [SIMD*ELEM_BITS-1:0] words[2*WORDS];
  logic [SIMD*ELEM_BITS-1:0] word_q;
  always_ff @(posedge clk) begin
    if (wr_en_q) words[wr_addr_q] <= wr_word_q;
    if (step) begin
      word_q       <= words[rd_addr_q];
      m_axis_tdata <= word_q;
    end
    if (rst) begin
      word_valid_q  <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (step) begin
      word_valid_q  <= full_q[rd_bank_q];
      m_axis_tvalid <= word_valid_q;
    end
  end

`ifndef SYNTHESIS
  reader_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  reader_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      load && first_q |-> cfg_k >= 1 && 32'(cfg_k) <= K_MAX && cfg_tile >= 1 && 32'(cfg_tile) <= T_MAX
      && cfg_tokens >= 1 && cfg_groups >= 1 && 32'(cfg_groups) <= GROUPS_MAX)
  else $error("%m: cfg_k=%0d cfg_tile=%0d cfg_tokens=%0d cfg_groups=%0d out of range (K_MAX=%0d, T_MAX=%0d)",
              cfg_k, cfg_tile, cfg_tokens, cfg_groups, K_MAX, T_MAX);
`endif
endmodule
`default_nettype wire
