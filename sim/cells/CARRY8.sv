// SPDX-License-Identifier: Apache-2.0
// CARRY8: model of the UltraScale+ carry cell. Bit i: O = S ^ carry; the carry passes where S is set, else it is DI.
// CARRY_TYPE "DUAL_CY4" is refused: Vitrail uses one chain of eight.
`default_nettype none
module CARRY8 #(
    parameter CARRY_TYPE = "SINGLE_CY8"
) (
    output wire logic [7:0] CO,
    output wire logic [7:0] O,
    input  wire logic       CI,
    input  wire logic       CI_TOP,
    input  wire logic [7:0] DI,
    input  wire logic [7:0] S
);
  if (CARRY_TYPE != "SINGLE_CY8") begin : gen_check_type
    $error("CARRY8: CARRY_TYPE must be SINGLE_CY8");
  end
  logic [8:0] carry;
  always_comb begin
    carry[0] = CI;
    for (int i = 0; i < 8; i++) carry[i+1] = S[i] ? carry[i] : DI[i];
  end
  assign O  = S ^ carry[7:0];
  assign CO = carry[8:1];
  wire unused = CI_TOP;
endmodule
`default_nettype wire
