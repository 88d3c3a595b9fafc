# SPDX-License-Identifier: Apache-2.0
"""The synthesized netlist of the board top, PLL and UART included, simulated at its pins."""

from pathlib import Path

import numpy as np
import pytest

from sim.board import BoardModel, build_board
from synthesis.backends import nextpnr, yosys
from synthesis.board import ROOT, board_sources, load_board
from tests.e2e.board_fixture import CLASSES, STAND_IN, random_images, stand_in_logits


@pytest.mark.yosys
@pytest.mark.verilator
def test_board_netlist_answers(tmp_path: Path) -> None:
    board = load_board("ulx3s_85f")
    result = yosys.synthesize(
        [STAND_IN, *board_sources(board)], "top", tmp_path, cwd=ROOT, parameters=nextpnr.pll_parameters(board)
    )
    cells = sorted((ROOT / "sim" / "cells").glob("*.sv"))
    model = BoardModel(build_board([*cells, result.netlist_verilog]))
    images = random_images(3, seed=21)
    logits, classes, cycles = model.classify(images, CLASSES, max_cycles=10_000)
    np.testing.assert_array_equal(logits, stand_in_logits(images))
    np.testing.assert_array_equal(classes, stand_in_logits(images).argmax(axis=1))
    assert (cycles > 784 + 500).all() and model.framing_errors == 0
    model.close()
