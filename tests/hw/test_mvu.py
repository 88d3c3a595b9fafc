# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/mvu against sim/golden/mvu.py: every mix of lanes, tiles of 1..T_MAX tokens, stalls, reset, throughput."""

import cocotb
import numpy as np
import pytest

from quant.intmath import signed_bits
from quant.schemes import FIXED, POT, SP2, encode, largest, magnitudes
from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.golden.mvu import da_offset, mvu
from sim.golden.reader import reader
from sim.golden.reorder import grouped_index
from sim.verilate import Design, Job, pack

BASE = {
    "PE": 4,
    "SIMD": 4,
    "A_BITS": 8,
    "W_BITS": 4,
    "ACC_BITS": 0,
    "T_MAX": 1,
    "ROWS_POT": 0,
    "ROWS_SP2": 0,
    "DSP_ROWS": 4,
    "DA": 0,
    "DA_BANKS": 1,
    "DA_RADIX": 2,
    "TARGET": 0,
}
CHUNKS = 6  # largest number of chunks in these tests; ACC_BITS is the least width that holds them


def make(**changes) -> dict:
    """Parameters with the least accumulator for CHUNKS chunks."""
    params = BASE | changes
    top = max(largest(s, params["W_BITS"]) for s in lane_schemes(params))
    peak = CHUNKS * params["SIMD"] * top * 2 ** (params["A_BITS"] - 1)
    return params | {"ACC_BITS": signed_bits(-peak, peak)}


def lane_schemes(params: dict) -> list[int]:
    fixed = params["PE"] - params["ROWS_POT"] - params["ROWS_SP2"]
    return [FIXED] * fixed + [POT] * params["ROWS_POT"] + [SP2] * params["ROWS_SP2"]


PARAMS = [
    make(),
    make(PE=2, SIMD=1, DSP_ROWS=0, STALL_REGISTER=1),
    make(PE=4, SIMD=5, DSP_ROWS=0),
    make(SIMD=3, DSP_ROWS=2, ROWS_SP2=2, STALL_REGISTER=1),
    make(PE=5, SIMD=8, DSP_ROWS=2, ROWS_POT=1, ROWS_SP2=1),
    make(PE=3, SIMD=11, DSP_ROWS=3),
    make(PE=4, SIMD=16, DSP_ROWS=2, ROWS_SP2=1),
    make(PE=2, SIMD=4, W_BITS=8, DSP_ROWS=1),
    make(PE=3, SIMD=2, W_BITS=6, A_BITS=9, DSP_ROWS=0, ROWS_POT=1, ROWS_SP2=1),
    make(PE=3, SIMD=4, W_BITS=2, A_BITS=3, DSP_ROWS=1, ROWS_POT=1, ROWS_SP2=1),
    make(PE=1, SIMD=4, W_BITS=3, DSP_ROWS=1, T_MAX=5),
    make(T_MAX=2),
    make(PE=3, SIMD=4, DSP_ROWS=2, ROWS_SP2=1, T_MAX=7),
    make(PE=2, SIMD=2, DSP_ROWS=2, T_MAX=40),
    make(PE=2, SIMD=4, DSP_ROWS=0, DA=1),
    make(PE=3, SIMD=8, DSP_ROWS=0, DA=1, T_MAX=7, ROWS_SP2=1, ROWS_POT=1),
    make(PE=2, SIMD=11, DSP_ROWS=0, DA=1, T_MAX=40, DA_BANKS=2),
    make(PE=4, SIMD=13, DSP_ROWS=0, DA=1, T_MAX=5, DA_BANKS=2, DA_RADIX=3, ROWS_SP2=1),
    make(PE=2, SIMD=5, DSP_ROWS=0, DA=1, T_MAX=3, W_BITS=3, A_BITS=5, DA_RADIX=3, ROWS_POT=1),
]


def job_of(params: dict, x: np.ndarray, weight: np.ndarray, tile: int) -> Job:
    """Streams of one job; weight (rows, k), the scheme of a row is that of its lane."""
    pe, simd, bits = params["PE"], params["SIMD"], params["W_BITS"]
    (tokens, k), rows = x.shape, weight.shape[0]
    groups, chunks = rows // pe, k // simd
    schemes = np.array(lane_schemes(params) * groups)
    codes = np.stack([encode(w, s, bits) for w, s in zip(weight, schemes, strict=True)])
    words = codes.reshape(groups, pe, chunks, simd).transpose(0, 2, 1, 3)
    if params["DA"]:  # four inputs a word
        quads = -(-simd // 4)
        words = np.pad(words, ((0, 0), (0, 0), (0, 0), (0, 4 * quads - simd)))
        words = words.reshape(groups, chunks, pe, quads, 4).transpose(0, 1, 3, 2, 4).reshape(-1, pe * 4)
    words = words.reshape(-1, pe * (4 if params["DA"] else simd))
    tiles = -(-tokens // tile)
    acc = mvu(x, weight) - (da_offset(weight) if params["DA"] else 0)
    acc = acc.ravel()[grouped_index(tokens, rows, pe, tile)].reshape(-1, pe)
    cfg = {"cfg_chunks": chunks, "cfg_groups": groups, "cfg_tile": tile, "cfg_tokens": tokens}
    return Job(
        {
            "s_axis": pack(reader(x, simd, groups, tile), params["A_BITS"]),
            "s_axis_weight": pack(np.tile(words, (tiles, 1)), bits),
        },
        {"m_axis": pack(acc, params["ACC_BITS"])},
        cfg,
    )


def random_job(params: dict, rng: np.random.Generator, chunks: int, groups: int, tile: int, tokens: int) -> Job:
    x = rng.integers(-(2 ** (params["A_BITS"] - 1)), 2 ** (params["A_BITS"] - 1), (tokens, chunks * params["SIMD"]))
    weight = np.stack(
        [
            rng.choice(magnitudes(s, params["W_BITS"]), x.shape[1]) * rng.choice([-1, 1], x.shape[1])
            for s in lane_schemes(params) * groups
        ]
    )
    return job_of(params, x, weight, tile)


def corner_jobs(params: dict) -> list[Job]:
    """Every input and every weight at an end of its range, all sign patterns of (even rows, odd rows, inputs)."""
    low, high = -(2 ** (params["A_BITS"] - 1)), 2 ** (params["A_BITS"] - 1) - 1
    k, jobs = CHUNKS * params["SIMD"], []
    tops = np.array([largest(s, params["W_BITS"]) for s in lane_schemes(params)])
    for even in (1, -1):
        for odd in (1, -1, 0):
            signs = np.where(np.arange(len(tops)) % 2 == 0, even, odd)
            x = np.stack([np.full(k, code) for code in (low, high, 0, -1)] + [np.resize([low, high], k)])
            jobs.append(job_of(params, x, np.repeat((signs * tops)[:, None], k, axis=1), min(2, params["T_MAX"])))
    return jobs


def mvu_jobs(params: dict, seed: int, count: int = 12) -> list[Job]:
    rng, t_max = np.random.default_rng(seed), params["T_MAX"]
    sizes = [
        (1, 1, 1, 1),
        (1, 1, 1, 3),
        (CHUNKS, 2, t_max, 2 * t_max + 1),
        (2, 3, 1, 4),
        (3, 1, min(2, t_max), 5),
        (3, 2, min(3, t_max), 7),
    ]
    for _ in range(count):
        tile = int(rng.integers(1, t_max + 1))
        sizes.append(
            (int(rng.integers(1, CHUNKS + 1)), int(rng.integers(1, 4)), tile, int(rng.integers(1, 2 * tile + 4)))
        )
    return [random_job(params, rng, *s) for s in sizes]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("stall", [0, 40, {"s_axis": 70}, {"s_axis_weight": 70}, {"m_axis": 80}])
def test_mvu_matches_golden(params, stall):
    design = Design.build("mvu", params=params)
    jobs = corner_jobs(params) + mvu_jobs(params, seed=21)
    design.run(jobs, stall=stall, seed=5)
    design.run(jobs, stall=stall, seed=6, reset_at=100, cfg_stream="s_axis", cfg_hold=False)


@pytest.mark.parametrize("banks", [1, 2])
@pytest.mark.parametrize("w_bits", [2, 3, 4, 5, 6, 7, 8])
def test_mvu_tables_at_every_width(w_bits, banks):
    """A row of each scheme; A_BITS 8 down to 2 and 2 up to 8; both radices, SIMD with a quad that is not full."""
    a_bits, radix = (10 - w_bits, 2 + w_bits % 2) if banks == 1 else (w_bits, 3 - w_bits % 2)
    changes = {"DA_BANKS": banks, "DA_RADIX": radix, "ROWS_POT": 1, "ROWS_SP2": 1, "T_MAX": 2 * banks - 1}
    params = make(PE=3, SIMD=9 + w_bits, W_BITS=w_bits, A_BITS=a_bits, DSP_ROWS=0, DA=1, **changes)
    Design.build("mvu", params=params).run(corner_jobs(params) + mvu_jobs(params, seed=27), stall=20, seed=7)


@pytest.mark.parametrize(("t_max", "tile"), [(1, 1), (7, 1), (7, 2), (7, 3), (7, 7)])
@pytest.mark.parametrize("chunks", [1, 3])
def test_mvu_takes_a_beat_every_cycle(t_max, tile, chunks):
    params, rng = make(T_MAX=t_max), np.random.default_rng(2)
    jobs = [random_job(params, rng, chunks, 3, tile, 15) for _ in range(4)]
    cycles = Design.build("mvu", params=params).run(jobs).cycles
    assert cycles <= 4 * chunks * 3 * 15 + 14


def test_mvu_with_a_stall_register_takes_a_beat_every_cycle():
    params, rng = make(STALL_REGISTER=1), np.random.default_rng(2)
    jobs = [random_job(params, rng, 2, 3, 1, 15) for _ in range(4)]
    assert Design.build("mvu", params=params).run(jobs).cycles <= 4 * 2 * 3 * 15 + 14


@pytest.mark.parametrize(("banks", "load"), [(1, 3 * 16 + 4), (2, 0)])
def test_mvu_loads_tables_beside_tokens(banks, load):
    """Three quads: a tile of 52 tokens hides the load of the next tables with two banks; with one it adds to them."""
    params, rng = make(SIMD=12, DSP_ROWS=0, DA=1, DA_BANKS=banks, T_MAX=52), np.random.default_rng(3)
    jobs = [random_job(params, rng, 2, 2, 52, 104) for _ in range(3)]
    cycles = Design.build("mvu", params=params).run(jobs).cycles
    tiles = 3 * 2 * 2 * 2
    assert tiles * (52 + load) - 60 <= cycles <= tiles * (52 + load) + 3 * 16 + 30


@pytest.mark.parametrize("index", [3, 12, 16])
def test_mvu_protocol(index):
    run_cocotb("mvu", module=__file__, params=PARAMS[index])


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def mvu_stalls(dut, stall):
    params = bench_params()
    rng, tile = np.random.default_rng(stall), params["T_MAX"]
    jobs = [random_job(params, rng, 3, 2, tile, 9), random_job(params, rng, 1, 3, 1, 4)]
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=40)
