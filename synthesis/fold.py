# SPDX-License-Identifier: Apache-2.0
"""Choose PE and SIMD of every unit from a frame rate or from the board's budget; finish the dataflow graph with them.

Units other than mvu and matmul move one element a cycle, so they set the fastest useful image time. For a given image
time every mvu and matmul takes its cheapest form that is fast enough; the search is for the shortest image time whose
estimated resources fit. Fixed-point rows run on multiplier blocks, in pairs where they pack, or on LUTs; shift-add rows
run on LUTs. There weights change every cycle (bit planes, shift-add), or stay in tables while the tokens of a tile pass
(distributed arithmetic), whichever is estimated to be cheaper.
"""

import bisect
import json
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from quant.schemes import FIXED
from sim.golden.mvu import da_offset
from synthesis.cost import BRAM_BITS, Cost, family, module_cost
from synthesis.finn_env import load_finn
from synthesis.ops.base import int_type
from synthesis.ops.mvu import da_beats, lane_order
from synthesis.ops.requant import MULT_BITS

ops = load_finn()

RESOURCES = ("lut", "dsp", "bram")
# Attributes of an mvu that a folding sets
MVU_FOLDING = ("PE", "SIMD", "tile", "dsp_rows", "da")
# Attributes of the requant behind it that follow: from PE and tile, and from the offset of distributed arithmetic
BIAS = ("bias_bits", "bias_varies", "drop_bits")
PAIRED = ("PE", "tile", *BIAS)
# Prices in LUTs of a multiplier block and of a block RAM that the search tries.
PRICES = (0, 5, 10, 20, 40, 60, 80, 100, 120, 160, 200, 300, 500, 1000)
# Image times below the first one that fits which the search tries, too
NEAR_STEPS = 24
RESOURCE_NAMES = {"lut": "LUT", "dsp": "DSP", "bram": "block RAM (18 kbit)"}
# A FIFO that holds the beats of this many images, where a branch waits for the other one: a block of tiled units can
# have more than two inside, and sizing should see the image time of the slowest unit.
BRANCH_IMAGES = 4
FIFO_BEATS = 32
# Inputs that a branch may have to wait at (fifos_cost)
WAITING = {"VitrailAdd": (0, 1), "VitrailMatmul": (0,)}


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
        notes: What the budget had to give up of a fraction of the device.
    """

    config: dict[str, dict[str, Any]]
    target_cycles: int
    cycles: int
    slowest: str
    used: dict[str, int]
    available: dict[str, int]
    excess: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def target_of(board: dict[str, Any]) -> int:
    """TARGET parameter of the multiplier wrappers: 1 ECP5, 2 UltraScale+, 0 others."""
    if family(board["part"]) == "ecp5":
        return 1
    return 2 if re.match(r"xc(zu|au|k26|[kv]u\d+p)", board["part"].lower()) else 0


def budget(board: dict[str, Any], fraction: float | None = None) -> dict[str, int]:
    """LUT, DSP and 18-kbit block RAMs that folding may use on a board.

    Args:
        board: Content of board.yaml.
        fraction: Share of the whole device; None takes the shares and the limit of board.yaml.
    """
    resources = board["resources"]
    blocks = resources["bram"] * max(1, round(board["bram_bits"] / BRAM_BITS))
    if fraction is not None:
        return {key: int(count * fraction) for key, count in (resources | {"bram": blocks}).items() if key in RESOURCES}
    share = board["block_fraction"]
    lut = min(int(resources["lut"] * board["budget_fraction"]), board["fold_lut_limit"])
    return {"lut": lut, "dsp": int(resources["dsp"] * share), "bram": int(blocks * share)}


def check_fps(fps: float, clock_mhz: float) -> int:
    """Cycles of an image at a frame rate.

    Raises:
        ValueError: the rate is not positive, or so small that no number of cycles is that large.
    """
    if not math.isfinite(fps) or fps <= 0 or not math.isfinite(clock_mhz * 1e6 / fps):
        raise ValueError(f"fold: FPS={fps:g}, expected a frame rate above zero, such as FPS=1000")
    return int(clock_mhz * 1e6 / fps)


@dataclass(frozen=True)
class Option:
    """One folding of an mvu (PE, SIMD, fixed rows on multiplier blocks, tile, tables) or matmul (SIMD)."""

    pe: int
    simd: int
    dsp_rows: int
    cycles: int
    cost: Cost
    tile: int = 1
    da: int = 0


def divisors(number: int) -> list[int]:
    """Divisors in ascending order."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def mvu_options(inst: Any, requant: Any, fpgapart: str, lanes: str = "all") -> list[Option]:
    """Foldings of an mvu: PE divides the rows and sees one mix of schemes in all groups, SIMD divides k.

    The fixed rows of an option run all on multiplier blocks or, with lanes "all", all on LUTs; the search moves single
    rows afterwards. With lanes "all" there is distributed arithmetic, too (da_options). Costs are those of the mvu and
    of the requant behind it.

    Raises:
        ValueError: lanes is "dsp" and rows are shift-add.
    """
    saved = [
        (unit, name, unit.get_nodeattr(name))
        for unit, names in ((inst, MVU_FOLDING), (requant, PAIRED))
        for name in names
    ]
    inst.set_nodeattr("da", 0)
    inst.set_nodeattr("tile", 1)
    schemes = inst.schemes()
    if lanes == "dsp" and (schemes != FIXED).any():
        raise ValueError(
            f"fold: LANES=dsp, but {int((schemes != FIXED).sum())} of {schemes.size} rows of {inst.onnx_node.name!r} "
            "are PoT or SP2, which no DSP lane takes; choose a model of the recipe 'fixed' (make list-models)"
        )
    options = []
    for pe in divisors(inst.get_nodeattr("rows")):
        if pe > 64 or not _same_mix(schemes, pe):
            continue
        inst.set_nodeattr("PE", pe)
        fixed = inst.lanes()["fixed"]
        for simd in divisors(inst.get_nodeattr("k")):
            if simd > 64:
                break
            inst.set_nodeattr("SIMD", simd)
            cycles = inst.get_exp_cycles()
            for dsp_rows in (fixed,) if lanes == "dsp" or not fixed else (0, fixed):
                inst.set_nodeattr("dsp_rows", dsp_rows)
                options.append(Option(pe, simd, dsp_rows, cycles, pair_cost(inst, requant, fpgapart)))
            if lanes == "all":
                options += da_options(inst, requant, fpgapart)
    for unit, name, value in saved:
        unit.set_nodeattr(name, value)
    return options


def da_options(inst: Any, requant: Any, fpgapart: str) -> list[Option]:
    """Distributed arithmetic for an mvu as folded, with tiles of all tokens, of half of them, or just long enough."""
    tokens, pe, simd = (inst.get_nodeattr(name) for name in ("tokens", "PE", "SIMD"))
    bias = {name: requant.get_nodeattr(name) for name in BIAS}
    # offset * M, which has all low bits: an offset is a sum divided by the largest activation
    offset_bits = inst.get_nodeattr("acc_bits") - inst.get_nodeattr("a_bits") + 1 + MULT_BITS
    inst.set_nodeattr("da", 1)
    inst.set_nodeattr("dsp_rows", 0)
    requant.set_nodeattr("drop_bits", 0)
    for name in ("bias_bits", "bias_varies"):
        requant.set_nodeattr(name, max(bias["bias_bits"] + bias["drop_bits"], offset_bits))
    options = []
    shortest = da_beats(1, simd, 2)  # tokens that hide the loading of the next tables, where there are two banks
    for tile in sorted({tokens, math.ceil(tokens / 2), min(tokens, shortest)} - {1}) if simd > 1 else ():
        inst.set_nodeattr("tile", tile)
        options.append(Option(pe, simd, 0, inst.get_exp_cycles(), pair_cost(inst, requant, fpgapart), tile, 1))
    inst.set_nodeattr("da", 0)
    inst.set_nodeattr("tile", 1)
    for name, value in bias.items():
        requant.set_nodeattr(name, value)
    return options


def pair_cost(mvu: Any, requant: Any, fpgapart: str) -> Cost:
    """Cost of an mvu, of the requant behind it, which gets its PE and tile, and of the FIFO that a short tile needs."""
    for name in ("PE", "tile"):
        requant.set_nodeattr(name, mvu.get_nodeattr(name))
    cost = mvu.cost(fpgapart) + requant.cost(fpgapart)
    if beats := tile_beats(mvu):
        cost += module_cost(family(fpgapart), "fifo", {"WIDTH": mvu.get_nodeattr("a_bits"), "DEPTH": beats})
    return cost


def matmul_options(inst: Any, fpgapart: str) -> list[Option]:
    """Foldings of a matmul: every SIMD up to the contraction that lowers its cycles."""
    saved = inst.get_nodeattr("SIMD")
    options: list[Option] = []
    for simd in range(1, min(inst.contraction, 64) + 1):
        inst.set_nodeattr("SIMD", simd)
        cycles = inst.get_exp_cycles()
        if not options or cycles < options[-1].cycles:
            options.append(Option(1, simd, 0, cycles, inst.cost(fpgapart)))
    inst.set_nodeattr("SIMD", saved)
    return options


def _same_mix(schemes: np.ndarray, pe: int) -> bool:
    try:
        lane_order(schemes, pe)
    except ValueError:
        return False
    return True


class _Search:
    """Options of all units of one graph on one board.

    For an image time every unit takes the cheapest option that is fast enough, under a price in LUTs of a multiplier
    block and of a block RAM. The prices at which the whole fits the budget with the fewest LUTs are found by trying
    all of PRICES; the blocks then go to the fixed rows for which they save most LUTs.
    """

    def __init__(
        self, model: ModelWrapper, board: dict[str, Any], fraction: float | None = None, lanes: str = "all"
    ) -> None:
        self.part = board["part"]
        self.board = board
        self.nodes = list(model.graph.node)
        self.insts = {node.name: getCustomOp(node) for node in self.nodes}
        self.options: dict[str, list[Option]] = {}
        base = dict.fromkeys(RESOURCES, 0)
        slowest: dict[str, int] = {}
        self.behind = {
            name: requant_behind(model, inst) for name, inst in self.insts.items() if kind(inst) == "VitrailMvu"
        }
        paired = {requant.onnx_node.name for requant in self.behind.values()}
        for name, inst in self.insts.items():
            if kind(inst) == "VitrailMvu":
                inst.set_nodeattr("target", target_of(board))
                inst.set_nodeattr("dsp_sums", int(board["dsp_sums"]))
                self.options[name] = mvu_options(inst, self.behind[name], self.part, lanes)
            elif kind(inst) == "VitrailMatmul":
                self.options[name] = matmul_options(inst, self.part)
            else:
                cost = Cost() if name in paired else inst.cost(self.part)
                for key in RESOURCES:
                    base[key] += getattr(cost, key)
                slowest[name] = inst.get_exp_cycles()
        for inst in self.insts.values():
            cost = fifos_cost(model, inst, self.part)
            base["lut"] += cost.lut
            base["bram"] += cost.bram
        self.base = base
        self.fixed_unit = max(slowest, key=slowest.__getitem__)
        self.fixed_cycles = slowest[self.fixed_unit]
        # per unit: cycles, LUT, DSP, block RAM of each option
        self.table = {
            name: np.array([(o.cycles, o.cost.lut, o.cost.dsp, o.cost.bram) for o in options], dtype=np.float64)
            for name, options in self.options.items()
        }
        # mvu foldings with all fixed rows on LUTs and all on multiplier blocks
        self.ends: dict[tuple[str, int, int], tuple[Option, Option]] = {}
        for name, options in self.options.items():
            shaped: dict[tuple[int, int], list[Option]] = {}
            for option in options:
                if not option.da:
                    shaped.setdefault((option.pe, option.simd), []).append(option)
            for shape, pair in shaped.items():
                if len(pair) == 2:
                    self.ends[(name, *shape)] = (pair[0], pair[1])
        self.partial: dict[tuple[str, int, int, int], Option] = {}
        self.allocated: dict[int, tuple[dict[str, Option], dict[str, int]]] = {}
        self.available, self.notes = self.limits(fraction)
        self.possible = [key for key in RESOURCES if self.least(key) <= self.available[key]]

    def least(self, key: str) -> int:
        """Resources that no folding goes below; multiplier blocks of the lanes are not counted, they may be on LUTs."""
        used = self.base[key]
        for name, table in self.table.items():
            lanes = key == "dsp" and name in self.behind
            used += self.behind[name].cost(self.part).dsp if lanes else int(table[:, 1 + RESOURCES.index(key)].min())
        return used

    def limits(self, fraction: float | None) -> tuple[dict[str, int], list[str]]:
        """The budget; a fraction that is small beside what the other units need goes to the lanes on top of these."""
        available, notes = budget(self.board, fraction), []
        whole = budget(self.board)
        for key in ("dsp", "bram") if fraction is not None else ():
            others, share = self.least(key), available[key]
            if share < 2 * others and others <= whole[key]:
                available[key] = max(share, min(whole[key], others + min(share, others)))
            if available[key] > share:
                notes.append(
                    f"FRACTION={fraction:g} is {share} {RESOURCE_NAMES[key]}, but the slowest folding needs {others}"
                    f"{' beside its lanes' if key == 'dsp' else ''}; folding may use {available[key]}"
                )
        return available, notes

    def choose(self, cycles: int, dsp_price: float, bram_price: float) -> dict[str, Option]:
        """Cheapest option of every unit that takes at most `cycles`; the fastest one where none does."""
        prices = np.array([1.0, dsp_price, bram_price])
        chosen = {}
        for name, table in self.table.items():
            limit = max(cycles, table[:, 0].min())
            cost = np.where(table[:, 0] <= limit, table[:, 1:] @ prices, np.inf)
            chosen[name] = self.options[name][int(cost.argmin())]
        return chosen

    def total(self, chosen: dict[str, Option]) -> dict[str, int]:
        """Resources of all units."""
        costs = [option.cost for option in chosen.values()]
        return {key: self.base[key] + sum(getattr(cost, key) for cost in costs) for key in RESOURCES}

    def excess(self, used: dict[str, int]) -> float:
        """How far the resources are above the budget, as a sum of shares; what no folding can meet does not count."""
        return sum(max(0, used[key] - self.available[key]) / max(1, self.available[key]) for key in self.possible)

    def allocate(self, cycles: int) -> tuple[dict[str, Option], dict[str, int]]:
        """Folding for an image time, and its resources: the one nearest to the budget, then the fewest LUTs."""
        if cycles not in self.allocated:
            self.allocated[cycles] = self._allocate(cycles)
        return self.allocated[cycles]

    def _allocate(self, cycles: int) -> tuple[dict[str, Option], dict[str, int]]:
        best: dict[str, Option] = {}
        used: dict[str, int] = {}
        rank = (math.inf, math.inf)
        for dsp_price in PRICES:
            for bram_price in PRICES:
                chosen = self.settle(self.choose(cycles, dsp_price, bram_price))
                total = self.total(chosen)
                if (score := (round(self.excess(total), 6), total["lut"])) < rank:
                    best, used, rank = chosen, total, score
        return best, used

    def settle(self, chosen: dict[str, Option]) -> dict[str, Option]:
        """Give the multiplier blocks to fixed rows where a block saves most LUTs; the other fixed rows go to LUTs."""
        ends = {
            name: both
            for name, o in chosen.items()
            if not o.da and (both := self.ends.get((name, o.pe, o.simd))) is not None
        }
        chosen = chosen | {name: on_luts for name, (on_luts, _) in ends.items()}
        left = self.available["dsp"] - self.base["dsp"] - sum(option.cost.dsp for option in chosen.values())
        saved = {
            # products of a few bits take no block on UltraScale+
            name: (luts.cost.lut - dsps.cost.lut) / max(1, dsps.cost.dsp - luts.cost.dsp)
            for name, (luts, dsps) in ends.items()
        }
        for name in sorted((name for name in ends if saved[name] > 0), key=lambda name: -saved[name]):
            on_luts, on_dsps = ends[name]
            step = 2 if self.insts[name].packs() else 1
            rows = min(on_dsps.dsp_rows, step * max(0, left // on_luts.simd))
            chosen[name] = on_dsps if rows == on_dsps.dsp_rows else self.partly(name, on_luts, rows)
            left -= chosen[name].cost.dsp - on_luts.cost.dsp
        return chosen

    def partly(self, name: str, option: Option, rows: int) -> Option:
        """An option with some of its fixed rows on multiplier blocks."""
        key = (name, option.pe, option.simd, rows)
        if key not in self.partial:
            self.apply(self.insts[name], replace(option, dsp_rows=rows))
            cost = pair_cost(self.insts[name], self.behind[name], self.part)
            self.partial[key] = replace(option, dsp_rows=rows, cost=cost)
        return self.partial[key]

    def apply(self, inst: Any, option: Option) -> None:
        """Set an option on its node."""
        inst.set_nodeattr("SIMD", option.simd)
        if kind(inst) == "VitrailMvu":
            inst.set_nodeattr("PE", option.pe)
            for name in ("tile", "dsp_rows", "da"):
                inst.set_nodeattr(name, getattr(option, name))

    def fits(self, cycles: int) -> bool:
        """True when a folding for this image time is within the budget."""
        return self.excess(self.allocate(cycles)[1]) == 0

    def best_cycles(self) -> int:
        """Shortest image time that fits; the longest one when none does.

        PRICES are few, so now and then none of them fits an image time while one fits a shorter one: the NEAR_STEPS
        times below the one that bisection finds are tried, too.
        """
        steps = sorted({o.cycles for options in self.options.values() for o in options if o.cycles > self.fixed_cycles})
        steps = [self.fixed_cycles, *steps]
        if "lut" not in self.possible or "dsp" not in self.possible:
            return steps[-1]
        best = min(bisect.bisect_left(steps, True, key=self.fits), len(steps) - 1)
        place = best - 1
        while place >= max(0, best - NEAR_STEPS):
            if self.fits(steps[place]):
                best = place
            place -= 1
        return steps[best]


def kind(inst: Any) -> str:
    """Op type without the ending that SpecializeLayers adds."""
    return inst.onnx_node.op_type.removesuffix("_rtl")


def fifos_cost(model: ModelWrapper, inst: Any, fpgapart: str) -> Cost:
    """Estimate of the FIFOs behind a node: an image where a branch waits for the other one, elsewhere two beats.

    An add takes what passed its branch by only when the other branch has come, a matmul its first input only when it
    has stored the second; whatever else reads a branch takes it as it comes.
    """
    total = Cost()
    for name, stream, depth in zip(inst.onnx_node.output, inst.streams_out(), default_depths(inst), strict=True):
        if depth:
            waits = depth > FIFO_BEATS and any(
                list(reader.input).index(name) in WAITING.get(kind(getCustomOp(reader)), ())
                for reader in model.find_consumers(name)
            )
            params = {"WIDTH": stream.width, "DEPTH": depth // BRANCH_IMAGES if waits else 2}
            total += module_cost(family(fpgapart), "fifo", params)
    return total


def search(
    model: ModelWrapper,
    board: dict[str, Any],
    fps: float | None = None,
    fraction: float | None = None,
    lanes: str = "all",
) -> Folding:
    """Find PE, SIMD and the lane of each row for a board.

    Args:
        model: Lowered graph with minimized accumulators.
        board: Content of board.yaml.
        fps: Images per second at the board's clock; None takes the fastest that fits the budget.
        fraction: Share of the device to use, above 0 and at most 1; None takes the shares of board.yaml.
        lanes: "all", or "dsp": no row on LUTs.

    Returns:
        The folding; `excess` is empty when it fits.

    Raises:
        ValueError: the frame rate is not possible with one element a cycle, or lanes "dsp" with shift-add rows.
    """
    space = _Search(model, board, fraction, lanes)
    cycles = space.best_cycles() if fps is None else check_fps(fps, board["clock_mhz"])
    if cycles < space.fixed_cycles:
        most = board["clock_mhz"] * 1e6 / space.fixed_cycles
        raise ValueError(
            f"fold: FPS={fps:g} leaves {cycles} cycles an image at {board['clock_mhz']} MHz; "
            f"{space.fixed_unit!r} needs {space.fixed_cycles} at one element a cycle; at most FPS={int(most)}"
        )
    chosen, used = space.allocate(cycles)
    config: dict[str, dict[str, Any]] = {"Defaults": {}}
    for name, option in chosen.items():
        inst = space.insts[name]
        space.apply(inst, option)
        config[name] = {"SIMD": option.simd}
        if kind(inst) == "VitrailMvu":
            config[name] |= {name: inst.get_nodeattr(name) for name in (*MVU_FOLDING, "dsp_sums", "target")}
    times = {name: inst.get_exp_cycles() for name, inst in space.insts.items()}
    slowest = max(times, key=times.__getitem__)
    excess = {}
    for key in RESOURCES:
        have, want = space.available[key], used[key]
        if want > have:
            more = f" ({want / have - 1:+.0%})" if have else ""
            excess[key] = f"{want:,} {RESOURCE_NAMES[key]} of {have:,}{more}"
    return Folding(config, cycles, times[slowest], slowest, used, space.available, excess, space.notes)


def minimize_accumulators(model: ModelWrapper) -> ModelWrapper:
    """FINN's MinimizeAccumulatorWidth, then what follows from the constants."""
    from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth

    model = model.transform(MinimizeAccumulatorWidth())
    for node in model.graph.node:
        getCustomOp(node).finish_constants(model)
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
            inst.set_nodeattr("outFIFODepths", large_depths(model, inst))
    names = [node.name for node in model.graph.node]
    model = model.transform(SpecializeLayers(fpgapart))
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    return model.transform(AnnotateCycles())


def requant_behind(model: ModelWrapper, mvu: Any) -> Any:
    """The requant behind an mvu.

    Raises:
        ValueError: something else, or more than that, takes its accumulators.
    """
    behind = model.find_consumers(mvu.onnx_node.output[0])
    if len(behind) != 1 or kind(requant := getCustomOp(behind[0])) != "VitrailRequant":
        name = mvu.onnx_node.name
        raise ValueError(f"fold: {name!r} must be followed by one Requant, which undoes the order of its lanes")
    return requant


def permute_lanes(model: ModelWrapper, mvu: Any) -> None:
    """Fit the requant behind an mvu: the lane of each row (channels keep their order behind it), and its offset."""
    requant = requant_behind(model, mvu)
    pe = mvu.get_nodeattr("PE")
    requant.set_nodeattr("PE", pe)
    requant.set_nodeattr("tile", mvu.get_nodeattr("tile"))
    order = mvu.permutation()
    lane = np.empty(order.size, dtype=np.int64)
    lane[order] = np.arange(order.size) % pe
    requant.set_nodeattr("lane", [int(v) for v in lane])
    if mvu.get_nodeattr("da"):
        take_offset(model, mvu, requant)
    requant.finish_constants(model)


def take_offset(model: ModelWrapper, mvu: Any, requant: Any) -> None:
    """Add to a requant's B what distributed arithmetic leaves out of the accumulators: B + offset * M."""
    name = f"{requant.onnx_node.name}_bias_da"
    if requant.onnx_node.input[2] == name:
        raise ValueError(
            f"fold: {requant.onnx_node.name!r} holds offsets already; apply a folding to the lowered graph"
        )
    offset = da_offset(mvu.constant(model, 1))
    mult, bias = (np.broadcast_to(requant.constant(model, i), offset.shape) for i in (1, 2))
    model.set_initializer(name, bias + offset * mult)
    requant.onnx_node.input[2] = name
    bits = mvu.accumulator_bits(mvu.constant(model, 1))
    mvu.set_nodeattr("acc_bits", bits)
    requant.set_nodeattr("acc_bits", bits)
    model.set_tensor_datatype(mvu.onnx_node.output[0], int_type(bits))


def default_depths(inst: Any) -> list[int]:
    """FIFO depths of any reader: BRANCH_IMAGES behind a branch, plain wires into requants, FIFO_BEATS elsewhere."""
    if kind(inst) in ("VitrailMvu", "VitrailMatmul", "VitrailLayerNorm"):
        return [0]
    branching = kind(inst) in ("VitrailFork", "VitrailSplit")
    return [
        max(FIFO_BEATS, BRANCH_IMAGES * math.prod(s.shape)) if branching else FIFO_BEATS for s in inst.streams_out()
    ]


def large_depths(model: ModelWrapper, inst: Any) -> list[int]:
    """FIFO depths before sizing: default_depths, before an mvu at least its tile_beats."""
    depths = []
    for name, depth in zip(inst.onnx_node.output, default_depths(inst), strict=True):
        readers = map(getCustomOp, model.find_consumers(name))
        depths.append(max([depth, *(tile_beats(reader) for reader in readers if kind(reader) == "VitrailMvu")]))
    return depths


def tile_beats(mvu: Any) -> int:
    """Beats of a tile of an mvu whose last tile of an image is shorter; otherwise 0.

    With the short tile the reader's second bank is full before the mvu has done with the first one. Whoever makes the
    tokens at the same rate goes on into a FIFO.
    """
    tokens, tile = mvu.get_nodeattr("tokens"), mvu.get_nodeattr("tile")
    return tile * mvu.get_nodeattr("k") if 1 < tile < tokens and tokens % tile else 0


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
                "ff_estimate": cost.ff,
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
