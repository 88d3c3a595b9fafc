// SPDX-License-Identifier: Apache-2.0
// matmul: product of two streamed operands for attention, head by head, SIMD elements of the contraction per cycle.
//   TRANSPOSE 0: y[tq, h*keys + tk] = sum over d of a[tq, h*dim + d] * b[tk, h*dim + d]        (scores, Q K^T)
//   TRANSPOSE 1: y[tq, h*dim + d]   = sum over tk of a[tq, h*keys + tk] * b[tk, h*dim + d]     (P V)
//   b is stored whole, ping-pong, in SIMD banks; of a, one head of one query is held, ping-pong, and replayed.
//   The last chunk of a sum is padded: the a elements beyond its end are zero.
// Overflow : none when every final sum fits ACC_BITS: sums are exact modulo 2^ACC_BITS.
// Latency  : 7 + clog2(SIMD) clk cycles from the last beat of a's first head (6 + .. from the last beat of b) to a sum
//            of one chunk.
//            Throughput: 1 chunk per cycle, no gap between queries or jobs. Back pressure: full.
// Resources: SIMD multipliers, SIMD RAMs of 2 * ceil(N_MAX * C_MAX / SIMD) words, a small RAM for a.
// Golden   : sim/golden/matmul.py::matmul_qk, matmul_pv           Test: tests/hw/test_matmul.py
`default_nettype none
module matmul #(
    // Products per cycle
    parameter int unsigned SIMD = 2,
    // Widths in bits of an element of a (signed or not), of b (signed), of a sum (signed)
    parameter int unsigned A_BITS = 8,
    parameter bit          A_SIGNED = 1'b1,
    parameter int unsigned B_BITS = 8,
    parameter int unsigned ACC_BITS = 24,
    // Largest cfg_keys (TRANSPOSE 1: rounded up to a multiple of SIMD)
    parameter int unsigned N_MAX = 17,
    // Largest cfg_heads * cfg_dim (TRANSPOSE 0: with cfg_dim rounded up to a multiple of SIMD)
    parameter int unsigned C_MAX = 64,
    // 0: a . b^T, contraction over the channels of a head; 1: a . b, contraction over the keys
    parameter bit          TRANSPOSE = 1'b0,
    // The enable comes from a register, a short path; sums of one cycle then take two
    parameter bit          STALL_REGISTER = 1'b0,
    // Largest cfg_dim
    parameter int unsigned D_MAX = C_MAX,
    // Largest cfg_heads and cfg_queries
    parameter int unsigned H_MAX = C_MAX,
    parameter int unsigned Q_MAX = 65535,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter int unsigned TARGET = 0
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // Sizes (1 or more each), sampled with the first beat of a job on s_axis_b; beats of a wait for it
    input  wire logic [15:0]         cfg_queries,
    input  wire logic [15:0]         cfg_keys,
    input  wire logic [15:0]         cfg_heads,
    input  wire logic [15:0]         cfg_dim,
    // (query, channel), or with TRANSPOSE 1 (query, head, key)
    input  wire logic [A_BITS-1:0]   s_axis_a_tdata,
    input  wire logic                s_axis_a_tvalid,
    output logic                     s_axis_a_tready,
    // (key, channel)
    input  wire logic [B_BITS-1:0]   s_axis_b_tdata,
    input  wire logic                s_axis_b_tvalid,
    output logic                     s_axis_b_tready,
    output logic      [ACC_BITS-1:0] m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready
);
  localparam int unsigned SUM_MAX = TRANSPOSE ? N_MAX : D_MAX;  // longest contraction
  localparam int unsigned CHUNKS_MAX = (SUM_MAX + SIMD - 1) / SIMD;
  // words of b between neighbours in the outer direction (keys, or groups of SIMD keys)
  localparam int unsigned STRIDE = TRANSPOSE ? C_MAX : (C_MAX + SIMD - 1) / SIMD;
  localparam int unsigned B_WORDS = TRANSPOSE ? C_MAX * ((N_MAX + SIMD - 1) / SIMD) : STRIDE * N_MAX;
  localparam int unsigned B_ADDR_BITS = $clog2(2 * B_WORDS);
  localparam int unsigned A_ADDR_BITS = $clog2(2 * CHUNKS_MAX);
  localparam logic [B_ADDR_BITS-1:0] B_BANK = B_ADDR_BITS'(B_WORDS);  // first word of the second half
  localparam logic [A_ADDR_BITS-1:0] A_BANK = A_ADDR_BITS'(CHUNKS_MAX);
  localparam int unsigned S_BITS = SIMD > 1 ? $clog2(SIMD) : 1;
  // Counters have 5 bits or more: from there on synthesis uses a carry chain, which is smaller
  localparam int unsigned N_BITS = N_MAX > 15 ? $clog2(N_MAX + 1) : 5;
  localparam int unsigned D_BITS = D_MAX > 15 ? $clog2(D_MAX + 1) : 5;
  localparam int unsigned H_BITS = H_MAX > 15 ? $clog2(H_MAX + 1) : 5;
  localparam int unsigned Q_BITS = Q_MAX > 15 ? $clog2(Q_MAX + 1) : 5;
  localparam int unsigned L_BITS = TRANSPOSE ? N_BITS : D_BITS;
  localparam int unsigned C_BITS = CHUNKS_MAX > 15 ? $clog2(CHUNKS_MAX + 1) : 5;
  localparam int unsigned R_BITS = TRANSPOSE ? D_BITS : N_BITS;
  if (SIMD < 1 || N_MAX < 1 || C_MAX < 1 || D_MAX < 1 || D_MAX > C_MAX) begin : gen_check_size
    $error("matmul: SIMD=%0d, N_MAX=%0d, C_MAX=%0d, D_MAX=%0d must be at least 1, D_MAX at most C_MAX",
           SIMD, N_MAX, C_MAX, D_MAX);
  end
  if (A_BITS + (A_SIGNED ? 0 : 1) > 18 || B_BITS > 18) begin : gen_check_bits
    $error("matmul: A_BITS=%0d and B_BITS=%0d exceed the 18-bit signed multiplier", A_BITS, B_BITS);
  end

  // ---- jobs: sizes of the job in each half of b
  logic [1:0] started_q, full_q;  // its first beat, its last beat has arrived
  logic [1:0][Q_BITS-1:0] query_last_q;
  logic [1:0][N_BITS-1:0] key_last_q;
  logic [1:0][H_BITS-1:0] head_last_q;
  logic [1:0][D_BITS-1:0] dim_last_q;
  logic release_b;  // the last sum of the job in half rd_job_q has begun
  logic wr_job_q, rd_job_q;

  // ---- b: load
  logic b_first_q;
  logic [N_BITS-1:0] b_key_q;
  logic [H_BITS-1:0] b_head_q;
  logic [D_BITS-1:0] b_dim_q;
  logic [S_BITS-1:0] b_bank_q;
  logic [B_ADDR_BITS-1:0] b_addr_q, b_base_q;  // word; first word of the key or of the group of SIMD keys
  wire  [N_BITS-1:0] b_key_last = b_first_q ? N_BITS'(cfg_keys - 16'd1) : key_last_q[wr_job_q];
  wire  [H_BITS-1:0] b_head_last = b_first_q ? H_BITS'(cfg_heads - 16'd1) : head_last_q[wr_job_q];
  wire  [D_BITS-1:0] b_dim_last = b_first_q ? D_BITS'(cfg_dim - 16'd1) : dim_last_q[wr_job_q];
  wire b_load = s_axis_b_tvalid && s_axis_b_tready;
  wire b_end_dim = b_dim_q == b_dim_last;
  wire b_end_token = b_end_dim && b_head_q == b_head_last;
  wire b_end_job = b_end_token && b_key_q == b_key_last;
  wire b_end_bank = b_bank_q == S_BITS'(SIMD - 1);
  wire [B_ADDR_BITS-1:0] b_other = wr_job_q ? '0 : B_BANK;
  assign s_axis_b_tready = !full_q[wr_job_q];

  for (genvar j = 0; j < 2; j++) begin : gen_job
    always_ff @(posedge clk) begin
      if (b_load && b_first_q && wr_job_q == 1'(j)) begin
        query_last_q[j] <= Q_BITS'(cfg_queries - 16'd1);
        key_last_q[j]   <= N_BITS'(cfg_keys - 16'd1);
        head_last_q[j]  <= H_BITS'(cfg_heads - 16'd1);
        dim_last_q[j]   <= D_BITS'(cfg_dim - 16'd1);
      end
      if (rst) begin
        started_q[j] <= 1'b0;
        full_q[j]    <= 1'b0;
      end else begin
        if (b_load && wr_job_q == 1'(j)) started_q[j] <= 1'b1;
        else if (release_b && rd_job_q == 1'(j)) started_q[j] <= 1'b0;
        if (b_load && b_end_job && wr_job_q == 1'(j)) full_q[j] <= 1'b1;
        else if (release_b && rd_job_q == 1'(j)) full_q[j] <= 1'b0;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      b_first_q <= 1'b1;
      b_key_q   <= '0;
      b_head_q  <= '0;
      b_dim_q   <= '0;
      b_bank_q  <= '0;
      b_addr_q  <= '0;
      b_base_q  <= '0;
      wr_job_q  <= 1'b0;
    end else if (b_load) begin
      b_first_q <= b_end_job;
      wr_job_q  <= wr_job_q ^ b_end_job;
      b_dim_q   <= b_end_dim ? '0 : b_dim_q + 1'b1;
      if (b_end_dim) b_head_q <= b_end_token ? '0 : b_head_q + 1'b1;
      if (b_end_token) b_key_q <= b_end_job ? '0 : b_key_q + 1'b1;
      if (b_end_job) begin
        b_bank_q <= '0;
        b_addr_q <= b_other;
        b_base_q <= b_other;
      end else if (TRANSPOSE) begin
        if (!b_end_token) begin
          b_addr_q <= b_addr_q + 1'b1;
        end else if (b_end_bank) begin
          b_bank_q <= '0;
          b_addr_q <= b_base_q + B_ADDR_BITS'(STRIDE);
          b_base_q <= b_base_q + B_ADDR_BITS'(STRIDE);
        end else begin
          b_bank_q <= b_bank_q + 1'b1;
          b_addr_q <= b_base_q;
        end
      end else begin
        b_bank_q <= b_end_bank || b_end_dim ? '0 : b_bank_q + 1'b1;
        if (b_end_token) begin
          b_addr_q <= b_base_q + B_ADDR_BITS'(STRIDE);
          b_base_q <= b_base_q + B_ADDR_BITS'(STRIDE);
        end else if (b_end_bank || b_end_dim) begin
          b_addr_q <= b_addr_q + 1'b1;
        end
      end
    end
  end

  // ---- a: load one head of one query into half wr_half_q
  logic a_job_q, a_wr_half_q, a_rd_half_q;
  logic [1:0] a_full_q;
  logic a_write_q, a_done_q, a_done_half_q;
  logic [L_BITS-1:0] a_elem_q;
  logic [S_BITS-1:0] a_slot_q;
  logic [H_BITS-1:0] a_head_q;
  logic [Q_BITS-1:0] a_query_q;
  logic [1:0] a_last_head_q, a_last_query_q;  // the half is the last of its query, of its job
  logic [A_ADDR_BITS-1:0] a_addr_q;
  logic [SIMD*A_BITS-1:0] a_word_q;
  wire [L_BITS-1:0] a_elem_last = TRANSPOSE ? L_BITS'(key_last_q[a_job_q]) : L_BITS'(dim_last_q[a_job_q]);
  wire a_load = s_axis_a_tvalid && s_axis_a_tready;
  wire a_end = a_elem_q == a_elem_last;
  wire a_end_word = a_end || a_slot_q == S_BITS'(SIMD - 1);
  wire a_end_query = a_end && a_head_q == head_last_q[a_job_q];
  wire a_end_job = a_end_query && a_query_q == query_last_q[a_job_q];
  assign s_axis_a_tready = started_q[a_job_q] && !a_full_q[a_wr_half_q];

  for (genvar s = 0; s < SIMD; s++) begin : gen_slot
    always_ff @(posedge clk) begin
      if (a_load && a_slot_q == S_BITS'(s)) a_word_q[s*A_BITS+:A_BITS] <= s_axis_a_tdata;
      else if (a_load && a_slot_q == '0) a_word_q[s*A_BITS+:A_BITS] <= '0;
    end
  end

  logic release_a;  // the last chunk of the last sum of the half has begun
  always_ff @(posedge clk) begin
    a_done_half_q <= a_wr_half_q;
    if (a_load && a_end) begin
      a_last_head_q[a_wr_half_q]  <= a_end_query;
      a_last_query_q[a_wr_half_q] <= a_end_job;
    end
    if (rst) begin
      a_job_q     <= 1'b0;
      a_wr_half_q <= 1'b0;
      a_full_q    <= '0;
      a_write_q   <= 1'b0;
      a_done_q    <= 1'b0;
      a_elem_q    <= '0;
      a_slot_q    <= '0;
      a_head_q    <= '0;
      a_query_q   <= '0;
      a_addr_q    <= '0;
    end else begin
      a_write_q <= a_load && a_end_word;
      a_done_q  <= a_load && a_end;
      if (a_done_q) a_addr_q <= a_done_half_q ? '0 : A_BANK;
      else if (a_write_q) a_addr_q <= a_addr_q + 1'b1;
      if (a_done_q) a_full_q[a_done_half_q] <= 1'b1;
      if (release_a) a_full_q[a_rd_half_q] <= 1'b0;
      if (a_load) begin
        a_elem_q    <= a_end ? '0 : a_elem_q + 1'b1;
        a_slot_q    <= a_end_word ? '0 : a_slot_q + 1'b1;
        a_wr_half_q <= a_wr_half_q ^ a_end;
        a_job_q     <= a_job_q ^ a_end_job;
        if (a_end) a_head_q <= a_end_query ? '0 : a_head_q + 1'b1;
        if (a_end_query) a_query_q <= a_end_job ? '0 : a_query_q + 1'b1;
      end
    end
  end

  // ---- sums: chunk fastest, then the sums that share the held part of a, then heads, then queries
  logic en;
  logic [C_BITS-1:0] chunk_q;
  logic [R_BITS-1:0] replay_q;
  logic [A_ADDR_BITS-1:0] a_read_q;
  logic [B_ADDR_BITS-1:0] b_read_q, b_start_q, b_head_start_q;  // word; first of the sum; first of the head
  logic [C_BITS-1:0] chunk_last;
  wire [R_BITS-1:0] replay_last = TRANSPOSE ? R_BITS'(dim_last_q[rd_job_q]) : R_BITS'(key_last_q[rd_job_q]);
  wire read = en && full_q[rd_job_q] && a_full_q[a_rd_half_q];
  wire end_chunk = chunk_q == chunk_last;
  wire end_replay = end_chunk && replay_q == replay_last;
  wire end_head = a_last_head_q[a_rd_half_q];
  wire end_job = a_last_query_q[a_rd_half_q];
  wire [B_ADDR_BITS-1:0] half_start = rd_job_q ? B_BANK : '0;
  // TRANSPOSE 0: a chunk is the next word, a sum the next key; TRANSPOSE 1: a chunk is the next key group, a sum the
  // next channel. In both the first word of the next head follows the last word that the first key of this head used.
  wire [B_ADDR_BITS-1:0] next_chunk = b_read_q + (TRANSPOSE ? B_ADDR_BITS'(STRIDE) : B_ADDR_BITS'(1));
  wire [B_ADDR_BITS-1:0] next_start = b_start_q + (TRANSPOSE ? B_ADDR_BITS'(1) : B_ADDR_BITS'(STRIDE));
  wire [B_ADDR_BITS-1:0] next_head = TRANSPOSE ? b_start_q + 1'b1 : b_head_start_q + B_ADDR_BITS'(chunk_q) + 1'b1;
  wire [B_ADDR_BITS-1:0] head_start = end_job ? (rd_job_q ? '0 : B_BANK) : end_head ? half_start : next_head;
  assign release_a = read && end_replay;
  assign release_b = read && end_replay && end_job;

  if ((SIMD & (SIMD - 1)) == 0) begin : gen_chunks_power
    wire [L_BITS-1:0] sum_last = TRANSPOSE ? L_BITS'(key_last_q[rd_job_q]) : L_BITS'(dim_last_q[rd_job_q]);
    assign chunk_last = C_BITS'(sum_last >> $clog2(SIMD));
  end else begin : gen_chunks_count  // no division: counted for each half of a while it loads
    logic [C_BITS-1:0] a_chunk_q;
    logic [1:0][C_BITS-1:0] chunk_last_q;
    assign chunk_last = chunk_last_q[a_rd_half_q];
    always_ff @(posedge clk) begin
      if (a_done_q) chunk_last_q[a_done_half_q] <= a_chunk_q;
      if (rst || a_done_q) a_chunk_q <= '0;
      else if (a_write_q) a_chunk_q <= a_chunk_q + 1'b1;
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      chunk_q        <= '0;
      replay_q       <= '0;
      a_rd_half_q    <= 1'b0;
      rd_job_q       <= 1'b0;
      a_read_q       <= '0;
      b_read_q       <= '0;
      b_start_q      <= '0;
      b_head_start_q <= '0;
    end else if (read) begin
      chunk_q <= end_chunk ? '0 : chunk_q + 1'b1;
      if (end_chunk) replay_q <= end_replay ? '0 : replay_q + 1'b1;
      a_rd_half_q <= a_rd_half_q ^ end_replay;
      rd_job_q    <= rd_job_q ^ (end_replay && end_job);
      if (end_replay) a_read_q <= a_rd_half_q ? '0 : A_BANK;
      else if (end_chunk) a_read_q <= a_rd_half_q ? A_BANK : '0;
      else a_read_q <= a_read_q + 1'b1;
      if (end_replay) begin
        b_read_q       <= head_start;
        b_start_q      <= head_start;
        b_head_start_q <= head_start;
      end else if (end_chunk) begin
        b_read_q  <= next_start;
        b_start_q <= next_start;
      end else begin
        b_read_q <= next_chunk;
      end
    end
  end

  // ---- memories, above 32 words in block RAM; words are read only in halves that are complete
  (* no_rw_check, ram_style = CHUNKS_MAX > 16 ? "block" : "distributed" *)
  logic [SIMD*A_BITS-1:0] a_words[2*CHUNKS_MAX];
  logic [SIMD*A_BITS-1:0] a_read_word_q, a_q;
  always_ff @(posedge clk) begin
    if (a_write_q) a_words[a_addr_q] <= a_word_q;
    if (en) a_read_word_q <= a_words[a_read_q];
    if (en) a_q <= a_read_word_q;
  end

  localparam int unsigned PRODUCT_BITS = A_BITS + B_BITS;
  localparam int unsigned TREE_BITS = PRODUCT_BITS + $clog2(SIMD);
  localparam int unsigned STAGES = 4 + $clog2(SIMD);  // read, register of the RAM, multiplier input, product, tree
  logic [SIMD*PRODUCT_BITS-1:0] products;
  for (genvar s = 0; s < SIMD; s++) begin : gen_bank
    (* no_rw_check, ram_style = B_WORDS > 16 ? "block" : "distributed" *) logic [B_BITS-1:0] b_words[2*B_WORDS];
    logic [B_BITS-1:0] b_word_q, b_q;
    logic [35:0] p;
    wire [A_BITS-1:0] ai = a_q[s*A_BITS+:A_BITS];
    always_ff @(posedge clk) begin
      if (b_load && b_bank_q == S_BITS'(s)) b_words[b_addr_q] <= s_axis_b_tdata;
      if (en) b_word_q <= b_words[b_read_q];
      if (en) b_q <= b_word_q;
    end
    mult18x18 #(.TARGET(TARGET)) mul_i (
        .clk, .en, .a(18'($signed({A_SIGNED && ai[A_BITS-1], ai}))), .b(18'($signed(b_q))), .p
    );
    assign products[s*PRODUCT_BITS+:PRODUCT_BITS] = p[PRODUCT_BITS-1:0];
    wire unused = ^p;
  end

  logic [TREE_BITS-1:0] tree;
  mvu_tree #(.N(SIMD), .IN_BITS(PRODUCT_BITS)) tree_i (.clk, .en, .x(products), .y(tree));

  // ---- accumulation
  logic [STAGES-1:0] valid_q, end_q;
  logic [ACC_BITS-1:0] sum_q;
  wire [ACC_BITS-1:0] sum = sum_q + ACC_BITS'($signed(tree));
  wire unused = ^tree;
  wire take = en && valid_q[STAGES-1];
  wire take_end = take && end_q[STAGES-1];
  // A sum waits until the one before it has left the output register
  if (STALL_REGISTER) begin : gen_stall_register
    logic en_q;  // as it is: multiplier blocks take no inverted enable
    wire to_valid = en ? valid_q[STAGES-2] : valid_q[STAGES-1];
    wire to_end = en ? end_q[STAGES-2] : end_q[STAGES-1];
    always_ff @(posedge clk) begin
      en_q <= rst || !(to_valid && to_end && (take_end || (m_axis_tvalid && !m_axis_tready)));
    end
    assign en = en_q;
  end else begin : gen_stall
    assign en = !(valid_q[STAGES-1] && end_q[STAGES-1] && m_axis_tvalid && !m_axis_tready);
  end
  always_ff @(posedge clk) begin
    if (en) end_q <= {end_q[STAGES-2:0], end_chunk};
    if (rst) valid_q <= '0;
    else if (en) valid_q <= {valid_q[STAGES-2:0], read};
    if (rst || take_end) sum_q <= '0;
    else if (take) sum_q <= sum;
    if (take_end) m_axis_tdata <= sum;
    if (rst) m_axis_tvalid <= 1'b0;
    else if (take_end) m_axis_tvalid <= 1'b1;
    else if (m_axis_tready) m_axis_tvalid <= 1'b0;
  end

`ifndef SYNTHESIS
  matmul_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  matmul_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      b_load && b_first_q |-> cfg_queries >= 1 && 32'(cfg_queries) <= Q_MAX && cfg_keys >= 1 && 32'(cfg_keys) <= N_MAX
      && cfg_heads >= 1 && 32'(cfg_heads) <= H_MAX && cfg_dim >= 1 && 32'(cfg_dim) <= D_MAX
      && 32'(cfg_heads) * (TRANSPOSE ? 32'(cfg_dim) : (32'(cfg_dim) + SIMD - 1) / SIMD) <= STRIDE)
  else $error("%m: cfg_queries=%0d cfg_keys=%0d cfg_heads=%0d cfg_dim=%0d out of range, see the parameters *_MAX",
              cfg_queries, cfg_keys, cfg_heads, cfg_dim);
`endif
endmodule
`default_nettype wire
