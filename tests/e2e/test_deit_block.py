# SPDX-License-Identifier: Apache-2.0
"""One encoder block of DeiT-S at full size: 197 tokens, 384 channels, 6 heads, W4A8, seeded random weights (untrained).

From the registered backbone over QONNX, dataflow graph, folding for the ZCU102 and stitched RTL to Verilator: every
code of every edge against the golden models. FIFOs are those of step generate, which are surely large enough.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from models.names import parse_model_name
from sim.network import simulate
from synthesis.board import load_board
from synthesis.build import Build
from synthesis.steps import STEPS, sim
from synthesis.steps.generate import RTL

pytestmark = [pytest.mark.slow, pytest.mark.verilator]

MODEL, BOARD = "deit_s_block_w4a8", "zcu102"
SEED = 11
IMAGES = 2


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    build = Build(parse_model_name(MODEL), load_board(BOARD), untrained=True, root=tmp_path_factory.mktemp("build"))
    with build.locked():
        build.execute(STEPS[name] for name in ("export", "lower", "fold", "generate"))
    return build


def test_deit_block_has_the_size_of_deit_s(build: Build) -> None:
    model = build.results("export")["model"]
    assert (model["tokens"], model["embed_dim"], model["depth"], model["trained"]) == (197, 384, 1, False)
    units = {unit["name"]: unit for unit in build.results("fold")["units"]}
    assert units["blocks.0.mlp.fc1.mvu"]["macs"] == units["blocks.0.mlp.fc2.mvu"]["macs"] == 197 * 384 * 1536
    assert not build.results("fold")["folding"]["excess"]


def test_deit_block_matches_golden_on_every_edge(build: Build, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    dims = build.config.dims
    shape = (IMAGES, dims.image_size, dims.image_size, dims.channels)
    images = np.random.default_rng(SEED).integers(-128, 128, shape)
    logits, edges = sim.golden_logits(build, images), sim.golden_edges(build, images)
    assert len(np.unique(logits)) > 100  # not everything is saturated or zero
    results = simulate(build.folder("generate") / RTL, images, logits, edges, tmp_path)
    print(json.dumps({key: results[key] for key in ("bit_exact", "throughput", "simulation")}))
    exact = results["bit_exact"]["rtl"]
    assert (exact["mismatches"], exact["images"], exact["edge_images"], exact["edges"]) == (0, 2, 2, len(edges))
    assert exact["values_compared"] == logits.size + sum(codes.size for codes in edges.values())
    assert {"image", "blocks.0.attn.scores", "blocks.0.mlp.fc2.acc", "logits"} <= set(edges)
