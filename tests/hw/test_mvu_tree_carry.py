# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/mvu/mvu_tree_carry: extremes and random numbers with their ones; the model and the UltraScale+ cells."""

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields, pack

BENCH = """
module bench (
    input clk, input rst,
    input [{n}*{bits}+{n}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [31:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  logic [{latency}:0] valid_q;
  wire en = m_axis_tready || !m_axis_tvalid;
  assign s_axis_tready = en;
  assign m_axis_tvalid = valid_q[{latency}];
  assign valid_q[0] = s_axis_tvalid;
  always_ff @(posedge clk) begin
    if (rst) valid_q[{latency}:1] <= '0;
    else if (en) valid_q[{latency}:1] <= valid_q[{latency}-1:0];
  end
  wire signed [{bits}+$clog2({n})-1:0] y;
  wire y_carry;
  mvu_tree_carry #(.N({n}), .IN_BITS({bits}), .LATENCY({latency}), .TARGET({target})) unit_i (
      .clk, .en, .x(s_axis_tdata[{n}*{bits}-1:0]), .carry(s_axis_tdata[{n}*{bits}+:{n}]), .y, .y_carry);
  assign m_axis_tdata = 32'(y) + 32'(y_carry);
endmodule
"""
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("LUT6_2", "CARRY8")]


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("carries", [0, 1])
@pytest.mark.parametrize(("n", "latency"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 2), (9, 3), (27, 3), (82, 5)])
def test_mvu_tree_carry_matches_sum(tmp_path, n, latency, carries, target):
    """A number with its one reaches 2^(bits-1), and with all of them there so does the sum."""
    bits, rng = 5, np.random.default_rng(n)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    x = rng.integers(low, high + 1, (300, n))
    carry = rng.integers(0, 2, (300, n)) * carries
    x[0], x[1], x[2], x[3:40] = low, high, -1, rng.choice([low, high], (37, n))
    carry[0], carry[1], carry[2] = 0, carries, carries
    words = fields(*((column, bits) for column in x.T), *((column, 1) for column in carry.T))
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(n=n, bits=bits, latency=latency, target=target))
    design = Design.build("bench", sources=[*unit_sources("mvu"), *CELLS, bench])
    want = pack((x + carry).sum(axis=1)[:, None], 32)
    design.run([Job({"s_axis": words}, {"m_axis": want})], stall=20, seed=n)
