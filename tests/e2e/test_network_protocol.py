# SPDX-License-Identifier: Apache-2.0
"""The stitched network's ports under cocotb: stalls on both sides, frames back to back, reset in mid-frame."""

import os
from pathlib import Path

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.runner import run_cocotb
from sim.verilate import Job

STIMULUS = "VITRAIL_STIMULUS"
IMAGES = 3
SEED = 9


def jobs() -> list[Job]:
    with np.load(os.environ[STIMULUS]) as data:
        return [Job({"s_axis": x}, {"m_axis": y}) for x, y in zip(data["images"], data["logits"], strict=True)]


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def network_stalls(dut, stall):
    await check_unit(dut, jobs(), stall=stall, seed=SEED)


@cocotb.test()
@cocotb.parametrize(reset_at=[1, 40, 100, 700, 1300])
async def network_is_reset(dut, reset_at):
    """By one cycle: while the ports are still closed after the reset before (64 cycles), in the first image, later."""
    await check_unit(dut, jobs(), stall={"s_axis": 10, "m_axis": 50}, seed=SEED + 1, reset_at=reset_at, reset_cycles=1)


@cocotb.test()
async def network_waits_for_a_slow_reader(dut):
    await check_unit(dut, jobs(), stall={"m_axis": 99}, seed=SEED + 1, idle_limit=20000)


@pytest.mark.verilator
def test_network_protocol(tmp_path: Path) -> None:
    """The tiny ViT as it is generated, every logit equal to the golden model's under each kind of traffic."""
    from synthesis import fold
    from synthesis.board import load_board
    from synthesis.generate import generate
    from synthesis.lower import execute, lower
    from tests.synthesis.conftest import export_tiny

    board = load_board("ulx3s_85f")
    dataflow = fold.minimize_accumulators(lower(export_tiny(tmp_path / "model.onnx")))
    model = fold.apply_folding(dataflow, fold.search(dataflow, board).config, board["part"])
    rtl = tmp_path / "rtl"
    about = generate(model, rtl, 1)
    images = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, *about["image_shape"]))
    logits = execute(model, images)[about["output"]].astype(np.int64).reshape(IMAGES, -1)
    np.savez(tmp_path / "stimulus.npz", images=images.reshape(IMAGES, -1), logits=logits)
    env = {STIMULUS: str(tmp_path / "stimulus.npz")}
    assert about["start_cycles"] == 64
    assert run_cocotb(about["top"], __file__, [rtl / name for name in about["sources"]], cwd=rtl, env=env) == 9
