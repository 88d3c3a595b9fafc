# SPDX-License-Identifier: Apache-2.0
"""synthesis/bench_mvu.py: harness, reading of nextpnr's delays, errors; slow: a small mvu placed and routed."""

import pytest

from sim.bench.lint import elaborate
from sim.toolchain import unit_sources
from synthesis import bench_mvu

KNOWN = "packed, sums, fabric, fixed, pot, sp2, da, da_pot, da_sp2"
SDF = """(DELAYFILE
        (INTERCONNECT half_i.gen_ecp5.alu_i/R3 sum_q_TRELLIS_FF_Q_1/M (1000:1100:1250) (1:1:1))
        (INTERCONNECT half_i.gen_ecp5.alu_i/R12 sum_q_TRELLIS_FF_Q_2/M (900:1100:2250) (1:1:1))
        (INTERCONNECT other_q_TRELLIS_FF_Q_2/Q half_i.gen_ecp5.alu_i/C12 (100:100:500) (1:1:1))
        (INTERCONNECT sum_q_TRELLIS_FF_Q_2/Q next_i.gen_ecp5.alu_i/C12 (100:100:1500) (1:1:1))
        (INTERCONNECT half_i.gen_ecp5.mult0_i/P3 half_i.gen_ecp5.alu_i/MA3 (50:50:5050) (50:50:50))
"""


def test_bench_mvu_adds_the_longest_routes_around_an_alu():
    assert bench_mvu.alu_routes(SDF) == 2.75
    assert bench_mvu.alu_routes("(DELAYFILE)") is None


def test_bench_mvu_leaves_the_registers_of_the_harness_out():
    names = {name: {"bits": [index]} for index, name in enumerate(bench_mvu.REGISTERS)}
    cells = {
        "own": {"type": "TRELLIS_FF", "connections": {"Q": [0]}},
        "sum": {"type": "TRELLIS_FF", "connections": {"Q": [100]}},
        "add": {"type": "CCU2C", "connections": {"S0": [0]}},
    }
    assert bench_mvu.flip_flops({"netnames": names, "cells": cells}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lanes", "fast"], f"unknown lanes 'fast', expected one of {KNOWN}"),
        (["--lanes", "fixed", "fast"], f"unknown lanes 'fast', expected one of {KNOWN}"),
        (["--pe", "3"], "3 x 16 is no size; give an even number of rows and 1 or more inputs"),
        (["--simd", "0"], "16 x 0 is no size"),
    ],
)
def test_bench_mvu_bad_arguments_end_with_one_error(arguments, message, capsys):
    assert bench_mvu.main(arguments) == 1
    out, error = capsys.readouterr()
    assert not out and error.startswith("error: bench-mvu: ") and message in error and error.count("\n") == 1


@pytest.mark.yosys
def test_bench_mvu_harness_elaborates():
    elaborate("bench_mvu", [*unit_sources("mvu"), bench_mvu.HARNESS])


@pytest.mark.slow
@pytest.mark.nextpnr
@pytest.mark.yosys
@pytest.mark.parametrize(
    ("lanes", "blocks"), [("packed", (16, 8)), ("sums", (16, 8)), ("sp2", (0, 0)), ("da_sp2", (0, 0))]
)
def test_bench_mvu_small_one_is_placed_and_routed(tmp_path, lanes, blocks):
    """The smallest with a full chain: 16 multipliers, 8 ALU54B beside them; or all on LUTs."""
    found = bench_mvu.measure(lanes, 4, 8, tmp_path)
    print(found.row())
    assert (found.dsp, found.alu) == blocks and found.fmax_mhz > 75
    assert (found.alu_routes_ns is None) if not blocks[1] else 0 < found.alu_routes_ns < 1000 / 75
    assert (tmp_path / "bench_mvu.config").stat().st_size > 0
