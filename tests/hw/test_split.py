# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/split: the channels of each token go to their branches."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def token(sizes: tuple[int, ...], width: int, rng: np.random.Generator) -> Job:
    """One token, the unit's job, of sum(sizes) channels."""
    x = rng.integers(0, 2**width, sum(sizes))
    parts = np.split(x, np.cumsum(sizes)[:-1])
    packed = sum(size << (16 * i) for i, size in enumerate(sizes))
    return Job({"s_axis": x}, {f"m_axis[{i}]": part for i, part in enumerate(parts)}, {"cfg_sizes": packed})


@pytest.mark.parametrize(
    ("outputs", "width", "c_max", "sizes"),
    [
        (3, 8, 64, [(64, 64, 64)] * 5 + [(1, 1, 1), (1, 2, 3), (64, 1, 7), (5, 64, 1), (1, 1, 1)]),
        (2, 1, 65535, [(1, 1), (300, 5), (1, 1000), (7, 7)]),
        (4, 33, 9, [(9, 9, 9, 9), (1, 9, 1, 9), (1, 1, 1, 1)]),
    ],
)
def test_split_sends_channels_to_branches(outputs, width, c_max, sizes):
    design = Design.build("split", params={"OUTPUTS": outputs, "WIDTH": width, "C_MAX": c_max})
    rng = np.random.default_rng(outputs)
    jobs = [token(s, width, rng) for s in sizes]
    options = {"cfg_stream": "s_axis", "cfg_hold": False}
    assert design.run(jobs, **options).cycles <= sum(map(sum, sizes)) + 1  # one beat per cycle, no gap between tokens
    for stall in (30, 80):
        design.run(jobs, stall=stall, seed=stall, reset_at=40, **options)


def test_split_protocol():
    run_cocotb("split", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def split_stalls(dut, stall):
    rng = np.random.default_rng(2)
    jobs = [token(s, 8, rng) for s in [(16, 16, 16), (16, 16, 16), (1, 5, 2), (7, 1, 1)]]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=70)
