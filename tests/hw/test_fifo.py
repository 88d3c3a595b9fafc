# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/fifo: order, exact depth, throughput, stalls, reset."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Design, Job


def passing_jobs(bits: int, beats: tuple[int, ...], seed: int) -> list[Job]:
    """Jobs whose output is their input."""
    rng = np.random.default_rng(seed)
    values = [rng.integers(0, 2**bits, n) for n in beats]
    return [Job({"s_axis": v}, {"m_axis": v}) for v in values]


@pytest.mark.parametrize("depth", [2, 3, 17, 32, 33, 100, 2048])
@pytest.mark.parametrize("stall", [0, {"s_axis": 60, "m_axis": 20}, {"s_axis": 20, "m_axis": 60}])
def test_fifo_keeps_order(depth, stall):
    design = Design.build("fifo", params={"WIDTH": 12, "DEPTH": depth})
    jobs = passing_jobs(12, (3 * depth + 50, 1, 200), seed=depth)
    design.run(jobs, stall=stall, seed=depth)
    design.run(jobs, stall=stall, seed=depth + 1, reset_at=depth + 7)


@pytest.mark.parametrize("depth", [2, 3, 32, 33, 100])
def test_fifo_moves_one_beat_a_cycle(depth):
    design = Design.build("fifo", params={"WIDTH": 12, "DEPTH": depth})
    result = design.run(passing_jobs(12, (1000,), seed=1))
    assert result.cycles <= 1000 + 5


@pytest.mark.parametrize("depth", [3, 8, 32, 33, 50])
def test_fifo_peak_is_depth_when_output_is_slow(depth):
    design = Design.build("fifo", params={"WIDTH": 12, "DEPTH": depth})
    result = design.run(passing_jobs(12, (40 * depth,), seed=2), stall={"m_axis": 90}, seed=2)
    assert list(result.peaks.values()) == [depth]


def test_fifo_peak_counts_only_what_waits():
    design = Design.build("fifo", params={"WIDTH": 12, "DEPTH": 32})
    result = design.run(passing_jobs(12, (500,), seed=3))
    assert 1 <= max(result.peaks.values()) <= 3


@pytest.mark.parametrize("depth", [3, 40])
def test_fifo_protocol(depth):
    run_cocotb("fifo", module=__file__, params={"WIDTH": 12, "DEPTH": depth})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def fifo_stalls(dut, stall):
    await check_unit(dut, passing_jobs(12, (150, 60), seed=stall), stall=stall, seed=stall + 1, reset_at=77)
