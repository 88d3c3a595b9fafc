// SPDX-License-Identifier: Apache-2.0
// swu: sliding window unit, cuts an image into square patches, overlapping when the stride is below the kernel; no padding.
//   In: raster (y, x, c). Out: patches in raster order, elements of a patch in the order (c, ky, kx).
// Latency  : from the last pixel of an image 4 clk cycles.
// Throughput: 1 beat per cycle; loads the next image while it replays this one.
//            Images follow each other without idle cycles, in and out, whichever of the two streams is longer.
// Job      : one image; cfg_* are sampled with its first beat.
// Resources: two frame buffers of H_MAX*W_MAX*C_MAX elements in one memory, no multiplier: the distances of a row, of a
//            column step and of a row step are counted while the image is loaded. ECP5, 28 x 28 x 1, kernel 10, stride 6:
//            330 LUT (2 per carry cell), 228 FF, 1 EBR with the FIFO behind it.
// Golden   : sim/golden/swu.py::swu       Test: tests/hw/test_swu.py
`default_nettype none
module swu #(
    // Width of an element in bits
    parameter int unsigned ELEM_BITS = 8,
    // Largest image
    parameter int unsigned H_MAX     = 28,
    parameter int unsigned W_MAX     = 28,
    parameter int unsigned C_MAX     = 1
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    // Image size, 1..H_MAX, 1..W_MAX, 1..C_MAX
    input  wire logic [15:0]          cfg_height,
    input  wire logic [15:0]          cfg_width,
    input  wire logic [15:0]          cfg_channels,
    // Edge of a patch, 1..min(cfg_height, cfg_width); step between patches, 1 or more
    input  wire logic [15:0]          cfg_kernel,
    input  wire logic [15:0]          cfg_stride,
    // Image
    input  wire logic [ELEM_BITS-1:0] s_axis_tdata,
    input  wire logic                 s_axis_tvalid,
    output logic                      s_axis_tready,
    // Patches
    output logic      [ELEM_BITS-1:0] m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  wire logic                 m_axis_tready
);
  localparam int unsigned FRAME = H_MAX * W_MAX * C_MAX;
  localparam int unsigned EDGE_MAX = H_MAX > W_MAX ? H_MAX : W_MAX;
  localparam int unsigned POS_BITS = $clog2(EDGE_MAX + 1);       // a position or size along an edge
  localparam int unsigned CHANNEL_BITS = $clog2(C_MAX + 1);
  localparam int unsigned STEP_BITS = $clog2(FRAME + 1);         // a distance inside a frame
  localparam int unsigned ADDR_BITS = $clog2(2 * FRAME);         // both frame buffers
  localparam logic [ADDR_BITS-1:0] SECOND = ADDR_BITS'(FRAME);   // base of the second frame buffer
  typedef logic [POS_BITS-1:0] pos_t;
  typedef logic [CHANNEL_BITS-1:0] channel_t;
  typedef logic [STEP_BITS-1:0] step_t;
  typedef logic [ADDR_BITS-1:0] addr_t;
  if (ELEM_BITS < 1 || H_MAX < 1 || W_MAX < 1 || C_MAX < 1) begin : gen_check
    $error("swu: ELEM_BITS=%0d, H_MAX=%0d, W_MAX=%0d, C_MAX=%0d must be at least 1", ELEM_BITS, H_MAX, W_MAX, C_MAX);
  end

  // a size larger than an edge behaves like the edge: a stride beyond the image gives one patch
  function automatic pos_t clamp(input logic [15:0] size);
    return size > 16'(EDGE_MAX) ? pos_t'(EDGE_MAX) : pos_t'(size);
  endfunction

  wire unused_ok = &{cfg_height, cfg_width, cfg_channels};  // high bits beyond the maxima

  (* ram_style = "block", no_rw_check *) logic [ELEM_BITS-1:0] frame[2*FRAME];

  // ---- load: counts x, y, c, and notes how far apart in the buffer a row, stride columns and stride rows are
  logic load_start_q, load_buffer_q;
  logic [1:0] full_q;
  pos_t load_x_q, load_y_q, height_q, width_q, kernel_q, stride_q;
  channel_t load_c_q, channels_q;
  step_t load_offset_q, row_step_q, stride_step_q, stride_row_step_q;
  addr_t write_addr_q;

  wire load = s_axis_tvalid && s_axis_tready;
  assign s_axis_tready = !full_q[load_buffer_q];
  wire pos_t load_x = load_start_q ? '0 : load_x_q;
  wire pos_t load_y = load_start_q ? '0 : load_y_q;
  wire channel_t load_c = load_start_q ? '0 : load_c_q;
  wire step_t load_offset = load_start_q ? '0 : load_offset_q;
  wire pos_t height = load_start_q ? pos_t'(cfg_height) : height_q;
  wire pos_t width = load_start_q ? pos_t'(cfg_width) : width_q;
  wire pos_t stride = load_start_q ? clamp(cfg_stride) : stride_q;
  wire channel_t channels = load_start_q ? channel_t'(cfg_channels) : channels_q;
  wire load_c_last = load_c == channels - 1'b1;
  wire load_x_last = load_c_last && load_x == width - 1'b1;
  wire load_last = load_x_last && load_y == height - 1'b1;

  always_ff @(posedge clk) begin
    if (load) begin
      frame[write_addr_q] <= s_axis_tdata;
      load_c_q      <= load_c_last ? '0 : load_c + 1'b1;
      load_x_q      <= load_x_last ? '0 : load_x + pos_t'(load_c_last);
      load_y_q      <= load_y + pos_t'(load_x_last);
      load_offset_q <= load_offset + 1'b1;
      if (load_y == '0 && load_x_last) row_step_q <= load_offset + 1'b1;
      if (load_y == '0 && load_c_last && load_x == stride - 1'b1) stride_step_q <= load_offset + 1'b1;
      if (load_x_last && load_y == stride - 1'b1) stride_row_step_q <= load_offset + 1'b1;
    end
    if (load && load_start_q) begin
      height_q   <= pos_t'(cfg_height);
      width_q    <= pos_t'(cfg_width);
      kernel_q   <= clamp(cfg_kernel);
      stride_q   <= clamp(cfg_stride);
      channels_q <= channel_t'(cfg_channels);
    end
    if (rst) begin
      load_start_q  <= 1'b1;
      load_buffer_q <= 1'b0;
      write_addr_q  <= '0;
    end else if (load) begin
      load_start_q  <= load_last;
      load_buffer_q <= load_buffer_q ^ load_last;
      if (load_last) write_addr_q <= load_buffer_q ? '0 : SECOND;
      else write_addr_q <= write_addr_q + 1'b1;
    end
  end

  // ---- replay: nested counters py, px, c, ky, kx, and the address at which the innermost round of each began. Where
  // rounds end, the next address is that of the outermost of them plus its distance.
  logic play_buffer_q, playing_q;
  pos_t play_height_q, play_width_q, play_kernel_q, play_stride_q, ky_q, kx_q;
  channel_t play_channels_q, c_q;
  step_t play_row_step_q, play_stride_step_q, play_stride_row_step_q;
  addr_t patch_row_q, patch_q, plane_q, row_q, addr_q;

  wire advance = !m_axis_tvalid || m_axis_tready;
  // Whether ky, c are at their last position, and the rounds that end with the element at addr_q, known before it
  logic ky_end_q, c_end_q, kx_last_q, ky_last_q, c_last_q, px_last_q, py_last_q;
  // Another patch fits when its end, position + stride + kernel, is inside; known before the patch at this position begins.
  localparam int unsigned SUM_BITS = POS_BITS + 2;
  typedef logic [SUM_BITS-1:0] sum_t;
  sum_t x_end_q, y_end_q, first_end_q;
  logic x_last_q, y_last_q, first_x_last_q;
  wire sum_t first_end = sum_t'(stride_q) + sum_t'(kernel_q);
  wire first_x_last = first_end > sum_t'(width_q);
  wire sum_t next_x_end = x_end_q + sum_t'(play_stride_q);
  wire sum_t next_y_end = y_end_q + sum_t'(play_stride_q);
  wire play_end = playing_q && advance && py_last_q;
  wire next_buffer = playing_q ^ play_buffer_q;
  wire play_begin = (!playing_q || play_end) && full_q[next_buffer];

  // ---- ends at the next element
  wire one_kernel = (play_begin ? kernel_q : play_kernel_q) == pos_t'(1);
  wire one_channel = (play_begin ? channels_q : play_channels_q) == channel_t'(1);
  logic kx_end, ky_end, c_end, x_last, y_last;
  always_comb begin
    kx_end = play_begin || kx_last_q ? one_kernel : kx_q + pos_t'(2) == play_kernel_q;
    ky_end = ky_end_q;
    if (play_begin || ky_last_q) ky_end = one_kernel;
    else if (kx_last_q) ky_end = ky_q + pos_t'(2) == play_kernel_q;
    c_end = c_end_q;
    if (play_begin || c_last_q) c_end = one_channel;
    else if (ky_last_q) c_end = c_q + channel_t'(2) == play_channels_q;
    x_last = x_last_q;
    if (play_begin) x_last = first_x_last;
    else if (px_last_q) x_last = first_x_last_q;
    else if (c_last_q) x_last = next_x_end > sum_t'(play_width_q);
    y_last = y_last_q;
    if (play_begin) y_last = first_end > sum_t'(height_q);
    else if (px_last_q) y_last = next_y_end > sum_t'(play_height_q);
  end

  // ---- address of the next element
  addr_t from, next_addr;
  step_t distance;
  always_comb begin
    from = addr_q;
    distance = step_t'(play_channels_q);
    if (px_last_q) begin
      from = patch_row_q;
      distance = play_stride_row_step_q;
    end else if (c_last_q) begin
      from = patch_q;
      distance = play_stride_step_q;
    end else if (ky_last_q) begin
      from = plane_q;
      distance = step_t'(1);
    end else if (kx_last_q) begin
      from = row_q;
      distance = play_row_step_q;
    end
    next_addr = from + addr_t'(distance);
    if (play_begin) next_addr = next_buffer ? SECOND : '0;
  end

  always_ff @(posedge clk) begin
    if (play_begin) begin
      play_height_q          <= height_q;
      play_width_q           <= width_q;
      play_kernel_q          <= kernel_q;
      play_stride_q          <= stride_q;
      play_channels_q        <= channels_q;
      play_row_step_q        <= row_step_q;
      play_stride_step_q     <= stride_step_q;
      play_stride_row_step_q <= stride_row_step_q;
      first_end_q            <= first_end;
      first_x_last_q         <= first_x_last;
    end
    if (play_begin || advance) begin
      addr_q    <= next_addr;
      ky_end_q  <= ky_end;
      c_end_q   <= c_end;
      x_last_q  <= x_last;
      y_last_q  <= y_last;
      kx_last_q <= kx_end;
      ky_last_q <= kx_end && ky_end;
      c_last_q  <= kx_end && ky_end && c_end;
      px_last_q <= kx_end && ky_end && c_end && x_last;
      py_last_q <= kx_end && ky_end && c_end && x_last && y_last;
      kx_q      <= play_begin || kx_last_q ? '0 : kx_q + 1'b1;
      if (play_begin || kx_last_q) begin
        row_q <= next_addr;
        ky_q  <= play_begin || ky_last_q ? '0 : ky_q + 1'b1;
      end
      if (play_begin || ky_last_q) begin
        plane_q <= next_addr;
        c_q     <= play_begin || c_last_q ? '0 : c_q + 1'b1;
      end
      if (play_begin || c_last_q) begin
        patch_q <= next_addr;
        x_end_q <= play_begin ? first_end : px_last_q ? first_end_q : next_x_end;
      end
      if (play_begin || px_last_q) begin
        patch_row_q <= next_addr;
        y_end_q     <= play_begin ? first_end : next_y_end;
      end
    end
    if (rst) begin
      playing_q     <= 1'b0;
      play_buffer_q <= 1'b0;
      full_q        <= 2'b00;
    end else begin
      playing_q <= play_begin || (playing_q && !play_end);
      if (play_end) begin
        play_buffer_q         <= !play_buffer_q;
        full_q[play_buffer_q] <= 1'b0;
      end
      if (load && load_last) full_q[load_buffer_q] <= 1'b1;
    end
  end

  // ---- memory read and output register
  logic [ELEM_BITS-1:0] word_q;
  logic word_valid_q;
  always_ff @(posedge clk) begin
    if (advance) begin
      word_q       <= frame[addr_q];
      m_axis_tdata <= word_q;
    end
    if (rst) begin
      word_valid_q  <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (advance) begin
      word_valid_q  <= playing_q;
      m_axis_tvalid <= word_valid_q;
    end
  end

`ifndef SYNTHESIS
  swu_holds_beat : assert property (@(posedge clk) disable iff (rst)
      m_axis_tvalid && !m_axis_tready |=> m_axis_tvalid && $stable(m_axis_tdata))
  else $error("%m: beat changed while stalled");
`endif
endmodule
`default_nettype wire
