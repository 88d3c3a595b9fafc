# SPDX-License-Identifier: Apache-2.0
"""FIFO sizing against made-up simulations: what happens with depths that are too small, however far they are off."""

import copy
from types import SimpleNamespace

import pytest

from sim.verilate import DeadlockError, SimulationError
from synthesis import fifo, fold
from synthesis.board import load_board
from synthesis.generate import fifo_depths, generate, start_cycles


@pytest.fixture
def folded(tiny_dataflow):
    board = load_board("ulx3s_85f")
    return fold.apply_folding(copy.deepcopy(tiny_dataflow), fold.search(tiny_dataflow, board).config, board["part"])


def size(model, folder, monkeypatch, edge, needed, shorter):
    """Size the FIFOs of a network that is at full speed once `edge` has `needed` beats; `shorter` acts until then."""
    large = folder / "large"
    edges = {e["name"]: e for e in generate(model, large, 0)["edges"] if e["fifo"]}

    def run(design, rtl, images, logits, stall=None):
        depths = {name: edges[name]["depth"] for name in edges} if rtl == large else fifo_depths(model)
        cycles = 1000 if depths[edge] >= needed else shorter(depths[edge])
        peaks = {f"top.{e['fifo']}": depths[name] if name == edge and rtl != large else 1 for name, e in edges.items()}
        return SimpleNamespace(last={"m_axis": [cycles * (i + 1) for i in range(5)]}, peaks=peaks)

    monkeypatch.setattr(fifo, "_run", run)
    return fifo.size_fifos(model, large, folder / "rtl", 0, report=lambda text: None, build=lambda rtl: None)


def longest(model):
    """Edge with the deepest of the large FIFOs, and its depth."""
    return max(fifo_depths(model).items(), key=lambda item: item[1])


def test_full_fifos_are_doubled(folded, tmp_path, monkeypatch):
    edge, _ = longest(folded)
    sizing = size(folded, tmp_path, monkeypatch, edge, 15, lambda depth: 2000)
    assert (sizing.depths[edge], sizing.rounds, sizing.cycles) == (16, 4, 1000)
    assert sizing.latency == 1001 - start_cycles(len(folded.graph.node))
    assert all(depth == 2 for name, depth in sizing.depths.items() if name != edge)


def test_deadlock_doubles_all(folded, tmp_path, monkeypatch):
    def deadlock(depth):
        raise DeadlockError("sim: no handshake for 200000 cycles")

    edge, _ = longest(folded)
    sizing = size(folded, tmp_path, monkeypatch, edge, 8, deadlock)
    assert sizing.rounds == 3 and set(sizing.depths.values()) == {8}


def test_depths_far_from_enough_end_with_the_large_one(folded, tmp_path, monkeypatch):
    edge, most = longest(folded)
    assert most > 2**fifo.MAX_ROUNDS
    sizing = size(folded, tmp_path, monkeypatch, edge, most, lambda depth: 2000 - depth)
    assert (sizing.depths[edge], sizing.rounds) == (most, fifo.MAX_ROUNDS - 1)


def test_other_failures_are_not_hidden(folded, tmp_path, monkeypatch):
    def broken(depth):
        raise SimulationError("sim: m_axis_tdata changed while stalled")

    with pytest.raises(SimulationError, match="changed while stalled"):
        size(folded, tmp_path, monkeypatch, longest(folded)[0], 8, broken)


def test_image_time_is_that_of_a_full_pipeline():
    """Eight images are in the pipeline at once; the first distances are those of units before the slowest."""
    start = SimpleNamespace(last={"m_axis": [8000, 9000, 10000, 11500, 12500]})
    assert fifo.images_to_steady(start) == 8 + fifo.STEADY
    later = [8000 + 1000 * i for i in range(8)] + [16100 + 1100 * i for i in range(4)]
    assert fifo.image_cycles(SimpleNamespace(last={"m_axis": later}), "fifo") == 1100


def test_few_images_do_where_few_are_in_the_pipeline():
    assert fifo.images_to_steady(SimpleNamespace(last={"m_axis": [1500, 2500, 3500, 4500, 5500]})) == fifo.IMAGES
    endless = SimpleNamespace(last={"m_axis": [10**9, 10**9 + 1]})
    assert fifo.images_to_steady(endless) == fifo.MOST_IMAGES
