# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/softmax against sim/golden/softmax."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.softmax import exp_table, softmax
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator
OPTIONS = {"cfg_stream": "s_axis", "cfg_hold": False}  # a row is a job
SCALES = (0.05, 0.0, 0.004, 0.7)  # of a score code: usual, all entries 4095, nearly flat, one entry dominates


def writes_of(content: np.ndarray) -> list[dict[str, int]]:
    """Traffic of the write port that loads the whole table."""
    return [{"wr_en": 1, "wr_addr": i, "wr_data": int(v)} for i, v in enumerate(content)]


def row(x: np.ndarray, content: np.ndarray, *widths: int) -> Job:
    return Job({"s_axis": x}, {"m_axis": softmax(x, content, x.size, *widths)}, {"cfg_length": x.size})


def corners(length: int) -> list[np.ndarray]:
    """All equal, one hot and one cold in several places, the largest difference 255, ascending and descending."""
    c = np.arange(length)
    rows = [np.full(length, v) for v in (-128, -1, 0, 127)]
    for place in {0, length // 2, length - 1}:
        rows += [np.where(c == place, 127, -128), np.where(c == place, -128, 127), np.where(c == place, 1, 0)]
    return [*rows, np.where(c % 2, -128, 127), c % 256 - 128, 127 - c % 256]


@pytest.mark.parametrize("l_max", [17, 1, 2, 50, 197])
def test_softmax_matches_golden(l_max):
    design = Design.build("softmax", params={"L_MAX": l_max})
    rng = np.random.default_rng(l_max)
    for scale in SCALES:
        content = exp_table(scale)
        rows = corners(l_max) + [rng.integers(-128, 128, l_max) for _ in range(20)]
        rows += [np.clip(rng.normal(0, 20, l_max), -128, 127).astype(np.int64) for _ in range(20)]
        for length in {1, 2, l_max // 2 + 1, max(l_max - 1, 1)}:  # sizes follow each other in random order
            if length <= l_max:
                rows += corners(length) + [rng.integers(-40, 40, length) for _ in range(5)]
        jobs = [row(rows[i], content) for i in rng.permutation(len(rows))]
        design.run(jobs, writes=writes_of(content), **OPTIONS)
        for stall in (30, 80):
            design.run(jobs, writes=writes_of(content), stall=stall, seed=stall, reset_at=400, **OPTIONS)
        for slow in ("s_axis", "m_axis"):
            design.run(jobs, writes=writes_of(content), stall={slow: 60}, seed=4, **OPTIONS)


# one range narrower, wider and of a finer scale than the usual one; twin ranges of 4 and 8 bits
@pytest.mark.parametrize(
    "widths", [(4, 4, 0), (4, 7, 0), (6, 6, 0), (12, 12, 0), (1, 1, 0), (4, 4, 1), (8, 8, 5), (12, 12, 5), (9, 11, 2)]
)
def test_softmax_widths_match_golden(widths):
    names = ("OUT_BITS", "FRACTION_BITS", "TWIN_SHIFT")
    design = Design.build("softmax", params={"L_MAX": 17, **dict(zip(names, widths, strict=True))})
    rng = np.random.default_rng(sum(widths))
    for scale in SCALES:
        content = exp_table(scale)
        rows = corners(17) + [rng.integers(-128, 128, n) for n in rng.integers(1, 18, 200)]
        design.run([row(x, content, *widths) for x in rows], writes=writes_of(content), stall=20, seed=5, **OPTIONS)


def test_softmax_divides_every_total():
    """Rows of three with table words that make many different totals, odd and even, and ties of the rounding."""
    design = Design.build("softmax", params={"L_MAX": 3})
    rng = np.random.default_rng(7)
    for _ in range(4):
        content = np.r_[rng.integers(2049, 4096), rng.integers(0, 4096, 255)]
        jobs = [row(rng.permutation([127, 127 - a, 127 - b]), content) for a, b in rng.integers(0, 256, (3000, 2))]
        design.run(jobs, writes=writes_of(content))


def test_softmax_reads_init_file(tmp_path):
    content = exp_table(0.03)
    (tmp_path / "exp.hex").write_text("".join(f"{v:03x}\n" for v in content))
    jobs = [row(x, content) for x in corners(17)]
    Design.build("softmax", params={"INIT_FILE": "exp.hex"}).run(jobs, writes=[{"wr_en": 0}], cwd=tmp_path)


@pytest.mark.parametrize(("length", "period"), [(17, 24), (50, 57), (197, 204), (5, 22)])
def test_softmax_throughput(length, period):
    """A row takes max(L + 7, 22) cycles."""
    content = exp_table(0.05)
    design = Design.build("softmax", params={"L_MAX": max(17, length)})
    rng = np.random.default_rng(length)
    jobs = [row(rng.integers(-128, 128, length), content) for _ in range(34)]
    assert design.run(jobs, writes=writes_of(content)).cycles <= 34 * period + 2 * length + 40


def test_softmax_protocol():
    run_cocotb("softmax", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def softmax_stalls(dut, stall):
    rng, content = np.random.default_rng(3), exp_table(0.05)
    rows = [rng.integers(-60, 60, n) for n in (17, 17, 17, 1, 2, 1, 1, 9, 17)] + [np.full(17, -128)]
    jobs = [row(x, content) for x in rows]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=90, writes=writes_of(content), **OPTIONS)
