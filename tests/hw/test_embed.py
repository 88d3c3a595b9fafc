# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/embed against sim/golden/embed."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.embed import embed
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def image(tokens: int, channels: int, x_bits: int, out_bits: int, rng: np.random.Generator) -> Job:
    """Random codes of the full range: half of the sums of equal widths leave it or come close."""
    x = rng.integers(-(2 ** (x_bits - 1)), 2 ** (x_bits - 1), (tokens - 1, channels))
    content = rng.integers(-(2 ** (out_bits - 1)), 2 ** (out_bits - 1), (tokens, channels))
    golden = embed(x, content, out_bits)
    return Job(
        {"s_axis": x.ravel(), "s_axis_param": content.ravel()},
        {"m_axis": golden.ravel()},
        {"cfg_tokens": tokens, "cfg_channels": channels},
    )


def every_sum(bits: int) -> Job:
    """One patch token that adds every pair of codes."""
    x, p = np.mgrid[-(2 ** (bits - 1)) : 2 ** (bits - 1), -(2 ** (bits - 1)) : 2 ** (bits - 1)].reshape(2, 1, -1)
    content = np.concatenate([p[:, ::-1], p])
    golden = embed(x, content, bits)
    cfg = {"cfg_tokens": 2, "cfg_channels": x.size}
    return Job({"s_axis": x.ravel(), "s_axis_param": content.ravel()}, {"m_axis": golden.ravel()}, cfg)


OPTIONS = {"cfg_stream": "s_axis_param", "cfg_hold": False}


@pytest.mark.parametrize(
    ("x_bits", "out_bits", "t_max", "c_max"),
    [(12, 12, 17, 64), (12, 12, 65535, 65535), (8, 12, 20, 64), (14, 9, 17, 100)],
)
def test_embed_matches_golden(x_bits, out_bits, t_max, c_max):
    params = {"X_BITS": x_bits, "OUT_BITS": out_bits, "T_MAX": t_max, "C_MAX": c_max}
    design = Design.build("embed", params=params)
    rng = np.random.default_rng(x_bits)
    sizes = [(17, 64), (17, 64), (17, 33), (2, 1), (1, 5), (1, 1), (5, 1), (17, 64)]
    jobs = [image(*size, x_bits, out_bits, rng) for size in sizes]
    beats = sum(t * c for t, c in sizes)
    assert design.run(jobs, **OPTIONS).cycles <= beats + 2  # one beat per cycle, no gap between images
    for stall in (30, 80):
        design.run(jobs, stall=stall, seed=stall, reset_at=1500, **OPTIONS)
    for slow in ("s_axis", "s_axis_param", "m_axis"):
        design.run(jobs, stall={slow: 60}, seed=4, **OPTIONS)


def test_embed_saturates_every_sum():
    design = Design.build("embed", params={"X_BITS": 5, "OUT_BITS": 5, "C_MAX": 1024})
    design.run([every_sum(5)], **OPTIONS)


def test_embed_protocol():
    run_cocotb("embed", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def embed_stalls(dut, stall):
    rng = np.random.default_rng(3)
    jobs = [image(t, c, 12, 12, rng) for t, c in [(5, 8), (5, 8), (2, 3), (1, 1), (3, 1)]]
    await check_unit(dut, jobs, stall=stall, seed=1, reset_at=40)
