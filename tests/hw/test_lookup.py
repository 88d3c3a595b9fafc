# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/lookup against sim/golden/lookup."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.golden.lookup import gelu_table, lookup
from sim.verilate import Design, Job

pytestmark = pytest.mark.verilator


def writes_of(content: np.ndarray) -> list[dict[str, int]]:
    """Traffic of the write port that loads the whole table."""
    return [{"wr_en": 1, "wr_addr": i, "wr_data": int(v)} for i, v in enumerate(content)]


def every_code(content: np.ndarray, seed: int) -> Job:
    """Every input code once in order, then three times in random order."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.arange(content.size), *[rng.permutation(content.size) for _ in range(3)]])
    return Job({"s_axis": x}, {"m_axis": lookup(x, content)})


@pytest.mark.parametrize(("in_bits", "out_bits"), [(8, 8), (1, 3), (5, 12), (10, 1)])
def test_lookup_matches_golden(in_bits, out_bits):
    design = Design.build("lookup", params={"IN_BITS": in_bits, "OUT_BITS": out_bits})
    for seed in range(3):  # a new content each time
        content = np.random.default_rng(seed).integers(0, 2**out_bits, 2**in_bits)
        job = every_code(content, seed)
        cycles = design.run([job], writes=writes_of(content)).cycles
        assert cycles <= job.inputs["s_axis"].size + 3  # one beat per cycle
        design.run([job, job], writes=writes_of(content), stall=40, seed=seed, reset_at=30)


def test_lookup_reads_init_file(tmp_path):
    content = gelu_table(0.05, 0.04)
    (tmp_path / "gelu.hex").write_text("".join(f"{v & 0xFF:02x}\n" for v in content))
    job = every_code(content, 5)
    Design.build("lookup", params={"INIT_FILE": "gelu.hex"}).run([job], writes=[{"wr_en": 0}], cwd=tmp_path)


def test_lookup_protocol():
    run_cocotb("lookup", module=__file__)


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def lookup_stalls(dut, stall):
    content = gelu_table(0.05, 0.04)
    await check_unit(dut, [every_code(content, stall)], stall=stall, seed=1, reset_at=400, writes=writes_of(content))
