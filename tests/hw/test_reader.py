# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/reader against sim/golden/reader.py, which is tested on hand-worked numbers first."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.golden.reader import reader
from sim.verilate import Design, Job, pack

PARAMS = [
    {"SIMD": 4, "ELEM_BITS": 8, "K_MAX": 64, "T_MAX": 1},
    {"SIMD": 1, "ELEM_BITS": 5, "K_MAX": 9, "T_MAX": 1},
    {"SIMD": 3, "ELEM_BITS": 8, "K_MAX": 20, "T_MAX": 4},
    {"SIMD": 8, "ELEM_BITS": 12, "K_MAX": 40, "T_MAX": 17},
]


def test_reader_golden_by_hand():
    x = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    want = [[1, 2], [4, 5], [3, 0], [6, 0]] * 2 + [[7, 8], [9, 0]] * 2
    np.testing.assert_array_equal(reader(x, simd=2, groups=2, tile=2), want)


def test_reader_golden_refuses_zero():
    with pytest.raises(ValueError, match="simd=0, groups=1 and tile=1 must be at least 1"):
        reader(np.zeros((1, 1)), 0, 1, 1)


def reader_job(params: dict, k: int, groups: int, tile: int, tokens: int, rng: np.random.Generator) -> Job:
    """A job of random elements, its corners in front."""
    bits = params["ELEM_BITS"]
    x = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (tokens, k))
    x.ravel()[:2] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1][: x.size]
    words = pack(reader(x, params["SIMD"], groups, tile), bits)
    cfg = {"cfg_k": k, "cfg_groups": groups, "cfg_tile": tile, "cfg_tokens": tokens}
    return Job({"s_axis": x.ravel()}, {"m_axis": words}, cfg)


def reader_jobs(params: dict, seed: int, count: int = 8) -> list[Job]:
    """Largest and smallest sizes first, then random ones."""
    rng = np.random.default_rng(seed)
    k_max, t_max = params["K_MAX"], params["T_MAX"]
    sizes = [
        (k_max, 3, t_max, 2 * t_max + 1),
        (1, 1, 1, 1),
        (1, 1, 1, 5),
        (k_max, 1, 1, 3),
        (min(5, k_max), 2, t_max, 3),
    ]
    for _ in range(count):
        sizes.append(
            (
                int(rng.integers(1, k_max + 1)),
                int(rng.integers(1, 5)),
                int(rng.integers(1, t_max + 1)),
                int(rng.integers(1, 2 * t_max + 4)),
            )
        )
    return [reader_job(params, *s, rng) for s in sizes]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("stall", [0, 40, {"s_axis": 80}, {"m_axis": 80}])
def test_reader_matches_golden(params, stall):
    design = Design.build("reader", params=params)
    jobs = reader_jobs(params, seed=11)
    design.run(jobs, stall=stall, seed=5)
    design.run(jobs, stall=stall, seed=6, reset_at=150, cfg_stream="s_axis", cfg_hold=False)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize(("params", "tile"), [(PARAMS[0], 1), (PARAMS[3], 17), (PARAMS[3], 4), (PARAMS[3], 1)])
def test_reader_has_no_gap_between_tiles_and_jobs(params, tile, groups):
    """The ideal: a tile loads when its bank is free, is replayed from three cycles after its
    last element on, when the tile before it is through.
    """
    rng, k, tokens, count = np.random.default_rng(1), params["K_MAX"], 17, 6
    jobs = [reader_job(params, k, groups, tile, tokens, rng) for _ in range(count)]
    cycles = Design.build("reader", params=params).run(jobs).cycles
    loaded, done = [0, 0], [0, 0]
    for size in [min(tile, tokens - t) for t in range(0, tokens, tile)] * count:
        loaded.append(max(loaded[-1], done[-2]) + size * k)
        done.append(max(loaded[-1] + 3, done[-1]) + size * groups * -(-k // params["SIMD"]))
    assert cycles <= done[-1] + 8, f"{cycles} cycles, ideal {done[-1]}"


@pytest.mark.parametrize("index", [0, 2])
def test_reader_protocol(index):
    run_cocotb("reader", module=__file__, params=PARAMS[index])


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def reader_stalls(dut, stall):
    params = bench_params()
    rng = np.random.default_rng(stall)
    jobs = [reader_job(params, 10, 2, params["T_MAX"], 6, rng), reader_job(params, 7, 1, 1, 2, rng)]
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=60)
