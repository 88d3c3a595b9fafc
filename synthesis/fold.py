# SPDX-License-Identifier: Apache-2.0
"""Choose PE and SIMD of every unit from a frame rate or from the board's budget; finish the dataflow graph with them.

Units other than mvu and matmul move one element a cycle, so they set the fastest useful image time. For a given image
time every mvu and matmul takes its cheapest form that is fast enough; the search is for the shortest image time whose
estimated resources fit. Fixed-point rows run on multiplier blocks, in pairs where they pack, as far as these last;
the others and all shift-add rows run on LUTs.
"""

import bisect
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from synthesis.finn_env import load_finn
from synthesis.ops.base import BRAM_BITS, Cost, ecp5, fifo_cost
from synthesis.ops.mvu import lane_order

ops = load_finn()

RESOURCES = ("lut", "dsp", "bram")
RESOURCE_NAMES = {"lut": "LUT", "dsp": "DSP", "bram": "block RAM (18 kbit)"}
# A FIFO that holds the beats of this many images, where a branch waits for the other one.
BRANCH_IMAGES = 2
FIFO_BEATS = 32


@dataclass
class Folding:
    """Result of the search.

    Attributes:
        config: Node name -> attributes, as FINN's ApplyConfig takes it.
        target_cycles: Cycles of one image that the search aimed for.
        cycles: Cycles of the slowest unit.
        slowest: Name of that unit.
        used: Estimated resources of all units.
        available: What the board gives to folding.
        excess: Resource -> text, for each that does not fit.
    """

    config: dict[str, dict[str, Any]]
    target_cycles: int
    cycles: int
    slowest: str
    used: dict[str, int]
    available: dict[str, int]
    excess: dict[str, str] = field(default_factory=dict)


def target_of(board: dict[str, Any]) -> int:
    """TARGET parameter of the multiplier wrappers: 1 ECP5, 2 UltraScale+, 0 others."""
    if ecp5(board["part"]):
        return 1
    return 2 if re.match(r"xc(zu|au|k26|[kv]u\d+p)", board["part"].lower()) else 0


def budget(board: dict[str, Any]) -> dict[str, int]:
    """LUT, DSP and 18-kbit block RAMs that folding may use on a board."""
    share, resources = board["block_fraction"], board["resources"]
    blocks = resources["bram"] * max(1, round(board["bram_bits"] / BRAM_BITS))
    lut = min(int(resources["lut"] * board["budget_fraction"]), board["fold_lut_limit"])
    return {"lut": lut, "dsp": int(resources["dsp"] * share), "bram": int(blocks * share)}


def check_fps(fps: float, clock_mhz: float) -> int:
    """Cycles of an image at a frame rate.

    Raises:
        ValueError: the rate is not positive.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise ValueError(f"fold: FPS={fps:g}, expected a frame rate above zero")
    return int(clock_mhz * 1e6 / fps)


@dataclass(frozen=True)
class Option:
    """One folding of an mvu (PE, SIMD) or matmul (SIMD), all its fixed rows on multiplier blocks."""

    pe: int
    simd: int
    cycles: int
    cost: Cost


def divisors(number: int) -> list[int]:
    """Divisors in ascending order."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def mvu_options(inst: Any, fpgapart: str) -> list[Option]:
    """Foldings of an mvu: PE divides the rows and sees one mix of schemes in all groups, SIMD divides k."""
    saved = {name: inst.get_nodeattr(name) for name in ("PE", "SIMD", "dsp_rows")}
    schemes = inst.schemes()
    options = []
    for pe in divisors(inst.get_nodeattr("rows")):
        if pe > 64 or not _same_mix(schemes, pe):
            continue
        inst.set_nodeattr("PE", pe)
        inst.set_nodeattr("dsp_rows", inst.lanes()["fixed"])
        for simd in divisors(inst.get_nodeattr("k")):
            if simd > 64:
                break
            inst.set_nodeattr("SIMD", simd)
            cost = inst.cost(fpgapart)
            # the requant behind it latches PE accumulators
            latch = (pe - 1) * inst.get_nodeattr("acc_bits")
            options.append(Option(pe, simd, inst.get_exp_cycles(), Cost(cost.lut + latch, cost.dsp, cost.bram)))
    for name, value in saved.items():
        inst.set_nodeattr(name, value)
    return _useful(options)


def matmul_options(inst: Any, fpgapart: str) -> list[Option]:
    """Foldings of a matmul: every SIMD up to the contraction that lowers its cycles."""
    saved = inst.get_nodeattr("SIMD")
    options = []
    for simd in range(1, min(inst.contraction, 64) + 1):
        inst.set_nodeattr("SIMD", simd)
        options.append(Option(1, simd, inst.get_exp_cycles(), inst.cost(fpgapart)))
    inst.set_nodeattr("SIMD", saved)
    return _useful(options)


def _same_mix(schemes: np.ndarray, pe: int) -> bool:
    try:
        lane_order(schemes, pe)
    except ValueError:
        return False
    return True


def _weight(cost: Cost) -> float:
    """One figure to compare foldings: a multiplier block counts as 60 LUTs, a block RAM as 40."""
    return cost.lut + 60 * cost.dsp + 40 * cost.bram


def _useful(options: list[Option]) -> list[Option]:
    """Options that are the cheapest for their speed, fastest first."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.cycles, _weight(o.cost))):
        while kept and _weight(kept[-1].cost) >= _weight(option.cost) and kept[-1].cycles == option.cycles:
            kept.pop()
        if not kept or _weight(option.cost) < _weight(kept[-1].cost):
            kept.append(option)
    return kept


class _Search:
    """Options of all units of one graph on one board."""

    def __init__(self, model: ModelWrapper, board: dict[str, Any]) -> None:
        self.part = board["part"]
        self.available = budget(board)
        self.board = board
        self.nodes = list(model.graph.node)
        self.insts = {node.name: getCustomOp(node) for node in self.nodes}
        self.options: dict[str, list[Option]] = {}
        base = dict.fromkeys(RESOURCES, 0)
        slowest: dict[str, int] = {}
        for name, inst in self.insts.items():
            if kind(inst) == "VitrailMvu":
                inst.set_nodeattr("target", target_of(board))
                self.options[name] = mvu_options(inst, self.part)
            elif kind(inst) == "VitrailMatmul":
                self.options[name] = matmul_options(inst, self.part)
            else:
                cost = inst.cost(self.part)
                for key in RESOURCES:
                    base[key] += getattr(cost, key)
                slowest[name] = inst.get_exp_cycles()
        for inst in self.insts.values():
            cost = fifos_cost(inst)
            base["lut"] += cost.lut
            base["bram"] += cost.bram
        self.base = base
        self.fixed_unit = max(slowest, key=slowest.__getitem__)
        self.fixed_cycles = slowest[self.fixed_unit]

    def choose(self, cycles: int) -> dict[str, Option]:
        """Cheapest option of every unit that takes at most `cycles`; the fastest one where none does."""
        chosen = {}
        for name, options in self.options.items():
            fast = [o for o in options if o.cycles <= cycles]
            chosen[name] = min(fast, key=lambda o: _weight(o.cost)) if fast else min(options, key=lambda o: o.cycles)
        return chosen

    def allocate(self, chosen: dict[str, Option]) -> tuple[dict[str, int], dict[str, int]]:
        """Fixed rows of every mvu on multiplier blocks, and the resources of all units then.

        Pairs that share a block come first, then single rows, in the order of the graph, until the blocks are used up.
        """
        rows = {}
        left = self.available["dsp"] - self.base["dsp"]
        for name, option in chosen.items():
            if kind(self.insts[name]) == "VitrailMatmul":
                left -= option.cost.dsp
        mvus = [name for name in chosen if kind(self.insts[name]) == "VitrailMvu"]
        mvus.sort(key=lambda name: not self.insts[name].packs())
        used = dict(self.base)
        for name in mvus:
            inst, option = self.insts[name], chosen[name]
            self.apply(inst, option)
            step = 2 if inst.packs() else 1
            fixed = inst.lanes()["fixed"]
            rows[name] = min(fixed, step * max(0, left // option.simd))
            left -= math.ceil(rows[name] / step) * option.simd
            inst.set_nodeattr("dsp_rows", rows[name])
        for name, option in chosen.items():
            inst = self.insts[name]
            self.apply(inst, option)
            cost = inst.cost(self.part)
            latch = (option.pe - 1) * inst.get_nodeattr("acc_bits") if kind(inst) == "VitrailMvu" else 0
            for key in RESOURCES:
                used[key] += getattr(cost, key) + (latch if key == "lut" else 0)
        return rows, used

    @staticmethod
    def apply(inst: Any, option: Option) -> None:
        inst.set_nodeattr("SIMD", option.simd)
        if kind(inst) == "VitrailMvu":
            inst.set_nodeattr("PE", option.pe)
            inst.set_nodeattr("dsp_rows", min(inst.get_nodeattr("dsp_rows"), inst.lanes()["fixed"]))

    def fits(self, cycles: int, keys: tuple[str, ...]) -> bool:
        _, used = self.allocate(self.choose(cycles))
        return all(used[key] <= self.available[key] for key in keys)

    def best_cycles(self) -> tuple[int, tuple[str, ...]]:
        """Shortest image time that fits, and the resources that can be met at all."""
        slow = max((o.cycles for options in self.options.values() for o in options), default=1)
        _, least = self.allocate(self.choose(slow))
        keys = tuple(key for key in RESOURCES if least[key] <= self.available[key])
        if "lut" not in keys or "dsp" not in keys:
            return slow, keys
        steps = sorted({o.cycles for options in self.options.values() for o in options if o.cycles > self.fixed_cycles})
        steps = [self.fixed_cycles, *steps]
        first = bisect.bisect_left(steps, True, key=lambda cycles: self.fits(cycles, keys))
        return steps[min(first, len(steps) - 1)], keys


def kind(inst: Any) -> str:
    """Op type without the ending that SpecializeLayers adds."""
    return inst.onnx_node.op_type.removesuffix("_rtl")


def fifos_cost(inst: Any) -> Cost:
    """Estimate of the FIFOs behind a node: branches hold about an image, other edges two beats."""
    lut = bram = 0
    for stream, depth in zip(inst.streams_out(), default_depths(inst), strict=True):
        cost = fifo_cost(stream.width, 2 if depth == FIFO_BEATS else depth // BRANCH_IMAGES)
        lut, bram = lut + cost.lut, bram + cost.bram
    return Cost(lut, 0, bram)


def search(model: ModelWrapper, board: dict[str, Any], fps: float | None = None) -> Folding:
    """Find PE and SIMD for a board.

    Args:
        model: Lowered graph with minimized accumulators.
        board: Content of board.yaml.
        fps: Images per second at the board's clock; None takes the fastest that fits the budget.

    Returns:
        The folding; `excess` is empty when it fits.

    Raises:
        ValueError: the frame rate is not possible with one element a cycle.
    """
    space = _Search(model, board)
    if fps is None:
        cycles, _ = space.best_cycles()
    else:
        cycles = check_fps(fps, board["clock_mhz"])
        if cycles < space.fixed_cycles:
            most = board["clock_mhz"] * 1e6 / space.fixed_cycles
            raise ValueError(
                f"fold: FPS={fps:g} leaves {cycles} cycles an image at {board['clock_mhz']} MHz; "
                f"{space.fixed_unit!r} needs {space.fixed_cycles} at one element a cycle; at most FPS={int(most)}"
            )
    chosen = space.choose(cycles)
    rows, used = space.allocate(chosen)
    config: dict[str, dict[str, Any]] = {"Defaults": {}}
    for name, option in chosen.items():
        entry = {"SIMD": option.simd}
        if name in rows:
            entry |= {"PE": option.pe, "dsp_rows": rows[name], "target": target_of(board)}
        config[name] = entry
    times = {name: inst.get_exp_cycles() for name, inst in space.insts.items()}
    slowest = max(times, key=times.__getitem__)
    excess = {}
    for key in RESOURCES:
        have, want = space.available[key], used[key]
        if want > have:
            excess[key] = f"{want:,} {RESOURCE_NAMES[key]} of {have:,} ({want / have - 1:+.0%})"
    return Folding(config, cycles, times[slowest], slowest, used, space.available, excess)


def minimize_accumulators(model: ModelWrapper) -> ModelWrapper:
    """FINN's MinimizeAccumulatorWidth, then the constants of the requants that follow from it."""
    from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth

    model = model.transform(MinimizeAccumulatorWidth())
    for node in model.graph.node:
        if kind(inst := getCustomOp(node)) == "VitrailRequant":
            inst.finish_constants(model)
    return model


def apply_folding(model: ModelWrapper, config: dict[str, dict[str, Any]], fpgapart: str) -> ModelWrapper:
    """Set PE and SIMD (FINN's ApplyConfig), lanes behind every mvu, default FIFOs; specialize and annotate cycles.

    Args:
        model: Lowered graph with minimized accumulators.
        config: Folding.config, entries for outFIFODepths included or not.
        fpgapart: Part name for FINN.
    """
    from finn.transformation.fpgadataflow.annotate_cycles import AnnotateCycles
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from finn.transformation.general import ApplyConfig

    model = model.transform(ApplyConfig(config, node_filter=lambda node: node.name in config))
    for node in model.graph.node:
        inst = getCustomOp(node)
        if kind(inst) == "VitrailMvu":
            permute_lanes(model, inst)
        if "outFIFODepths" not in config.get(node.name, {}):
            inst.set_nodeattr("outFIFODepths", default_depths(inst))
    names = [node.name for node in model.graph.node]
    model = model.transform(SpecializeLayers(fpgapart))
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    return model.transform(AnnotateCycles())


def permute_lanes(model: ModelWrapper, mvu: Any) -> None:
    """Tell the requant behind an mvu on which lane each row runs; channels keep their order behind it."""
    node = mvu.onnx_node
    behind = model.find_consumers(node.output[0])
    if len(behind) != 1 or kind(requant := getCustomOp(behind[0])) != "VitrailRequant":
        raise ValueError(f"fold: {node.name!r} must be followed by one Requant, which undoes the order of its lanes")
    pe = mvu.get_nodeattr("PE")
    requant.set_nodeattr("PE", pe)
    requant.set_nodeattr("tile", mvu.get_nodeattr("tile"))
    order = mvu.permutation()
    lane = np.empty(order.size, dtype=np.int64)
    lane[order] = np.arange(order.size) % pe
    requant.set_nodeattr("lane", [int(v) for v in lane])
    requant.finish_constants(model)


def default_depths(inst: Any) -> list[int]:
    """FIFO depths before sizing: two images behind a branch, plain wires into requants, FIFO_BEATS elsewhere."""
    if kind(inst) in ("VitrailMvu", "VitrailMatmul", "VitrailLayerNorm"):
        return [0]
    branching = kind(inst) in ("VitrailFork", "VitrailSplit")
    return [
        max(FIFO_BEATS, BRANCH_IMAGES * math.prod(s.shape)) if branching else FIFO_BEATS for s in inst.streams_out()
    ]


def unit_rows(model: ModelWrapper, fpgapart: str) -> list[dict[str, Any]]:
    """One row a unit for the report: folding, ideal cycles, estimates."""
    rows = []
    for node in model.graph.node:
        inst = getCustomOp(node)
        known = inst.get_nodeattr_types()
        cost = inst.cost(fpgapart)
        rows.append(
            {
                "name": node.name,
                "op": kind(inst),
                "pe": inst.get_nodeattr("PE") if "PE" in known else None,
                "simd": inst.get_nodeattr("SIMD") if "SIMD" in known else None,
                "tile": inst.get_nodeattr("tile") if "tile" in known else None,
                "macs": inst.macs(),
                "ideal_cycles": int(inst.get_exp_cycles()),
                "lut_estimate": cost.lut,
                "dsp_estimate": cost.dsp,
                "bram_estimate": cost.bram,
            }
        )
    return rows


def finn_reports(model: ModelWrapper, out_dir: Path, fpgapart: str) -> dict[str, Any]:
    """FINN's own partition and estimate reports, written as JSON into out_dir.

    Returns:
        dataflow_performance's figures.
    """
    from finn.analysis.fpgadataflow.dataflow_performance import dataflow_performance
    from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
    from finn.analysis.fpgadataflow.op_and_param_counts import op_and_param_counts
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition

    out_dir.mkdir(parents=True, exist_ok=True)
    parent = model.transform(CreateDataflowPartition(str(out_dir)))
    parent.save(str(out_dir / "parent.onnx"))
    performance = model.analysis(dataflow_performance)
    reports = {
        "exp_cycles_per_layer": model.analysis(exp_cycles_per_layer),
        "res_estimation": res_estimation(model, fpgapart),
        "op_and_param_counts": model.analysis(op_and_param_counts),
        "dataflow_performance": performance,
    }
    for name, content in reports.items():
        (out_dir / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    return performance
