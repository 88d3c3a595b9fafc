// SPDX-License-Identifier: Apache-2.0
// table_ram: the same table in LUT RAM at several read ports, one write port for all of them.
//   TARGET 2 instantiates RAM32M16, whose seven read ports of two bits are shared out over the table's ports; otherwise a
//   memory for each port is inferred (ECP5: TRELLIS_DPR16X4).
// Not verified: RAM32M16 follows the vendor's description and Yosys' model; no silicon was available.
// Latency  : read at once, written at the clock. A word read while it is written is the old one.
// Resources: ECP5, DEPTH 16: PORTS * ceil(WIDTH / 4) TRELLIS_DPR16X4. UltraScale+, DEPTH up to 32: one RAM32M16 (8 LUTs)
//   for 14 bits.
// Test     : tests/hw/test_table_ram.py
`default_nettype none
module table_ram #(
    // Read ports
    parameter  int unsigned PORTS = 8,
    // Width of a word in bits
    parameter  int unsigned WIDTH = 6,
    // Words, 2 or more; at most 32 with TARGET 2
    parameter  int unsigned DEPTH = 16,
    // 2: UltraScale+ primitive. Other values: inferred
    parameter  int unsigned TARGET = 0,
    localparam int unsigned ADDR_BITS = $clog2(DEPTH)
) (
    input  wire logic                       clk,
    input  wire logic                       write,
    input  wire logic [ADDR_BITS-1:0]       write_addr,
    input  wire logic [WIDTH-1:0]           write_data,
    // Read ports, port 0 in the low bits
    input  wire logic [PORTS*ADDR_BITS-1:0] read_addr,
    output logic      [PORTS*WIDTH-1:0]     read_data
);
  if (DEPTH < 2 || (TARGET == 2 && DEPTH > 32)) begin : gen_check_depth
    $error("table_ram: DEPTH=%0d must be at least 2, and at most 32 with TARGET 2", DEPTH);
  end
  if (TARGET == 2) begin : gen_ultrascale
    localparam int unsigned SLICES = (WIDTH + 1) / 2;  // two bits of a port
    localparam int unsigned RAMS = (PORTS * SLICES + 6) / 7;
    logic [7*RAMS-1:0][1:0] data_in, data_out;
    logic [7*RAMS-1:0][4:0] addr;
    wire [2*SLICES-1:0] word = (2 * SLICES)'(write_data);
    for (genvar n = 0; n < 7 * RAMS; n++) begin : gen_slice
      if (n < PORTS * SLICES) begin : gen_used
        localparam int unsigned PORT = n / SLICES;
        localparam int unsigned BIT = 2 * (n % SLICES);
        assign data_in[n] = word[BIT+:2];
        assign addr[n] = 5'(read_addr[PORT*ADDR_BITS+:ADDR_BITS]);
        assign read_data[PORT*WIDTH+BIT] = data_out[n][0];
        if (BIT + 1 < WIDTH) begin : gen_second
          assign read_data[PORT*WIDTH+BIT+1] = data_out[n][1];
        end
      end else begin : gen_rest
        assign data_in[n] = '0;
        assign addr[n] = '0;
      end
    end
    for (genvar i = 0; i < RAMS; i++) begin : gen_ram
      logic [1:0] unused_port;
      RAM32M16 ram_i (
          .WCLK(clk), .WE(write), .ADDRH(5'(write_addr)), .DIH(2'b00), .DOH(unused_port),
          .ADDRA(addr[7*i]), .DIA(data_in[7*i]), .DOA(data_out[7*i]),
          .ADDRB(addr[7*i+1]), .DIB(data_in[7*i+1]), .DOB(data_out[7*i+1]),
          .ADDRC(addr[7*i+2]), .DIC(data_in[7*i+2]), .DOC(data_out[7*i+2]),
          .ADDRD(addr[7*i+3]), .DID(data_in[7*i+3]), .DOD(data_out[7*i+3]),
          .ADDRE(addr[7*i+4]), .DIE(data_in[7*i+4]), .DOE(data_out[7*i+4]),
          .ADDRF(addr[7*i+5]), .DIF(data_in[7*i+5]), .DOF(data_out[7*i+5]),
          .ADDRG(addr[7*i+6]), .DIG(data_in[7*i+6]), .DOG(data_out[7*i+6])
      );
    end
    wire unused = ^data_out;
  end else begin : gen_model
    for (genvar p = 0; p < PORTS; p++) begin : gen_port
      (* ram_style = "distributed" *) logic [WIDTH-1:0] words[DEPTH];
      always_ff @(posedge clk) if (write) words[write_addr] <= write_data;
      assign read_data[p*WIDTH+:WIDTH] = words[read_addr[p*ADDR_BITS+:ADDR_BITS]];
    end
  end
endmodule
`default_nettype wire
