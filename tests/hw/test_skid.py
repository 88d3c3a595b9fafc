# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/skid: order, throughput, stalls, reset."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Design, Job


def passing_jobs(bits: int, beats: tuple[int, ...], seed: int) -> list[Job]:
    rng = np.random.default_rng(seed)
    values = [rng.integers(0, 2**bits, n) for n in beats]
    return [Job({"s_axis": v}, {"m_axis": v}) for v in values]


@pytest.mark.parametrize("width", [1, 8, 72 // 2])
@pytest.mark.parametrize("stall", [0, 50, {"s_axis": 80}, {"m_axis": 80}])
def test_skid_keeps_order(width, stall):
    design = Design.build("skid", params={"WIDTH": width})
    jobs = passing_jobs(width, (300, 1, 40), seed=width)
    design.run(jobs, stall=stall, seed=1)
    design.run(jobs, stall=stall, seed=2, reset_at=101)


def test_skid_moves_one_beat_a_cycle():
    design = Design.build("skid", params={"WIDTH": 8})
    assert design.run(passing_jobs(8, (1000,), seed=1)).cycles <= 1003


def test_skid_protocol():
    run_cocotb("skid", module=__file__, params={"WIDTH": 8})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def skid_stalls(dut, stall):
    await check_unit(dut, passing_jobs(8, (150, 60), seed=stall), stall=stall, seed=stall + 1, reset_at=50)
