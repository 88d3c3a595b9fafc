// SPDX-License-Identifier: Apache-2.0
// host_link: framed commands from a host, byte by byte, to images for the network and results back.
//
//   frame   : A5 5A | type | sequence | length (2) | payload | CRC-16 of type..payload (2); all numbers little endian
//   host    : INFO 01, no payload
//             IMAGE 03, payload IMAGE_BYTES pixels 0..255 in raster order; the network gets pixel - 128
//   board   : INFO 81: version 1, image slots, IMAGE_BYTES (2), CLASSES (2), clock in kHz (4), MODEL_ID (8)
//             RESULT 83: class (2), cycles (4), CLASSES logits (2 each, signed)
//             ERROR FF: code 1 bad CRC, 2 wrong length for this type, 3 unknown type, 4 no free image slot
//   sequence: any byte, returned with the answer. Answers to images come in the order of the images.
//   cycles  : clock cycles from the first pixel taken by the network to its last logit, both included
//
// An image waits in one of two slots and goes to the network only after its CRC was right. Anything between frames is
// skipped; a frame that stops for TIMEOUT_MS is forgotten. One INFO or ERROR answer can wait while another is sent; a host
// that keeps at most two images and one INFO unanswered loses nothing.
// Resources: the slots are one memory of 2 * 2^clog2(IMAGE_BYTES) bytes.
// Golden   : synthesis/host.py (the other end); Test: tests/hw/test_host_link.py
`default_nettype none
module host_link #(
    // Bytes of one image, 1..65535
    parameter int unsigned IMAGE_BYTES = 784,
    // Logits of one result, 1..1024
    parameter int unsigned CLASSES = 10,
    // Identifies the model that the bitstream holds
    parameter logic [63:0] MODEL_ID = 64'h0,
    parameter int unsigned KHZ_BITS = 17,
    // Longest pause inside a frame in milliseconds (counted in tick_ms pulses)
    parameter int unsigned TIMEOUT_MS = 100
) (
    input  wire logic                clk,
    input  wire logic                rst,
    // One pulse per millisecond, and the frequency of clk in kHz
    input  wire logic                tick_ms,
    input  wire logic [KHZ_BITS-1:0] khz,
    // Bytes from the host; always taken
    input  wire logic [         7:0] s_axis_tdata,
    input  wire logic                s_axis_tvalid,
    // Bytes to the host
    output logic      [         7:0] m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready,
    // Pixel codes to the network, signed 8 bit
    output logic      [         7:0] m_axis_pixel_tdata,
    output logic                     m_axis_pixel_tvalid,
    input  wire logic                m_axis_pixel_tready,
    // Logits from the network, signed 16 bit, tlast with the last class
    input  wire logic [        15:0] s_axis_logit_tdata,
    input  wire logic                s_axis_logit_tvalid,
    output logic                     s_axis_logit_tready,
    input  wire logic                s_axis_logit_tlast,
    // Class of the same image, from argmax
    input  wire logic [        15:0] s_axis_class_tdata,
    input  wire logic                s_axis_class_tvalid,
    output logic                     s_axis_class_tready,
    // For LEDs: class of the last result, and whether the last frame was refused
    output logic      [         3:0] last_class,
    output logic                     last_refused
);
  localparam logic [7:0] SYNC_A = 8'hA5;
  localparam logic [7:0] SYNC_B = 8'h5A;
  localparam logic [7:0] TYPE_INFO = 8'h01;
  localparam logic [7:0] TYPE_IMAGE = 8'h03;
  localparam logic [7:0] TYPE_ERROR = 8'hFF;
  localparam logic [7:0] BAD_CRC = 8'd1;
  localparam logic [7:0] BAD_LENGTH = 8'd2;
  localparam logic [7:0] BAD_TYPE = 8'd3;
  localparam logic [7:0] NO_SLOT = 8'd4;
  localparam int unsigned SLOT_BITS = $clog2(IMAGE_BYTES < 2 ? 2 : IMAGE_BYTES);
  localparam int unsigned TIMEOUT_BITS = $clog2(TIMEOUT_MS + 1);
  localparam int unsigned INFO_BYTES = 18;
  localparam int unsigned RESULT_BYTES = 6 + 2 * CLASSES;
  localparam int unsigned FLIGHT_BITS = 2;

  if (IMAGE_BYTES < 1 || IMAGE_BYTES > 65535) begin : gen_check_image
    $error("host_link: IMAGE_BYTES=%0d must be in 1..65535", IMAGE_BYTES);
  end
  if (CLASSES < 1 || CLASSES > 1024) begin : gen_check_classes
    $error("host_link: CLASSES=%0d must be in 1..1024", CLASSES);
  end

  // ---- frames in ----
  typedef enum logic [3:0] {
    RX_SYNC_A,
    RX_SYNC_B,
    RX_TYPE,
    RX_SEQ,
    RX_LENGTH_LOW,
    RX_LENGTH_HIGH,
    RX_PAYLOAD,
    RX_CRC_LOW,
    RX_CRC_HIGH
  } rx_state_e;

  rx_state_e              rx_q;
  logic [            7:0] rx_type_q;
  logic [            7:0] rx_seq_q;
  logic [            7:0] rx_length_low_q;
  logic [  SLOT_BITS-1:0] rx_count_q;
  logic [           15:0] rx_crc_q;
  logic [           15:0] rx_crc_d;
  logic                   rx_crc_low_ok_q;
  logic                   rx_store_q;
  logic [TIMEOUT_BITS-1:0] rx_idle_q;
  logic [           15:0] rx_length;
  logic                   rx_length_ok;

  // Verdict about a finished frame, acted upon one cycle later
  logic                   done_q;
  logic                   done_crc_q;
  logic                   done_length_q;
  logic                   done_type_q;

  assign rx_length = {s_axis_tdata, rx_length_low_q};
  assign rx_length_ok = rx_length == (rx_type_q == TYPE_IMAGE ? 16'(IMAGE_BYTES) : 16'd0);

  crc16 rx_crc_i (
      .crc     (rx_crc_q),
      .data    (s_axis_tdata),
      .crc_next(rx_crc_d)
  );

  // ---- image slots ----
  logic [        7:0] slots[2 * 2**SLOT_BITS];
  logic [        1:0] slot_full_q;
  logic               slot_in_q;
  logic               slot_out_q;
  logic [        7:0] slot_seq_q  [2];
  logic               slot_write;

  assign slot_write = s_axis_tvalid && rx_q == RX_PAYLOAD && rx_store_q;
  always_ff @(posedge clk) begin
    if (slot_write) slots[{slot_in_q, rx_count_q}] <= s_axis_tdata;
  end

  always_ff @(posedge clk) begin
    done_q <= 1'b0;
    if (s_axis_tvalid) begin
      rx_idle_q <= '0;
      rx_crc_q  <= rx_crc_d;
      case (rx_q)
        RX_SYNC_A: if (s_axis_tdata == SYNC_A) rx_q <= RX_SYNC_B;
        RX_SYNC_B: begin
          rx_crc_q <= 16'hFFFF;
          if (s_axis_tdata == SYNC_B) rx_q <= RX_TYPE;
          else if (s_axis_tdata != SYNC_A) rx_q <= RX_SYNC_A;
        end
        RX_TYPE: begin
          rx_type_q <= s_axis_tdata;
          rx_q      <= RX_SEQ;
        end
        RX_SEQ: begin
          rx_seq_q <= s_axis_tdata;
          rx_q     <= RX_LENGTH_LOW;
        end
        RX_LENGTH_LOW: begin
          rx_length_low_q <= s_axis_tdata;
          rx_q            <= RX_LENGTH_HIGH;
        end
        RX_LENGTH_HIGH: begin
          rx_count_q    <= '0;
          rx_store_q    <= !slot_full_q[slot_in_q];
          done_type_q   <= rx_type_q == TYPE_IMAGE || rx_type_q == TYPE_INFO;
          done_length_q <= rx_length_ok;
          if (!rx_length_ok || !(rx_type_q == TYPE_IMAGE || rx_type_q == TYPE_INFO)) begin
            done_q <= 1'b1;
            rx_q   <= RX_SYNC_A;
          end else begin
            rx_q <= rx_type_q == TYPE_IMAGE ? RX_PAYLOAD : RX_CRC_LOW;
          end
        end
        RX_PAYLOAD: begin
          rx_count_q <= rx_count_q + 1'b1;
          if (rx_count_q == SLOT_BITS'(IMAGE_BYTES - 1)) rx_q <= RX_CRC_LOW;
        end
        RX_CRC_LOW: begin
          // Keep the computed CRC; this byte is not part of it
          rx_crc_q        <= rx_crc_q;
          rx_crc_low_ok_q <= rx_crc_q[7:0] == s_axis_tdata;
          rx_q            <= RX_CRC_HIGH;
        end
        default: begin
          done_q     <= 1'b1;
          done_crc_q <= rx_crc_low_ok_q && rx_crc_q[15:8] == s_axis_tdata;
          rx_q       <= RX_SYNC_A;
        end
      endcase
    end else if (tick_ms && rx_q != RX_SYNC_A) begin
      rx_idle_q <= rx_idle_q + 1'b1;
      if (rx_idle_q == TIMEOUT_BITS'(TIMEOUT_MS)) rx_q <= RX_SYNC_A;
    end
    if (rst) begin
      rx_q      <= RX_SYNC_A;
      rx_idle_q <= '0;
      done_q    <= 1'b0;
    end
  end

  // ---- what a finished frame leads to ----
  logic       accept_image;
  logic       accept_info;
  logic       refuse;
  logic [7:0] refuse_code;
  always_comb begin
    refuse_code = NO_SLOT;
    if (!done_type_q) refuse_code = BAD_TYPE;
    else if (!done_length_q) refuse_code = BAD_LENGTH;
    else if (!done_crc_q) refuse_code = BAD_CRC;
    accept_image = done_q && done_type_q && done_length_q && done_crc_q && rx_type_q == TYPE_IMAGE && rx_store_q;
    accept_info  = done_q && done_type_q && done_length_q && done_crc_q && rx_type_q == TYPE_INFO;
    refuse       = done_q && !accept_image && !accept_info;
  end

  // The INFO or ERROR answer that waits for the sender
  logic       reply_valid_q;
  logic       reply_error_q;
  logic [7:0] reply_seq_q;
  logic [7:0] reply_code_q;
  logic       reply_take;
  always_ff @(posedge clk) begin
    if (reply_take) reply_valid_q <= 1'b0;
    if ((refuse || accept_info) && !reply_valid_q) begin
      reply_valid_q <= 1'b1;
      reply_error_q <= refuse;
      reply_seq_q   <= rx_seq_q;
      reply_code_q  <= refuse_code;
    end
    if (done_q) last_refused <= refuse;
    if (rst) begin
      reply_valid_q <= 1'b0;
      last_refused  <= 1'b0;
    end
  end

  // ---- images out: memory read, then an output register, both held while the network stalls ----
  logic [SLOT_BITS-1:0] feed_count_q;
  logic                 feed_active_q;
  logic                 feed_step;
  logic                 read_valid_q;
  logic                 read_first_q;
  logic [          7:0] read_q;
  logic                 feed_last;
  logic                 out_first_q;
  logic                 flight_full;

  assign feed_step = !m_axis_pixel_tvalid || m_axis_pixel_tready;
  assign feed_last = feed_active_q && feed_step && feed_count_q == SLOT_BITS'(IMAGE_BYTES - 1);
  always_ff @(posedge clk) begin
    if (feed_step) read_q <= slots[{slot_out_q, feed_count_q}];
  end
  always_ff @(posedge clk) begin
    if (feed_step) begin
      read_valid_q        <= feed_active_q;
      read_first_q        <= feed_count_q == '0;
      m_axis_pixel_tvalid <= read_valid_q;
      // pixel - 128 as a signed code
      m_axis_pixel_tdata  <= {!read_q[7], read_q[6:0]};
      out_first_q         <= read_first_q;
      if (feed_active_q) feed_count_q <= feed_count_q + 1'b1;
    end
    if (!feed_active_q) begin
      feed_count_q  <= '0;
      feed_active_q <= slot_full_q[slot_out_q] && !flight_full;
    end
    if (feed_last) begin
      feed_active_q <= 1'b0;
      slot_out_q    <= !slot_out_q;
    end
    if (rst) begin
      feed_active_q       <= 1'b0;
      feed_count_q        <= '0;
      read_valid_q        <= 1'b0;
      m_axis_pixel_tvalid <= 1'b0;
      slot_out_q          <= 1'b0;
    end
  end
  always_ff @(posedge clk) begin
    if (accept_image) begin
      slot_full_q[slot_in_q] <= 1'b1;
      slot_seq_q[slot_in_q]  <= rx_seq_q;
      slot_in_q              <= !slot_in_q;
    end
    if (feed_last) slot_full_q[slot_out_q] <= 1'b0;
    if (rst) begin
      slot_full_q <= 2'b00;
      slot_in_q   <= 1'b0;
    end
  end

  // ---- images inside the network: sequence numbers by slot start, start times by first pixel, in order ----
  logic [           31:0] now_q;
  logic [           31:0] flight_start_q[2**FLIGHT_BITS];
  logic [            7:0] flight_seq_q  [2**FLIGHT_BITS];
  logic [FLIGHT_BITS-1:0] flight_in_q;
  logic [FLIGHT_BITS-1:0] flight_time_q;
  logic [FLIGHT_BITS-1:0] flight_out_q;
  logic                   flight_push;
  logic                   flight_pop;

  assign flight_push = !feed_active_q && slot_full_q[slot_out_q] && !flight_full;
  assign flight_full = (flight_in_q + 1'b1) == flight_out_q;
  always_ff @(posedge clk) begin
    now_q <= now_q + 1'b1;
    if (flight_push) flight_seq_q[flight_in_q] <= slot_seq_q[slot_out_q];
    if (m_axis_pixel_tvalid && m_axis_pixel_tready && out_first_q) flight_start_q[flight_time_q] <= now_q;
    if (flight_push) flight_in_q <= flight_in_q + 1'b1;
    if (m_axis_pixel_tvalid && m_axis_pixel_tready && out_first_q) flight_time_q <= flight_time_q + 1'b1;
    if (flight_pop) flight_out_q <= flight_out_q + 1'b1;
    if (rst) begin
      flight_in_q   <= '0;
      flight_time_q <= '0;
      flight_out_q  <= '0;
      now_q         <= '0;
    end
  end

  // ---- results in ----
  localparam int unsigned CLASS_BITS = $clog2(CLASSES < 2 ? 2 : CLASSES);
  logic [          15:0] logits[2**CLASS_BITS];
  logic [CLASS_BITS-1:0] logit_count_q;
  logic                  logits_done_q;
  logic                  class_done_q;
  logic [          15:0] class_q;
  logic [          31:0] end_q;
  logic [          31:0] cycles_q;
  logic                  cycles_done_q;
  logic                  result_take;

  assign s_axis_logit_tready = !logits_done_q;
  assign s_axis_class_tready = !class_done_q;
  assign flight_pop = result_take;
  always_ff @(posedge clk) begin
    if (s_axis_logit_tvalid && s_axis_logit_tready) logits[logit_count_q] <= s_axis_logit_tdata;
  end
  always_ff @(posedge clk) begin
    if (s_axis_logit_tvalid && s_axis_logit_tready) begin
      logit_count_q <= logit_count_q + 1'b1;
      end_q         <= now_q;
      if (logit_count_q == CLASS_BITS'(CLASSES - 1)) begin
        logit_count_q <= '0;
        logits_done_q <= 1'b1;
      end
    end
    if (s_axis_class_tvalid && s_axis_class_tready) begin
      class_q      <= s_axis_class_tdata;
      class_done_q <= 1'b1;
    end
    cycles_q      <= end_q - flight_start_q[flight_out_q] + 32'd1;
    cycles_done_q <= logits_done_q && class_done_q;
    if (result_take) begin
      logits_done_q <= 1'b0;
      class_done_q  <= 1'b0;
      cycles_done_q <= 1'b0;
      last_class    <= class_q[3:0];
    end
    if (rst) begin
      logit_count_q <= '0;
      logits_done_q <= 1'b0;
      class_done_q  <= 1'b0;
      cycles_done_q <= 1'b0;
      last_class    <= '0;
    end
  end

  // ---- frames out: two cycles to fetch a byte, then it waits for the host side ----
  localparam int unsigned TX_BITS = $clog2(RESULT_BYTES + INFO_BYTES + 8);
  typedef enum logic [1:0] {
    TX_IDLE,
    TX_READ,
    TX_FETCH,
    TX_SEND
  } tx_state_e;
  tx_state_e              tx_q;
  logic                   tx_result_q;
  logic                   tx_error_q;
  logic [    TX_BITS-1:0] tx_index_q;
  logic [    TX_BITS-1:0] tx_length_q;
  logic [    TX_BITS-1:0] tx_payload_q;
  logic [            7:0] tx_seq_q;
  logic [            7:0] tx_code_q;
  logic [            7:0] tx_type;
  logic [           15:0] tx_crc_q;
  logic [           15:0] tx_crc_d;
  logic                   tx_last;
  logic [            7:0] info_byte;
  logic [            7:0] result_byte;
  logic [            7:0] payload_q;
  logic [            7:0] tx_byte;
  logic [           31:0] khz_wide;
  logic [   CLASS_BITS:0] logit_index;
  logic [           15:0] logit_word;

  assign reply_take = tx_q == TX_IDLE && reply_valid_q;
  assign tx_type = tx_error_q ? TYPE_ERROR : tx_result_q ? TYPE_IMAGE | 8'h80 : TYPE_INFO | 8'h80;
  assign tx_last = tx_index_q == tx_length_q + TX_BITS'(7);
  assign khz_wide = 32'(khz);
  assign logit_index = (CLASS_BITS + 1)'(tx_payload_q - TX_BITS'(6));
  assign logit_word = logits[logit_index[CLASS_BITS:1]];
  assign result_take = tx_q == TX_SEND && m_axis_tready && tx_last && tx_result_q;

  crc16 tx_crc_i (
      .crc     (tx_crc_q),
      .data    (m_axis_tdata),
      .crc_next(tx_crc_d)
  );

  always_comb begin
    case (tx_payload_q[4:0])
      5'd0: info_byte = 8'd1;
      5'd1: info_byte = 8'd2;
      5'd2: info_byte = 8'(IMAGE_BYTES % 256);
      5'd3: info_byte = 8'(IMAGE_BYTES / 256);
      5'd4: info_byte = 8'(CLASSES % 256);
      5'd5: info_byte = 8'(CLASSES / 256);
      5'd6: info_byte = khz_wide[7:0];
      5'd7: info_byte = khz_wide[15:8];
      5'd8: info_byte = khz_wide[23:16];
      5'd9: info_byte = khz_wide[31:24];
      5'd10: info_byte = MODEL_ID[7:0];
      5'd11: info_byte = MODEL_ID[15:8];
      5'd12: info_byte = MODEL_ID[23:16];
      5'd13: info_byte = MODEL_ID[31:24];
      5'd14: info_byte = MODEL_ID[39:32];
      5'd15: info_byte = MODEL_ID[47:40];
      5'd16: info_byte = MODEL_ID[55:48];
      default: info_byte = MODEL_ID[63:56];
    endcase
    result_byte = logit_index[0] ? logit_word[15:8] : logit_word[7:0];
    if (tx_payload_q < TX_BITS'(6)) begin
      case (tx_payload_q[2:0])
        3'd0: result_byte = class_q[7:0];
        3'd1: result_byte = class_q[15:8];
        3'd2: result_byte = cycles_q[7:0];
        3'd3: result_byte = cycles_q[15:8];
        3'd4: result_byte = cycles_q[23:16];
        default: result_byte = cycles_q[31:24];
      endcase
    end
    if (tx_index_q == tx_length_q + TX_BITS'(6)) tx_byte = tx_crc_q[7:0];
    else if (tx_last) tx_byte = tx_crc_q[15:8];
    else if (tx_index_q >= TX_BITS'(6)) tx_byte = payload_q;
    else begin
      case (tx_index_q[2:0])
        3'd0: tx_byte = SYNC_A;
        3'd1: tx_byte = SYNC_B;
        3'd2: tx_byte = tx_type;
        3'd3: tx_byte = tx_seq_q;
        3'd4: tx_byte = 8'(tx_length_q);
        default: tx_byte = 8'(32'(tx_length_q) >> 8);
      endcase
    end
  end

  assign m_axis_tvalid = tx_q == TX_SEND;
  always_ff @(posedge clk) begin
    payload_q <= tx_error_q ? tx_code_q : tx_result_q ? result_byte : info_byte;
    case (tx_q)
      TX_IDLE: begin
        tx_index_q   <= '0;
        tx_payload_q <= '0;
        tx_error_q   <= reply_valid_q && reply_error_q;
        tx_result_q  <= !reply_valid_q;
        tx_seq_q     <= reply_valid_q ? reply_seq_q : flight_seq_q[flight_out_q];
        tx_code_q    <= reply_code_q;
        if (!reply_valid_q) tx_length_q <= TX_BITS'(RESULT_BYTES);
        else tx_length_q <= reply_error_q ? TX_BITS'(1) : TX_BITS'(INFO_BYTES);
        if (reply_valid_q || cycles_done_q) tx_q <= TX_READ;
      end
      TX_READ: tx_q <= TX_FETCH;
      TX_FETCH: begin
        m_axis_tdata <= tx_byte;
        tx_q         <= TX_SEND;
      end
      default: begin
        if (m_axis_tready) begin
          tx_index_q <= tx_index_q + 1'b1;
          if (tx_index_q >= TX_BITS'(6)) tx_payload_q <= tx_payload_q + 1'b1;
          // The sync bytes and the CRC itself are not part of the CRC
          if (tx_index_q < TX_BITS'(2)) tx_crc_q <= 16'hFFFF;
          else if (tx_index_q < tx_length_q + TX_BITS'(6)) tx_crc_q <= tx_crc_d;
          tx_q <= tx_last ? TX_IDLE : TX_READ;
        end
      end
    endcase
    if (rst) tx_q <= TX_IDLE;
  end

`ifndef SYNTHESIS
  logic        held_q;
  logic [ 7:0] held_data_q;
  always_ff @(posedge clk) begin
    held_q      <= m_axis_pixel_tvalid && !m_axis_pixel_tready && !rst;
    held_data_q <= m_axis_pixel_tdata;
    if (!rst) begin
      assert_pixel_stable :
      assert (!held_q || (m_axis_pixel_tvalid && m_axis_pixel_tdata == held_data_q))
      else $error("%m: a stalled pixel changed");
      assert_last_with_last_class :
      assert (!(s_axis_logit_tvalid && s_axis_logit_tready) ||
              s_axis_logit_tlast == (logit_count_q == CLASS_BITS'(CLASSES - 1)))
      else $error("%m: logit %0d of %0d has tlast=%0d", logit_count_q, CLASSES, s_axis_logit_tlast);
    end
  end
`else
  wire logic unused_ok = &{1'b0, s_axis_logit_tlast};
`endif
endmodule
`default_nettype wire
