# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/swu against sim/golden/swu."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.swu import swu
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator

OPTIONS = {"cfg_stream": "s_axis", "cfg_hold": False}


def image(height: int, width: int, channels: int, kernel: int, stride: int, rng: np.random.Generator) -> Job:
    x = rng.integers(-128, 128, (height, width, channels))
    cfg = {
        "cfg_height": height,
        "cfg_width": width,
        "cfg_channels": channels,
        "cfg_kernel": kernel,
        "cfg_stride": stride,
    }
    return Job({"s_axis": x.ravel()}, {"m_axis": swu(x, kernel, stride).ravel()}, cfg)


MINI = [(28, 28, 1, 10, 6)] * 3 + [
    (28, 28, 1, 4, 4),
    (28, 28, 1, 28, 1),
    (1, 1, 1, 1, 1),
    (5, 5, 1, 5, 40),
    (2, 3, 1, 1, 1),
]
MINI += [
    (3, 3, 1, 2, 1),
    (9, 4, 1, 4, 300),
    (28, 10, 1, 3, 5),
    (10, 28, 1, 7, 6),
    (1, 28, 1, 1, 27),
    (28, 28, 1, 10, 6),
]
COLOUR = [
    (8, 12, 3, 4, 4),
    (7, 9, 2, 3, 2),
    (8, 12, 1, 8, 1),
    (8, 5, 3, 5, 2),
    (1, 12, 3, 1, 5),
    (8, 12, 3, 1, 1),
    (6, 6, 3, 2, 3),
]


@pytest.mark.parametrize(
    ("h_max", "w_max", "c_max", "sizes"),
    [(28, 28, 1, MINI), (8, 12, 3, COLOUR), (1, 1, 1, [(1, 1, 1, 1, 1)] * 5), (16, 16, 3, [(16, 16, 3, 8, 8)] * 4)],
)
def test_swu_matches_golden(h_max, w_max, c_max, sizes):
    design = Design.build("swu", params={"H_MAX": h_max, "W_MAX": w_max, "C_MAX": c_max})
    rng = np.random.default_rng(c_max)
    jobs = [image(*size, rng) for size in sizes]
    design.run(jobs, **OPTIONS)
    for stall in (30, 80):
        design.run(jobs, stall=stall, seed=stall, reset_at=200, **OPTIONS)
    for slow in ("s_axis", "m_axis"):
        design.run(jobs, stall={slow: 60}, seed=4, **OPTIONS)


def test_swu_has_no_gap_between_images():
    """vit_mini: 16 patches of 100 leave 784 pixels; patches follow each other without a gap, images too."""
    rng = np.random.default_rng(1)
    jobs = [image(28, 28, 1, 10, 6, rng) for _ in range(6)]
    result = Design.build("swu").run(jobs)
    assert result.first["m_axis"][0] <= 784 + 5
    assert np.array_equal(np.subtract(result.last["m_axis"], result.first["m_axis"]), [1599] * 6)
    assert np.array_equal(np.diff(result.first["m_axis"]), [1600] * 5)
    jobs = [image(28, 28, 1, 4, 4, rng) for _ in range(6)]  # as many pixels out as in: the load never pauses
    assert Design.build("swu").run(jobs).cycles <= 7 * 784 + 6


@pytest.mark.slow
def test_swu_deit_image():
    rng = np.random.default_rng(2)
    design = Design.build("swu", params={"H_MAX": 224, "W_MAX": 224, "C_MAX": 3})
    design.run(
        [image(224, 224, 3, 16, 16, rng), image(224, 224, 3, 16, 16, rng), image(32, 48, 3, 16, 16, rng)], **OPTIONS
    )


def test_swu_protocol():
    run_cocotb("swu", module=__file__, params={"H_MAX": 8, "W_MAX": 8, "C_MAX": 2})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def swu_stalls(dut, stall):
    rng = np.random.default_rng(3)
    jobs = [image(*size, rng) for size in [(8, 8, 2, 4, 4), (8, 8, 2, 3, 2), (3, 4, 1, 2, 1), (1, 1, 1, 1, 1)]]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=150)
