# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/rom: content, wrap-around, throughput, stalls, reset."""

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import bench_params, run_cocotb
from sim.verilate import Design, Job


def rom_file(folder, width: int, depth: int, seed: int):
    """Write a random content file. Returns (path, list of words)."""
    rng = np.random.default_rng(seed)
    words = [int.from_bytes(rng.bytes(-(-width // 8)), "little") & (2**width - 1) for _ in range(depth)]
    path = folder / f"rom_{width}x{depth}.hex"
    path.write_text("".join(f"{w:x}\n" for w in words))
    return path, words


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (8, 2), (12, 17), (64, 64), (130, 9)])
@pytest.mark.parametrize("stall", [0, 70])
def test_rom_repeats_its_words(tmp_path, width, depth, stall):
    path, words = rom_file(tmp_path, width, depth, seed=depth)
    design = Design.build("rom", params={"WIDTH": width, "DEPTH": depth, "INIT_FILE": path.name})
    jobs = [Job(outputs={"m_axis": words}) for _ in range(4)]
    for reset_at in (None, 11):
        cycles = design.run(jobs, stall=stall, seed=depth, reset_at=reset_at, allow_extra=True, cwd=tmp_path).cycles
        if stall == 0:
            assert cycles <= 4 * depth + 4


def test_rom_protocol(tmp_path):
    path, _ = rom_file(tmp_path, 12, 17, seed=5)
    run_cocotb("rom", module=__file__, params={"WIDTH": 12, "DEPTH": 17, "INIT_FILE": str(path)})


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def rom_stalls(dut, stall):
    with open(bench_params()["INIT_FILE"]) as file:
        words = [int(line, 16) for line in file]
    await check_unit(
        dut, [Job(outputs={"m_axis": words})] * 3, stall=stall, seed=stall + 1, reset_at=20, allow_extra=True
    )
