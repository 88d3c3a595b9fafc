// SPDX-License-Identifier: Apache-2.0
// crc16: one byte into a CRC-16 (polynomial x^16 + x^12 + x^5 + 1, most significant bit first). Combinational.
// Start value 0xFFFF, no reflection, no final XOR: CRC-16/IBM-3740, check value of "123456789" is 0x29B1.
// Python's binascii.crc_hqx(data, 0xFFFF) computes the same.
// Golden   : binascii.crc_hqx; Test: tests/hw/test_host_link.py
`default_nettype none
module crc16 (
    input  wire logic [15:0] crc,
    input  wire logic [ 7:0] data,
    output logic      [15:0] crc_next
);
  always_comb begin
    crc_next = crc ^ {data, 8'h00};
    for (int unsigned i = 0; i < 8; i++) begin
      crc_next = {crc_next[14:0], 1'b0} ^ (crc_next[15] ? 16'h1021 : 16'h0000);
    end
  end
endmodule
`default_nettype wire
