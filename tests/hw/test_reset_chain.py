# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/reset_chain: all units are in reset at once, those behind leave it first, nothing passes before all have."""

from __future__ import annotations

import os
import random

import cocotb
import pytest
from cocotb.triggers import Timer

from sim.bench.runner import run_cocotb
from synthesis.generate import start_cycles

pytestmark = pytest.mark.verilator

STAGES = "VITRAIL_STAGES"
SEED = 5


@pytest.mark.parametrize("stages", [2, 5])
def test_reset_chain(stages):
    assert run_cocotb("reset_chain", module=__file__, params={"STAGES": stages}, env={STAGES: str(stages)}) == 5


class Chain:
    """The unit, clocked by hand, and what has been seen since the last reset."""

    def __init__(self, dut):
        self.dut, self.stages = dut, int(os.environ[STAGES])
        dut.clk.value = 0

    async def cycle(self, rst: int) -> tuple[list[int], int]:
        """One cycle with this rst; returns unit_rst (unit 0 first) and open behind its edge."""
        self.dut.rst.value = rst
        await Timer(5, "ns")
        self.dut.clk.value = 1
        await Timer(5, "ns")
        self.dut.clk.value = 0
        await Timer(1, "ns")
        word = int(self.dut.unit_rst.value)
        return [word >> i & 1 for i in range(self.stages)], int(self.dut.open.value)

    async def start(self, pulse: int, rising: bool = False) -> None:
        """A pulse of so many cycles, then the whole way until units run; rising: they ran before it."""
        for _ in range(pulse):
            units, is_open = await self.cycle(1)
            assert not is_open
            if rising:
                assert units == sorted(units)
        all_once, before = False, [1] * self.stages
        for passed in range(1, start_cycles(self.stages) + 1):
            units, is_open = await self.cycle(0)
            if rising and not all_once:
                assert units == sorted(units)
            if all_once:  # from now on units only leave, and one that has left has all behind it running
                assert units == sorted(units, reverse=True)
                assert all(now <= then for now, then in zip(units, before, strict=True))
            all_once, before = all_once or all(units), units
            assert is_open == (passed == start_cycles(self.stages))
        assert all_once and not any(units)


@cocotb.test()
async def no_unit_runs_before_a_reset(dut):
    """The first test: later ones find the unit as the one before has left it."""
    await Timer(1, "ns")
    chain = Chain(dut)
    assert int(dut.unit_rst.value) == 2**chain.stages - 1 and not int(dut.open.value)


@cocotb.test()
@cocotb.parametrize(pulse=[1, 2, 100])
async def units_start_from_the_end_of_the_row(dut, pulse):
    chain = Chain(dut)
    await chain.start(pulse)
    for _ in range(300):
        units, is_open = await chain.cycle(0)
        assert is_open and not any(units)
    await chain.start(pulse, rising=True)


@cocotb.test()
async def a_pulse_at_any_time_starts_again(dut):
    """Also while an earlier one is under way, at every distance from it."""
    chain, rng = Chain(dut), random.Random(SEED)
    for distance in range(start_cycles(chain.stages) + 3):
        await chain.cycle(1)
        for _ in range(distance):
            await chain.cycle(0)
        await chain.start(rng.randint(1, 3))
