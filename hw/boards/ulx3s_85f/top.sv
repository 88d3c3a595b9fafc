// SPDX-License-Identifier: Apache-2.0
// top: the network on a ULX3S board, reached through its USB-serial adapter.
// The UART runs on the 25 MHz oscillator, so its rate does not depend on the PLL; bytes cross to the network's clock.
// After routing the PLL may be set to any clock that the timing report allows (synthesis/backends/nextpnr.py).
//   led[3:0] class of the last result, led[4] network busy, led[5] last frame refused, led[6] blinks, led[7] not in reset
// Resets   : while the PLL has not locked or button PWR is pressed.
// Test     : tests/e2e/test_board.py
`default_nettype none
module top #(
    // Bytes of one image and number of logits of vit_top
    parameter int unsigned IMAGE_BYTES = 784,
    parameter int unsigned CLASSES = 10,
    // Identifies the model that vit_top holds
    parameter logic [63:0] MODEL_ID = 64'h0,
    parameter int unsigned OSCILLATOR_HZ = 25_000_000,
    parameter int unsigned UART_BAUD = 3_000_000,
    // Longest pause inside a frame from the host
    parameter int unsigned TIMEOUT_MS = 100,
    // PLL: see pll_ecp5
    parameter int unsigned PLL_INPUT_DIV = 1,
    parameter int unsigned PLL_FEEDBACK_DIV = 1,
    parameter int unsigned PLL_LOOP_DIV = 24,
    parameter int unsigned PLL_OUTPUT_DIV = 7
) (
    input  wire logic       clk_25mhz,
    // From the adapter, and to it
    input  wire logic       ftdi_txd,
    output wire logic       ftdi_rxd,
    // Low while pressed
    input  wire logic       btn_pwr_n,
    output logic      [7:0] led
);
  localparam int unsigned KHZ_BITS = 17;

  logic                clk;
  logic                locked;
  // Reset is entered at once and left in step with each clock
  logic                reset_n;
  logic [         3:0] rst_q;
  logic [         3:0] osc_rst_q;
  logic                rst;
  logic                osc_rst;
  logic                tick_ms;
  logic [KHZ_BITS-1:0] khz;

  pll_ecp5 #(
      .INPUT_DIV   (PLL_INPUT_DIV),
      .FEEDBACK_DIV(PLL_FEEDBACK_DIV),
      .LOOP_DIV    (PLL_LOOP_DIV),
      .OUTPUT_DIV  (PLL_OUTPUT_DIV)
  ) pll_i (
      .clkin (clk_25mhz),
      .clkout(clk),
      .locked(locked)
  );

  assign reset_n = locked && btn_pwr_n;
  assign rst     = rst_q[3];
  assign osc_rst = osc_rst_q[3];
  always_ff @(posedge clk or negedge reset_n) begin
    if (!reset_n) rst_q <= 4'b1111;
    else rst_q <= {rst_q[2:0], 1'b0};
  end
  always_ff @(posedge clk_25mhz or negedge reset_n) begin
    if (!reset_n) osc_rst_q <= 4'b1111;
    else osc_rst_q <= {osc_rst_q[2:0], 1'b0};
  end

  clock_meter #(
      .REF_HZ  (OSCILLATOR_HZ),
      .KHZ_BITS(KHZ_BITS)
  ) clock_meter_i (
      .ref_clk(clk_25mhz),
      .ref_rst(osc_rst),
      .clk    (clk),
      .rst    (rst),
      .tick_ms(tick_ms),
      .khz    (khz)
  );

  logic [ 7:0] osc_rx_tdata;
  logic        osc_rx_tvalid;
  logic [ 7:0] osc_tx_tdata;
  logic        osc_tx_tvalid;
  logic        osc_tx_tready;
  logic [ 7:0] rx_tdata;
  logic        rx_tvalid;
  logic [ 7:0] tx_tdata;
  logic        tx_tvalid;
  logic        tx_tready;
  // The receiver cannot wait; a byte takes at least 60 cycles and crosses in about 10
  logic        osc_rx_ready_unused;

  uart_rx #(
      .CLOCK_HZ(OSCILLATOR_HZ),
      .BAUD    (UART_BAUD)
  ) uart_rx_i (
      .clk          (clk_25mhz),
      .rst          (osc_rst),
      .rxd          (ftdi_txd),
      .m_axis_tdata (osc_rx_tdata),
      .m_axis_tvalid(osc_rx_tvalid)
  );
  cdc #(
      .WIDTH(8)
  ) cdc_rx_i (
      .s_clk        (clk_25mhz),
      .s_rst        (osc_rst),
      .s_axis_tdata (osc_rx_tdata),
      .s_axis_tvalid(osc_rx_tvalid),
      .s_axis_tready(osc_rx_ready_unused),
      .m_clk        (clk),
      .m_rst        (rst),
      .m_axis_tdata (rx_tdata),
      .m_axis_tvalid(rx_tvalid),
      .m_axis_tready(1'b1)
  );
  cdc #(
      .WIDTH(8)
  ) cdc_tx_i (
      .s_clk        (clk),
      .s_rst        (rst),
      .s_axis_tdata (tx_tdata),
      .s_axis_tvalid(tx_tvalid),
      .s_axis_tready(tx_tready),
      .m_clk        (clk_25mhz),
      .m_rst        (osc_rst),
      .m_axis_tdata (osc_tx_tdata),
      .m_axis_tvalid(osc_tx_tvalid),
      .m_axis_tready(osc_tx_tready)
  );
  uart_tx #(
      .CLOCK_HZ(OSCILLATOR_HZ),
      .BAUD    (UART_BAUD)
  ) uart_tx_i (
      .clk          (clk_25mhz),
      .rst          (osc_rst),
      .s_axis_tdata (osc_tx_tdata),
      .s_axis_tvalid(osc_tx_tvalid),
      .s_axis_tready(osc_tx_tready),
      .txd          (ftdi_rxd)
  );

  logic [ 7:0] pixel_tdata;
  logic        pixel_tvalid;
  logic        pixel_tready;
  logic [15:0] logit_tdata;
  logic        logit_tvalid;
  logic        logit_tready;
  logic        logit_tlast;
  // Two copies of {tlast, logit}: copy 0 to the host link, copy 1 to argmax
  logic [33:0] copy_tdata;
  logic [ 1:0] copy_tvalid;
  logic [ 1:0] copy_tready;
  logic [15:0] class_tdata;
  logic        class_tvalid;
  logic        class_tready;
  logic        last_refused;
  logic [ 3:0] last_class;
  logic        argmax_tlast_unused;

  host_link #(
      .IMAGE_BYTES(IMAGE_BYTES),
      .CLASSES    (CLASSES),
      .MODEL_ID   (MODEL_ID),
      .KHZ_BITS   (KHZ_BITS),
      .TIMEOUT_MS (TIMEOUT_MS)
  ) host_link_i (
      .clk                (clk),
      .rst                (rst),
      .tick_ms            (tick_ms),
      .khz                (khz),
      .s_axis_tdata       (rx_tdata),
      .s_axis_tvalid      (rx_tvalid),
      .m_axis_tdata       (tx_tdata),
      .m_axis_tvalid      (tx_tvalid),
      .m_axis_tready      (tx_tready),
      .m_axis_pixel_tdata (pixel_tdata),
      .m_axis_pixel_tvalid(pixel_tvalid),
      .m_axis_pixel_tready(pixel_tready),
      .s_axis_logit_tdata (copy_tdata[15:0]),
      .s_axis_logit_tvalid(copy_tvalid[0]),
      .s_axis_logit_tready(copy_tready[0]),
      .s_axis_logit_tlast (copy_tdata[16]),
      .s_axis_class_tdata (class_tdata),
      .s_axis_class_tvalid(class_tvalid),
      .s_axis_class_tready(class_tready),
      .last_class         (last_class),
      .last_refused       (last_refused)
  );
  vit_top vit_i (
      .clk          (clk),
      .rst          (rst),
      .s_axis_tdata (pixel_tdata),
      .s_axis_tvalid(pixel_tvalid),
      .s_axis_tready(pixel_tready),
      .m_axis_tdata (logit_tdata),
      .m_axis_tvalid(logit_tvalid),
      .m_axis_tready(logit_tready),
      .m_axis_tlast (logit_tlast)
  );
  tee #(
      .WIDTH  (17),
      .OUTPUTS(2)
  ) tee_i (
      .clk          (clk),
      .rst          (rst),
      .s_axis_tdata ({logit_tlast, logit_tdata}),
      .s_axis_tvalid(logit_tvalid),
      .s_axis_tready(logit_tready),
      .m_axis_tdata (copy_tdata),
      .m_axis_tvalid(copy_tvalid),
      .m_axis_tready(copy_tready)
  );
  assign argmax_tlast_unused = copy_tdata[33];
  argmax #(
      .IN_BITS    (16),
      .CLASSES_MAX(CLASSES)
  ) argmax_i (
      .clk          (clk),
      .rst          (rst),
      .cfg_classes  (16'(CLASSES)),
      .s_axis_tdata (copy_tdata[32:17]),
      .s_axis_tvalid(copy_tvalid[1]),
      .s_axis_tready(copy_tready[1]),
      .m_axis_tdata (class_tdata),
      .m_axis_tvalid(class_tvalid),
      .m_axis_tready(class_tready)
  );

  // Half a second on, half a second off, from the millisecond pulses
  logic [9:0] blink_q;
  always_ff @(posedge clk) begin
    if (tick_ms) blink_q <= blink_q + 10'd1;
    led <= {!rst, blink_q[9], last_refused, !pixel_tready || pixel_tvalid, last_class};
    if (rst) blink_q <= '0;
  end

  wire logic unused_ok = &{1'b0, osc_rx_ready_unused, argmax_tlast_unused};
endmodule
`default_nettype wire
