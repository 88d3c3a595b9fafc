// SPDX-License-Identifier: Apache-2.0
// RAM32M16: model of the UltraScale+ LUT RAM: eight ports of 32 x 2 bits, read at once; all are written at ADDRH.
// Words are random until they are written. Left out of Yosys' declaration: the parameters INIT_* and IS_WCLK_INVERTED.
`default_nettype none
module RAM32M16 (
    output wire logic [1:0] DOA, DOB, DOC, DOD, DOE, DOF, DOG, DOH,
    input  wire logic [4:0] ADDRA, ADDRB, ADDRC, ADDRD, ADDRE, ADDRF, ADDRG, ADDRH,
    input  wire logic [1:0] DIA, DIB, DIC, DID, DIE, DIF, DIG, DIH,
    input  wire logic       WCLK,
    input  wire logic       WE
);
  logic [15:0] words_q[32];
  always_ff @(posedge WCLK) if (WE) words_q[ADDRH] <= {DIH, DIG, DIF, DIE, DID, DIC, DIB, DIA};
  assign DOA = words_q[ADDRA][1:0];
  assign DOB = words_q[ADDRB][3:2];
  assign DOC = words_q[ADDRC][5:4];
  assign DOD = words_q[ADDRD][7:6];
  assign DOE = words_q[ADDRE][9:8];
  assign DOF = words_q[ADDRF][11:10];
  assign DOG = words_q[ADDRG][13:12];
  assign DOH = words_q[ADDRH][15:14];
endmodule
`default_nettype wire
