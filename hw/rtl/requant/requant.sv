// SPDX-License-Identifier: Apache-2.0
// requant: scales accumulators to codes, one row (output channel) in each cycle.
//   y = clip((acc[lane] * mult + bias * 2^DROP_BITS + 2^(shift-1)) >>> shift)
//   Order: tile { group { token { row of the group }}}. One parameter word {lane, bias, mult} for each (tile, row),
//   used for all tokens of the tile. DROP_BITS: the bias has few bits after the point, and sum and shift are as narrow.
// Rounding : half toward +inf: -2.5 -> -2, 2.5 -> 3
// Latency  : 6 clk cycles, + 1 when PE > 2, + 1 when ACC_BITS > 18. Throughput: 1 row per cycle, no gap between
//            groups, tiles or jobs. Back pressure: full.
// Resources: 1 multiplier 18 x 18 (2 when ACC_BITS > 18); T_MAX > 1: parameters of two groups in LUT RAM.
// Golden   : sim/golden/requant.py::requant       Test: tests/hw/test_requant.py
`default_nettype none
module requant #(
    // Rows in a beat of s_axis
    parameter int unsigned PE = 4,
    // Widths in bits: accumulator, multiplier, bias (signed), code
    parameter int unsigned ACC_BITS = 18,
    parameter int unsigned MULT_BITS = 17,
    parameter int unsigned BIAS_BITS = 32,
    parameter int unsigned OUT_BITS = 8,
    // Codes are two's complement, otherwise unsigned
    parameter bit OUT_SIGNED = 1'b1,
    // Low bits of the product that the bias has not and no code hangs on, less than cfg_shift
    parameter int unsigned DROP_BITS = 0,
    // Width of the lane field, at least 1
    parameter int unsigned LANE_BITS = PE > 1 ? $clog2(PE) : 1,
    // Largest cfg_tile
    parameter int unsigned T_MAX = 1,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter int unsigned TARGET = 0,
    // Largest cfg_rows
    parameter int unsigned ROWS_MAX = 65535
) (
    input  wire logic                                     clk,
    input  wire logic                                     rst,
    // Right shift (DROP_BITS + 1 .. DROP_BITS + 64), rows, tokens of a tile, tokens of the job (1 or more each),
    // sampled with the first beat of a job on s_axis
    input  wire logic [15:0]                              cfg_shift,
    input  wire logic [15:0]                              cfg_rows,
    input  wire logic [15:0]                              cfg_tile,
    input  wire logic [15:0]                              cfg_tokens,
    // Accumulators of a group of rows, signed, lane 0 in the low bits
    input  wire logic [PE*ACC_BITS-1:0]                   s_axis_tdata,
    input  wire logic                                     s_axis_tvalid,
    output logic                                          s_axis_tready,
    // {lane, bias, mult}
    input  wire logic [LANE_BITS+BIAS_BITS+MULT_BITS-1:0] s_axis_param_tdata,
    input  wire logic                                     s_axis_param_tvalid,
    output logic                                          s_axis_param_tready,
    output logic      [OUT_BITS-1:0]                      m_axis_tdata,
    output logic                                          m_axis_tvalid,
    input  wire logic                                     m_axis_tready
);
  localparam int unsigned PARAM_BITS = LANE_BITS + BIAS_BITS + MULT_BITS;
  localparam int unsigned ROW_BITS = $clog2(ROWS_MAX + 1);
  localparam int unsigned LANE_INDEX_BITS = PE > 1 ? $clog2(PE) : 1;
  localparam int unsigned T_BITS = T_MAX > 1 ? $clog2(T_MAX) : 1;
  localparam bit POWER = (PE & (PE - 1)) == 0;
  if (PE < 1 || T_MAX < 1) begin : gen_check_size
    $error("requant: PE=%0d and T_MAX=%0d must be at least 1", PE, T_MAX);
  end
  if (MULT_BITS > 18 || ACC_BITS > 35) begin : gen_check_bits
    $error("requant: MULT_BITS=%0d must be at most 18 and ACC_BITS=%0d at most 35", MULT_BITS, ACC_BITS);
  end
  if (DROP_BITS + 2 > ACC_BITS + MULT_BITS) begin : gen_check_drop
    $error("requant: DROP_BITS=%0d leaves less than two of the product's %0d bits", DROP_BITS, ACC_BITS + MULT_BITS);
  end
  if (LANE_BITS < 1 || 2 ** LANE_BITS < PE) begin : gen_check_lane
    $error("requant: LANE_BITS=%0d cannot count PE=%0d lanes", LANE_BITS, PE);
  end

  // ---- position of the next row in the job
  logic first_q;  // its group is the first of a job
  logic [15:0] shift_q, rows_q, tile_q, tokens_q;
  logic [LANE_INDEX_BITS-1:0] place_q;  // row in the group
  logic [ROW_BITS-1:0] row_q, group_base_q;  // row in the job; first row of the group
  logic [15:0] token_q, tile_base_q;
  logic [T_BITS-1:0] slot_q;  // token in the tile
  wire  [15:0] rows = first_q ? cfg_rows : rows_q;
  wire  [5:0] shift_before = 6'((first_q ? cfg_shift : shift_q) - 16'(DROP_BITS + 1));
  wire  [ROW_BITS-1:0] row_last = ROW_BITS'(rows - 16'd1);
  wire  [15:0] token_last = (first_q ? cfg_tokens : tokens_q) - 16'd1;
  wire  [T_BITS-1:0] slot_last = T_BITS'((first_q ? cfg_tile : tile_q) - 16'd1);

  logic en, issue, param_valid, end_place;
  logic [PARAM_BITS-1:0] param;
  wire end_rows = row_q == row_last;
  if (PE == 1) begin : gen_one_row
    assign end_place = 1'b1;
  end else if (POWER) begin : gen_power  // a shorter last group exists only when PE does not divide rows
    assign end_place = place_q == LANE_INDEX_BITS'(PE - 1) || (end_rows && rows[LANE_INDEX_BITS-1:0] != '0);
  end else begin : gen_any
    assign end_place = place_q == LANE_INDEX_BITS'(PE - 1) || end_rows;
  end
  wire end_tokens = token_q == token_last;
  wire end_slots = T_MAX == 1 || slot_q == slot_last || end_tokens;
  wire end_group = end_place && end_slots;
  wire end_tile = end_group && end_rows;
  assign s_axis_tready = en && param_valid && end_place;
  assign issue = en && param_valid && s_axis_tvalid;

  always_ff @(posedge clk) begin
    if (issue && first_q && end_place) begin
      shift_q  <= cfg_shift;
      rows_q   <= cfg_rows;
      tile_q   <= cfg_tile;
      tokens_q <= cfg_tokens;
    end
    if (rst) begin
      first_q      <= 1'b1;
      place_q      <= '0;
      row_q        <= '0;
      group_base_q <= '0;
      token_q      <= '0;
      tile_base_q  <= '0;
      slot_q       <= '0;
    end else if (issue) begin
      place_q <= end_place ? '0 : place_q + 1'b1;
      if (!end_place) row_q <= row_q + 1'b1;
      else if (!end_slots) row_q <= group_base_q;
      else row_q <= end_rows ? '0 : row_q + 1'b1;
      if (end_group) group_base_q <= end_rows ? '0 : row_q + 1'b1;
      if (end_place) begin
        first_q <= end_tile && end_tokens;
        slot_q  <= end_slots ? '0 : slot_q + 1'b1;
        if (!end_slots) token_q <= token_q + 1'b1;
        else if (!end_tile) token_q <= tile_base_q;
        else token_q <= end_tokens ? '0 : token_q + 1'b1;
      end
      if (end_tile) tile_base_q <= end_tokens ? '0 : token_q + 1'b1;
    end
  end

  // ---- parameters: straight from the stream, or a window of the current group that is read again for each token
  if (T_MAX == 1) begin : gen_param_stream
    assign param = s_axis_param_tdata;
    assign param_valid = s_axis_param_tvalid;
    assign s_axis_param_tready = en && s_axis_tvalid;
  end else begin : gen_param_window
    localparam int unsigned ADDR_BITS = $clog2(2 * PE);
    localparam int unsigned WORDS = 2 ** ADDR_BITS;
    (* ram_style = "distributed" *) logic [PARAM_BITS-1:0] words[WORDS];
    logic [ADDR_BITS:0] wr_q, rd_q, base_q;  // next word in, next word out, first word of the group
    wire push = s_axis_param_tvalid && s_axis_param_tready;
    assign s_axis_param_tready = wr_q != (base_q ^ {1'b1, ADDR_BITS'(0)});
    assign param_valid = rd_q != wr_q;
    assign param = words[rd_q[ADDR_BITS-1:0]];
    always_ff @(posedge clk) begin
      if (push) words[wr_q[ADDR_BITS-1:0]] <= s_axis_param_tdata;
      if (rst) begin
        wr_q   <= '0;
        rd_q   <= '0;
        base_q <= '0;
      end else begin
        if (push) wr_q <= wr_q + 1'b1;
        if (issue) rd_q <= end_place && !end_slots ? base_q : rd_q + 1'b1;
        if (issue && end_group) base_q <= rd_q + 1'b1;
      end
    end
  end

  // ---- choice of the lane
  localparam int unsigned PICK = PE > 2 ? 1 : 0;  // registers inside the multiplexer
  localparam int unsigned SPLIT = ACC_BITS > 18 ? 1 : 0;
  localparam int unsigned SUM_STAGE = PICK + 2 + SPLIT;  // registers before the sum
  localparam int unsigned STAGES = SUM_STAGE + 4;
  wire [LANE_BITS-1:0] lane = param[PARAM_BITS-1-:LANE_BITS];
  wire [MULT_BITS-1:0] mult = param[MULT_BITS-1:0];
  logic [ACC_BITS-1:0] acc;
  logic [MULT_BITS-1:0] factor;
  if (PE == 1) begin : gen_pick_none
    assign acc = s_axis_tdata;
    assign factor = mult;
    wire unused = ^lane;
  end else if (PE == 2) begin : gen_pick_pair
    assign acc = lane[0] ? s_axis_tdata[ACC_BITS+:ACC_BITS] : s_axis_tdata[ACC_BITS-1:0];
    assign factor = mult;
    wire unused = ^lane;
  end else begin : gen_pick
    localparam int unsigned HALVES = (PE + 1) / 2;
    logic [HALVES-1:0][ACC_BITS-1:0] half_q;
    logic [LANE_BITS-2:0] lane_q;
    logic [MULT_BITS-1:0] mult_q;
    for (genvar h = 0; h < HALVES; h++) begin : gen_half
      localparam int unsigned ODD = 2 * h + 1 < PE ? 2 * h + 1 : 2 * h;
      always_ff @(posedge clk)
        if (en) half_q[h] <= s_axis_tdata[(lane[0] ? ODD : 2 * h)*ACC_BITS+:ACC_BITS];
    end
    always_ff @(posedge clk) begin
      if (en) begin
        lane_q <= lane[LANE_BITS-1:1];
        mult_q <= mult;
      end
    end
    assign acc = half_q[lane_q];
    assign factor = mult_q;
  end

  // ---- what travels beside a row
  logic [STAGES-1:0] valid_q;
  logic [SUM_STAGE-1:0][BIAS_BITS-1:0] bias_q;
  logic [SUM_STAGE+1:0][5:0] shift_before_q;
  always_ff @(posedge clk) begin
    if (en) begin
      bias_q <= {bias_q[SUM_STAGE-2:0], param[MULT_BITS+:BIAS_BITS]};
      shift_before_q <= {shift_before_q[SUM_STAGE:0], shift_before};
    end
    if (rst) valid_q <= '0;
    else if (en) valid_q <= {valid_q[STAGES-2:0], issue};
  end
  assign en = !valid_q[STAGES-1] || m_axis_tready;
  assign m_axis_tvalid = valid_q[STAGES-1];

  // ---- product: accumulators above 18 bits in two parts, the low one of 17 bits without sign
  localparam int unsigned PRODUCT_BITS = ACC_BITS + MULT_BITS;
  logic signed [PRODUCT_BITS-1:0] product;
  if (SPLIT == 0) begin : gen_product
    logic [35:0] p;
    mult18x18 #(.TARGET(TARGET)) mul_i (
        .clk, .en, .a(18'($signed(acc))), .b(18'($signed(factor))), .p
    );
    assign product = p[PRODUCT_BITS-1:0];
    wire unused = ^p;
  end else begin : gen_product_parts
    logic [35:0] low, high;
    mult18x18 #(.TARGET(TARGET)) low_i (
        .clk, .en, .a({1'b0, acc[16:0]}), .b(18'($signed(factor))), .p(low)
    );
    mult18x18 #(.TARGET(TARGET)) high_i (
        .clk, .en, .a(18'($signed(acc[ACC_BITS-1:17]))), .b(18'($signed(factor))), .p(high)
    );
    wire signed [PRODUCT_BITS-1:0] low_wide = PRODUCT_BITS'($signed(low));
    logic [PRODUCT_BITS-1:0] product_q;
    always_ff @(posedge clk) begin
      if (en) begin
        product_q[16:0] <= low_wide[16:0];
        product_q[PRODUCT_BITS-1:17] <= low_wide[PRODUCT_BITS-1:17] + high[PRODUCT_BITS-18:0];
      end
    end
    assign product = product_q;
    wire unused = ^{low, high};
  end

  // ---- sum, shift by all but one in two steps, saturate, round up when the last bit shifted out was set
  localparam int unsigned KEPT_BITS = PRODUCT_BITS - DROP_BITS;
  localparam int unsigned SUM_BITS = (KEPT_BITS > BIAS_BITS ? KEPT_BITS : BIAS_BITS) + 1;
  localparam logic [OUT_BITS-1:0] TOP = OUT_SIGNED ? {1'b0, {OUT_BITS - 1{1'b1}}} : '1;
  localparam logic [OUT_BITS-1:0] BOTTOM = OUT_SIGNED ? {1'b1, {OUT_BITS - 1{1'b0}}} : '0;
  localparam int unsigned WIDE_BITS = SUM_BITS > OUT_BITS + 1 ? SUM_BITS : OUT_BITS + 2;
  logic signed [SUM_BITS-1:0] sum_q, coarse_q;
  logic [OUT_BITS-1:0] code_q;
  logic round_q;
  wire [5:0] sum_shift = shift_before_q[SUM_STAGE];
  wire [5:0] coarse_shift = shift_before_q[SUM_STAGE+1];
  wire signed [WIDE_BITS-1:0] fine = WIDE_BITS'(coarse_q) >>> coarse_shift[2:0];
  wire [OUT_BITS-1:0] code = fine[OUT_BITS:1];
  wire negative = fine[WIDE_BITS-1];
  wire [WIDE_BITS-OUT_BITS-2:0] above = fine[WIDE_BITS-1:OUT_BITS+1];
  wire fits = OUT_SIGNED ? above == {WIDE_BITS - OUT_BITS - 1{code[OUT_BITS-1]}} : above == '0;
  wire signed [KEPT_BITS-1:0] kept = product[PRODUCT_BITS-1:DROP_BITS];
  wire unused_shift = ^{sum_shift[2:0], coarse_shift[5:3], product};
  always_ff @(posedge clk) begin
    if (en) begin
      sum_q        <= SUM_BITS'(kept) + SUM_BITS'($signed(bias_q[SUM_STAGE-1]));
      coarse_q     <= sum_q >>> {sum_shift[5:3], 3'b000};
      code_q       <= fits ? code : negative ? BOTTOM : TOP;
      round_q      <= fits && fine[0] && code != TOP;
      m_axis_tdata <= code_q + OUT_BITS'(round_q);
    end
  end

`ifndef SYNTHESIS
  requant_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
  requant_cfg_in_range : assert property (@(posedge clk) disable iff (rst)
      issue && first_q |-> 32'(cfg_shift) > DROP_BITS && 32'(cfg_shift) <= DROP_BITS + 64 && cfg_rows >= 1
      && 32'(cfg_rows) <= ROWS_MAX && cfg_tile >= 1 && 32'(cfg_tile) <= T_MAX && cfg_tokens >= 1)
  else $error("%m: cfg_shift=%0d cfg_rows=%0d cfg_tile=%0d cfg_tokens=%0d out of range, see DROP_BITS, ROWS_MAX, T_MAX",
              cfg_shift, cfg_rows, cfg_tile, cfg_tokens);
`endif
endmodule
`default_nettype wire
