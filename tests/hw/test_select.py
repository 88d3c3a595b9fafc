# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/select: one token of each job passes."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def image(tokens: int, channels: int, index: int, width: int, rng: np.random.Generator) -> Job:
    x = rng.integers(0, 2**width, (tokens, channels))
    cfg = {"cfg_tokens": tokens, "cfg_channels": channels, "cfg_index": index}
    return Job({"s_axis": x.ravel()}, {"m_axis": x[index]}, cfg)


SIZES = [(17, 64, 0)] * 3 + [(17, 64, 16), (17, 64, 5), (1, 1, 0), (1, 64, 0), (5, 1, 4), (5, 1, 0), (3, 2, 1)]


@pytest.mark.parametrize(("width", "t_max", "c_max"), [(12, 17, 64), (1, 65535, 65535), (40, 31, 100)])
def test_select_passes_one_token(width, t_max, c_max):
    design = Design.build("select", params={"WIDTH": width, "T_MAX": t_max, "C_MAX": c_max})
    rng = np.random.default_rng(width)
    jobs = [image(*size, width, rng) for size in SIZES]
    options = {"cfg_stream": "s_axis", "cfg_hold": False}
    assert design.run(jobs, **options).cycles <= sum(t * c for t, c, _ in SIZES) + 1  # one beat per cycle
    for stall in (30, 80):
        design.run(jobs, stall=stall, seed=stall, reset_at=1500, **options)


def test_select_drops_without_waiting():
    """Beats of other tokens pass a sink that stalls nine of ten cycles; only the 64 of the class token wait for it."""
    design = Design.build("select", params={"WIDTH": 12, "T_MAX": 65535, "C_MAX": 65535})
    job = image(200, 64, 0, 12, np.random.default_rng(1))
    assert design.run([job], stall={"m_axis": 90}, seed=1).cycles < 200 * 64 + 64 * 60


def test_select_protocol():
    run_cocotb("select", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def select_stalls(dut, stall):
    rng = np.random.default_rng(2)
    jobs = [image(t, c, i, 12, rng) for t, c, i in [(5, 8, 0), (5, 8, 0), (3, 4, 2), (1, 1, 0), (4, 3, 1)]]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=50)
