# SPDX-License-Identifier: Apache-2.0
"""Folding: constraints of lanes and sizes, budgets, frame rates, FINN's configuration and reports."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from synthesis import fold
from synthesis.board import list_boards, load_board
from synthesis.cost import Cost
from synthesis.generate import fifo_depths
from synthesis.lower import edge_names, execute, lower
from synthesis.ops.mvu import da_beats, lane_order


class Copy(Transformation):
    """A transformation that changes nothing: transform() then returns a copy of the model."""

    def apply(self, model):
        return model, False


@pytest.fixture
def model(tiny_dataflow):
    return tiny_dataflow.transform(Copy())


def units(model, kind):
    return [inst for node in model.graph.node if fold.kind(inst := getCustomOp(node)) == kind]


def test_lane_order_puts_fixed_rows_first():
    schemes = np.array([2, 0, 0, 2, 0, 2, 2, 0])
    assert lane_order(schemes, 4).tolist() == [1, 2, 0, 3, 4, 7, 5, 6]
    assert lane_order(schemes, 8).tolist() == [1, 2, 4, 7, 0, 3, 5, 6]
    with pytest.raises(ValueError, match="PE=4 groups rows of different scheme mixes; choose a multiple of row_group"):
        lane_order(np.array([2, 2, 0, 0, 0, 0, 0, 0]), 4)


@pytest.mark.parametrize("board", list_boards())
def test_folding_keeps_the_constraints(model, board):
    """PE divides the rows in whole groups of one mix, SIMD divides k, DSP rows are fixed rows."""
    board = load_board(board)
    folding = fold.search(model, board)
    assert not folding.excess
    assert all(folding.used[key] <= folding.available[key] for key in fold.RESOURCES)
    folded = fold.apply_folding(model, folding.config, board["part"])
    for inst in units(folded, "VitrailMvu"):
        pe, simd = inst.get_nodeattr("PE"), inst.get_nodeattr("SIMD")
        assert inst.get_nodeattr("rows") % pe == 0 and inst.get_nodeattr("k") % simd == 0
        assert 0 <= inst.get_nodeattr("dsp_rows") <= inst.lanes()["fixed"]
        lane_order(inst.schemes(), pe)
        assert inst.get_nodeattr("target") == fold.target_of(board)
    assert max(i.get_exp_cycles() for i in map(getCustomOp, folded.graph.node)) == folding.cycles


def test_requant_takes_every_row_from_its_lane(model):
    """Lane order undone: group by group, requant's lane field points at the row's place among the lanes."""
    board = load_board("ulx3s_85f")
    folded = fold.apply_folding(model, fold.search(model, board).config, board["part"])
    for mvu in units(folded, "VitrailMvu"):
        requant = getCustomOp(folded.find_consumers(mvu.onnx_node.output[0])[0])
        pe, order, lane = mvu.get_nodeattr("PE"), mvu.permutation(), requant.get_nodeattr("lane")
        assert requant.get_nodeattr("PE") == pe
        for row in range(len(lane)):
            assert order[row // pe * pe + lane[row]] == row


def test_frame_rate_decides(model):
    board = load_board("ulx3s_85f")
    folding = fold.search(model, board, fps=20_000)
    assert folding.cycles <= board["clock_mhz"] * 1e6 / 20_000
    slower = fold.search(model, board, fps=2_000)
    assert slower.used["lut"] < folding.used["lut"]


@pytest.mark.parametrize(
    ("fps", "text"),
    [
        (1e6, "at one element a cycle; at most FPS="),
        (0.0, "FPS=0, expected a frame rate above zero"),
        (1e-310, "FPS=1e-310, expected a frame rate above zero"),
    ],
)
def test_impossible_frame_rate_is_refused(model, fps, text):
    with pytest.raises(ValueError) as refused:
        fold.search(model, load_board("ulx3s_85f"), fps)
    assert text in str(refused.value)


@pytest.fixture(scope="module")
def fixed_model(tmp_path_factory):
    """The tiny ViT with fixed-point rows alone."""
    from tests.synthesis.conftest import export_tiny

    path = tmp_path_factory.mktemp("fixed") / "model.onnx"
    return fold.minimize_accumulators(lower(export_tiny(path, "fixed")))


def test_fraction_of_the_device_is_the_budget():
    board = load_board("zcu102")
    assert fold.budget(board, 0.5) == {"lut": 137_040, "dsp": 1260, "bram": 912}
    assert fold.budget(board) == {"lut": 191_856, "dsp": 2016, "bram": 1459}
    assert fold.budget(load_board("ulx3s_85f"), 0.5)["lut"] == 41_820  # fold_lut_limit is for folding without FRACTION


def test_larger_fraction_is_faster(model):
    board = load_board("ulx3s_85f")
    foldings = [fold.search(model, board, fraction=fraction) for fraction in (0.09, 0.12, 0.2)]
    assert not any(folding.excess for folding in foldings)
    cycles = [folding.cycles for folding in foldings]
    assert cycles == sorted(cycles, reverse=True) and cycles[0] > cycles[-1]
    for folding, fraction in zip(foldings, (0.09, 0.12, 0.2), strict=True):
        assert folding.used["lut"] <= folding.available["lut"] == int(83_640 * fraction)
        assert all(folding.used[key] <= folding.available[key] for key in fold.RESOURCES)


def test_one_branch_waits_for_the_other(model, monkeypatch):
    """Behind a fork the add's input holds an image, behind a split the queries; the other edges hold two beats."""
    monkeypatch.setattr(fold, "module_cost", lambda family, module, params: Cost(lut=params["DEPTH"]))
    found = {
        kind: [fold.fifos_cost(model, inst, "LFE5U-85F").lut for inst in units(model, kind)]
        for kind in ("VitrailFork", "VitrailSplit", "VitrailAdd", "VitrailMvu")
    }
    split, fork = units(model, "VitrailSplit")[0], units(model, "VitrailFork")[0]
    image, queries = math.prod(fork.streams_out()[0].shape), math.prod(split.streams_out()[0].shape)
    assert set(found["VitrailFork"]) == {image + 2} and set(found["VitrailSplit"]) == {queries + 2 + 2}
    assert set(found["VitrailMvu"]) == {0} and max(found["VitrailAdd"]) <= 2


def test_blocks_that_the_other_units_need_are_left_to_them(model):
    """A share of the multiplier blocks below what requants and norms take counts for the lanes alone, and says so."""
    board = load_board("ulx3s_85f")
    folding = fold.search(model, board, fraction=0.1)
    [note] = [note for note in folding.notes if "DSP" in note]
    others = int(note.split("needs ")[1].split(" ")[0])
    assert others > 15 and folding.available["dsp"] == others + 15
    assert fold.search(model, board, fraction=0.9).notes == []


def test_dsp_lanes_alone_hold_every_row(fixed_model):
    board = load_board("ulx3s_85f")
    model = fixed_model.transform(Copy())
    alone = fold.search(model, board, fraction=0.12, lanes="dsp")
    both = fold.search(model, board, fraction=0.12)
    assert alone.available == both.available and not alone.excess and not both.excess
    assert both.cycles < alone.cycles
    folded = fold.apply_folding(model, alone.config, board["part"])
    assert all(inst.get_nodeattr("dsp_rows") == inst.get_nodeattr("PE") for inst in units(folded, "VitrailMvu"))


@pytest.mark.parametrize(
    ("fitting", "cycles"),
    [
        (range(40, 101), 40),
        ([*range(60, 101), 45, 44, 38], 38),  # the prices miss 39 to 43 and 46 to 59
        (range(10, 101), 10),
        ([100], 100),
        ([], 100),
    ],
)
def test_best_cycles_looks_below_a_time_that_no_price_fits(monkeypatch, fitting, cycles):
    space = object.__new__(fold._Search)
    space.fixed_cycles, space.possible = 10, list(fold.RESOURCES)
    space.options = {"mvu": [fold.Option(1, 1, 0, steps, fold.Cost()) for steps in range(1, 101)]}
    monkeypatch.setattr(space, "fits", lambda steps: steps in fitting)
    assert space.best_cycles() == cycles


def test_dsp_lanes_alone_refuse_shift_add_rows(model):
    with pytest.raises(ValueError) as refused:
        fold.search(model, load_board("ulx3s_85f"), lanes="dsp")
    assert "are PoT or SP2, which no DSP lane takes; choose a model of the recipe 'fixed'" in str(refused.value)


def test_multiplier_blocks_go_where_they_save_most(fixed_model):
    """No unit keeps all its rows on LUTs while one with a smaller saving for each block has some on blocks."""
    space = fold._Search(fixed_model.transform(Copy()), load_board("ulx3s_85f"), fraction=0.12)
    chosen, used = space.allocate(700)
    gains = {}
    for name, option in chosen.items():
        if (name, option.pe, option.simd) in space.ends:
            luts, dsps = space.ends[name, option.pe, option.simd]
            gains[name] = (luts.cost.lut - dsps.cost.lut) / (dsps.cost.dsp - luts.cost.dsp)
    full = [gain for name, gain in gains.items() if chosen[name].dsp_rows]
    none = [gain for name, gain in gains.items() if not chosen[name].dsp_rows]
    assert full and none and min(full) >= max(none)
    assert used["dsp"] <= space.available["dsp"]


def test_products_of_few_bits_take_no_block(fixed_model):
    """Rows of 5-bit weights by 4-bit activations: Yosys makes them of LUTs on UltraScale+, multiplier or not."""
    model = fixed_model.transform(Copy())
    for inst in units(model, "VitrailMvu"):
        inst.set_nodeattr("w_bits", 5)
        inst.set_nodeattr("a_bits", 4)
    folding = fold.search(model, load_board("zcu102"))
    mvus = units(model, "VitrailMvu")
    assert not folding.excess and mvus and all(inst.cost("xczu9eg").dsp == 0 for inst in mvus)


def test_what_does_not_fit_is_named(model):
    board = load_board("ulx3s_85f") | {"fold_lut_limit": 1000}
    excess = fold.search(model, board).excess
    assert list(excess) == ["lut"] and " LUT of 1,000 (+" in excess["lut"]
    excess = fold.search(model, board, fraction=1e-6).excess  # a share without a block or LUT
    assert excess["lut"].endswith(" LUT of 0") and list(excess) == ["lut", "bram"]


def test_finn_runs_its_reports_on_the_graph(model, tmp_path):
    """Partition, cycle and resource reports of finn-plus, none of them zero for a unit of ours."""
    board = load_board("ulx3s_85f")
    folding = fold.search(model, board)
    folded = fold.apply_folding(model, folding.config, board["part"])
    performance = fold.finn_reports(folded, tmp_path, board["part"])
    assert performance["max_cycles"] == folding.cycles
    cycles = json.loads((tmp_path / "exp_cycles_per_layer.json").read_text())
    resources = json.loads((tmp_path / "res_estimation.json").read_text())
    names = {node.name for node in folded.graph.node}
    assert set(cycles) == names == set(resources)
    assert min(cycles.values()) > 0
    assert all(row["LUT"] > 0 for row in resources.values())
    assert sum(row["DSP"] for row in resources.values()) > 0 and sum(row["BRAM_18K"] for row in resources.values()) > 0
    assert (tmp_path / "partition_0.onnx").is_file()
    assert all(node.domain.endswith(".rtl") for node in folded.graph.node)


def test_folding_file_is_applied_again(model, tmp_path):
    """folding.json is FINN's format: applied from a file it gives the same graph."""
    board = load_board("ulx3s_85f")
    folding = fold.search(model, board)
    path = tmp_path / "folding.json"
    path.write_text(json.dumps(folding.config))
    first = fold.apply_folding(model, folding.config, board["part"])
    second = fold.apply_folding(model, json.loads(path.read_text()), board["part"])
    assert first.graph.SerializeToString() == second.graph.SerializeToString()


@pytest.mark.parametrize(("tile", "longer"), [(1, False), (3, True), (4, True), (5, False), (10, False), (11, False)])
def test_tiles_of_unequal_length_read_from_a_fifo_of_a_tile(model, tile, longer):
    """Ten tokens: a tile of 3 or 4 leaves a rest, which the reader has before it is wanted."""
    board = load_board("ulx3s_85f")
    config = fold.search(model, board).config
    mvu = next(i for i in units(model, "VitrailMvu") if i.onnx_node.name == "blocks.0.attn.proj.mvu")
    assert mvu.get_nodeattr("tokens") == 10
    config["blocks.0.attn.proj.mvu"]["tile"] = tile
    folded = fold.apply_folding(model, config, board["part"])
    depths = fifo_depths(folded)
    edge = mvu.onnx_node.input[0]
    assert depths[edge] == (max(fold.FIFO_BEATS, tile * mvu.get_nodeattr("k")) if longer else fold.FIFO_BEATS)
    assert depths["blocks.0.mlp.gelu"] == fold.FIFO_BEATS


def first_pair(model):
    """Places of the first mvu and of the requant behind it."""
    kinds = [node.op_type.removesuffix("_rtl") for node in model.graph.node]
    return kinds.index("VitrailMvu"), kinds.index("VitrailRequant")


def test_search_leaves_the_requants_as_they_are(model):
    before = {i.onnx_node.name: [i.get_nodeattr(n) for n in fold.PAIRED] for i in units(model, "VitrailRequant")}
    space = fold._Search(model, load_board("zcu102"))
    assert space.options
    assert before == {
        i.onnx_node.name: [i.get_nodeattr(n) for n in fold.PAIRED] for i in units(model, "VitrailRequant")
    }


def test_offset_of_tables_ends_in_the_requant(model):
    """With every mvu by distributed arithmetic, accumulators miss their offsets and every code behind is the same."""
    board = load_board("zcu102")
    config = fold.search(model, board).config
    images = np.random.default_rng(4).integers(-128, 128, (3, 8, 8, 1))
    plain = fold.apply_folding(model.transform(Copy()), config, board["part"])
    mvus = [node.name for node in model.graph.node if node.op_type == "VitrailMvu"]
    for name in mvus:
        config[name] |= {"da": 1, "tile": 4, "dsp_rows": 0}
    tables = fold.apply_folding(model.transform(Copy()), config, board["part"])
    with pytest.raises(ValueError, match="holds offsets already; apply a folding to the lowered graph"):
        fold.take_offset(tables, *(getCustomOp(tables.graph.node[i]) for i in first_pair(tables)))
    names = edge_names(plain)
    found, wanted = execute(tables, images, names), execute(plain, images, names)
    sums = {node.output[0]: getCustomOp(node) for node in tables.graph.node if node.name in mvus}
    for name in names:
        if name in sums:
            weight = sums[name].constant(tables, 1)
            offset = -np.minimum(weight, 0).sum(axis=1)
            assert offset.any()
            np.testing.assert_array_equal(found[name] + offset, wanted[name])
        else:
            np.testing.assert_array_equal(found[name], wanted[name])


def test_tables_are_cheap_where_many_tokens_pass(tmp_path):
    """226 tokens on UltraScale+: rows on LUTs cost less in tables, and take no cycle more."""
    from tests.synthesis.conftest import TINY, export_tiny

    dims = replace(TINY, image_size=32)
    model = fold.minimize_accumulators(lower(export_tiny(tmp_path / "model.onnx", dims=dims)))
    [inst] = [inst for inst in units(model, "VitrailMvu") if inst.onnx_node.name == "blocks.0.mlp.fc1.mvu"]
    inst.set_nodeattr("target", 2)
    options = fold.mvu_options(inst, fold.requant_behind(model, inst), load_board("zcu102")["part"])
    chosen = [option for option in options if (option.pe, option.simd, option.dsp_rows) == (32, 16, 0)]
    tables, stream = min((o for o in chosen if o.da), key=lambda o: o.cycles), next(o for o in chosen if not o.da)
    assert tables.cost.lut < 0.7 * stream.cost.lut and tables.cycles <= stream.cycles


@pytest.mark.parametrize(("tokens", "simd", "target", "cycles"), [(200, 36, 2, 200), (17, 36, 2, 148), (17, 8, 1, 52)])
def test_cycles_of_a_weight_word_in_tables(tokens, simd, target, cycles):
    """Nine loads of 16 cycles hide behind 200 tokens and not behind 17; with one bank two of them come on top."""
    assert da_beats(tokens, simd, target) == cycles
