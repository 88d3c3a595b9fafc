# SPDX-License-Identifier: Apache-2.0
"""Search of ratio, widths and lanes: which variants are tried, what each changes, which comes first, its accuracy."""

import json
from dataclasses import replace

import numpy as np
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from quant.recipe import load_recipe
from quant.schemes import FIXED, SP2
from synthesis import explore, fold
from synthesis.board import load_board
from synthesis.build import ROOT
from synthesis.explore import Measured, Variant

RECIPE = load_recipe("default")  # SP2 in the MLP, groups of four rows
OWN = (4, 8)


@pytest.fixture(scope="module")
def designs(tiny_dataflow):
    top1 = {(4, 8, "sp2", 2): 90.0, (4, 8, "fixed", 0): 91.0}
    measured = {point: Measured(percent, 3, "trials.json") for point, percent in top1.items()}
    return explore.explore({8: tiny_dataflow}, load_board("ulx3s_85f"), RECIPE, OWN, (6,), measured=measured)


def test_every_ratio_is_tried_at_all_widths():
    found = explore.variants(RECIPE, OWN, (6, 4), (8, 6))
    assert len(found) == len(set(found)) == 2 * 2 * (1 + 4) + 1
    for widths in ((4, 8), (6, 8), (4, 6), (6, 6)):
        assert [v.shift_add_rows for v in found if v.widths == widths and v.lanes == "all"] == [0, 1, 2, 3, 4]
    fixed = explore.variants(replace(RECIPE, scheme="fixed"), OWN, (), ())
    assert fixed == [Variant(4, 8, "fixed", 0), Variant(4, 8, "fixed", 0, "dsp")]


def test_dsp_lanes_alone_when_asked_for(tiny_dataflow):
    assert {(v.shift_add_rows, v.lanes) for v in explore.variants(RECIPE, OWN, (3, 6), (), "dsp")} == {(0, "dsp")}
    found = explore.explore({8: tiny_dataflow}, load_board("ulx3s_85f"), RECIPE, OWN, (6,), lanes="dsp")
    assert {design.variant.weight_bits for design in found} == {4, 6}
    for design in found:
        assert design.lanes["lut_fixed"] == design.lanes["lut_shift_add"] == design.lanes["lut_da"] == 0


def test_layers_with_bits_of_their_own_keep_them(tiny_dataflow):
    """Recipe liu: the model's own weight bits are each layer's; other ones are another model."""
    mixed = ModelWrapper(tiny_dataflow.model, make_deepcopy=True)
    [fc1] = [getCustomOp(node) for node in mvus(mixed) if ".fc1." in node.name]
    fc1.set_nodeattr("w_bits", 3)
    copy = explore.with_variant(mixed, Variant(4, 8, "sp2", 0), RECIPE, 4)
    bits = {node.name: getCustomOp(node).get_nodeattr("w_bits") for node in mvus(copy) if "blocks." in node.name}
    assert sorted(bits.values()) == [3, 4, 4, 4] and bits[fc1.onnx_node.name] == 3
    liu = load_recipe("liu")
    assert explore.variants(liu, OWN, liu.explore_weight_bits, (6,))[0] == Variant(4, 8, "fixed", 0)
    with pytest.raises(ValueError, match=r"weight bits 3, 6 for a recipe of method liu, .*; leave --weight-bits away"):
        explore.variants(liu, OWN, (3, 4, 6), ())


def test_variant_changes_mlp_rows_only(tiny_dataflow):
    before = {node.name: getCustomOp(node).schemes().tolist() for node in mvus(tiny_dataflow)}
    copy = explore.with_variant(tiny_dataflow, Variant(6, 8, "sp2", 1), RECIPE, 4)
    for node in mvus(copy):
        inst, schemes = getCustomOp(node), getCustomOp(node).schemes()
        if ".mlp." in node.name:
            assert np.array_equal(schemes.reshape(-1, 4), np.tile([FIXED, FIXED, FIXED, SP2], (len(schemes) // 4, 1)))
        else:
            assert (schemes == FIXED).all()
        assert inst.get_nodeattr("w_bits") == (6 if node.name.startswith("blocks.") else 8)
    assert {node.name: getCustomOp(node).schemes().tolist() for node in mvus(tiny_dataflow)} == before


def test_rows_that_do_not_divide_into_groups_are_refused(tiny_dataflow):
    with pytest.raises(ValueError, match=r"has \d+ rows, expected a multiple of row_group=7 of"):
        explore.with_variant(tiny_dataflow, Variant(4, 8, "sp2", 1), replace(RECIPE, row_group=7), 4)


def test_best_design_comes_first(designs):
    orders = [design.order() for design in designs]
    assert orders == sorted(orders)
    [alone] = [design for design in designs if design.variant.lanes == "dsp"]
    assert alone.lanes["lut_fixed"] == alone.lanes["lut_shift_add"] == 0
    assert designs[0].folding.cycles <= alone.folding.cycles


def test_slower_foldings_of_the_best_design_are_smaller(tiny_dataflow):
    """A recipe of one ratio has runner-ups, too."""
    board = load_board("ulx3s_85f")
    found = explore.explore({8: tiny_dataflow}, board, load_recipe("fixed"), OWN)
    best, slower = found[0].folding, [design for design in found if design.variant.pace > 1]
    assert len(slower) == len(explore.PACES)
    for design in slower:
        assert best.cycles < design.folding.cycles <= best.cycles * design.variant.pace
        assert design.folding.used["lut"] < best.used["lut"]


def test_accuracy_is_that_of_a_sweep_or_none(designs):
    for design in designs:
        variant = design.variant
        found = {(4, 2): 90.0, (4, 0): 91.0}.get((variant.weight_bits, variant.shift_add_rows))
        assert (design.measured and design.measured.top1) == found
        assert (design.content(80.0)["measured"] or {}).get("top1") == found


def test_lanes_hold_every_row(tiny_dataflow, designs):
    for design in designs:
        config = design.folding.config
        lanes = sum(config[node.name]["PE"] * config[node.name]["SIMD"] for node in mvus(tiny_dataflow))
        assert sum(design.lanes.values()) == lanes


def test_frame_rate_asks_for_the_smallest(tiny_dataflow):
    board = load_board("ulx3s_85f")
    found = explore.explore({8: tiny_dataflow}, board, RECIPE, OWN, fps=1000)
    assert all(design.folding.cycles <= fold.check_fps(1000, board["clock_mhz"]) for design in found)
    assert [d.folding.used["lut"] for d in found] == sorted(d.folding.used["lut"] for d in found)


def test_points_of_the_shipped_sweep():
    """By hand from docs/results/sweep_vit_mini.md; designs of other recipes and untrained ones are others."""
    files = explore.sweep_files("vit_mini")
    path = ROOT / "docs" / "results" / "sweep_vit_mini.json"
    assert path in files and explore.sweep_files("deit_s") == []
    found = explore.measured_points(RECIPE, [path])
    assert (round(found[4, 8, "sp2", 2].top1, 2), found[4, 8, "sp2", 2].seeds) == (90.65, 3)
    assert round(found[2, 8, "fixed", 0].top1, 2) == 89.23 and found[2, 8, "fixed", 0].source == str(
        path.relative_to(ROOT)
    )
    assert {key for key in found if key[1] < 8} == {(4, 6, "sp2", 2), (4, 4, "sp2", 2), (4, 4, "fixed", 0)}
    all_layers = explore.measured_points(load_recipe("all"), [path])
    assert round(all_layers[4, 8, "sp2", 2].top1, 2) == 90.68 and (4, 8, "sp2", 1) not in all_layers
    calibrated = explore.measured_points(load_recipe("ptq4vit"), [path])
    assert {key: round(m.top1, 2) for key, m in calibrated.items()} == {(4, 4, "fixed", 0): 89.80}
    assert explore.measured_points(replace(RECIPE, residual_bits=14), [path]) == {}


def test_first_file_with_a_design_counts(tmp_path):
    shipped = json.loads((ROOT / "docs" / "results" / "sweep_vit_mini.json").read_text())
    [trial] = [trial for trial in shipped["trials"] if trial["key"] == "w4a8_fixed#1"]
    infeasible = {"key": "w8a8_fixed#1", "infeasible": "needs more"}
    for name, top1 in (("a.json", 50.0), ("b.json", 60.0)):
        entry = trial | {"results": {"integer_top1": top1}}
        (tmp_path / name).write_text(json.dumps({"trials": [entry, infeasible]}))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    assert explore.measured_points(RECIPE, files) == {(4, 8, "fixed", 0): Measured(50.0, 1, str(files[0]))}
    (tmp_path / "a.json").write_text("[")
    with pytest.raises(ValueError, match=r"a.json is no trials.json of a sweep .*; `make sweep` with ARGS="):
        explore.measured_points(RECIPE, files)


def mvus(model):
    return [node for node in model.graph.node if fold.kind(getCustomOp(node)) == "VitrailMvu"]
