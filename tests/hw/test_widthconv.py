# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/widthconv: both directions, throughput, stalls, reset."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.verilate import Design, Job, pack

SHAPES = [(8, 32), (32, 8), (4, 4), (6, 18), (1, 7), (64, 16)]


def convert_jobs(width_in: int, width_out: int, words: tuple[int, ...], seed: int) -> list[Job]:
    """Jobs of so many wide words; the first narrow part is the low part."""
    rng, narrow = np.random.default_rng(seed), min(width_in, width_out)
    jobs = []
    for count in words:
        parts = rng.integers(0, 2**narrow, count * max(width_in, width_out) // narrow)
        streams = [pack(parts.reshape(-1, w // narrow), narrow) for w in (width_in, width_out)]
        jobs.append(Job({"s_axis": streams[0]}, {"m_axis": streams[1]}))
    return jobs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stall", [0, 50, {"s_axis": 80}, {"m_axis": 80}])
def test_widthconv_keeps_every_part(shape, stall):
    design = Design.build("widthconv", params={"IN_WIDTH": shape[0], "OUT_WIDTH": shape[1]})
    jobs = convert_jobs(*shape, (50, 1, 20), seed=sum(shape))
    design.run(jobs, stall=stall, seed=3)
    design.run(jobs, stall=stall, seed=4, reset_at=61)


@pytest.mark.parametrize("shape", SHAPES)
def test_widthconv_moves_one_narrow_beat_a_cycle(shape):
    design = Design.build("widthconv", params={"IN_WIDTH": shape[0], "OUT_WIDTH": shape[1]})
    cycles = design.run(convert_jobs(*shape, (200,), seed=1)).cycles
    assert cycles <= 200 * max(shape) // min(shape) + 3


@pytest.mark.parametrize("shape", [(8, 32), (32, 8)])
def test_widthconv_protocol(shape):
    run_cocotb("widthconv", module=__file__, params={"IN_WIDTH": shape[0], "OUT_WIDTH": shape[1]})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def widthconv_stalls(dut, stall):
    params = bench_params()
    jobs = convert_jobs(params["IN_WIDTH"], params["OUT_WIDTH"], (30, 12), seed=stall)
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=70)
