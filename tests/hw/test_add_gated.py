# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add_gated: every operand of a narrow adder; the model, the ECP5 and the UltraScale+ cells."""

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
  add_gated #(.WIDTH({w}), .INVERTS({inverts}), .COMPLEMENTS({complements}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b(s_axis_tdata[{w}+:{w}]), .gate(s_axis_tdata[2*{w}]),
      .invert(s_axis_tdata[2*{w}+1]), .y(m_axis_tdata));
endmodule
"""


CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("CCU2C", "CARRY8")]


def build(tmp_path, width: int, inverts: int, target: int, complements: int = 0) -> Design:
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, inverts=inverts, complements=complements, target=target))
    return Design.build("bench", sources=[*unit_sources("add_gated"), *CELLS, bench])


def job_of(width: int, inverts: int, a, b, gate, invert) -> Job:
    sign = np.where(invert & inverts, -1, 1)
    want = (a + sign * b * gate) % 2**width
    return Job({"s_axis": fields((a, width), (b, width), (gate, 1), (invert, 1))}, {"m_axis": want})


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("inverts", [0, 1])
@pytest.mark.parametrize("width", [1, 5])
def test_add_gated_every_operand(tmp_path, width, inverts, target):
    operands = np.array(list(product(range(2**width), range(2**width), (0, 1), (0, 1)))).T
    build(tmp_path, width, inverts, target).run([job_of(width, inverts, *operands)])


@pytest.mark.parametrize("target", [1, 2])
def test_add_gated_carries_across_cells(tmp_path, target):
    rng = np.random.default_rng(19)
    a, b = rng.integers(0, 2**17, (2, 5000))
    gate, invert = rng.integers(0, 2, (2, 5000))
    b[:100] = np.where(invert[:100], a[:100], -a[:100] % 2**17)  # carries run through all bits
    build(tmp_path, 17, 1, target).run([job_of(17, 1, a, b, gate, invert)])


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("width", [1, 4, 11])
def test_add_gated_complements_the_sum(tmp_path, width, target):
    if width <= 4:
        a, b, gate, invert = np.array(list(product(range(2**width), range(2**width), (0, 1), (0, 1)))).T
    else:
        rng = np.random.default_rng(20)
        a, b = rng.integers(0, 2**width, (2, 3000))
        gate, invert = rng.integers(0, 2, (2, 3000))
    total = a + b * gate
    want = np.where(invert, -total - 1, total) % 2**width
    job = Job({"s_axis": fields((a, width), (b, width), (gate, 1), (invert, 1))}, {"m_axis": want})
    build(tmp_path, width, 1, target, complements=1).run([job])
