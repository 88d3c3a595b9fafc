# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/requant against sim/golden/requant.py: ties, saturation, lanes, tiles, stalls, reset, throughput."""

import cocotb
import numpy as np
import pytest

from quant.intmath import int_range
from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.golden.reorder import grouped_index
from sim.golden.requant import requant
from sim.verilate import Design, Job, fields, pack

BASE = {
    "PE": 4,
    "ACC_BITS": 18,
    "MULT_BITS": 17,
    "BIAS_BITS": 30,
    "OUT_BITS": 8,
    "OUT_SIGNED": 1,
    "DROP_BITS": 0,
    "T_MAX": 1,
    "TARGET": 0,
}
PARAMS = [
    BASE,
    BASE | {"PE": 1, "ACC_BITS": 12},
    BASE | {"PE": 2, "OUT_BITS": 12, "BIAS_BITS": 40},
    BASE | {"PE": 3, "ACC_BITS": 24, "OUT_SIGNED": 0},
    BASE | {"PE": 8, "ACC_BITS": 35, "OUT_BITS": 16},
    BASE | {"PE": 5, "ACC_BITS": 19, "T_MAX": 4},
    BASE | {"PE": 4, "T_MAX": 9},
    BASE | {"PE": 1, "T_MAX": 3, "OUT_BITS": 2},
    BASE | {"PE": 2, "ACC_BITS": 6, "MULT_BITS": 4, "BIAS_BITS": 6, "OUT_BITS": 4},
    BASE | {"PE": 2, "ACC_BITS": 6, "MULT_BITS": 4, "BIAS_BITS": 4, "OUT_BITS": 4, "DROP_BITS": 3},
    BASE | {"PE": 3, "ACC_BITS": 16, "BIAS_BITS": 14, "DROP_BITS": 15, "T_MAX": 2},
    BASE | {"PE": 2, "ACC_BITS": 22, "BIAS_BITS": 20, "DROP_BITS": 19},
    BASE | {"PE": 1, "ACC_BITS": 4, "MULT_BITS": 3, "BIAS_BITS": 7, "OUT_BITS": 3, "DROP_BITS": 5},
]


def job_of(params: dict, acc, mult, bias, shift: int, tile: int, lane) -> Job:
    """acc (tokens, rows) as the mvu delivers it; mult, bias, lane (rows,); lane inside the group of PE rows."""
    pe, (tokens, rows) = params["PE"], acc.shape
    padded = np.zeros((tokens, -(-rows // pe) * pe), np.int64)
    padded[:, :rows] = acc
    beats = padded.ravel()[grouped_index(tokens, padded.shape[1], pe, tile)].reshape(-1, pe)
    source = np.arange(rows) // pe * pe + lane
    whole = bias << params["DROP_BITS"]
    codes = requant(acc, mult, whole, shift, params["OUT_BITS"], bool(params["OUT_SIGNED"]), lane=source)
    tiles = -(-tokens // tile)
    words = fields(
        (np.tile(mult, tiles), params["MULT_BITS"]),
        (np.tile(bias, tiles), params["BIAS_BITS"]),
        (np.tile(lane, tiles), max(1, (pe - 1).bit_length())),
    )
    order = codes.ravel()[grouped_index(tokens, rows, pe, tile)]
    cfg = {"cfg_shift": shift, "cfg_rows": rows, "cfg_tile": tile, "cfg_tokens": tokens}
    return Job({"s_axis": pack(beats, params["ACC_BITS"]), "s_axis_param": words}, {"m_axis": order}, cfg)


def lanes_of(rows: int, pe: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the lanes in each group of rows."""
    return np.concatenate([rng.permutation(min(pe, rows - g)) for g in range(0, rows, pe)])


def random_job(params: dict, rng: np.random.Generator, rows: int, tile: int, tokens: int) -> Job:
    """Random factors, and a shift that leaves about half of the codes unsaturated."""
    acc_low, acc_high = int_range(params["ACC_BITS"])
    mult_low, mult_high = int_range(params["MULT_BITS"])
    bias_low, bias_high = int_range(params["BIAS_BITS"])
    acc = rng.integers(acc_low, acc_high + 1, (tokens, rows))
    mult = rng.integers(mult_low, mult_high + 1, rows)
    bias = rng.integers(bias_low, bias_high + 1, rows)
    shift = params["ACC_BITS"] + params["MULT_BITS"] - params["OUT_BITS"] - rng.integers(0, 3)
    shift = int(np.clip(shift, params["DROP_BITS"] + 1, 40))
    return job_of(params, acc, mult, bias, shift, tile, lanes_of(rows, params["PE"], rng))


def corner_jobs(params: dict) -> list[Job]:
    """Ends of every range in all combinations, and every tie around zero and around both saturation points."""
    ends = [list(int_range(params[n])) for n in ("ACC_BITS", "MULT_BITS", "BIAS_BITS")]
    grid = np.array(np.meshgrid(*[e + [0, 1, -1] for e in ends], indexing="ij")).reshape(3, -1)
    rows, rng = grid.shape[1], np.random.default_rng(4)
    lane = np.zeros(rows, np.int64)
    lane[:] = np.arange(rows) % params["PE"]
    drop = params["DROP_BITS"]
    shifts = [drop + s for s in (1, 2, 8, 9, 16, 17, 33, 63) if drop + s < 64]
    jobs = [job_of(params, grid[:1], grid[1], grid[2], s, 1, lane) for s in shifts]
    low, high = int_range(params["OUT_BITS"], bool(params["OUT_SIGNED"]))
    for shift in (drop + 1, drop + 2, drop + 3):
        half = 1 << (shift - 1)
        sums = [
            (c << shift) + half + d
            for c in (low - 2, low - 1, low, -3, -1, 0, 1, 2, high - 1, high, high + 1)
            for d in (-1, 0, 1)
        ]
        points = np.array([(s - (b << drop), b) for s in sums for b in (0, 1, -1, s >> drop)])
        points = points[((points >= [e[0] for e in ends[::2]]) & (points <= [e[1] for e in ends[::2]])).all(axis=1)]
        lane = lanes_of(len(points), 1, rng) + np.arange(len(points)) % params["PE"]
        jobs.append(job_of(params, points[None, :, 0], np.ones(len(points), np.int64), points[:, 1], shift, 1, lane))
    return jobs


def requant_jobs(params: dict, seed: int) -> list[Job]:
    rng, pe, t_max = np.random.default_rng(seed), params["PE"], params["T_MAX"]
    sizes = [(1, 1, 1), (pe, 1, 2), (2 * pe + 1, t_max, 2 * t_max + 1), (3 * pe, t_max, 5), (1, t_max, 7)]
    for _ in range(12):
        tile = int(rng.integers(1, t_max + 1))
        sizes.append((int(rng.integers(1, 4 * pe + 1)), tile, int(rng.integers(1, 2 * tile + 4))))
    return corner_jobs(params) + [random_job(params, rng, *s) for s in sizes]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("stall", [0, 40, {"s_axis": 70}, {"s_axis_param": 70}, {"m_axis": 80}])
def test_requant_matches_golden(params, stall):
    design = Design.build("requant", params=params)
    jobs = requant_jobs(params, seed=8)
    design.run(jobs, stall=stall, seed=5)
    design.run(jobs, stall=stall, seed=6, reset_at=100, cfg_stream="s_axis", cfg_hold=False)


@pytest.mark.parametrize("params", [PARAMS[8], PARAMS[9]], ids=str)
def test_requant_all_codes_of_a_small_unit(params):
    """Every accumulator, multiplier and bias of a 6 x 4 bit unit at every shift that keeps bits."""
    values = [
        np.arange(lo, hi + 1) for lo, hi in (int_range(params[n]) for n in ("ACC_BITS", "MULT_BITS", "BIAS_BITS"))
    ]
    grid = np.array(np.meshgrid(*values, indexing="ij")).reshape(3, -1)[:, :60000]
    lane = np.arange(grid.shape[1]) % 2
    shifts = range(params["DROP_BITS"] + 1, 12)
    jobs = [job_of(params, grid[:1], grid[1], grid[2], s, 1, lane) for s in shifts]
    Design.build("requant", params=params).run(jobs)


@pytest.mark.parametrize(("index", "tile"), [(0, 1), (1, 1), (5, 1), (5, 4), (6, 1), (6, 2), (6, 9)])
def test_requant_gives_a_row_every_cycle(index, tile):
    params, rng = PARAMS[index], np.random.default_rng(2)
    rows = 4 * params["PE"]
    jobs = [random_job(params, rng, rows, tile, 18) for _ in range(4)]
    cycles = Design.build("requant", params=params).run(jobs).cycles
    assert cycles <= 4 * rows * 18 + params["PE"] + 10


@pytest.mark.parametrize("index", [0, 5])
def test_requant_protocol(index):
    run_cocotb("requant", module=__file__, params=PARAMS[index])


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def requant_stalls(dut, stall):
    params = bench_params()
    rng, tile = np.random.default_rng(stall), params["T_MAX"]
    jobs = [random_job(params, rng, 11, tile, 6), random_job(params, rng, 4, 1, 3)]
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=40)
