// SPDX-License-Identifier: Apache-2.0
// mix: one of everything that becomes a cell of its own on an ECP5, for the tests of sim/netlist.py and sim/cells.
// Every input beat addresses, writes and multiplies; the output beat shows all of it two cycles later.
`default_nettype none
module mix (
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire logic [63:0]  s_axis_tdata,
    input  wire logic         s_axis_tvalid,
    output logic              s_axis_tready,
    output logic [303:0]      m_axis_tdata,
    output logic              m_axis_tvalid,
    input  wire logic         m_axis_tready
);
    logic valid_q;
    wire logic step = !m_axis_tvalid || m_axis_tready;
    wire logic take = step && s_axis_tvalid;
    wire logic [63:0] d = s_axis_tdata;
    assign s_axis_tready = step;

    // ROM, 600 words of 20 bits
    logic [19:0] rom[600];
    initial $readmemh("mix.hex", rom);
    logic [19:0] rom_q;
    // simple dual port, 512 x 36: the widest block RAM
    logic [35:0] wide[512];
    logic [35:0] wide_q;
    // with byte enables, 1,024 x 18
    logic [17:0] bytes[1024];
    logic [17:0] bytes_q;
    // narrow and deep, 4,096 x 4, and one port that reads the old word while it writes, 2,048 x 9
    logic [3:0] deep[4096];
    logic [3:0] deep_q;
    logic [8:0] old[2048];
    logic [8:0] old_q;
    // LUT RAM 16 x 6
    (* ram_style = "distributed" *) logic [5:0] shallow[16];
    logic [5:0] shallow_q;
    initial begin
        for (int i = 0; i < 512; i++) wide[i] = 36'(i * 7);
        for (int i = 0; i < 1024; i++) bytes[i] = 18'(i * 5);
        for (int i = 0; i < 4096; i++) deep[i] = 4'(i);
        for (int i = 0; i < 2048; i++) old[i] = 9'(i * 3);
        for (int i = 0; i < 16; i++) shallow[i] = 6'(i);
    end
    always_ff @(posedge clk) begin
        if (take) begin
            rom_q   <= rom[d[9:0] % 10'd600];
            wide_q  <= wide[d[17:9]];
            bytes_q <= bytes[d[19:10]];
            deep_q  <= deep[d[31:20]];
            old_q   <= old[d[30:20]];
            shallow_q <= shallow[d[43:40]];
            if (d[60]) wide[d[8:0]] <= d[45:10];
            if (d[61]) bytes[d[9:0]][8:0] <= d[40:32];
            if (d[62]) bytes[d[9:0]][17:9] <= d[49:41];
            if (d[63]) deep[d[11:0]] <= d[35:32];
            if (d[59]) old[d[30:20]] <= d[40:32];
            if (d[58]) shallow[d[39:36]] <= d[5:0];
        end
    end

    // Products: registered and signed, signed by unsigned in one cycle, an inferred register behind
    logic signed [17:0] a_q, b_q;
    logic signed [35:0] p_q;
    logic [23:0] u_q;
    wire logic [35:0] lane;
    mult18x18 #(.TARGET(1)) mult_i (.clk, .en(take), .a(d[17:0]), .b(d[35:18]), .p(lane));
    always_ff @(posedge clk) if (take) begin
        a_q <= d[17:0];
        b_q <= d[50:33];
        p_q <= a_q * b_q;
        u_q <= d[11:0] * d[31:20];
    end

    // Carries, comparisons, a set register, an asynchronous reset, enables of both senses
    logic [39:0] sum_q;
    logic        less_q, set_q, async_q;
    logic [15:0] hold_q;
    always_ff @(posedge clk) begin
        if (take) begin
            sum_q  <= sum_q + d[39:0];
            less_q <= $signed(d[30:0]) < $signed(d[61:31]);
        end
        if (!(take && d[57])) begin
            if (take) hold_q <= hold_q ^ d[15:0];
        end
        if (take) set_q <= ^d;
        if (rst) begin
            sum_q  <= 40'd5;
            set_q  <= 1'b1;
            hold_q <= 16'h1234;
        end
    end
    always_ff @(posedge clk or posedge rst) begin
        if (rst) async_q <= 1'b1;
        else if (take) async_q <= d[3] ^ async_q;
    end

    logic [16:0] beat_q;
    always_ff @(posedge clk) begin
        if (step) begin
            m_axis_tvalid <= valid_q && s_axis_tvalid;
            // what the first beats show depends on registers without a reset
            m_axis_tdata  <= {beat_q, less_q, set_q, async_q, hold_q, sum_q, u_q, lane, p_q, shallow_q, old_q, deep_q, bytes_q,
                              wide_q, rom_q, 38'd0};
        end
        if (take) begin
            beat_q  <= beat_q + 17'd1;
            valid_q <= beat_q >= 17'd3;
        end
        if (rst) begin
            {m_axis_tvalid, valid_q} <= 2'b00;
            beat_q <= '0;
        end
    end
endmodule
