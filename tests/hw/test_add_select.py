# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add_select: every operand of a narrow adder; the model, the ECP5 and the UltraScale+ cells."""

from itertools import product

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields

BENCH = """
module bench (
    input clk, input rst,
    input [3*{w}+1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{w}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  wire unused = clk | rst;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  add_select #(.WIDTH({w}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b0(s_axis_tdata[{w}+:{w}]), .b1(s_axis_tdata[2*{w}+:{w}]),
      .select(s_axis_tdata[3*{w}]), .carry(s_axis_tdata[3*{w}+1]), .y(m_axis_tdata));
endmodule
"""
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("CCU2C", "CARRY8")]


def build(tmp_path, width: int, target: int) -> Design:
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, target=target))
    return Design.build("bench", sources=[*unit_sources("add_select"), *CELLS, bench])


def job_of(width: int, a, b0, b1, select, carry) -> Job:
    want = (a + np.where(select, b1, b0) + carry) % 2**width
    return Job({"s_axis": fields((a, width), (b0, width), (b1, width), (select, 1), (carry, 1))}, {"m_axis": want})


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 4])
def test_add_select_every_operand(tmp_path, width, target):
    operands = np.array(list(product(*[range(2**width)] * 3, (0, 1), (0, 1)))).T
    build(tmp_path, width, target).run([job_of(width, *operands)])


@pytest.mark.parametrize("target", [1, 2])
def test_add_select_carries_across_cells(tmp_path, target):
    rng = np.random.default_rng(18)
    operands = [*rng.integers(0, 2**17, (3, 5000)), *rng.integers(0, 2, (2, 5000))]
    operands[1][:100] = -operands[0][:100] % 2**17 - rng.integers(0, 2, 100)
    build(tmp_path, 17, target).run([job_of(17, *operands)])
