# SPDX-License-Identifier: Apache-2.0
"""Step sim: the whole design in Verilator on test images, every logits code and, for three images, every edge."""

from pathlib import Path
from typing import Any

import numpy as np

from synthesis.build import Build, Step
from synthesis.steps import export, fifo, fold

SOURCES = fifo.SOURCES
IMAGES = 100
EDGE_IMAGES = 3
UNTRAINED_IMAGES = 4
SEED = 7


def test_images(build: Build, count: int) -> np.ndarray:
    """Image codes (up to count, H, W, C), int64: the first test images; seeded random ones where there are none."""
    dims = build.config.dims
    shape = (dims.image_size, dims.image_size, dims.channels)
    if not export.has_images(build):
        return np.random.default_rng(SEED).integers(-128, 128, (count, *shape))
    from models.train import load_test

    codes, _ = next(load_test(dims).batches(count))
    return codes.numpy().astype(np.int64).reshape(-1, *shape)


def golden_logits(build: Build, images: np.ndarray) -> np.ndarray:
    """Logits codes (images, classes) from the golden models of the folded graph."""
    from synthesis.lower import execute

    model = _folded(build)
    return execute(model, images)[model.graph.output[0].name].reshape(len(images), -1)


def golden_edges(build: Build, images: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of every edge of the folded graph, by its name, from the golden models."""
    from synthesis.lower import edge_names, execute

    model = _folded(build)
    return execute(model, images, edge_names(model))


def _folded(build: Build) -> Any:
    from qonnx.core.modelwrapper import ModelWrapper

    return ModelWrapper(str(build.folder("fold") / fold.FILE))


def run(build: Build, out: Path) -> dict[str, Any]:
    """Simulate and compare."""
    from sim.network import simulate

    count = IMAGES if export.has_images(build) else UNTRAINED_IMAGES
    images = test_images(build, count)
    logits, edges = golden_logits(build, images), golden_edges(build, images[:EDGE_IMAGES])
    return simulate(build.folder("fifo"), images, logits, edges, out) | {"seeds": {"images": SEED}}


STEP = Step(
    "sim", "whole design in Verilator, code by code", "07_sim", ("fold", "fifo"), SOURCES, export.with_images, run
)
