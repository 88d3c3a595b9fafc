# SPDX-License-Identifier: Apache-2.0
"""The driver against the board top with the real network in it: what runs on the board, from the serial port to it."""

from pathlib import Path

import numpy as np
import pytest

from sim.board import BoardModel, PtyBoard, build_board
from synthesis import host
from synthesis.board import board_sources, load_board
from synthesis.build import Build
from synthesis.cli import STEPS_OF

IMAGES = 3
MODEL, BOARD = "vit_mini_w4a8", "ulx3s_85f"


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.dataset
def test_board_with_network_is_bit_exact(tmp_path: Path) -> None:
    from models.data import load_split
    from models.names import parse_model_name
    from synthesis.generate import read_description
    from synthesis.steps import STEPS, sim
    from synthesis.steps.synth import model_id

    board = load_board(BOARD)
    build = Build(parse_model_name(MODEL), board, root=tmp_path)
    with build.locked():
        build.execute(STEPS[name] for name in STEPS_OF["rtl"])
    rtl = build.folder("fifo")
    description = read_description(rtl)
    sources = [rtl / name for name in description["sources"]]
    names = {path.name for path in sources}
    sources += [path for path in board_sources(board) if path.name not in names]
    parameters = {"CLASSES": description["classes"], "MODEL_ID": model_id(rtl)}
    pixels, _ = load_split("test")
    logits = sim.golden_logits(build, sim.test_images(build, IMAGES))
    with PtyBoard(BoardModel(build_board(sources, parameters), cwd=rtl)) as pty:
        with host.Board(pty.port, timeout_s=60, expected_model_id=model_id(rtl)) as driver:
            results = driver.classify(pixels[:IMAGES])
    np.testing.assert_array_equal(results.logits, logits)
    np.testing.assert_array_equal(results.classes, logits.argmax(axis=1))
    assert results.resent == 0 and (results.cycles > 0).all()
