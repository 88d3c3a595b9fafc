# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/chain_ccu2c: LUTs of adders and arbitrary ones, with and without a carry in front; model and ECP5 cell."""

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields

BENCH = """
module bench (
    input clk, input rst,
    input [4*{w}:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{w}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  wire unused = clk | rst;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  chain_ccu2c #(.WIDTH({w}), .INIT(16'h{init:04X}), .STARTS({starts}), .TARGET({target})) unit_i (
      .a(s_axis_tdata[0+:{w}]), .b(s_axis_tdata[{w}+:{w}]), .c(s_axis_tdata[2*{w}+:{w}]),
      .d(s_axis_tdata[3*{w}+:{w}]), .start(s_axis_tdata[4*{w}]), .y(m_axis_tdata));
endmodule
"""


def chain(init: int, start: np.ndarray, pins: np.ndarray, width: int) -> np.ndarray:
    """Sums of a chain; pins (4, n): LUT inputs A, B, C, D of all bits."""
    carry, total = start, np.zeros_like(start)
    for bit in range(width):
        a, b, c, d = pins >> bit & 1
        propagate, generate = init >> (8 * d + 4 * c + 2 * b + a) & 1, init >> (2 * b + a) & 1
        total |= (propagate ^ carry) << bit
        carry = np.where(propagate == 1, carry, generate)
    return total


def test_chain_by_hand():
    """LUT A ^ C, carry A where it is 0 (0x5A5A): 6 + 3, 6 + 3 + 1 and 15 + 1 of four bits."""
    pins = np.array([[6, 6, 15], [0, 0, 0], [3, 3, 0], [0, 0, 0]])
    assert chain(0x5A5A, np.array([0, 1, 1]), pins, 4).tolist() == [9, 10, 0]


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("starts", [0, 1])
@pytest.mark.parametrize(
    ("init", "width"), [(0x956A, 1), (0x956A, 8), (0x7888, 7), (0x8777, 12), (0x596A, 5), (0x3C91, 9)]
)
def test_chain_ccu2c_matches_luts(tmp_path, init, width, starts, target):
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(w=width, init=init, starts=starts, target=target))
    cell = ROOT / "sim" / "cells" / "CCU2C.sv"
    design = Design.build("bench", sources=[*unit_sources("chain_ccu2c"), cell, bench])
    rng = np.random.default_rng(23)
    pins, start = rng.integers(0, 2**width, (4, 3000)), rng.integers(0, 2, 3000)
    want = chain(init, start * starts, pins, width)
    design.run([Job({"s_axis": fields(*((pin, width) for pin in pins), (start, 1))}, {"m_axis": want})])
