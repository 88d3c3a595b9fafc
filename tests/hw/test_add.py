# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/add against sim/golden/add."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.add import add
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def all_pairs(a_bits: int, b_bits: int, out_bits: int) -> Job:
    """Every pair of operands when the widths allow it, else corners, pairs around the limits and random ones."""
    if a_bits + b_bits <= 12:
        a, b = np.mgrid[-(2 ** (a_bits - 1)) : 2 ** (a_bits - 1), -(2 ** (b_bits - 1)) : 2 ** (b_bits - 1)].reshape(
            2, -1
        )
    else:
        rng = np.random.default_rng(a_bits * 100 + b_bits)
        limit = 2 ** (out_bits - 1)
        a = rng.integers(-(2 ** (a_bits - 1)), 2 ** (a_bits - 1), 3000)
        b = rng.integers(-(2 ** (b_bits - 1)), 2 ** (b_bits - 1), 3000)
        near = rng.integers(-2, 3, 1000) + rng.choice([-limit, limit], 1000)
        b[:1000] = np.clip(near - a[:1000], -(2 ** (b_bits - 1)), 2 ** (b_bits - 1) - 1)
        a[:4], b[:4] = (
            (2 ** (a_bits - 1) - 1) * np.array([1, -1, 1, -1]),
            (2 ** (b_bits - 1) - 1) * np.array([1, 1, -1, -1]),
        )
        a[4], b[4] = -(2 ** (a_bits - 1)), -(2 ** (b_bits - 1))
    return Job({"s_axis_a": a, "s_axis_b": b}, {"m_axis": add(a, b, out_bits)})


@pytest.mark.parametrize(
    ("a_bits", "b_bits", "out_bits"), [(4, 5, 4), (6, 6, 6), (5, 4, 6), (3, 4, 9), (12, 12, 12), (16, 12, 8)]
)
def test_add_matches_golden(a_bits, b_bits, out_bits):
    design = Design.build("add", params={"A_BITS": a_bits, "B_BITS": b_bits, "OUT_BITS": out_bits})
    job = all_pairs(a_bits, b_bits, out_bits)
    assert design.run([job]).cycles <= len(job.inputs["s_axis_a"]) + 2  # one beat per cycle
    for stall in (30, 80):
        design.run([job, job], stall=stall, seed=stall, reset_at=400)


def test_add_protocol():
    run_cocotb("add", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def add_stalls(dut, stall):
    a, b = np.arange(-60, 60) * 34, np.arange(120) * 17
    await check_unit(
        dut, [Job({"s_axis_a": a, "s_axis_b": b}, {"m_axis": add(a, b, 12)})] * 2, stall=stall, seed=1, reset_at=70
    )
