# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/reorder against sim/golden/reorder.py, which is tested on hand-worked numbers first."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.golden.reorder import grouped_index, reorder
from sim.verilate import Design, Job

PARAMS = [
    {"ELEM_BITS": 8, "PE": 4, "ROWS_MAX": 16, "T_MAX": 4},
    {"ELEM_BITS": 12, "PE": 3, "ROWS_MAX": 10, "T_MAX": 17},
    {"ELEM_BITS": 3, "PE": 1, "ROWS_MAX": 5, "T_MAX": 2},
]


def test_reorder_golden_by_hand():
    # three tokens of three rows, element 10 * token + row; groups {0, 1}, {2}; tiles {0, 1}, {2}
    stream = [0, 1, 10, 11, 2, 12, 20, 21, 22]
    np.testing.assert_array_equal(
        reorder(np.array(stream), 3, 3, pe=2, tile=2), [[0, 1, 2], [10, 11, 12], [20, 21, 22]]
    )


def test_reorder_golden_refuses_zero():
    with pytest.raises(ValueError, match="pe=0 and tile=1 must be at least 1"):
        grouped_index(1, 1, 0, 1)


def reorder_job(params: dict, rows: int, tile: int, tokens: int, rng: np.random.Generator) -> Job:
    stream = rng.integers(0, 2 ** params["ELEM_BITS"], rows * tokens)
    cfg = {"cfg_rows": rows, "cfg_tile": tile, "cfg_tokens": tokens}
    return Job({"s_axis": stream}, {"m_axis": reorder(stream, tokens, rows, params["PE"], tile).ravel()}, cfg)


def reorder_jobs(params: dict, seed: int) -> list[Job]:
    """Largest and smallest sizes first, then random ones."""
    rng, rows, tile = np.random.default_rng(seed), params["ROWS_MAX"], params["T_MAX"]
    sizes = [(rows, tile, 2 * tile + 1), (1, 1, 1), (1, 1, 4), (rows, 1, 3), (rows, tile, 1)]
    sizes += [
        (int(rng.integers(1, rows + 1)), int(rng.integers(1, tile + 1)), int(rng.integers(1, 2 * tile + 3)))
        for _ in range(8)
    ]
    return [reorder_job(params, *s, rng) for s in sizes]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("stall", [0, 40, {"s_axis": 80}, {"m_axis": 80}])
def test_reorder_matches_golden(params, stall):
    design = Design.build("reorder", params=params)
    jobs = reorder_jobs(params, seed=3)
    design.run(jobs, stall=stall, seed=5)
    design.run(jobs, stall=stall, seed=6, reset_at=90, cfg_stream="s_axis", cfg_hold=False)


@pytest.mark.parametrize("tile", [1, 2, 17])
def test_reorder_has_no_gap(tile):
    params, rng = PARAMS[1], np.random.default_rng(1)
    jobs = [reorder_job(params, 10, tile, 34, rng) for _ in range(5)]
    cycles = Design.build("reorder", params=params).run(jobs).cycles
    assert cycles <= 5 * 34 * 10 + tile * 10 + 6


@pytest.mark.parametrize("index", [0, 1])
def test_reorder_protocol(index):
    run_cocotb("reorder", module=__file__, params=PARAMS[index])


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def reorder_stalls(dut, stall):
    params, rng = bench_params(), np.random.default_rng(stall)
    jobs = [reorder_job(params, 10, 3, 7, rng), reorder_job(params, 5, 2, 2, rng)]
    await check_unit(dut, jobs, stall=stall, seed=stall + 1, reset_at=60)
