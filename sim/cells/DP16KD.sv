// SPDX-License-Identifier: Apache-2.0
// DP16KD: simulation model of the ECP5 block RAM, 1,024 words of 18 bits with two ports.
// A port is 1, 2, 4, 9 or 18 bits wide, or 36: then A writes and B reads, both halves of the data pins together.
//   address: bits 13..4 the word, 13..5 the pair of words at 36; below 18, bit 3 picks the 9-bit byte and the lower
//   ones the part of it (widths 1, 2, 4 use eight of its nine bits). From 18 on the lowest bits of the address enable
//   bytes.
//   WRITEMODE: what the port reads while it writes: NORMAL the output stays, WRITETHROUGH the new word,
//   READBEFOREWRITE the old word.
//   RST clears the output (not the memory), whatever CE says; a synchronous RST also keeps the port from writing.
//   REGMODE OUTREG: a second output register, enabled by OCE.
// INITVAL_xx: 16 words of 18 bits, 20 bits apart. A port that reads a word while the other one writes it sees the old
//   word.
// Ports and parameters are those of Yosys' declaration, without the parameters that invert a pin of address, data or
//   chip select (<pin>MUX).
// Source: Lattice FPGA-TN-02204 (ECP5 memory usage), Yosys' mapping of memories.
// Not verified: Yosys has no simulation model of the cell.
`default_nettype none
module DP16KD #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC",
    parameter ASYNC_RESET_RELEASE = "SYNC",
    parameter CSDECODE_A = "0b000",
    parameter CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL",
    parameter WRITEMODE_B = "NORMAL",
    parameter CEAMUX = "CEA",
    parameter OCEAMUX = "OCEA",
    parameter CLKAMUX = "CLKA",
    parameter WEAMUX = "WEA",
    parameter RSTAMUX = "RSTA",
    parameter CEBMUX = "CEB",
    parameter OCEBMUX = "OCEB",
    parameter CLKBMUX = "CLKB",
    parameter WEBMUX = "WEB",
    parameter RSTBMUX = "RSTB",
    parameter WID = 0,
    parameter GSR = "ENABLED",
    parameter INIT_DATA = "STATIC",
    parameter logic [319:0] INITVAL_00 = 320'd0,
    parameter logic [319:0] INITVAL_01 = 320'd0,
    parameter logic [319:0] INITVAL_02 = 320'd0,
    parameter logic [319:0] INITVAL_03 = 320'd0,
    parameter logic [319:0] INITVAL_04 = 320'd0,
    parameter logic [319:0] INITVAL_05 = 320'd0,
    parameter logic [319:0] INITVAL_06 = 320'd0,
    parameter logic [319:0] INITVAL_07 = 320'd0,
    parameter logic [319:0] INITVAL_08 = 320'd0,
    parameter logic [319:0] INITVAL_09 = 320'd0,
    parameter logic [319:0] INITVAL_0A = 320'd0,
    parameter logic [319:0] INITVAL_0B = 320'd0,
    parameter logic [319:0] INITVAL_0C = 320'd0,
    parameter logic [319:0] INITVAL_0D = 320'd0,
    parameter logic [319:0] INITVAL_0E = 320'd0,
    parameter logic [319:0] INITVAL_0F = 320'd0,
    parameter logic [319:0] INITVAL_10 = 320'd0,
    parameter logic [319:0] INITVAL_11 = 320'd0,
    parameter logic [319:0] INITVAL_12 = 320'd0,
    parameter logic [319:0] INITVAL_13 = 320'd0,
    parameter logic [319:0] INITVAL_14 = 320'd0,
    parameter logic [319:0] INITVAL_15 = 320'd0,
    parameter logic [319:0] INITVAL_16 = 320'd0,
    parameter logic [319:0] INITVAL_17 = 320'd0,
    parameter logic [319:0] INITVAL_18 = 320'd0,
    parameter logic [319:0] INITVAL_19 = 320'd0,
    parameter logic [319:0] INITVAL_1A = 320'd0,
    parameter logic [319:0] INITVAL_1B = 320'd0,
    parameter logic [319:0] INITVAL_1C = 320'd0,
    parameter logic [319:0] INITVAL_1D = 320'd0,
    parameter logic [319:0] INITVAL_1E = 320'd0,
    parameter logic [319:0] INITVAL_1F = 320'd0,
    parameter logic [319:0] INITVAL_20 = 320'd0,
    parameter logic [319:0] INITVAL_21 = 320'd0,
    parameter logic [319:0] INITVAL_22 = 320'd0,
    parameter logic [319:0] INITVAL_23 = 320'd0,
    parameter logic [319:0] INITVAL_24 = 320'd0,
    parameter logic [319:0] INITVAL_25 = 320'd0,
    parameter logic [319:0] INITVAL_26 = 320'd0,
    parameter logic [319:0] INITVAL_27 = 320'd0,
    parameter logic [319:0] INITVAL_28 = 320'd0,
    parameter logic [319:0] INITVAL_29 = 320'd0,
    parameter logic [319:0] INITVAL_2A = 320'd0,
    parameter logic [319:0] INITVAL_2B = 320'd0,
    parameter logic [319:0] INITVAL_2C = 320'd0,
    parameter logic [319:0] INITVAL_2D = 320'd0,
    parameter logic [319:0] INITVAL_2E = 320'd0,
    parameter logic [319:0] INITVAL_2F = 320'd0,
    parameter logic [319:0] INITVAL_30 = 320'd0,
    parameter logic [319:0] INITVAL_31 = 320'd0,
    parameter logic [319:0] INITVAL_32 = 320'd0,
    parameter logic [319:0] INITVAL_33 = 320'd0,
    parameter logic [319:0] INITVAL_34 = 320'd0,
    parameter logic [319:0] INITVAL_35 = 320'd0,
    parameter logic [319:0] INITVAL_36 = 320'd0,
    parameter logic [319:0] INITVAL_37 = 320'd0,
    parameter logic [319:0] INITVAL_38 = 320'd0,
    parameter logic [319:0] INITVAL_39 = 320'd0,
    parameter logic [319:0] INITVAL_3A = 320'd0,
    parameter logic [319:0] INITVAL_3B = 320'd0,
    parameter logic [319:0] INITVAL_3C = 320'd0,
    parameter logic [319:0] INITVAL_3D = 320'd0,
    parameter logic [319:0] INITVAL_3E = 320'd0,
    parameter logic [319:0] INITVAL_3F = 320'd0
) (
    input  wire logic DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
    input  wire logic DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
    input  wire logic ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7,
    input  wire logic ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input  wire logic CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output wire logic DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
    output wire logic DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
    input  wire logic DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
    input  wire logic DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
    input  wire logic ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7,
    input  wire logic ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input  wire logic CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output wire logic DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
    output wire logic DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
    logic [17:0] words_q[1024];
    wire logic [13:0] addr_A = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire logic [13:0] addr_B = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire logic [17:0] pins_A = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6,
        DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire logic [17:0] pins_B = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6,
        DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    // 36 bits wide: the low word is on port A's pins, the high one on port B's
    wire logic [35:0] data_A = {pins_B, pins_A};
    wire logic [35:0] data_B = {18'd0, pins_B};
    if (DATA_WIDTH_B == 36 && WEBMUX != "WEB") begin : gen_check_write
        $error("DP16KD: port B of 36 bits only reads");
    end

    function automatic void fill(input int block, input logic [319:0] init);
        for (int i = 0; i < 16; i++) words_q[16*block+i] = init[20*i+:18];
    endfunction
    initial begin
        fill(0, INITVAL_00); fill(1, INITVAL_01); fill(2, INITVAL_02); fill(3, INITVAL_03);
        fill(4, INITVAL_04); fill(5, INITVAL_05); fill(6, INITVAL_06); fill(7, INITVAL_07);
        fill(8, INITVAL_08); fill(9, INITVAL_09); fill(10, INITVAL_0A); fill(11, INITVAL_0B);
        fill(12, INITVAL_0C); fill(13, INITVAL_0D); fill(14, INITVAL_0E); fill(15, INITVAL_0F);
        fill(16, INITVAL_10); fill(17, INITVAL_11); fill(18, INITVAL_12); fill(19, INITVAL_13);
        fill(20, INITVAL_14); fill(21, INITVAL_15); fill(22, INITVAL_16); fill(23, INITVAL_17);
        fill(24, INITVAL_18); fill(25, INITVAL_19); fill(26, INITVAL_1A); fill(27, INITVAL_1B);
        fill(28, INITVAL_1C); fill(29, INITVAL_1D); fill(30, INITVAL_1E); fill(31, INITVAL_1F);
        fill(32, INITVAL_20); fill(33, INITVAL_21); fill(34, INITVAL_22); fill(35, INITVAL_23);
        fill(36, INITVAL_24); fill(37, INITVAL_25); fill(38, INITVAL_26); fill(39, INITVAL_27);
        fill(40, INITVAL_28); fill(41, INITVAL_29); fill(42, INITVAL_2A); fill(43, INITVAL_2B);
        fill(44, INITVAL_2C); fill(45, INITVAL_2D); fill(46, INITVAL_2E); fill(47, INITVAL_2F);
        fill(48, INITVAL_30); fill(49, INITVAL_31); fill(50, INITVAL_32); fill(51, INITVAL_33);
        fill(52, INITVAL_34); fill(53, INITVAL_35); fill(54, INITVAL_36); fill(55, INITVAL_37);
        fill(56, INITVAL_38); fill(57, INITVAL_39); fill(58, INITVAL_3A); fill(59, INITVAL_3B);
        fill(60, INITVAL_3C); fill(61, INITVAL_3D); fill(62, INITVAL_3E); fill(63, INITVAL_3F);
    end

    // "0b101" -> 3'b101
    function automatic logic [2:0] chip(input logic [39:0] text);
        return {text[16], text[8], text[0]};
    endfunction

    // Part of a word (or pair) that a port of this width sees at an address
    function automatic logic [35:0] get(input logic [35:0] word, input logic [13:0] addr, input int width);
        logic [8:0] part = addr[3] ? word[17:9] : word[8:0];
        case (width)
            1: return {35'd0, part[addr[2:0]]};
            2: return {34'd0, part[{addr[2:1], 1'b0}+:2]};
            4: return {32'd0, part[{addr[2], 2'b00}+:4]};
            9: return {27'd0, part};
            18: return {18'd0, word[17:0]};
            default: return word;
        endcase
    endfunction

    // The word (or pair) with the data written into it
    function automatic logic [35:0] put(
        input logic [35:0] word, input logic [13:0] addr, input logic [35:0] data, input int width
    );
        logic [35:0] result = word;
        logic [8:0] part = addr[3] ? word[17:9] : word[8:0];
        case (width)
            1: part[addr[2:0]] = data[0];
            2: part[{addr[2:1], 1'b0}+:2] = data[1:0];
            4: part[{addr[2], 2'b00}+:4] = data[3:0];
            default: part = data[8:0];
        endcase
        if (width >= 18) begin
            for (int i = 0; i < (width == 36 ? 4 : 2); i++) if (addr[i]) result[9*i+:9] = data[9*i+:9];
        end else if (addr[3]) result[17:9] = part;
        else result[8:0] = part;
        return result;
    endfunction

    // ---- port A
    wire logic clk_A = CLKAMUX == "INV" ? !CLKA : CLKA;
    wire logic ce_A  = CEAMUX == "INV" ? !CEA : CEA;
    wire logic oce_A = OCEAMUX == "INV" ? !OCEA : OCEA;
    wire logic we_A  = WEAMUX == "INV" ? !WEA : WEA;
    wire logic rst_A = RSTAMUX == "INV" ? !RSTA : RSTA;
    wire logic selected_A = {CSA2, CSA1, CSA0} == chip(CSDECODE_A);
    wire logic [9:0] low_A = DATA_WIDTH_A == 36 ? {addr_A[13:5], 1'b0} : addr_A[13:4];
    wire logic [9:0] high_A = {addr_A[13:5], 1'b1};
    wire logic [35:0] word_A = {words_q[high_A], words_q[low_A]};
    wire logic [35:0] next_A = put(word_A, addr_A, data_A, DATA_WIDTH_A);
    wire logic [3:0] bytes_A = DATA_WIDTH_A == 36 ? addr_A[3:0] : DATA_WIDTH_A == 18 ? {2'b00, addr_A[1:0]}
        : {2'b00, addr_A[3], !addr_A[3]};
    wire logic write_A = ce_A && selected_A && we_A && !(rst_A && RESETMODE == "SYNC");
    logic [35:0] out_A_q, pipe_A_q;
    always_ff @(posedge clk_A) begin
        // Bytes that the port does not write belong to the other port
        if (write_A && bytes_A[0]) words_q[low_A][8:0] <= next_A[8:0];
        if (write_A && bytes_A[1]) words_q[low_A][17:9] <= next_A[17:9];
        if (write_A && bytes_A[2]) words_q[high_A][8:0] <= next_A[26:18];
        if (write_A && bytes_A[3]) words_q[high_A][17:9] <= next_A[35:27];
    end
    if (RESETMODE == "ASYNC") begin : gen_A_async
        always_ff @(posedge clk_A or posedge rst_A) begin
            if (rst_A) out_A_q <= 36'd0;
            else if (ce_A && selected_A && !(we_A && WRITEMODE_A == "NORMAL"))
                out_A_q <= get(we_A && WRITEMODE_A == "WRITETHROUGH" ? next_A : word_A, addr_A, DATA_WIDTH_A);
            if (rst_A) pipe_A_q <= 36'd0;
            else if (oce_A) pipe_A_q <= out_A_q;
        end
    end else begin : gen_A_sync
        always_ff @(posedge clk_A) begin
            if (rst_A) out_A_q <= 36'd0;
            else if (ce_A && selected_A && !(we_A && WRITEMODE_A == "NORMAL"))
                out_A_q <= get(we_A && WRITEMODE_A == "WRITETHROUGH" ? next_A : word_A, addr_A, DATA_WIDTH_A);
            if (rst_A) pipe_A_q <= 36'd0;
            else if (oce_A) pipe_A_q <= out_A_q;
        end
    end
    initial {out_A_q, pipe_A_q} = 72'd0;
    wire logic [35:0] read_A = REGMODE_A == "OUTREG" ? pipe_A_q : out_A_q;

    // ---- port B
    wire logic clk_B = CLKBMUX == "INV" ? !CLKB : CLKB;
    wire logic ce_B  = CEBMUX == "INV" ? !CEB : CEB;
    wire logic oce_B = OCEBMUX == "INV" ? !OCEB : OCEB;
    wire logic we_B  = WEBMUX == "INV" ? !WEB : WEB;
    wire logic rst_B = RSTBMUX == "INV" ? !RSTB : RSTB;
    wire logic selected_B = {CSB2, CSB1, CSB0} == chip(CSDECODE_B);
    wire logic [9:0] low_B = DATA_WIDTH_B == 36 ? {addr_B[13:5], 1'b0} : addr_B[13:4];
    wire logic [9:0] high_B = {addr_B[13:5], 1'b1};
    wire logic [35:0] word_B = {words_q[high_B], words_q[low_B]};
    wire logic [35:0] next_B = put(word_B, addr_B, data_B, DATA_WIDTH_B);
    wire logic [3:0] bytes_B = DATA_WIDTH_B == 36 ? addr_B[3:0] : DATA_WIDTH_B == 18 ? {2'b00, addr_B[1:0]}
        : {2'b00, addr_B[3], !addr_B[3]};
    wire logic write_B = ce_B && selected_B && we_B && !(rst_B && RESETMODE == "SYNC");
    logic [35:0] out_B_q, pipe_B_q;
    always_ff @(posedge clk_B) begin
        // Bytes that the port does not write belong to the other port
        if (write_B && bytes_B[0]) words_q[low_B][8:0] <= next_B[8:0];
        if (write_B && bytes_B[1]) words_q[low_B][17:9] <= next_B[17:9];
        if (write_B && bytes_B[2]) words_q[high_B][8:0] <= next_B[26:18];
        if (write_B && bytes_B[3]) words_q[high_B][17:9] <= next_B[35:27];
    end
    if (RESETMODE == "ASYNC") begin : gen_B_async
        always_ff @(posedge clk_B or posedge rst_B) begin
            if (rst_B) out_B_q <= 36'd0;
            else if (ce_B && selected_B && !(we_B && WRITEMODE_B == "NORMAL"))
                out_B_q <= get(we_B && WRITEMODE_B == "WRITETHROUGH" ? next_B : word_B, addr_B, DATA_WIDTH_B);
            if (rst_B) pipe_B_q <= 36'd0;
            else if (oce_B) pipe_B_q <= out_B_q;
        end
    end else begin : gen_B_sync
        always_ff @(posedge clk_B) begin
            if (rst_B) out_B_q <= 36'd0;
            else if (ce_B && selected_B && !(we_B && WRITEMODE_B == "NORMAL"))
                out_B_q <= get(we_B && WRITEMODE_B == "WRITETHROUGH" ? next_B : word_B, addr_B, DATA_WIDTH_B);
            if (rst_B) pipe_B_q <= 36'd0;
            else if (oce_B) pipe_B_q <= out_B_q;
        end
    end
    initial {out_B_q, pipe_B_q} = 72'd0;
    wire logic [35:0] read_B = REGMODE_B == "OUTREG" ? pipe_B_q : out_B_q;

    // A 36-bit port B reads onto both ports' pins
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6,
        DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = DATA_WIDTH_B == 36 ? read_B[17:0] : read_A[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6,
        DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = DATA_WIDTH_B == 36 ? read_B[35:18] : read_B[17:0];
endmodule
`default_nettype wire
