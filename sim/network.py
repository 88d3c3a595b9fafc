# SPDX-License-Identifier: Apache-2.0
"""A whole stitched network on the fast path: logits of many images, every edge of a few, cycles, FIFO peaks.

The network is a folder with its sources, its memory files and design.json:
    top, sources, image_shape, input, output, classes;
    edges, in graph order: name, wire (prefix of its signals in the top), unit (who makes it), element_bits, elements
        (per beat, element 0 low), signed, tokens, channels, permutation (channel at each position of the stream, null =
        natural order), tile (optional, above 1: the order is tile{group of `elements` channels{token}}), fifo (instance
        behind it, or null), depth;
    units: name, outputs, ideal_cycles (of an image, optional);
    start_cycles: from the end of a reset until the first pixel can enter.
With the macro VITRAIL_PROBE the edges' wires are public. Golden arrays have the shape (images, ..., channels).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.compare import Comparison, Difference, compare_edge, compare_edges
from sim.toolchain import trace_kind
from sim.verilate import Beats, Design, Job, Probe, Result, unpack

DESCRIPTION = "design.json"
SEED = 2  # even: stalled outputs need not wait for tvalid; nothing stalls here
WORKERS = 2
TRACE_BEFORE, TRACE_AFTER = 2000, 200
IDLE_CYCLES = 200_000  # without a handshake at the ports: a deadlock, in a network whose units are all quick


class MismatchError(RuntimeError):
    """Simulation and golden model differ; the text names the first differing code and the waveform."""


@dataclass
class Run:
    """What a simulation of images gave.

    Attributes:
        logits: Codes, shape (images, classes).
        cycles_per_image: Mean distance of the last logits of consecutive images in the later half of a run, when the
            pipeline is full; None with fewer than three images.
        latency_cycles: First pixel to last logit of an image that meets an empty pipeline.
        cycles: Simulated cycles in all.
        seconds: Wall time of the simulation.
        peaks: FIFO instance -> largest number of beats it held.
        edges: Edge -> codes, shape (images, tokens, channels); probed runs only.
        stamps: Edge -> cycle of every beat, shape (images, beats); probed runs only.
    """

    logits: np.ndarray
    cycles_per_image: float | None
    latency_cycles: int
    cycles: int
    seconds: float
    peaks: dict[str, int]
    edges: dict[str, np.ndarray] = field(default_factory=dict)
    stamps: dict[str, np.ndarray] = field(default_factory=dict)


class Network:
    """A generated network in its folder."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        path = self.folder / DESCRIPTION
        if not path.is_file():
            raise ValueError(f"sim: {self.folder} holds no {DESCRIPTION}; it is written by make rtl")
        self.about = json.loads(path.read_text())
        self.order = [edge["name"] for edge in self.about["edges"]]
        self.edges = {edge["name"]: edge for edge in self.about["edges"]}
        self.units = {edge["name"]: edge["unit"] for edge in self.about["edges"]}

    def build(self, probe: bool = False, trace: bool = False, level: str = "-O1") -> Design:
        """Compile the network, or take it from the cache; -O0 compiles four times as fast and runs six times slower."""
        sources = [self.folder / name for name in self.about["sources"]]
        defines = ["VITRAIL_PROBE"] if probe else []
        return Design.build(self.about["top"], sources, defines=defines, trace=trace, level=level)

    def run_jobs(self, design: Design, jobs: Sequence[Job], **options: Any) -> Result:
        """Simulate jobs in the network's folder; a slowly folded network may be silent for long before its logits."""
        return design.run(jobs, seed=SEED, cwd=self.folder, idle_limit=idle_limit(self.about), **options)

    def jobs(self, images: np.ndarray) -> list[Job]:
        """One job per image: codes in raster order, logits to wait for."""
        size = int(np.prod(self.about["image_shape"]))
        flat = np.asarray(images).reshape(len(images), -1)
        if flat.shape[1] != size:
            raise ValueError(f"sim: images of {flat.shape[1]} codes given, {self.about['image_shape']} expected")
        wait = Beats(self.about["classes"], signed=True)
        return [Job({"s_axis": image}, {"m_axis": wait}) for image in flat]

    def run(self, images: np.ndarray, workers: int = WORKERS, design: Design | None = None) -> Run:
        """Simulate images without stalls, in several runs side by side when there are enough of them."""
        design = design or self.build()
        jobs = self.jobs(images)
        starts = self.starts(len(jobs), workers)
        parts = [jobs[a:b] for a, b in zip(starts, [*starts[1:], len(jobs)], strict=True)]
        start = time.monotonic()
        with ThreadPoolExecutor(len(starts)) as pool:
            results = list(pool.map(lambda part: self.run_jobs(design, part), parts))
        return self._summary(results, time.monotonic() - start)

    @staticmethod
    def starts(images: int, workers: int = WORKERS) -> list[int]:
        """First image of each of the runs that `images` are divided into; a run has four or more."""
        runs = max(1, min(workers, images // 4))
        return [images * i // runs for i in range(runs)]

    def run_probed(self, images: np.ndarray, design: Design | None = None) -> Run:
        """Simulate images and record every edge."""
        design = design or self.build(probe=True)
        where = {name: scope for scope, name, _ in design.public_variables()}
        probes = []
        for edge in self.about["edges"]:
            if f"{edge['wire']}_tdata" not in where:
                raise ValueError(
                    f"sim: edge {edge['name']}: {self.about['top']} has no public wire {edge['wire']}_tdata"
                )
            beats = edge["tokens"] * edge["channels"] // edge["elements"]
            bits, scope = edge["element_bits"] * edge["elements"], where[f"{edge['wire']}_tdata"]
            probes.append(Probe(edge["name"], scope, edge["wire"], bits, beats * len(images)))
        start = time.monotonic()
        result = self.run_jobs(design, self.jobs(images), probes=probes)
        run = self._summary([result], time.monotonic() - start)
        for probe in probes:
            edge = self.edges[probe.name]
            codes = unpack(result.probes[probe.name], edge["elements"], edge["signed"]).reshape(len(images), -1)
            run.edges[probe.name] = natural_order(codes, edge)
            run.stamps[probe.name] = result.stamps[probe.name].astype(np.int64).reshape(len(images), -1)
        return run

    def _summary(self, results: Sequence[Result], seconds: float) -> Run:
        logits = np.concatenate([np.stack(r.outputs["m_axis"]) for r in results])
        distances = [np.diff(r.last["m_axis"]) for r in results if len(r.last["m_axis"]) >= 3]
        peaks: dict[str, int] = {}
        for result in results:
            for scope, peak in result.peaks.items():
                name = scope.split(".", 2)[-1].split(".")[0]
                peaks[name] = max(peak, peaks.get(name, 0))
        later = [d[len(d) // 2 :] for d in distances]
        steady = float(np.mean(np.concatenate(later))) if later else None
        latency = max(r.last["m_axis"][0] for r in results) + 1 - self.about["start_cycles"]
        return Run(logits, steady, latency, sum(r.cycles for r in results), seconds, peaks)

    def keep_waveform(self, images: np.ndarray, cycle: int, out: Path) -> Path:
        """Run the images again with a waveform of the cycles around `cycle`; returns the file."""
        design = self.build(trace=True)
        path = out / f"mismatch.{trace_kind()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        window = (max(0, cycle - TRACE_BEFORE), cycle + TRACE_AFTER)
        self.run_jobs(design, self.jobs(images), trace_path=path, trace_window=window)
        return path


def idle_limit(about: Mapping[str, Any]) -> int:
    """Cycles without a handshake at a network's ports that count as deadlock: twice what all units take in turn."""
    return max(IDLE_CYCLES, 2 * sum(unit.get("ideal_cycles", 0) for unit in about.get("units", ())))


def natural_order(stream: np.ndarray, edge: Mapping[str, Any]) -> np.ndarray:
    """Codes of an edge in the order of the golden arrays.

    Args:
        stream: Codes in the order of the stream, shape (images, tokens * channels).
        edge: Description of the edge.

    Returns:
        Shape (images, tokens, channels).
    """
    tokens, channels, tile, pe = edge["tokens"], edge["channels"], edge.get("tile") or 1, edge["elements"]
    out = np.empty((len(stream), tokens, channels), stream.dtype)
    for start in range(0, tokens, tile) if tile > 1 else ():
        size = min(tile, tokens - start)
        part = stream[:, start * channels : (start + size) * channels].reshape(len(stream), channels // pe, size, pe)
        out[:, start : start + size] = part.transpose(0, 2, 1, 3).reshape(len(stream), size, channels)
    if tile == 1:
        out[:] = stream.reshape(out.shape)
    if edge.get("permutation") is not None:
        inverse = np.empty_like(out)
        inverse[:, :, np.asarray(edge["permutation"])] = out
        return inverse
    return out


def _golden_edges(network: Network, edges: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, want in edges.items():
        if name in network.edges:
            edge = network.edges[name]
            out[name] = np.asarray(want).astype(np.int64).reshape(len(want), edge["tokens"], edge["channels"])
    return out


def simulate(
    folder: Path, images: np.ndarray, logits: np.ndarray, edges: Mapping[str, np.ndarray], out: Path
) -> dict[str, Any]:
    """Simulate a network and compare it with the golden model, code by code.

    Args:
        folder: The network.
        images: Image codes, shape (images, ...) with the size of image_shape.
        logits: Golden logits of all images, shape (images, classes).
        edges: Golden codes of every edge for the first images, edge -> (edge images, ..., channels).
        out: Folder that takes a waveform when something differs.

    Returns:
        The content of sim.json: bit_exact, throughput, simulation, fifos, unit_cycles.

    Raises:
        MismatchError: a code differs.
    """
    network = Network(folder)
    golden = _golden_edges(network, edges)
    absent = [name for name in network.order if name not in golden]
    if edges and absent:
        raise ValueError(f"sim: no golden values given for the edges {', '.join(absent)}")
    start = time.monotonic()
    plain = network.build()
    if golden:
        network.build(probe=True)
    seconds_compile = time.monotonic() - start
    bulk = network.run(images, design=plain)
    want = np.asarray(logits).astype(np.int64).reshape(len(images), -1)
    difference = compare_edge(network.about["output"], bulk.logits, want, network.units[network.about["output"]])
    compared, mismatches = want.size, difference.differing if difference else 0
    probed = None
    edge_images = len(next(iter(golden.values()))) if golden else 0
    if golden:
        probed = network.run_probed(images[:edge_images])
        comparison = compare_edges(probed.edges, golden, network.order, network.units)
        compared, mismatches = compared + comparison.values_compared, mismatches + comparison.mismatches
        if comparison.first is not None:
            raise MismatchError(_report(network, comparison, probed, images[:edge_images], out))
    if difference is not None:
        image = difference.index[0]
        start = max(s for s in network.starts(len(images)) if s <= image)  # the same run, so the same cycles
        raise MismatchError(_report_logits(network, difference, images[start : image + 1], out))
    return {
        "bit_exact": {
            "rtl": {
                "images": len(images),
                "values_compared": int(compared),
                "mismatches": int(mismatches),
                "edges": len(golden),
                "edge_images": edge_images,
            }
        },
        "throughput": {"cycles_per_image": bulk.cycles_per_image, "latency_cycles": bulk.latency_cycles},
        "simulation": {
            "seconds_compile": round(seconds_compile, 2),
            "seconds_run": round(bulk.seconds, 2),
            "cycles_per_second": round(bulk.cycles / max(bulk.seconds, 1e-9)),
        },
        "fifos": fifo_report(network, bulk),
        "unit_cycles": unit_cycles(network, probed) if probed else {},
    }


def fifo_report(network: Network, run: Run) -> list[dict[str, Any]]:
    """Name, width, depth and peak of every FIFO. peak is null where the FIFO does not count."""
    return [
        {
            "name": edge["fifo"],
            "width": edge["element_bits"] * edge["elements"],
            "depth": edge["depth"],
            "peak": run.peaks.get(edge["fifo"]),
        }
        for edge in network.about["edges"]
        if edge["fifo"]
    ]


def unit_cycles(network: Network, run: Run) -> dict[str, int]:
    """Cycles between a unit's first and last output beat of an image, the largest over its outputs and images."""
    cycles: dict[str, int] = {}
    for name, stamps in run.stamps.items():
        unit = network.units[name]
        if unit is not None:
            busy = int((stamps[:, -1] - stamps[:, 0]).max()) + 1
            cycles[unit] = max(busy, cycles.get(unit, 0))
    return cycles


def _report(network: Network, comparison: Comparison, run: Run, images: np.ndarray, out: Path) -> str:
    first = comparison.first
    assert first is not None
    stamps = run.stamps[first.edge]
    edge = network.edges[first.edge]
    image = first.index[0]
    position = np.arange(edge["tokens"] * edge["channels"])[None, :]
    place = natural_order(position, edge)[0, first.index[1], first.index[2]]
    cycle = int(stamps[image, int(place) // edge["elements"]])
    path = network.keep_waveform(images[: image + 1], cycle, out)
    others = ", ".join(d.edge for d in comparison.differences[1:6])
    more = f"\n  also different: {others}" if others else ""
    return f"{first}\n  cycle {cycle}, waveform {path}{more}"


def _report_logits(network: Network, difference: Difference, images: np.ndarray, out: Path) -> str:
    """Only a logit of an image without golden edges differs: keep the waveform of its end."""
    result = network.build().run(network.jobs(images), seed=SEED, cwd=network.folder)
    cycle = result.last["m_axis"][-1]
    path = network.keep_waveform(images, cycle, out)
    return f"{difference}\n  cycle {cycle} of a run of {len(images)} images, waveform {path}"
