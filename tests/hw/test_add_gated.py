# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add_gated: every operand of a narrow adder, the behavioural model and the ECP5 carry cells."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pyosys
import pytest

from sim.toolchain import unit_sources
from sim.verilate import Design, Job, fields

BENCH = """
module bench (
    input clk, input rst,
    input [2*{w}+1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{w}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  wire unused = clk | rst;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  add_gated #(.WIDTH({w}), .INVERTS({inverts}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b(s_axis_tdata[{w}+:{w}]), .gate(s_axis_tdata[2*{w}]),
      .invert(s_axis_tdata[2*{w}+1]), .y(m_axis_tdata));
endmodule
"""


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("inverts", [0, 1])
@pytest.mark.parametrize("width", [1, 5])
def test_add_gated_every_operand(tmp_path, width, inverts, target):
    bench, cells = tmp_path / "bench.sv", tmp_path / "cells.v"
    bench.write_text(BENCH.format(w=width, inverts=inverts, target=target))
    share = Path(pyosys.__file__).parent / "share" / "ecp5"
    text = (share / "common_sim.vh").read_text() + (share / "ccu2c_sim.vh").read_text()
    cells.write_text(re.sub(r"`include.*", "", text))
    design = Design.build("bench", sources=[*unit_sources("add_gated"), cells, bench])
    a, b, gate, invert = np.array(list(product(range(2**width), range(2**width), (0, 1), (0, 1)))).T
    sign = np.where(invert & inverts, -1, 1)
    want = (a + sign * b * gate) % 2**width
    design.run([Job({"s_axis": fields((a, width), (b, width), (gate, 1), (invert, 1))}, {"m_axis": want})])
