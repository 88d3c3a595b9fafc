# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/layernorm against sim/golden/layernorm."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.layernorm import layernorm, rsqrt, rsqrt_table
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator
OPTIONS = {"cfg_stream": "s_axis", "cfg_hold": False}  # a token is a job


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layernorm")
    (folder / "seeds.hex").write_text("".join(f"{v:04x}\n" for v in rsqrt_table()))
    return folder


def token(x: np.ndarray) -> Job:
    return Job({"s_axis": x}, {"m_axis": layernorm(x)}, {"cfg_channels": x.size})


def corners(channels: int, x_bits: int) -> list[np.ndarray]:
    """Constant tokens, one outlier of each size and sign, alternating extremes, steps of one."""
    low, high = -(2 ** (x_bits - 1)), 2 ** (x_bits - 1) - 1
    c = np.arange(channels)
    tokens = [np.full(channels, v) for v in (0, 1, -1, low, high)]
    tokens += [np.where(c % 2, a, b) for a, b in ((low, high), (high, low), (0, 1), (-1, 0), (high, high - 1))]
    for place in {0, channels // 2, channels - 1}:
        for base in (0, low, high, 7):
            for value in (low, high, base ^ 1):
                tokens.append(np.where(c == place, value, base))
    return [*tokens, np.where(c < channels // 2, low, high), low + c % (high - low), high - c % 3]


def every_scale(channels: int, x_bits: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random tokens of every spread from below one code to saturation: all shifts, with positive and negative means."""
    low, high = -(2 ** (x_bits - 1)), 2 ** (x_bits - 1) - 1
    spreads = 2.0 ** np.arange(-3, x_bits, 0.25)
    means = rng.integers(low // 2, high // 2, spreads.size)
    return [
        np.clip(np.rint(rng.normal(m, s, channels)), low, high).astype(np.int64)
        for m, s in zip(means, spreads, strict=True)
    ]


@pytest.mark.parametrize(("x_bits", "c_max"), [(12, 64), (12, 48), (8, 32), (16, 24), (12, 384), (8, 2), (14, 1100)])
def test_layernorm_matches_golden(seeds, x_bits, c_max):
    design = Design.build("layernorm", params={"X_BITS": x_bits, "C_MAX": c_max, "INIT_FILE": "seeds.hex"})
    rng = np.random.default_rng(x_bits * 10000 + c_max)
    tokens = corners(c_max, x_bits) + every_scale(c_max, x_bits, rng)
    for channels in {1, 2, c_max // 2 + 1, c_max - 1} - {0}:  # sizes follow each other in random order
        tokens += corners(channels, x_bits)[::3] + every_scale(channels, x_bits, rng)[::2]
    jobs = [token(tokens[i]) for i in rng.permutation(len(tokens))]
    design.run(jobs, cwd=seeds, **OPTIONS)
    for stall in (30, 80):
        design.run(jobs, cwd=seeds, stall=stall, seed=stall, reset_at=700, **OPTIONS)
    for slow in ("s_axis", "m_axis"):
        design.run(jobs, cwd=seeds, stall={slow: 60}, seed=4, **OPTIONS)


@pytest.mark.parametrize(
    ("x_bits", "channels"), [(12, 64), (12, 96), (8, 24), (16, 640), (16, 2048), (10, 100), (12, 2), (12, 3)]
)
def test_layernorm_of_a_fixed_size_matches_golden(seeds, x_bits, channels):
    """Sizes with one bit set, with two, with three (a multiplier again); 14, 18 and 20 or more bits of deviations."""
    params = {"X_BITS": x_bits, "C_MAX": channels, "C_FIXED": 1, "INIT_FILE": "seeds.hex"}
    design = Design.build("layernorm", params=params)
    rng = np.random.default_rng(x_bits * 10000 + channels)
    tokens = corners(channels, x_bits) + every_scale(channels, x_bits, rng)
    jobs = [token(tokens[i]) for i in rng.permutation(len(tokens))]
    design.run(jobs, cwd=seeds, **OPTIONS)
    design.run(jobs, cwd=seeds, stall=50, seed=50, reset_at=700, **OPTIONS)


def test_layernorm_uses_every_seed_and_every_shift(seeds):
    """Tokens of two channels, V = (a - b)**2, reach all 192 seeds; tokens of 64 channels reach every exponent k."""
    tokens = [np.array([0, d]) - (d + 1) // 2 for d in range(4096)]
    used = set()
    for d in range(1, 4096):
        k = ((d * d).bit_length() + 1) // 2
        used.add((d * d << 16 >> 2 * k) >> 8)
    assert used == set(range(64, 256))
    params = {"X_BITS": 12, "C_MAX": 64, "INIT_FILE": "seeds.hex"}
    design = Design.build("layernorm", params=params)
    design.run([token(x) for x in tokens], cwd=seeds)

    rng = np.random.default_rng(9)
    tokens = corners(64, 12) + every_scale(64, 12, rng)
    variance = [max(64 * int((x * x).sum()) - int(x.sum()) ** 2, 1) for x in tokens]
    reached = set(rsqrt(np.array(variance))[1].tolist())
    assert reached >= {1, *range(4, 18)}, reached
    design.run([token(x) for x in tokens], cwd=seeds)


@pytest.mark.parametrize("channels", [40, 64])
def test_layernorm_sustains_one_element_per_cycle(seeds, channels):
    rng = np.random.default_rng(channels)
    tokens = (
        [rng.integers(-300, 300, channels) for _ in range(30)]
        + [np.full(channels, 5)] * 5
        + [np.arange(channels) % 2] * 5
    )
    design = Design.build("layernorm", params={"X_BITS": 12, "C_MAX": 64, "INIT_FILE": "seeds.hex"})
    assert design.run([token(x) for x in tokens], cwd=seeds).cycles <= 41 * channels + 42


def test_layernorm_short_tokens_take_19_cycles_and_one_for_each_leading_zero_pair(seeds):
    design = Design.build("layernorm", params={"X_BITS": 12, "C_MAX": 64, "INIT_FILE": "seeds.hex"})
    v_bits = 2 * (12 - 1 + 6)
    for x in (np.array([2047, -2048]), np.array([1, -1]), np.array([300]), np.full(7, 5), np.arange(13)):
        variance = int(x.size * (x * x).sum() - x.sum() ** 2)
        pairs = min((v_bits - variance.bit_length()) // 2, v_bits // 2 - 1)
        one, many = (design.run([token(x)] * count, cwd=seeds).cycles for count in (1, 51))
        assert many - one == 50 * (19 + pairs), f"codes {x}, {pairs} leading pairs of zeros"


def test_layernorm_protocol(seeds):
    run_cocotb("layernorm", module=__file__, params={"C_MAX": 16, "INIT_FILE": str(seeds / "seeds.hex")})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def layernorm_stalls(dut, stall):
    rng = np.random.default_rng(3)
    tokens = [rng.integers(-2048, 2048, n) for n in (16, 16, 16, 1, 2, 1, 9, 16)] + [np.full(16, -2048), np.full(5, 3)]
    await check_unit(dut, [token(x) for x in tokens], stall=stall, seed=1, reset_at=90, **OPTIONS)
