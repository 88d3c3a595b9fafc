# SPDX-License-Identifier: Apache-2.0
"""FIFO depths by simulation of the stitched design with its real FIFOs.

The design with large FIFOs is simulated at full speed, for the image time it can reach (of so many images that the
pipeline is full before the last ones), and with pixels arriving at just that rate, so that a FIFO's peak shows what the
edge needs and not how far the units before the bottleneck can run ahead. With depths from the peaks it must reach the
same image time within 1 %; FIFOs that were full are doubled until it does, and get their large depth before the rounds
run out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from sim.network import Network, idle_limit
from sim.verilate import DeadlockError, Design, Job, Result
from synthesis.generate import generate, read_description
from synthesis.lower import execute

IMAGES = 5  # at least
STEADY = 3  # the last images, by whose distances the image time is measured
MOST_IMAGES = 32
SEED = 1
TOLERANCE = 1.01
MAX_ROUNDS = 8
LUT_DEPTH = 32  # deeper FIFOs are block RAM


@dataclass(frozen=True)
class Sizing:
    """What sizing found.

    Attributes:
        depths: Edge -> depth.
        large_cycles: Cycles of an image with large FIFOs.
        cycles: Cycles of an image with these depths.
        latency: Cycles from the first pixel to the last logit of the first image, with these depths.
        images: Images of each simulation.
        rounds: Simulations with sized FIFOs.
        bits: Bits of all FIFOs.
        seed: Seed of the stimulus.
    """

    depths: dict[str, int]
    large_cycles: int
    cycles: int
    latency: int
    images: int
    rounds: int
    bits: int
    seed: int


def size_fifos(
    model: ModelWrapper,
    large_rtl: Path,
    out_dir: Path,
    target: int,
    report: Callable[[str], None] = print,
    build: Callable[[Path], Design] | None = None,
) -> Sizing:
    """Size the FIFOs and write the final design.

    Args:
        model: Folded graph; its outFIFODepths are set.
        large_rtl: Design generated with large FIFOs.
        out_dir: Folder that takes the final design.
        target: See generate.
        report: Told about each round.
        build: Compiles the design in a folder; None compiles as step sim does.

    Raises:
        RuntimeError: a simulation failed, or the depths do not converge.
    """
    description = read_description(large_rtl)

    def stimulus(count: int) -> tuple[np.ndarray, np.ndarray]:
        images = np.random.default_rng(SEED).integers(-128, 128, (count, *description["image_shape"]))
        return images, execute(model, images)[description["output"]].reshape(count, -1)

    images, logits = stimulus(IMAGES)
    edges = {edge["name"]: edge for edge in description["edges"] if edge["fifo"]}
    build = build or (lambda folder: Network(folder).build())
    design = build(large_rtl)
    result = _run(design, large_rtl, images, logits)
    if (count := images_to_steady(result, description["start_cycles"])) > IMAGES:
        images, logits = stimulus(count)
        result = _run(design, large_rtl, images, logits)
    fastest = image_cycles(result, "fifo")
    peaks = _peaks(_run(design, large_rtl, images, logits, _stall(description, fastest)), edges)
    depths = {name: round_depth(peaks[name], edges[name]) for name in edges}
    for round_number in range(1, MAX_ROUNDS + 1):
        set_depths(model, depths)
        generate(model, out_dir, target)
        try:
            result = _run(build(out_dir), out_dir, images, logits)
            cycles = image_cycles(result, "fifo")
            found = _peaks(result, edges)
            full = [name for name in edges if found[name] >= depths[name]]
        except DeadlockError:
            cycles, full = 0, list(edges)
        if 0 < cycles <= fastest * TOLERANCE:
            bits = sum(depths[name] * edges[name]["element_bits"] * edges[name]["elements"] for name in edges)
            latency = result.last["m_axis"][0] + 1 - description["start_cycles"]
            return Sizing(depths, fastest, cycles, latency, len(images), round_number, bits, SEED)
        report(
            f"      round {round_number}: {cycles or 'deadlock instead of'} cycles an image, {fastest} with large FIFOs"
        )
        most = {name: edges[name]["depth"] for name in edges}
        if round_number < MAX_ROUNDS - 2:
            depths |= {name: min(max(2 * depths[name], 4), most[name]) for name in full}
        else:  # doubling does not get there
            depths |= {name: most[name] for name in (full if round_number == MAX_ROUNDS - 2 else edges)}
    raise RuntimeError(
        f"fifo: after {MAX_ROUNDS} rounds the design takes {cycles} cycles an image, {fastest} with large FIFOs; "
        "this points to a deadlock in a unit, not to a FIFO"
    )


def _run(
    design: Design, rtl_dir: Path, images: np.ndarray, logits: np.ndarray, stall: dict[str, int] | None = None
) -> Result:
    jobs = [Job({"s_axis": image.reshape(-1)}, {"m_axis": codes}) for image, codes in zip(images, logits, strict=True)]
    limit = idle_limit(read_description(rtl_dir))
    return design.run(jobs, cwd=rtl_dir, stall=stall or 0, seed=2 * SEED, idle_limit=limit)


def _stall(description: dict[str, Any], cycles: int) -> dict[str, int]:
    """Percent of cycles without a pixel, so that an image arrives in about `cycles`."""
    pixels = int(np.prod(description["image_shape"]))
    return {"s_axis": max(0, min(99, int(100 * (1 - pixels / cycles))))}


def _peaks(result: Result, edges: dict[str, dict[str, Any]]) -> dict[str, int]:
    by_instance = {scope.rsplit(".", 1)[-1]: peak for scope, peak in result.peaks.items()}
    return {name: by_instance[edge["fifo"]] for name, edge in edges.items()}


def image_cycles(result: Result, what: str) -> int:
    """Image time of a full pipeline: the largest distance between the last logits of the last STEADY images and the one
    before them; the first image of a run is left out.
    """
    last = result.last["m_axis"]
    if len(last) < 3:
        raise ValueError(f"{what}: {len(last)} images, expected 3 or more to measure cycles an image")
    return int(np.max(np.diff(last)[1:][-STEADY:]))


def images_to_steady(result: Result, start_cycles: int = 0) -> int:
    """Images after which a pipeline's image time is its lasting one: as many as are in it at once, and STEADY more.

    Before, units in front of the slowest one run at their own speed, into FIFOs that are still empty.
    """
    last = result.last["m_axis"]
    inside = -(-(last[0] - start_cycles) // max(1, int(np.min(np.diff(last)))))
    return min(max(IMAGES, inside + STEADY), MOST_IMAGES)


def round_depth(peak: int, edge: dict[str, Any]) -> int:
    """Depth for a peak: 2 at least; up to 32 as it is; a block RAM is filled, as the rest of it is of no other use."""
    if peak <= LUT_DEPTH:
        return max(2, peak)
    width = edge["element_bits"] * edge["elements"]
    blocks = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
    row = next((depth for limit, depth in reversed(blocks) if width <= limit), 512)
    return min(-(-peak // row) * row, max(peak, edge["depth"]))


def set_depths(model: ModelWrapper, depths: dict[str, int]) -> None:
    """Write depths into outFIFODepths; edges that are not named keep theirs."""
    for node in model.graph.node:
        inst = getCustomOp(node)
        old = inst.get_nodeattr("outFIFODepths")
        new = [depths.get(name, old[i] if i < len(old) else 0) for i, name in enumerate(node.output)]
        inst.set_nodeattr("outFIFODepths", [int(v) for v in new])


def depths_config(model: ModelWrapper, config: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A folding configuration with the FIFO depths of a graph, for FINN's ApplyConfig."""
    out = {name: dict(entry) for name, entry in config.items()}
    for node in model.graph.node:
        inst = getCustomOp(node)
        out.setdefault(node.name, {})["outFIFODepths"] = inst.get_nodeattr("outFIFODepths")
    return out
