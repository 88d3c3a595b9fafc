# SPDX-License-Identifier: Apache-2.0
"""Whole networks: a hand-written chain in the form of a generated design, its figures, planted faults, waveforms."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sim.compare import compare_edge, compare_edges
from sim.network import MismatchError, Network, idle_limit, natural_order, simulate

RTL = Path(__file__).with_name("rtl")
ROWS, COLS = 4, 6
SEED = 11


def edge(name, bits, elements, tokens, channels, **more):
    known = {"unit": None if name == "image" else f"make_{name}", "permutation": None, "fifo": None, "depth": 0}
    sizes = {"element_bits": bits, "elements": elements, "tokens": tokens, "channels": channels}
    return {"name": name, "wire": f"e_{name}", "signed": True, **known, **sizes, **more}


def make_network(folder: Path, fault: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = (RTL / "chain.sv").read_text().replace("FAULT = 0", f"FAULT = {fault}")
    (folder / "chain.sv").write_text(text)
    (folder / "table.hex").write_text("\n".join(f"{(3 * (i ^ 0x80) + 7) & 0xFF:02x}" for i in range(256)) + "\n")
    edges = [
        edge("image", 8, 1, ROWS * COLS, 1),
        edge("scaled", 8, 1, ROWS, COLS),
        edge("pairs", 8, 2, ROWS, COLS, permutation=[1, 0, 3, 2, 5, 4], fifo="fifo_pairs", depth=1),
        edge("logits", 16, 1, 1, ROWS),
    ]
    about = {"top": "chain", "sources": ["chain.sv"], "image_shape": [ROWS, COLS, 1], "input": "image"}
    about |= {"output": "logits", "classes": ROWS, "edges": edges, "start_cycles": 0}
    (folder / "design.json").write_text(json.dumps(about))
    return folder


def golden(images):
    scaled = ((3 * (images + 128) + 7 + 128) % 256 - 128).reshape(-1, ROWS, COLS)
    logits = scaled.sum(axis=2)
    return logits, {"image": images, "scaled": scaled, "pairs": scaled, "logits": logits[:, None, :]}


def stimulus(count):
    return np.random.default_rng(SEED).integers(-128, 128, (count, ROWS, COLS, 1))


def first_edges(edges, count):
    return {name: values[:count] for name, values in edges.items()}


@pytest.mark.verilator
def test_network_equals_golden_and_reports_figures(tmp_path):
    images = stimulus(40)
    logits, edges = golden(images)
    report = simulate(make_network(tmp_path), images, logits, first_edges(edges, 3), tmp_path / "out")
    want = {"images": 40, "values_compared": 40 * 4 + 3 * (24 * 3 + 4), "mismatches": 0, "edges": 4, "edge_images": 3}
    assert report["bit_exact"]["rtl"] == want
    assert report["throughput"] == {"cycles_per_image": 24.0, "latency_cycles": 28}
    assert report["unit_cycles"] == {"make_scaled": 24, "make_pairs": 23, "make_logits": 19}
    assert report["fifos"] == [{"name": "fifo_pairs", "width": 16, "depth": 1, "peak": None}]
    assert report["simulation"]["cycles_per_second"] > 0
    assert not (tmp_path / "out").exists()


@pytest.mark.verilator
def test_planted_fault_is_named_by_unit_token_and_channel(tmp_path):
    images = stimulus(8)
    logits, edges = golden(images)
    got, want = int(edges["pairs"][1, 2, 2]) ^ 1, int(edges["pairs"][1, 2, 2])
    with pytest.raises(MismatchError) as caught:
        simulate(make_network(tmp_path, fault=1), images, logits, first_edges(edges, 3), tmp_path / "out")
    text = str(caught.value)
    assert f"sim: make_pairs/pairs image 1 token 2 channel 2: got={got} want={want} (1 of 72 values differ)" in text
    assert "also different: logits" in text
    waves = list((tmp_path / "out").glob("mismatch.*"))
    assert len(waves) == 1 and str(waves[0]) in text and waves[0].stat().st_size > 500


@pytest.mark.verilator
def test_fault_seen_in_late_logits_only_is_named(tmp_path):
    images = stimulus(8)
    logits, edges = golden(images)
    with pytest.raises(MismatchError, match=r"sim: make_logits/logits image 3 class \d: got=-?\d+ want=-?\d+ "):
        simulate(make_network(tmp_path, fault=2), images, logits, first_edges(edges, 3), tmp_path / "out")


@pytest.mark.verilator
def test_bad_networks_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no design\.json; it is written by make rtl"):
        Network(tmp_path)
    folder = make_network(tmp_path)
    images = stimulus(2)
    logits, edges = golden(images)
    with pytest.raises(ValueError, match=r"images of 25 codes given, \[4, 6, 1\] expected"):
        Network(folder).run(np.zeros((1, 25), int))
    del edges["pairs"]
    with pytest.raises(ValueError, match="no golden values given for the edges pairs"):
        simulate(folder, images, logits, edges, tmp_path / "out")
    (folder / "table.hex").unlink()
    with pytest.raises(RuntimeError, match=r"table\.hex"):
        Network(folder).run(images)
    shutil.rmtree(folder)


def test_natural_order_undoes_tiles_and_lanes():
    tokens, channels, pe, tile = 5, 6, 2, 3
    codes = np.arange(2 * tokens * channels).reshape(2, tokens, channels)
    lanes = [1, 0, 3, 2, 5, 4]
    stream = []
    for image in codes[:, :, lanes]:
        for start in range(0, tokens, tile):
            for group in range(0, channels, pe):
                stream += [image[t, group : group + pe] for t in range(start, min(start + tile, tokens))]
    described = {"tokens": tokens, "channels": channels, "elements": pe, "tile": tile, "permutation": lanes}
    assert np.array_equal(natural_order(np.concatenate(stream).reshape(2, -1), described), codes)


def test_compare_counts_and_finds_the_first_edge():
    want = {"a": np.zeros((2, 3, 4), int), "b": np.zeros((2, 3, 4), int), "c": np.zeros((2, 3, 4), int)}
    got = {name: values.copy() for name, values in want.items()}
    assert compare_edges(got, want).first is None and compare_edges(got, want).values_compared == 72
    got["b"][1, 2, 3] = 5
    got["b"][1, 0, 1] = -7
    got["c"][0, 0, 0] = 1
    result = compare_edges(got, want, ["c", "b", "a"], {"b": "block.mvu"})
    assert (result.mismatches, [d.edge for d in result.differences]) == (3, ["c", "b"])
    text = str(compare_edges(got, want, None, {"b": "block.mvu"}).first)
    assert text == "sim: block.mvu/b image 1 token 0 channel 1: got=-7 want=0 (2 of 24 values differ)"
    with pytest.raises(ValueError, match="no simulated values of the edges b"):
        compare_edges({"a": want["a"], "c": want["c"]}, want)
    with pytest.raises(ValueError, match=r"a: shape \(2,\) simulated, \(3,\) expected"):
        compare_edge("a", np.zeros(2), np.zeros(3))


@pytest.mark.verilator
def test_slow_network_is_no_deadlock(tmp_path, monkeypatch):
    """Cycles without a handshake at its ports: more than the limit, fewer than its units take."""
    monkeypatch.setattr("sim.network.IDLE_CYCLES", 2)
    folder = make_network(tmp_path)
    images = stimulus(1)
    with pytest.raises(RuntimeError, match="no handshake for 2 cycles"):
        Network(folder).run(images)
    about = json.loads((folder / "design.json").read_text())
    about["units"] = [{"name": "a", "ideal_cycles": 24}, {"name": "b", "ideal_cycles": 24}]
    (folder / "design.json").write_text(json.dumps(about))
    np.testing.assert_array_equal(Network(folder).run(images).logits, golden(images)[0])


def test_idle_limit_follows_from_the_units():
    units = [{"name": "a", "ideal_cycles": 70_000}, {"name": "b", "ideal_cycles": 80_000}]
    assert idle_limit({"units": units}) == 300_000
    assert idle_limit({"units": units[:1]}) == idle_limit({}) == 200_000
