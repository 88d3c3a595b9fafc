# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/chain_carry8: sums of one to three cells; model and UltraScale+ cell."""

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields

BENCH = """
module bench (
    input clk, input rst,
    input [2*{w}:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{w}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  wire unused = clk | rst;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  chain_carry8 #(.WIDTH({w}), .TARGET({target})) unit_i (
      .propagate(s_axis_tdata[0+:{w}]), .operand(s_axis_tdata[{w}+:{w}]), .start(s_axis_tdata[2*{w}]),
      .y(m_axis_tdata));
endmodule
"""


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 17])
def test_chain_carry8_adds(tmp_path, width, target):
    """Propagate a ^ b and operand a make a + b + start."""
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, target=target))
    cell = ROOT / "sim" / "cells" / "CARRY8.sv"
    design = Design.build("bench", sources=[*unit_sources("chain_carry8"), cell, bench])
    rng = np.random.default_rng(29)
    (a, b), start = rng.integers(0, 2**width, (2, 3000)), rng.integers(0, 2, 3000)
    a[:2], b[:2], start[:2] = 2**width - 1, [0, 2**width - 1], 1
    want = (a + b + start) % 2**width
    design.run([Job({"s_axis": fields((a ^ b, width), (a, width), (start, 1))}, {"m_axis": want})])
