# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add_three: every operand of a narrow adder, random wide ones; the model and the UltraScale+ cells."""

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
  add_three #(.WIDTH({w}), .SUBTRACT({subtract}), .TOP_IS_CARRY({top}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b(s_axis_tdata[{w}+:{w}]), .c(s_axis_tdata[2*{w}+:{w}]),
      .carry(s_axis_tdata[3*{w}+:2]), .y(m_axis_tdata));
endmodule
"""
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("LUT6_2", "CARRY8")]


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("subtract", [0, 1])
@pytest.mark.parametrize("width", [1, 4, 17])
def test_add_three_matches_sum(tmp_path, width, subtract, target):
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, subtract=subtract, top=0, target=target))
    design = Design.build("bench", sources=[*unit_sources("add_three"), *CELLS, bench])
    carries = (0, 2) if subtract else range(4)
    if width <= 4:
        a, b, c, carry = np.array(list(product(*[range(2**width)] * 3, carries))).T
    else:
        rng = np.random.default_rng(19)
        a, b, c = rng.integers(0, 2**width, (3, 5000))
        carry = rng.choice(carries, 5000)
    want = (a + b + (-c if subtract else c) + carry % 2 + carry // 2) % 2**width
    design.run([Job({"s_axis": fields((a, width), (b, width), (c, width), (carry, 2))}, {"m_axis": want})])


@pytest.mark.parametrize("target", [0, 2])
def test_add_three_top_bit_is_a_carry(tmp_path, target):
    """Five bits: two operands of three, one of four."""
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=5, subtract=0, top=1, target=target))
    design = Design.build("bench", sources=[*unit_sources("add_three"), *CELLS, bench])
    a, b, c = np.array(list(product(range(8), range(8), range(16)))).T
    design.run([Job({"s_axis": fields((a, 5), (b, 5), (c, 5), (0 * a, 2))}, {"m_axis": a + b + c})])
