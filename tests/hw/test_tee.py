# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/tee: every branch gets every beat once, in its own time."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def copies(outputs: int, width: int, beats: int) -> Job:
    x = np.random.default_rng(outputs).integers(0, 2**width, beats)
    branches = ["m_axis"] if outputs == 1 else [f"m_axis[{i}]" for i in range(outputs)]
    return Job({"s_axis": x}, dict.fromkeys(branches, x))


@pytest.mark.parametrize(("outputs", "width"), [(1, 8), (2, 12), (3, 1), (5, 40)])
def test_tee_copies_every_beat(outputs, width):
    design = Design.build("tee", params={"OUTPUTS": outputs, "WIDTH": width})
    job = copies(outputs, width, 1000)
    assert design.run([job]).cycles <= 1001  # one beat per cycle
    for stall in (30, 80):
        design.run([job, job], stall=stall, seed=stall, reset_at=300)
    for slow in job.outputs:  # one branch stalls more than the others
        design.run([job], stall={slow: 80}, seed=3)


def test_tee_protocol():
    run_cocotb("tee", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def tee_stalls(dut, stall):
    await check_unit(dut, [copies(2, 12, 100)] * 2, stall=stall, seed=1, reset_at=60)


@cocotb.test()
async def tee_branches_do_not_wait_for_each_other(dut):
    """Branch 1 takes its beat while branch 0 stalls, once only; the input moves on when branch 0 has it too."""
    dut.clk.value, dut.rst.value, dut.s_axis_tvalid.value, dut.m_axis_tready.value = 0, 1, 0, 0

    async def cycle():
        await Timer(5, "ns")
        dut.clk.value = 1
        await Timer(5, "ns")
        dut.clk.value = 0
        await Timer(1, "ns")

    await cycle()
    dut.rst.value, dut.s_axis_tvalid.value, dut.s_axis_tdata.value = 0, 1, 5
    seen = []
    for ready in (0b10, 0b10, 0b00, 0b11, 0b01, 0b10):
        dut.m_axis_tready.value = ready
        await Timer(1, "ns")
        seen.append((int(dut.m_axis_tvalid.value), int(dut.s_axis_tready.value)))
        await cycle()
    assert seen == [(0b11, 0), (0b01, 0), (0b01, 0), (0b01, 1), (0b11, 0), (0b10, 1)]
