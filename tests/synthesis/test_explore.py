# SPDX-License-Identifier: Apache-2.0
"""Search of ratio, weight bits and lanes: which variants are tried, what each changes, which comes first."""

from dataclasses import replace

import numpy as np
import pytest
from qonnx.custom_op.registry import getCustomOp

from quant.recipe import load_recipe
from quant.schemes import FIXED, SP2
from synthesis import explore, fold
from synthesis.board import load_board

RECIPE = load_recipe("default")  # SP2 in the MLP, groups of four rows


@pytest.fixture(scope="module")
def designs(tiny_dataflow):
    return explore.explore(tiny_dataflow, load_board("ulx3s_85f"), RECIPE, own_bits=4, weight_bits=(6,))


def test_every_ratio_is_tried_at_every_width():
    found = explore.variants(RECIPE, 4, (6, 4))
    assert len(found) == len(set(found)) == 2 * (1 + 1 + 4)
    assert {v.shift_add_rows for v in found if v.weight_bits == 6} == {0, 1, 2, 3, 4}
    fixed = explore.variants(replace(RECIPE, scheme="fixed"), 4, ())
    assert [(v.shift_add_rows, v.lanes) for v in fixed] == [(0, "all"), (0, "dsp")]


def test_variant_changes_mlp_rows_only(tiny_dataflow):
    before = {node.name: getCustomOp(node).schemes().tolist() for node in mvus(tiny_dataflow)}
    copy = explore.with_variant(tiny_dataflow, explore.Variant(6, "sp2", 1), RECIPE)
    for node in mvus(copy):
        inst, schemes = getCustomOp(node), getCustomOp(node).schemes()
        if ".mlp." in node.name:
            assert np.array_equal(schemes.reshape(-1, 4), np.tile([FIXED, FIXED, FIXED, SP2], (len(schemes) // 4, 1)))
        else:
            assert (schemes == FIXED).all()
        assert inst.get_nodeattr("w_bits") == (6 if node.name.startswith("blocks.") else 8)
    assert {node.name: getCustomOp(node).schemes().tolist() for node in mvus(tiny_dataflow)} == before


def test_best_design_comes_first(designs):
    orders = [design.order() for design in designs]
    assert orders == sorted(orders) and len(orders) == 12
    alone = [design for design in designs if design.variant.lanes == "dsp"]
    assert all(design.lanes["lut_fixed"] == design.lanes["lut_shift_add"] == 0 for design in alone)
    assert designs[0].folding.cycles <= min(design.folding.cycles for design in alone)


def test_lanes_hold_every_row(tiny_dataflow, designs):
    for design in designs:
        config = design.folding.config
        lanes = sum(config[node.name]["PE"] * config[node.name]["SIMD"] for node in mvus(tiny_dataflow))
        assert sum(design.lanes.values()) == lanes


def test_frame_rate_asks_for_the_smallest(tiny_dataflow):
    board = load_board("ulx3s_85f")
    found = explore.explore(tiny_dataflow, board, RECIPE, own_bits=4, fps=1000)
    assert all(design.folding.cycles <= fold.check_fps(1000, board["clock_mhz"]) for design in found)
    assert [d.folding.used["lut"] for d in found] == sorted(d.folding.used["lut"] for d in found)


def mvus(model):
    return [node for node in model.graph.node if fold.kind(getCustomOp(node)) == "VitrailMvu"]
