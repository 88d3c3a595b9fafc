# SPDX-License-Identifier: Apache-2.0
"""Folding: constraints of lanes and sizes, budgets, frame rates, FINN's configuration and reports."""

import json

import numpy as np
import pytest
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from synthesis import fold
from synthesis.board import list_boards, load_board
from synthesis.ops.mvu import lane_order


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
    ("fps", "text"), [(1e6, "at one element a cycle; at most FPS="), (0.0, "FPS=0, expected a frame rate above zero")]
)
def test_impossible_frame_rate_is_refused(model, fps, text):
    with pytest.raises(ValueError) as refused:
        fold.search(model, load_board("ulx3s_85f"), fps)
    assert text in str(refused.value)


def test_what_does_not_fit_is_named(model):
    board = load_board("ulx3s_85f") | {"fold_lut_limit": 1000}
    excess = fold.search(model, board).excess
    assert list(excess) == ["lut"] and " LUT of 1,000 (+" in excess["lut"]


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
