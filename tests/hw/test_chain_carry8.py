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
  chain_carry8 #(.WIDTH({w}), .TOP_IS_CARRY({top}), .TARGET({target})) unit_i (
      .propagate(s_axis_tdata[0+:{w}]), .operand(s_axis_tdata[{w}+:{w}]), .start(s_axis_tdata[2*{w}]),
      .y(m_axis_tdata));
endmodule
"""


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize(("width", "top"), [(1, 0), (7, 0), (8, 0), (9, 0), (17, 0), (2, 1), (9, 1), (10, 1)])
def test_chain_carry8_adds(tmp_path, width, top, target):
    """Propagate a ^ b and operand a make a + b + start; their top bit is ignored when that of y is a carry."""
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, top=top, target=target))
    cell = ROOT / "sim" / "cells" / "CARRY8.sv"
    design = Design.build("bench", sources=[*unit_sources("chain_carry8"), cell, bench])
    rng = np.random.default_rng(29)
    bits = width - top
    (a, b), start = rng.integers(0, 2**bits, (2, 3000)), rng.integers(0, 2, 3000)
    a[:2], b[:2], start[:2] = 2**bits - 1, [0, 2**bits - 1], 1
    want = (a + b + start) % 2**width
    ignored = rng.integers(0, 2, (2, 3000)) * top << bits
    streams = {"s_axis": fields(((a ^ b) + ignored[0], width), (a + ignored[1], width), (start, 1))}
    design.run([Job(streams, {"m_axis": want})])
