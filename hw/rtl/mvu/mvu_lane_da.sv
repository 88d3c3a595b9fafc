// SPDX-License-Identifier: Apache-2.0
// mvu_lane_da: rows of one scheme by distributed arithmetic; weights stay while the tokens of a tile pass.
//   Four weights of a row make a table of 16 entries. Bit p of the four activations addresses it: that is the row's sum
//   of plane p over four inputs. Tables are added over the inputs, then the planes with their shifts, the top one
//   negative.
//   entry[b] = sum over j of |w[j]| * (b[j] ^ (w[j] < 0)) = sum over j of w[j] * b[j], and more by the |w[j]| of the
//   negative weights: never below 0, so tables and adders have no sign. The planes' shifts add up to
//   2^0 + .. + 2^(A_BITS-2) - 2^(A_BITS-1) = -1, so
//     y = w . a - sum of |w| over the row's negative weights, whatever the activations are.
// Loading  : four weights of every row at a time, 16 cycles each, ceil(SIMD / 4) times; with BANKS 2 while the tokens of
//   the tile before pass. `ready` tells that the tables are complete, `release_bank` comes with the last beat that reads
//   them.
// Limits   : fixed weights >= -(2^(W_BITS-1)-1); codes of inputs beyond SIMD are 0.
// Latency  : 2 + levels(ceil(SIMD / 4)) + levels(A_BITS) clk cycles, levels of base RADIX; held while en is low.
// Resources: LUT RAM for A_BITS * ENTRY_BITS bits a row and four inputs, adders of the entries; LUT a MAC of each
//   scheme: docs/results/lanes.md. ECP5 has 16 words in a LUT RAM, so BANKS 2 doubles it there; UltraScale+ has 32.
// Golden   : sim/golden/mvu.py::mvu               Test: tests/hw/test_mvu_lanes.py
`default_nettype none
module mvu_lane_da #(
    parameter  int unsigned SIMD = 8,
    parameter  int unsigned ROWS = 2,
    parameter  int unsigned A_BITS = 8,
    parameter  int unsigned W_BITS = 4,
    // 0: fixed-point, 1: PoT, 2: SP2 (codes as in mvu_lane_shift)
    parameter  int unsigned SCHEME = 0,
    // 2: tables are loaded while others are read
    parameter  int unsigned BANKS = 1,
    // Numbers that an adder takes: 2, or 3 (UltraScale+)
    parameter  int unsigned RADIX = 2,
    // 0: behavioural, 1: ECP5, 2: UltraScale+
    parameter  int unsigned TARGET = 0,
    localparam int unsigned QUADS = (SIMD + 3) / 4,
    localparam int unsigned M1 = W_BITS / 2,
    localparam int unsigned POT_TOP = W_BITS > 4 ? 14 : 2 ** (W_BITS - 1) - 2,
    // Largest |weight|
    localparam int unsigned TOP = SCHEME == 0 ? 2 ** (W_BITS - 1) - 1
        : SCHEME == 1 ? 2 ** POT_TOP : 2 ** (2 ** M1 - 1),
    // -2^(A_BITS-1) * 4 * QUADS * TOP fits
    localparam int unsigned Y_BITS = $clog2(4 * QUADS * TOP) + A_BITS
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic                     en,
    // Weight codes of four inputs, code (row * 4 + input), row 0 input 0 in the low bits; taken after 16 cycles
    input  wire logic [ROWS*4*W_BITS-1:0] load,
    input  wire logic                     load_valid,
    output logic                          load_ready,
    // Tables may be read; they are read for the last time (with en)
    output logic                          ready,
    input  wire logic                     release_bank,
    input  wire logic [SIMD*A_BITS-1:0]   a,
    // Row sums, w . a without the row's offset, signed, row 0 in the low bits
    output logic      [ROWS*Y_BITS-1:0]   y
);
  localparam int unsigned VALUE_BITS = $clog2(TOP + 1);
  localparam int unsigned PAIR_BITS = $clog2(2 * TOP + 1);
  localparam int unsigned ENTRY_BITS = $clog2(4 * TOP + 1);
  localparam int unsigned PLANE_BITS = $clog2(QUADS * 4 * TOP + 1);
  localparam int unsigned ADDR_BITS = BANKS == 2 ? 5 : 4;
  if (W_BITS < 2 || W_BITS > 8 || A_BITS < 2) begin : gen_check_bits
    $error("mvu_lane_da: W_BITS=%0d must be in 2..8 and A_BITS=%0d at least 2", W_BITS, A_BITS);
  end
  if (BANKS != 1 && BANKS != 2) begin : gen_check_banks
    $error("mvu_lane_da: BANKS=%0d must be 1 or 2", BANKS);
  end

  // ---- state of the banks
  logic bank_q;  // read; the other one is written, with BANKS 1 the same
  logic ready_q, loaded_q;  // the bank that is read, the bank that is written: complete
  logic reading_q;  // the last beat of the bank before is still at its tables
  logic loading_done;
  logic taken;
  if (BANKS == 2) begin : gen_swap
    assign taken = loaded_q && (!ready_q || release_bank);
    assign ready = ready_q;
    always_ff @(posedge clk) begin
      if (rst) begin
        bank_q  <= 1'b0;
        ready_q <= 1'b0;
      end else begin
        bank_q  <= bank_q ^ taken;
        ready_q <= taken || (ready_q && !release_bank);
      end
    end
  end else begin : gen_single
    assign taken = release_bank;
    assign ready = loaded_q;
    assign bank_q = 1'b0;
    assign ready_q = 1'b0;
    wire unused = bank_q | ready_q;
  end

  // ---- loader: entry `entry` of the selected quad in each cycle, written three cycles later
  logic [3:0] entry_q, entry_q2, entry_q3;
  logic busy_q;  // all quads were taken, their last entries are not yet written
  logic [1:0] end_q;
  logic [QUADS-1:0] select_q, write_q, write_q2;
  wire  step = load_valid && !loaded_q && !busy_q && !reading_q;
  wire  end_quad = step && entry_q == 4'd15;
  wire  end_load = end_quad && select_q[QUADS-1];
  assign load_ready = end_quad;
  assign loading_done = end_q[1];
  always_ff @(posedge clk) begin
    entry_q2 <= entry_q;
    entry_q3 <= entry_q2;
    if (rst) begin
      entry_q   <= '0;
      select_q  <= QUADS'(1);
      write_q   <= '0;
      write_q2  <= '0;
      end_q     <= '0;
      busy_q    <= 1'b0;
      loaded_q  <= 1'b0;
      reading_q <= 1'b0;
    end else begin
      if (step) entry_q <= entry_q + 1'b1;
      if (end_quad) select_q <= QUADS'({select_q, select_q[QUADS-1]});
      write_q  <= step ? select_q : '0;
      write_q2 <= write_q;
      end_q    <= {end_q[0], end_load};
      if (end_load) busy_q <= 1'b1;
      else if (loading_done) busy_q <= 1'b0;
      if (loading_done) loaded_q <= 1'b1;
      else if (taken) loaded_q <= 1'b0;
      if (release_bank) reading_q <= 1'b1;
      else if (en) reading_q <= 1'b0;
    end
  end

  logic [ROWS*ENTRY_BITS-1:0] word_q;
  for (genvar r = 0; r < ROWS; r++) begin : gen_generator
    logic [3:0][VALUE_BITS-1:0] values;
    logic [3:0] gates;
    for (genvar j = 0; j < 4; j++) begin : gen_value
      wire [W_BITS-1:0] code = load[(r*4+j)*W_BITS+:W_BITS];
      mvu_weight #(.W_BITS(W_BITS), .SCHEME(SCHEME)) weight_i (.code, .magnitude(values[j]));
      assign gates[j] = entry_q[j] ^ code[W_BITS-1];
    end
    logic [PAIR_BITS-1:0] low_q, high_q, low, high;
    // On UltraScale+ inferred: there a LUT of an adder takes along the whole decoding of one operand
    add_pair #(.WIDTH(PAIR_BITS), .TARGET(TARGET == 1 ? 1 : 0)) low_i (
        .a(PAIR_BITS'(values[0])), .b(PAIR_BITS'(values[1])), .gate_a(gates[0]), .gate_b(gates[1]), .y(low)
    );
    add_pair #(.WIDTH(PAIR_BITS), .TARGET(TARGET == 1 ? 1 : 0)) high_i (
        .a(PAIR_BITS'(values[2])), .b(PAIR_BITS'(values[3])), .gate_a(gates[2]), .gate_b(gates[3]), .y(high)
    );
    always_ff @(posedge clk) begin
      low_q  <= low;
      high_q <= high;
      word_q[r*ENTRY_BITS+:ENTRY_BITS] <= ENTRY_BITS'(low_q) + ENTRY_BITS'(high_q);
    end
  end

  // ---- tables
  logic [4*QUADS*A_BITS-1:0] a_q;
  logic read_bank_q;
  always_ff @(posedge clk) begin
    if (en) begin
      a_q <= (4 * QUADS * A_BITS)'(a);
      read_bank_q <= bank_q;
    end
  end
  logic [QUADS*A_BITS*ROWS*ENTRY_BITS-1:0] entries_q;
  for (genvar g = 0; g < QUADS; g++) begin : gen_quad
    logic [A_BITS*ADDR_BITS-1:0] addr;
    logic [A_BITS*ROWS*ENTRY_BITS-1:0] entries;
    for (genvar p = 0; p < A_BITS; p++) begin : gen_plane
      wire [3:0] bits = {a_q[(4*g+3)*A_BITS+p], a_q[(4*g+2)*A_BITS+p], a_q[(4*g+1)*A_BITS+p], a_q[4*g*A_BITS+p]};
      assign addr[p*ADDR_BITS+:ADDR_BITS] = ADDR_BITS'({read_bank_q, bits});
    end
    table_ram #(.PORTS(A_BITS), .WIDTH(ROWS * ENTRY_BITS), .DEPTH(16 * BANKS), .TARGET(TARGET)) table_i (
        .clk, .write(write_q2[g]), .write_addr(ADDR_BITS'({!bank_q, entry_q3})), .write_data(word_q), .read_addr(addr),
        .read_data(entries)
    );
    always_ff @(posedge clk) if (en) entries_q[g*A_BITS*ROWS*ENTRY_BITS+:A_BITS*ROWS*ENTRY_BITS] <= entries;
  end

  // ---- sums
  for (genvar r = 0; r < ROWS; r++) begin : gen_row
    logic [A_BITS*PLANE_BITS-1:0] planes;
    for (genvar p = 0; p < A_BITS; p++) begin : gen_plane
      logic [QUADS*ENTRY_BITS-1:0] parts;
      for (genvar g = 0; g < QUADS; g++) begin : gen_part
        assign parts[g*ENTRY_BITS+:ENTRY_BITS] = entries_q[((g*A_BITS+p)*ROWS+r)*ENTRY_BITS+:ENTRY_BITS];
      end
      mvu_tree_radix #(.N(QUADS), .IN_MAX(4 * TOP), .RADIX(RADIX), .TARGET(TARGET)) tree_i (
          .clk, .en, .x(parts), .y(planes[p*PLANE_BITS+:PLANE_BITS])
      );
    end
    mvu_join #(.PLANES(A_BITS), .IN_MAX(QUADS * 4 * TOP), .RADIX(RADIX), .TARGET(TARGET)) join_i (
        .clk, .en, .x(planes), .y(y[r*Y_BITS+:Y_BITS])
    );
  end
endmodule
`default_nettype wire
