# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/argmax against sim/golden/argmax."""

from __future__ import annotations

import itertools

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.argmax import argmax
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def logits(x: np.ndarray) -> Job:
    return Job({"s_axis": x}, {"m_axis": argmax(x)[None]}, {"cfg_classes": x.size})


def test_argmax_breaks_every_tie_at_the_lowest_index():
    """All 4096 jobs of four 3-bit classes, ties of two, three and four included, and all shorter ones."""
    jobs = [logits(np.array(x)) for n in (1, 2, 3, 4) for x in itertools.product(range(-4, 4), repeat=n)]
    design = Design.build("argmax", params={"IN_BITS": 3, "CLASSES_MAX": 4})
    result = design.run(jobs, cfg_stream="s_axis", cfg_hold=False)
    assert result.cycles <= sum(job.inputs["s_axis"].size for job in jobs) + 2  # one beat per cycle, jobs back to back
    design.run(jobs, stall=50, seed=2, reset_at=5000, cfg_stream="s_axis", cfg_hold=False)


@pytest.mark.parametrize(("in_bits", "classes_max"), [(16, 10), (16, 65535), (8, 1000)])
def test_argmax_matches_golden(in_bits, classes_max):
    rng = np.random.default_rng(in_bits)
    low, high = -(2 ** (in_bits - 1)), 2 ** (in_bits - 1)
    sizes = [10] * 20 + [1, 2, 1, 10, min(classes_max, 1000), 10]
    rows = [rng.integers(low, high, n) for n in sizes] + [
        np.full(10, low),
        np.full(7, high - 1),
        np.array([low, high - 1]),
    ]
    rows += [np.r_[np.full(9, low), high - 1], np.r_[high - 1, np.full(9, low)], np.array([-1, 0]), np.array([0, -1])]
    jobs = [logits(x) for x in rows]
    design = Design.build("argmax", params={"IN_BITS": in_bits, "CLASSES_MAX": classes_max})
    design.run(jobs, cfg_stream="s_axis", cfg_hold=False)
    for stall in (30, 80):
        design.run(jobs, stall=stall, seed=stall, reset_at=100, cfg_stream="s_axis", cfg_hold=False)


def test_argmax_protocol():
    run_cocotb("argmax", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def argmax_stalls(dut, stall):
    rng = np.random.default_rng(3)
    jobs = [logits(rng.integers(-3, 3, n)) for n in (10, 10, 1, 1, 4, 10, 2)]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=30)
