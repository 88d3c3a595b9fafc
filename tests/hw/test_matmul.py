# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/matmul against sim/golden/matmul.py: both forms, padding, extremes, stalls, reset, throughput."""

import cocotb
import numpy as np
import pytest

from quant.intmath import int_range, signed_bits
from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.golden.matmul import matmul_pv, matmul_qk
from sim.verilate import Design, Job, pack


def make(simd: int, transpose: int, n_max: int, c_max: int, d_max: int, a_bits: int = 8, b_bits: int = 8) -> dict:
    """Parameters with the least accumulator; probabilities are unsigned, queries signed."""
    low, high = int_range(a_bits, signed=not transpose)
    length = n_max if transpose else d_max
    peak = length * max(-low, high) * 2 ** (b_bits - 1)
    return {
        "SIMD": simd, "A_BITS": a_bits, "A_SIGNED": 1 - transpose, "B_BITS": b_bits,
        "ACC_BITS": signed_bits(-peak, peak), "N_MAX": n_max, "C_MAX": c_max, "D_MAX": d_max,
        "TRANSPOSE": transpose, "TARGET": 0,
    }  # fmt: skip


PARAMS = [
    make(2, 0, 17, 64, 16) | {"STALL_REGISTER": 1},
    make(2, 1, 17, 64, 16) | {"STALL_REGISTER": 1},
    make(1, 0, 5, 12, 12),
    make(1, 1, 5, 12, 12),
    make(3, 0, 7, 24, 10),
    make(3, 1, 7, 24, 10),
    make(4, 0, 6, 8, 8, 5, 3),
    make(8, 1, 20, 16, 4, 5, 3),
]


def job_of(params: dict, a: np.ndarray, b: np.ndarray, heads: int) -> Job:
    keys, dim = b.shape[0], b.shape[1] // heads
    acc = (matmul_pv if params["TRANSPOSE"] else matmul_qk)(a, b, heads)
    cfg = {"cfg_queries": a.shape[0], "cfg_keys": keys, "cfg_heads": heads, "cfg_dim": dim}
    return Job(
        {"s_axis_a": a.ravel(), "s_axis_b": b.ravel()}, {"m_axis": pack(acc.reshape(-1, 1), params["ACC_BITS"])}, cfg
    )


def random_job(params: dict, rng: np.random.Generator, queries: int, keys: int, heads: int, dim: int) -> Job:
    (a_low, a_high), (b_low, b_high) = (
        int_range(params["A_BITS"], bool(params["A_SIGNED"])),
        int_range(params["B_BITS"]),
    )
    a = rng.integers(a_low, a_high + 1, (queries, heads * (keys if params["TRANSPOSE"] else dim)))
    return job_of(params, a, rng.integers(b_low, b_high + 1, (keys, heads * dim)), heads)


def sizes_of(params: dict, rng: np.random.Generator) -> tuple[int, int, int]:
    """Random (keys, heads, dim) within the maxima."""
    dim = int(rng.integers(1, params["D_MAX"] + 1))
    padded = dim if params["TRANSPOSE"] else -(-dim // params["SIMD"]) * params["SIMD"]
    heads = int(rng.integers(1, max(1, params["C_MAX"] // padded) + 1))
    return int(rng.integers(1, params["N_MAX"] + 1)), heads, dim


def matmul_jobs(params: dict, seed: int) -> list[Job]:
    """All four corners of the two ranges at full size, the smallest job, then random sizes and values."""
    rng, n, d = np.random.default_rng(seed), params["N_MAX"], params["D_MAX"]
    heads = params["C_MAX"] // (d if params["TRANSPOSE"] else -(-d // params["SIMD"]) * params["SIMD"])
    jobs = []
    for a in int_range(params["A_BITS"], bool(params["A_SIGNED"])):
        for b in int_range(params["B_BITS"]):
            columns = heads * (n if params["TRANSPOSE"] else d)
            jobs.append(job_of(params, np.full((2, columns), a), np.full((n, heads * d), b), heads))
    jobs += [random_job(params, rng, 1, 1, 1, 1) for _ in range(4)]
    jobs += [
        random_job(params, rng, 3, n, heads, d),
        random_job(params, rng, 2, 1, 1, d),
        random_job(params, rng, 1, n, 1, 1),
    ]
    return jobs + [random_job(params, rng, int(rng.integers(1, 5)), *sizes_of(params, rng)) for _ in range(10)]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("stall", [0, 40, {"s_axis_a": 80}, {"s_axis_b": 80}, {"m_axis": 80}])
def test_matmul_matches_golden(params, stall):
    design = Design.build("matmul", params=params)
    jobs = matmul_jobs(params, seed=12)
    design.run(jobs, stall=stall, seed=5)
    design.run(jobs, stall=stall, seed=6, reset_at=300, cfg_stream="s_axis_b", cfg_hold=False)


@pytest.mark.parametrize("index", [0, 1])
def test_matmul_keeps_the_multipliers_busy(index):
    """A job after the first costs its chunks only: its operand b was loaded while the job before it ran."""
    params, rng, count = PARAMS[index], np.random.default_rng(3), 4
    keys, heads, dim, queries = 17, 4, 16, 17
    jobs = [random_job(params, rng, queries, keys, heads, dim) for _ in range(count)]
    cycles = Design.build("matmul", params=params).run(jobs).cycles
    chunks = queries * heads * (dim * -(-keys // 2) if index else keys * dim // 2)
    ideal = keys * heads * dim + count * chunks
    assert cycles <= ideal + 40, f"{cycles} cycles, ideal {ideal}"


@pytest.mark.parametrize("index", [0, 5])
def test_matmul_protocol(index):
    run_cocotb("matmul", module=__file__, params=PARAMS[index])


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def matmul_stalls(dut, stall):
    params = bench_params()
    rng = np.random.default_rng(stall)
    jobs = [
        random_job(params, rng, 3, 7, 2, 7),
        random_job(params, rng, 2, 4, 1, 5),
        random_job(params, rng, 1, 5, 2, 3),
    ]
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=130, cfg_stream="s_axis_b")
