// SPDX-License-Identifier: Apache-2.0
// argmax: index of the largest of cfg_classes signed codes, the lowest index on a tie.
// Latency  : 1 clk cycle after the last beat of a job. Throughput: 1 beat per cycle in, jobs back to back.
//            Back pressure: only the last beat of a job waits for the previous result.
// Job      : cfg_classes beats; cfg_classes is sampled with the first.
// Resources: one comparator of IN_BITS, one counter of clog2(CLASSES_MAX+1) bits. ECP5, 16 bits, 10 classes: 35 LUT4
//            (carries included), 30 FF.
// Golden   : sim/golden/argmax.py::argmax       Test: tests/hw/test_argmax.py
`default_nettype none
module argmax #(
    // Width of the codes in bits, signed
    parameter int unsigned IN_BITS     = 16,
    // Largest number of classes
    parameter int unsigned CLASSES_MAX = 65535
) (
    input  wire logic               clk,
    input  wire logic               rst,
    // Classes of the job, 1..CLASSES_MAX
    input  wire logic [15:0]        cfg_classes,
    // Codes in, class 0 first
    input  wire logic [IN_BITS-1:0] s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output logic                    s_axis_tready,
    // Index out, one a job
    output logic      [15:0]        m_axis_tdata,
    output logic                    m_axis_tvalid,
    input  wire logic               m_axis_tready
);
  localparam int unsigned COUNT_BITS = $clog2(CLASSES_MAX + 1);
  if (IN_BITS < 1) begin : gen_check_in_bits
    $error("argmax: IN_BITS=%0d must be at least 1", IN_BITS);
  end
  if (CLASSES_MAX < 1 || CLASSES_MAX > 65535) begin : gen_check_classes_max
    $error("argmax: CLASSES_MAX=%0d must be 1 to 65535", CLASSES_MAX);
  end

  logic first_q;                                      // the next beat is the first of a job
  logic [COUNT_BITS-1:0] class_q, last_class_q, best_class_q;
  logic [IN_BITS-1:0] best_q;

  wire [COUNT_BITS-1:0] class_now = first_q ? '0 : class_q;
  wire [COUNT_BITS-1:0] last_class = first_q ? COUNT_BITS'(cfg_classes) - 1'b1 : last_class_q;
  wire last = class_now == last_class;
  // written as a subtraction, the comparison goes to a carry chain
  wire signed [IN_BITS:0] lead = $signed(best_q) - $signed(s_axis_tdata);
  wire better = first_q || lead < 0;
  wire [COUNT_BITS-1:0] best_class = better ? class_now : best_class_q;
  wire beat = s_axis_tvalid && s_axis_tready;
  assign s_axis_tready = !last || !m_axis_tvalid || m_axis_tready;

  always_ff @(posedge clk) begin
    if (beat) begin
      class_q <= class_now + 1'b1;
      best_class_q <= best_class;
      if (better) best_q <= s_axis_tdata;
      if (last) m_axis_tdata <= 16'(best_class);
    end
    if (beat && first_q) last_class_q <= COUNT_BITS'(cfg_classes) - 1'b1;
    if (rst) begin
      first_q       <= 1'b1;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (beat) first_q <= last;
      if (beat && last) m_axis_tvalid <= 1'b1;
      else if (m_axis_tready) m_axis_tvalid <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  argmax_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
