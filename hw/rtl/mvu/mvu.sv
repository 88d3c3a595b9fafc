// SPDX-License-Identifier: Apache-2.0
// mvu: matrix-vector unit, SIMD inputs by PE rows in each cycle.
//   Order of s_axis: tile { group of PE rows { chunk of SIMD inputs { token of the tile }}}; one weight word for each
//   (tile, group, chunk), held for the tokens of the tile (cfg_tile, the last tile what is left of cfg_tokens). With DA
//   ceil(SIMD / 4) words for each, of four inputs by PE rows.
//   m_axis: the PE accumulators of each (tile, group, token). With DA each row's sum is short of its offset, the sum of
//   |w| over its negative weights (sim/golden/mvu.py::da_offset): whoever reads the sums adds it.
// Lanes    : rows 0..DSP_ROWS-1 on multiplier blocks (two rows share one when W_BITS <= 4 and A_BITS <= 8), then
//   fixed-point rows on LUTs, then ROWS_POT power-of-two rows, then ROWS_SP2 rows of sums of two powers of two.
// Overflow : none when every final sum fits ACC_BITS, with DA without its offset: sums are exact modulo
//   2^ACC_BITS.
// Latency  : 3 + clog2(SIMD) (+ 1 when SIMD > 8) clk cycles from a group's last beat to its sums, with T_MAX 1.
//            Throughput: 1 beat per cycle, no gap between groups, tiles or jobs. Back pressure: full.
// Resources: see the lanes; T_MAX 1 keeps sums in registers, else 2 * T_MAX * PE * ACC_BITS bits of RAM (partial sums
//   of one group, and the finished sums of the group before), and two weight words in registers.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu.py
`default_nettype none
module mvu #(
    // Rows and inputs of one cycle
    parameter int unsigned PE = 4,
    parameter int unsigned SIMD = 4,
    // Widths in bits of an activation (signed), a weight code, an accumulator (signed)
    parameter int unsigned A_BITS = 8,
    parameter int unsigned W_BITS = 4,
    parameter int unsigned ACC_BITS = 18,
    // Largest cfg_tile
    parameter int unsigned T_MAX = 1,
    // The last lanes: ROWS_POT power-of-two rows, then ROWS_SP2 rows; the rows before them are fixed-point
    parameter int unsigned ROWS_POT = 0,
    parameter int unsigned ROWS_SP2 = 0,
    // Fixed-point rows, from row 0, on multiplier blocks
    parameter int unsigned DSP_ROWS = 4,
    // Pairs of them sum their products inside the DSP blocks (TARGET 2: mvu_lane_dsp_cascade, else mvu_lane_dsp_ecp5)
    parameter bit          DSP_SUMS = 1'b0,
    // The second row of a pair comes packed: w1 - (w0 < 0); not with mvu_lane_dsp_cascade
    parameter bit          DSP_PACKED = 1'b0,
    // All rows by distributed arithmetic (DSP_ROWS 0); tables in 1 or 2 banks; 2 or 3 numbers an adder (mvu_lane_da)
    parameter bit          DA = 1'b0,
    parameter int unsigned DA_BANKS = 1,
    parameter int unsigned DA_RADIX = 2,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter int unsigned TARGET = 0,
    // With T_MAX 1, the enable comes from a register, a short path; a sum that is complete in the cycle in which the one
    // before it leaves waits a cycle, so the unit behind should take less time for one than cfg_chunks
    parameter bit          STALL_REGISTER = 1'b0,
    // Largest cfg_chunks
    parameter int unsigned CHUNKS_MAX = 65535,
    localparam int unsigned WORD_BITS = PE * (DA ? 4 : SIMD) * W_BITS
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    // Chunks of a row, groups of PE rows, tokens of a tile, tokens of the job (1 or more each), sampled with the first
    // beat of a job
    input  wire logic [15:0]               cfg_chunks,
    input  wire logic [15:0]               cfg_groups,
    input  wire logic [15:0]               cfg_tile,
    input  wire logic [15:0]               cfg_tokens,
    // Activations, input 0 in the low bits
    input  wire logic [SIMD*A_BITS-1:0]    s_axis_tdata,
    input  wire logic                      s_axis_tvalid,
    output logic                           s_axis_tready,
    // Weight codes, code (row * SIMD + input), with DA (row * 4 + input), row 0 input 0 in the low bits
    input  wire logic [WORD_BITS-1:0]      s_axis_weight_tdata,
    input  wire logic                      s_axis_weight_tvalid,
    output logic                           s_axis_weight_tready,
    // Accumulators, with DA without the rows' offsets, row 0 in the low bits
    output logic      [PE*ACC_BITS-1:0]    m_axis_tdata,
    output logic                           m_axis_tvalid,
    input  wire logic                      m_axis_tready
);
  localparam int unsigned ROWS_FIXED = PE - ROWS_POT - ROWS_SP2;
  localparam int unsigned PAIRS = W_BITS <= 4 && A_BITS <= 8 ? DSP_ROWS / 2 : 0;
  localparam bit DSP_CASCADE = DSP_SUMS && TARGET == 2 && SIMD > 1;
  localparam bit DSP_CHAINS = DSP_SUMS && TARGET != 2;
  // These rows come with the sum of all chunks so far
  localparam bit DSP_TOTALS = DSP_CASCADE && T_MAX == 1 && CHUNKS_MAX * (SIMD < 12 ? SIMD : 12) <= 2047;
  localparam int unsigned QUADS = (SIMD + 3) / 4;
  localparam int unsigned DA_STAGES = DA_RADIX == 2 ? 2 + $clog2(QUADS) + $clog2(A_BITS)
      : 2 + (QUADS == 1 ? 0 : QUADS <= 3 ? 1 : QUADS <= 9 ? 2 : QUADS <= 27 ? 3 : QUADS <= 81 ? 4 : 5)
          + (A_BITS <= 3 ? 1 : A_BITS <= 9 ? 2 : 3);
  localparam int unsigned STAGES = DA ? DA_STAGES : 2 + $clog2(SIMD) + (SIMD > 8 ? 1 : 0);  // latency of a lane
  localparam int unsigned C_BITS = $clog2(CHUNKS_MAX + 1);
  localparam int unsigned T_BITS = T_MAX > 1 ? $clog2(T_MAX) : 1;
  if (PE < 1 || SIMD < 1 || T_MAX < 1) begin : gen_check_size
    $error("mvu: PE=%0d, SIMD=%0d and T_MAX=%0d must be at least 1", PE, SIMD, T_MAX);
  end
  if (ROWS_POT + ROWS_SP2 > PE || DSP_ROWS > PE - ROWS_POT - ROWS_SP2) begin : gen_check_rows
    $error("mvu: DSP_ROWS=%0d + ROWS_POT=%0d + ROWS_SP2=%0d exceed PE=%0d", DSP_ROWS, ROWS_POT, ROWS_SP2, PE);
  end

  if (DA && DSP_ROWS > 0) begin : gen_check_da
    $error("mvu: DSP_ROWS=%0d must be 0 with DA", DSP_ROWS);
  end

  // ---- position of the next beat in the job
  logic first_q;  // it is the first of a job
  logic [15:0] chunks_q, groups_q, tile_q, tokens_q;
  logic [C_BITS-1:0] chunk_q;
  logic [15:0] group_q, tile_base_q;  // first token of the tile
  logic [T_BITS-1:0] slot_q;  // token in the tile
  wire  [C_BITS-1:0] chunk_next = chunk_q + 1'b1;
  wire  [15:0] group_next = group_q + 1'b1;
  wire  [T_BITS-1:0] slot_next = slot_q + 1'b1;
  logic [15:0] token_next;  // in the job: tile_base_q + slot_q + 1 by one carry chain
  logic unused_half;
  assign {token_next, unused_half} = {tile_base_q, 1'b1} + {16'(slot_q), 1'b1};

  logic issue, en;
  logic go;  // en for the sums and the units in front
  wire end_job_tokens = token_next == (first_q ? cfg_tokens : tokens_q);
  wire end_slots = T_MAX == 1 || slot_next == T_BITS'(first_q ? cfg_tile : tile_q) || end_job_tokens;
  wire end_chunks = chunk_next == C_BITS'(first_q ? cfg_chunks : chunks_q);
  wire end_groups = group_next == (first_q ? cfg_groups : groups_q);
  wire end_tile = end_slots && end_chunks && end_groups;
  always_ff @(posedge clk) begin
    if (issue && first_q) begin
      chunks_q <= cfg_chunks;
      groups_q <= cfg_groups;
      tile_q   <= cfg_tile;
      tokens_q <= cfg_tokens;
    end
    if (rst) begin
      first_q     <= 1'b1;
      chunk_q     <= '0;
      group_q     <= '0;
      tile_base_q <= '0;
      slot_q      <= '0;
    end else if (issue) begin
      first_q <= end_tile && end_job_tokens;
      slot_q  <= end_slots ? '0 : slot_next;
      if (end_slots) chunk_q <= end_chunks ? '0 : chunk_next;
      if (end_slots && end_chunks) group_q <= end_groups ? '0 : group_next;
      if (end_tile) tile_base_q <= end_job_tokens ? '0 : token_next;
    end
  end

  // ---- weights: into the tables of the lanes, straight from the stream, or held for a tile with the next word behind
  logic [PE*SIMD*W_BITS-1:0] weight;
  logic weight_valid;
  logic [2:0] table_ready, load_ready;  // of the rows of each scheme, in step
  if (DA) begin : gen_weight_tables
    assign weight = '0;
    assign weight_valid = &table_ready;
    assign s_axis_weight_tready = &load_ready;
    wire unused = ^weight;
  end else if (T_MAX == 1) begin : gen_weight_stream
    assign weight = s_axis_weight_tdata;
    assign weight_valid = s_axis_weight_tvalid;
    assign s_axis_weight_tready = go && s_axis_tvalid;
  end else begin : gen_weight_hold
    logic [PE*SIMD*W_BITS-1:0] word_q, next_q;
    logic word_valid_q, next_valid_q;
    wire  word_free = !word_valid_q || (issue && end_slots);
    assign weight = word_q;
    assign weight_valid = word_valid_q;
    assign s_axis_weight_tready = !next_valid_q || word_free;
    always_ff @(posedge clk) begin
      if (s_axis_weight_tready) next_q <= s_axis_weight_tdata;
      if (word_free) word_q <= next_q;
      if (rst) begin
        word_valid_q <= 1'b0;
        next_valid_q <= 1'b0;
      end else begin
        if (s_axis_weight_tready) next_valid_q <= s_axis_weight_tvalid;
        if (word_free) word_valid_q <= next_valid_q;
      end
    end
  end
  assign s_axis_tready = go && weight_valid;
  assign issue = s_axis_tready && s_axis_tvalid;

  // ---- what travels beside a beat through the lanes
  logic [STAGES-1:0] valid_q, begin_q, end_q;  // beat; its chunk is the first, the last of the row
  always_ff @(posedge clk) begin
    if (en) begin
      begin_q <= STAGES'({begin_q, chunk_q == '0});
      end_q   <= STAGES'({end_q, end_chunks});
    end
    if (rst) valid_q <= '0;
    else if (en) valid_q <= STAGES'({valid_q, issue});
  end
  wire sum_valid = valid_q[STAGES-1];
  wire sum_begin = begin_q[STAGES-1];
  wire sum_end = end_q[STAGES-1];

  // ---- lanes; row sums come as y + carry, or as -y
  logic [PE*ACC_BITS-1:0] y;
  logic [PE-1:0] carry, negative;
  if (DA) begin : gen_tables
    for (genvar s = 0; s < 3; s++) begin : gen_scheme
      localparam int unsigned ROWS = s == 0 ? ROWS_FIXED : s == 1 ? ROWS_POT : ROWS_SP2;
      localparam int unsigned FIRST = s == 0 ? 0 : s == 1 ? ROWS_FIXED : ROWS_FIXED + ROWS_POT;
      localparam int unsigned SHIFT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2;
      localparam int unsigned TOP = s == 0 ? 2 ** (W_BITS - 1) - 1
          : s == 1 ? 2 ** SHIFT_TOP : 2 ** (2 ** (W_BITS / 2) - 1);
      localparam int unsigned Y_BITS = $clog2(4 * QUADS * TOP) + A_BITS;
      if (ROWS > 0) begin : gen_rows
        logic [ROWS*Y_BITS-1:0] y_rows;
        mvu_lane_da #(
            .SIMD(SIMD), .ROWS(ROWS), .A_BITS(A_BITS), .W_BITS(W_BITS), .SCHEME(s), .BANKS(DA_BANKS), .RADIX(DA_RADIX),
            .TARGET(TARGET)
        ) lane_i (
            .clk, .rst, .en, .load(s_axis_weight_tdata[FIRST*4*W_BITS+:ROWS*4*W_BITS]),
            .load_valid(s_axis_weight_tvalid), .load_ready(load_ready[s]), .ready(table_ready[s]),
            .release_bank(issue && end_slots), .a(s_axis_tdata), .y(y_rows)
        );
        for (genvar r = 0; r < ROWS; r++) begin : gen_y
          assign y[(FIRST+r)*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(y_rows[r*Y_BITS+:Y_BITS]));
        end
        wire unused = ^y_rows;
      end else begin : gen_none
        assign table_ready[s] = 1'b1;
        assign load_ready[s] = 1'b1;
      end
    end
    assign carry = '0;
    assign negative = '0;
  end else begin : gen_no_tables
    assign table_ready = '0;
    assign load_ready = '0;
    wire unused = ^{table_ready, load_ready};
  end
  for (genvar r = 0; r < (DA ? 0 : PE); r++) begin : gen_row
    localparam int unsigned ROW_BITS = SIMD * W_BITS;
    if (r < 2 * PAIRS) begin : gen_packed
      if (r % 2 == 0) begin : gen_pair
        localparam int unsigned CHAINS = (SIMD + 11) / 12;  // of mvu_lane_dsp_cascade
        localparam int unsigned Y_BITS = !DSP_CASCADE ? A_BITS + W_BITS - 1 + $clog2(SIMD)
            : (DSP_TOTALS ? 22 : A_BITS + W_BITS + $clog2((SIMD + CHAINS - 1) / CHAINS)) + $clog2(CHAINS);
        logic [Y_BITS-1:0] y0, y1;
        wire [ROW_BITS-1:0] w0 = weight[r*ROW_BITS+:ROW_BITS], w1 = weight[(r+1)*ROW_BITS+:ROW_BITS];
        if (DSP_CASCADE) begin : gen_cascade
          mvu_lane_dsp_cascade #(
              .SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .ACCUMULATE(DSP_TOTALS), .TARGET(TARGET)
          ) lane_i (
              .clk, .en, .valid(issue), .first(chunk_q == '0), .a(s_axis_tdata), .w0, .w1, .y0, .y1,
              .carry1(carry[r+1])
          );
        end else if (DSP_CHAINS) begin : gen_ecp5
          mvu_lane_dsp_ecp5 #(
              .SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .PACKED(DSP_PACKED), .TARGET(TARGET)
          ) lane_i (.clk, .en, .a(s_axis_tdata), .w0, .w1, .y0, .y1, .carry1(carry[r+1]));
        end else begin : gen_fabric
          mvu_lane_dsp_pair #(
              .SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .PACKED(DSP_PACKED), .TARGET(TARGET)
          ) lane_i (.clk, .en, .a(s_axis_tdata), .w0, .w1, .y0, .y1, .carry1(carry[r+1]));
        end
        assign carry[r] = 1'b0;
        assign negative[r+:2] = 2'b00;
        assign y[r*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(y0));
        assign y[(r+1)*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(y1));
        wire unused = ^{y0, y1};
      end
    end else if (r < ROWS_FIXED) begin : gen_fixed
      localparam int unsigned Y_BITS = A_BITS + W_BITS - 1 + $clog2(SIMD);
      logic [Y_BITS-1:0] y_row;
      if (r < DSP_ROWS) begin : gen_multipliers
        mvu_lane_fixed #(.SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .TARGET(TARGET)) lane_i (
            .clk, .en, .a(s_axis_tdata), .w(weight[r*ROW_BITS+:ROW_BITS]), .y(y_row)
        );
      end else begin : gen_planes
        mvu_lane_planes #(.SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .TARGET(TARGET)) lane_i (
            .clk, .en, .a(s_axis_tdata), .w(weight[r*ROW_BITS+:ROW_BITS]), .y(y_row)
        );
      end
      assign carry[r] = 1'b0;
      assign negative[r] = 1'b0;
      assign y[r*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(y_row));
      wire unused = ^y_row;
    end else begin : gen_shift
      localparam bit SP2 = r >= ROWS_FIXED + ROWS_POT;
      localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2;
      localparam int unsigned Y_BITS = A_BITS + (SP2 ? 2 ** (W_BITS / 2) - 1 : POT_TOP) + $clog2(SIMD);
      logic [Y_BITS-1:0] y_row;
      mvu_lane_shift #(.SIMD(SIMD), .A_BITS(A_BITS), .W_BITS(W_BITS), .SP2(SP2), .TARGET(TARGET)) lane_i (
          .clk, .en, .a(s_axis_tdata), .w(weight[r*ROW_BITS+:ROW_BITS]), .y(y_row), .negative(negative[r]),
          .carry(carry[r])
      );
      assign y[r*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(y_row));
      wire unused = ^y_row;
    end
  end

  // ---- accumulation
  logic [PE*ACC_BITS-1:0] old, sum;  // sums before and after the beat
  for (genvar r = 0; r < PE; r++) begin : gen_sum
    wire [ACC_BITS-1:0] left = old[r*ACC_BITS+:ACC_BITS];
    wire [ACC_BITS-1:0] right = y[r*ACC_BITS+:ACC_BITS];
    if (DSP_TOTALS && r < 2 * PAIRS) begin : gen_total
      assign sum[r*ACC_BITS+:ACC_BITS] = right;
      wire unused = ^left;
    end else if (!DSP_CASCADE && !DSP_CHAINS && r < 2 * PAIRS && r % 2 == 1) begin : gen_carry
      logic below;
      assign {sum[r*ACC_BITS+:ACC_BITS], below} = {left, 1'b1} + {right, carry[r]};  // carry into bit 0
      wire unused = below;
    end else if (r >= ROWS_FIXED && !DA && TARGET == 2) begin : gen_one
      add_select #(.WIDTH(ACC_BITS), .TARGET(TARGET)) add_i (
          .a(right), .b0(left), .b1(left), .select(1'b0), .carry(carry[r]), .y(sum[r*ACC_BITS+:ACC_BITS])
      );
    end else if (r >= ROWS_FIXED && !DA) begin : gen_signed
      add_gated #(.WIDTH(ACC_BITS), .TARGET(TARGET)) add_i (
          .a(left), .b(right), .gate(1'b1), .invert(negative[r]), .y(sum[r*ACC_BITS+:ACC_BITS])
      );
    end else begin : gen_plain
      assign sum[r*ACC_BITS+:ACC_BITS] = right + left;  // right first: UltraScale+ takes the choice of left along
    end
  end
  wire unused_flags = ^{carry, negative};

  if (T_MAX == 1) begin : gen_sum_register
    logic [PE*ACC_BITS-1:0] sum_q;
    wire take = go && sum_valid;
    wire unused = sum_begin;
    assign old = sum_q;
    // A sum waits until the one before it has left the output register
    if (STALL_REGISTER) begin : gen_stall_register
      // Once for the lanes, which are many and far: as it is, since multiplier blocks take no inverted enable; and once for
      // the sums and the units in front: in the other polarity, so that synthesis does not make one register of both
      logic en_q, stall_q;
      wire to_valid = go ? valid_q[STAGES-2] : sum_valid;
      wire to_end = go ? end_q[STAGES-2] : sum_end;
      wire stall = to_valid && to_end && ((take && sum_end) || (m_axis_tvalid && !m_axis_tready));
      always_ff @(posedge clk) begin
        en_q    <= rst || !stall;
        stall_q <= !rst && stall;
      end
      assign en = en_q;
      assign go = !stall_q;
    end else begin : gen_stall
      assign en = !(sum_valid && sum_end && m_axis_tvalid && !m_axis_tready);
      assign go = en;
    end
    always_ff @(posedge clk) begin
      if (rst || (take && sum_end)) sum_q <= '0;
      else if (take) sum_q <= sum;
      if (take && sum_end) m_axis_tdata <= sum;
      if (rst) m_axis_tvalid <= 1'b0;
      else if (take && sum_end) m_axis_tvalid <= 1'b1;
      else if (m_axis_tready) m_axis_tvalid <= 1'b0;
    end
  end else begin : gen_sum_ram
    // The RAM, above 32 words a block RAM, is read one cycle before the lanes deliver and written one cycle after. Tiles
    // of one and two tokens need their sum sooner: it comes from the registers that hold the last two sums.
    logic [STAGES-1:0][T_BITS-1:0] slots_q;
    logic [T_BITS-1:0] last_slot_q, older_slot_q;  // of the two beats that read before
    logic [1:0] from_q;  // the sum so far: 0 none, 1 in last_q, 2 in older_q, 3 in the RAM
    logic [PE*ACC_BITS-1:0] word_q, last_q, older_q;
    logic write_q, done_q;
    logic [T_BITS-1:0] write_slot_q;
    wire [T_BITS-1:0] read_slot = slots_q[STAGES-2];
    logic done_ready;
    (* no_rw_check, ram_style = T_MAX > 32 ? "block" : "distributed" *) logic [PE*ACC_BITS-1:0] sums[T_MAX];

    assign en = !(done_q && !done_ready);
    assign go = en;
    assign old = from_q[1] ? (from_q[0] ? word_q : older_q) : from_q[0] ? last_q : '0;
    wire unused = sum_begin;
    always_ff @(posedge clk) begin
      if (write_q) sums[write_slot_q] <= last_q;
      if (en) begin
        slots_q <= {slots_q[STAGES-2:0], slot_q};
        word_q  <= sums[read_slot];
        if (valid_q[STAGES-2]) begin
          last_slot_q  <= read_slot;
          older_slot_q <= last_slot_q;
          if (begin_q[STAGES-2]) from_q <= 2'd0;
          else from_q <= read_slot == last_slot_q ? 2'd1 : read_slot == older_slot_q ? 2'd2 : 2'd3;
        end
        write_slot_q <= slots_q[STAGES-1];
        if (sum_valid) begin
          last_q  <= sum;
          older_q <= last_q;
        end
      end
      if (rst) begin
        write_q <= 1'b0;
        done_q  <= 1'b0;
      end else if (en) begin
        write_q <= sum_valid && !sum_end;
        done_q  <= sum_valid && sum_end;
      end
    end

    fifo #(.WIDTH(PE * ACC_BITS), .DEPTH(T_MAX)) done_i (
        .clk, .rst, .s_axis_tdata(last_q), .s_axis_tvalid(done_q), .s_axis_tready(done_ready),
        .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
    );
  end

`ifndef SYNTHESIS
  mvu_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  mvu_go_is_en : assert property (@(posedge clk) disable iff (rst) go == en)
  else $error("%m: the units in front are not stopped as the lanes are");
  mvu_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      issue && first_q |-> cfg_chunks >= 1 && 32'(cfg_chunks) <= CHUNKS_MAX && cfg_groups >= 1 && cfg_tile >= 1
      && 32'(cfg_tile) <= T_MAX && cfg_tokens >= 1)
  else $error("%m: cfg_chunks=%0d cfg_groups=%0d cfg_tile=%0d cfg_tokens=%0d out of range (CHUNKS_MAX=%0d, T_MAX=%0d)",
              cfg_chunks, cfg_groups, cfg_tile, cfg_tokens, CHUNKS_MAX, T_MAX);
`endif
endmodule
`default_nettype wire
