// SPDX-License-Identifier: Apache-2.0
// bench_mvu: the mvu between registers, fed by a linear feedback shift register, for place and route on its own.
//   Valid and ready come and go, so that nothing folds into constants; sizes are constants as in a generated design.
// Test     : tests/synthesis/test_bench_mvu.py
`default_nettype none
module bench_mvu #(
    parameter int unsigned PE = 4,
    parameter int unsigned SIMD = 4,
    parameter int unsigned ACC_BITS = 20,
    parameter int unsigned CHUNKS = 24,
    parameter int unsigned DSP_ROWS = 0,
    parameter int unsigned ROWS_POT = 0,
    parameter int unsigned ROWS_SP2 = 0,
    parameter bit          DSP_SUMS = 1'b0,
    parameter bit          DSP_PACKED = 1'b0,
    parameter bit          DA = 1'b0,
    parameter int unsigned T_MAX = 1,
    parameter int unsigned TARGET = 1,
    localparam int unsigned WORD_BITS = PE * (DA ? 4 : SIMD) * 4
) (
    input  wire logic clk,
    output logic      led
);
  // Kept by name: synthesis/bench_mvu.py leaves these registers out of the mvu's cost
  (* keep *) logic [3:0] start_q = '0;
  (* keep *) logic [63:0] noise_q = 64'd1;
  (* keep *) logic [SIMD*8-1:0] data_q;
  (* keep *) logic [WORD_BITS-1:0] weight_q;
  (* keep *) logic [PE*ACC_BITS-1:0] sum_q;
  (* keep *) logic [PE-1:0] parity_q;
  (* keep *) logic data_valid_q, weight_valid_q, sum_ready_q;
  logic data_ready, weight_ready, sum_valid, rst;
  logic [PE*ACC_BITS-1:0] sum;
  always_ff @(posedge clk) begin
    start_q <= {start_q[2:0], 1'b1};
    rst     <= !start_q[3];
    noise_q <= {noise_q[62:0], noise_q[63] ^ noise_q[62] ^ noise_q[60] ^ noise_q[59]};
    if (data_ready || !data_valid_q) begin
      data_q       <= {data_q[SIMD*8-2:0], noise_q[0]};
      data_valid_q <= noise_q[7];
    end
    if (weight_ready || !weight_valid_q) begin
      weight_q       <= {weight_q[WORD_BITS-2:0], noise_q[23]};
      weight_valid_q <= noise_q[17];
    end
    sum_ready_q <= noise_q[31] || noise_q[47];
    if (sum_valid && sum_ready_q) sum_q <= sum;
    for (int r = 0; r < PE; r++) parity_q[r] <= ^sum_q[r*ACC_BITS+:ACC_BITS];
    led <= ^parity_q;
  end
  mvu #(
      .PE(PE), .SIMD(SIMD), .ACC_BITS(ACC_BITS), .DSP_ROWS(DSP_ROWS), .ROWS_POT(ROWS_POT), .ROWS_SP2(ROWS_SP2),
      .DSP_SUMS(DSP_SUMS), .DSP_PACKED(DSP_PACKED), .DA(DA), .T_MAX(T_MAX), .CHUNKS_MAX(CHUNKS), .STALL_REGISTER(1'b1),
      .TARGET(TARGET)
  ) mvu_i (
      .clk, .rst, .cfg_chunks(16'(CHUNKS)), .cfg_groups(16'd24), .cfg_tile(16'(T_MAX)), .cfg_tokens(16'd197),
      .s_axis_tdata(data_q), .s_axis_tvalid(data_valid_q), .s_axis_tready(data_ready),
      .s_axis_weight_tdata(weight_q), .s_axis_weight_tvalid(weight_valid_q), .s_axis_weight_tready(weight_ready),
      .m_axis_tdata(sum), .m_axis_tvalid(sum_valid), .m_axis_tready(sum_ready_q)
  );
endmodule
`default_nettype wire
