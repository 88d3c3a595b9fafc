# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add_pair: every operand of a narrow adder; the model, the ECP5 and the UltraScale+ cells."""

from itertools import product

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
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
  add_pair #(.WIDTH({w}), .SUBTRACT({subtract}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b(s_axis_tdata[{w}+:{w}]), .gate_a(s_axis_tdata[2*{w}]),
      .gate_b(s_axis_tdata[2*{w}+1]), .y(m_axis_tdata));
endmodule
"""
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("CCU2C", "LUT6_2", "CARRY8")]


def build(tmp_path, width: int, subtract: int, target: int) -> Design:
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, subtract=subtract, target=target))
    return Design.build("bench", sources=[*unit_sources("add_pair"), *CELLS, bench])


def job_of(width: int, subtract: int, a, b, gate_a, gate_b) -> Job:
    want = (a * gate_a + (-1 if subtract else 1) * b * gate_b) % 2**width
    return Job({"s_axis": fields((a, width), (b, width), (gate_a, 1), (gate_b, 1))}, {"m_axis": want})


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("subtract", [0, 1])
@pytest.mark.parametrize("width", [1, 4, 5])
def test_add_pair_every_operand(tmp_path, width, subtract, target):
    operands = np.array(list(product(range(2**width), range(2**width), (0, 1), (0, 1)))).T
    build(tmp_path, width, subtract, target).run([job_of(width, subtract, *operands)])


@pytest.mark.parametrize("target", [1, 2])
@pytest.mark.parametrize("subtract", [0, 1])
def test_add_pair_carries_across_cells(tmp_path, subtract, target):
    rng = np.random.default_rng(17)
    operands = [*rng.integers(0, 2**17, (2, 5000)), *rng.integers(0, 2, (2, 5000))]
    operands[1][:100] = -operands[0][:100] % 2**17 - rng.integers(0, 2, 100)
    build(tmp_path, 17, subtract, target).run([job_of(17, subtract, *operands)])
