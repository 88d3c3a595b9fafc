// SPDX-License-Identifier: Apache-2.0
// vit_top: stand-in for a generated network, for tests of everything around it.
//   logit[c] = sum of the pixel codes whose index in the image is c modulo CLASSES, plus c
// It takes an image, computes nothing for DELAY cycles, then sends CLASSES logits. Its input stalls now and then.
// Golden: tests/e2e/board_fixture.py::stand_in_logits
`default_nettype none
module vit_top #(
    parameter int unsigned IMAGE_BYTES = 784,
    parameter int unsigned CLASSES = 10,
    parameter int unsigned DELAY = 500
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [ 7:0] s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output logic             s_axis_tready,
    output logic      [15:0] m_axis_tdata,
    output logic             m_axis_tvalid,
    input  wire logic        m_axis_tready,
    output logic             m_axis_tlast
);
  logic [15:0] sum_q[16];
  logic [15:0] count_q;
  logic [ 3:0] class_q;
  logic [ 6:0] lfsr_q;
  logic        clear_q;
  logic        sending_q;
  logic        waiting_q;

  assign s_axis_tready = !clear_q && !sending_q && !waiting_q && lfsr_q[2:0] != 3'd0;
  assign m_axis_tvalid = sending_q;
  assign m_axis_tdata  = sum_q[class_q];
  assign m_axis_tlast  = class_q == 4'(CLASSES - 1);

  always_ff @(posedge clk) begin
    lfsr_q <= {lfsr_q[5:0], lfsr_q[6] ^ lfsr_q[5]};
    if (clear_q) begin
      sum_q[class_q] <= 16'(class_q);
      class_q        <= class_q + 4'd1;
      if (class_q == 4'(CLASSES - 1)) begin
        clear_q <= 1'b0;
        class_q <= '0;
        count_q <= '0;
      end
    end else if (s_axis_tvalid && s_axis_tready) begin
      sum_q[class_q] <= sum_q[class_q] + 16'($signed(s_axis_tdata));
      class_q        <= class_q == 4'(CLASSES - 1) ? 4'd0 : class_q + 4'd1;
      count_q        <= count_q + 16'd1;
      if (count_q == 16'(IMAGE_BYTES - 1)) begin
        waiting_q <= 1'b1;
        count_q   <= '0;
      end
    end else if (waiting_q) begin
      count_q <= count_q + 16'd1;
      if (count_q == 16'(DELAY - 1)) begin
        waiting_q <= 1'b0;
        sending_q <= 1'b1;
        class_q   <= '0;
      end
    end else if (sending_q && m_axis_tready) begin
      class_q <= class_q + 4'd1;
      if (m_axis_tlast) begin
        sending_q <= 1'b0;
        clear_q   <= 1'b1;
        class_q   <= '0;
      end
    end
    if (rst) begin
      clear_q   <= 1'b1;
      sending_q <= 1'b0;
      waiting_q <= 1'b0;
      class_q   <= '0;
      lfsr_q    <= 7'd1;
    end
  end
endmodule
`default_nettype wire
