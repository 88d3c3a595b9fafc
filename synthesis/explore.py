# SPDX-License-Identifier: Apache-2.0
"""`make explore`: shift-add ratio, bit widths, PE, SIMD and lane of every row that give a board most throughput.

Each design is the model's dataflow graph with other row schemes in the layers that the recipe mixes and other weight
bits in its blocks, or that of the model with other activation bits; synthesis/fold.py finds PE, SIMD and lanes for it.
Geometry decides, not the values of the weights: a layer with other bits or schemes takes its accumulator width from
what seeded random weights of both kinds differ by. Throughput alone ranks: accuracy stands beside it where a sweep has
measured it, and is never estimated.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from rich.console import Console
from rich.table import Table

from models.names import build_root, list_recipes
from quant.recipe import WIDTH_LISTS, Recipe, load_recipe
from quant.schemes import FIXED, magnitudes, scheme_id
from synthesis import fold
from synthesis.build import ROOT
from synthesis.ops.base import int_type
from synthesis.sweep import TRIALS, list_sweeps, load_sweep

SEED = 1
SHOWN = 10  # designs of the model's widths
SHOWN_OTHERS = 3  # designs of each other pair of widths
PACES = (1.5, 2.0, 3.0)  # image times, relative to the best design's, that it is also folded for
WIDTH = 154  # of the table where no terminal says how wide it may be
# Recipe keys that a variant has values of its own for, or that no network depends on
VARIED = ("scheme", "mixed_layers", "shift_add_rows", *WIDTH_LISTS)

Widths = tuple[int, int]  # weight bits, activation bits
Point = tuple[int, int, str, int]  # weight bits, activation bits, scheme, shift-add rows


@dataclass(frozen=True)
class Variant:
    """Bit widths, and so many rows of a scheme in each row_group; lanes as in fold.search.

    Attributes:
        pace: 1 for the shortest image time, 2 for the cheapest folding of twice that time.
    """

    weight_bits: int
    activation_bits: int
    scheme: str
    shift_add_rows: int
    lanes: str = "all"
    pace: float = 1.0

    @property
    def widths(self) -> Widths:
        """Weight bits, activation bits."""
        return self.weight_bits, self.activation_bits

    @property
    def point(self) -> Point:
        """What the accuracy depends on."""
        return (*self.widths, self.scheme if self.shift_add_rows else "fixed", self.shift_add_rows)


@dataclass(frozen=True)
class Measured:
    """Top-1 in percent of a design in a sweep: mean over its seeds, their number, file."""

    top1: float
    seeds: int
    source: str


@dataclass(frozen=True)
class Design:
    """A variant folded for a board.

    Attributes:
        variant: What was folded.
        folding: Result of fold.search.
        macs: Multiply-accumulates of an image.
        lanes: MACs of a cycle by lane, as lane_rows counts them.
        measured: Accuracy in a sweep; None where no sweep has the design.
    """

    variant: Variant
    folding: fold.Folding
    macs: int
    lanes: dict[str, int] = field(default_factory=dict)
    measured: Measured | None = None

    def order(self) -> tuple[int, int, int]:
        """What fits comes first, then the fastest, then the smallest."""
        return (len(self.folding.excess), self.folding.cycles, self.folding.used["lut"])

    def content(self, clock_mhz: float) -> dict[str, Any]:
        """The design as JSON."""
        found = self.folding
        return {
            "weight_bits": self.variant.weight_bits,
            "activation_bits": self.variant.activation_bits,
            "scheme": self.variant.point[2],
            "shift_add_rows": self.variant.shift_add_rows,
            "lanes": self.variant.lanes,
            "measured": None if self.measured is None else asdict(self.measured),
            "cycles": found.cycles,
            "slowest": found.slowest,
            "images_per_second_estimate": clock_mhz * 1e6 / found.cycles,
            "macs_per_cycle": self.macs / found.cycles,
            "lane_macs": self.lanes,
            "estimate": found.used,
            "excess": found.excess,
            "config": found.config,
        }


def variants(
    recipe: Recipe, own: Widths, weight_bits: Iterable[int], activation_bits: Iterable[int], lanes: str = "all"
) -> list[Variant]:
    """Every ratio of the recipe's scheme at all widths, and DSP lanes alone at the model's own; own widths first.

    Args:
        recipe: The model's recipe.
        own: Widths of the model.
        weight_bits: Further weight bits.
        activation_bits: Further activation bits.
        lanes: "dsp" leaves the variants with DSP lanes alone, which no shift-add row takes.

    Raises:
        ValueError: other weight bits for a recipe that chooses those of each layer itself.
    """
    widths = [(w, a) for a in dict.fromkeys((own[1], *activation_bits)) for w in dict.fromkeys((own[0], *weight_bits))]
    if recipe.method == "liu" and (others := sorted({w for w, _ in widths if w != own[0]})):
        raise ValueError(
            f"explore: weight bits {', '.join(map(str, others))} for a recipe of method liu, which chooses the bits of "
            "each layer by calibration; leave --weight-bits away, or name a model with another number of weight bits"
        )
    if lanes == "dsp":
        return [Variant(w, a, recipe.scheme, 0, "dsp") for w, a in widths]
    mixes = recipe.scheme != "fixed" and recipe.mixed_layers != "none"
    found = [Variant(w, a, recipe.scheme, r) for w, a in widths for r in range(recipe.row_group * mixes + 1)]
    return [*found, Variant(*own, recipe.scheme, 0, "dsp")]


def mixed(name: str, mixed_layers: str) -> bool:
    """True for the mvus whose rows a recipe mixes."""
    return name.startswith("blocks.") and (mixed_layers == "all" or (mixed_layers == "mlp" and ".mlp." in name))


def with_variant(model: ModelWrapper, variant: Variant, recipe: Recipe, own_bits: int) -> ModelWrapper:
    """A copy of a lowered graph with the variant's weight bits in its blocks and its schemes in the mixed layers.

    A variant of the model's own weight bits (own_bits) keeps those of each layer, which may differ.

    Raises:
        ValueError: rows of a mixed layer are no multiple of the recipe's row_group.
    """
    copy = ModelWrapper(model.model, make_deepcopy=True)
    for node in copy.graph.node:
        inst = getCustomOp(node)
        if fold.kind(inst) != "VitrailMvu" or not node.name.startswith("blocks."):
            continue
        rows, group = inst.get_nodeattr("rows"), recipe.row_group
        schemes = [FIXED] * rows
        if variant.shift_add_rows and mixed(node.name, recipe.mixed_layers):
            if rows % group:
                raise ValueError(
                    f"explore: {node.name} has {rows} rows, expected a multiple of row_group={group} of its recipe"
                )
            kinds = [FIXED] * (group - variant.shift_add_rows) + [scheme_id(variant.scheme)] * variant.shift_add_rows
            schemes = kinds * (rows // group)
        old, old_bits = inst.schemes().tolist(), inst.get_nodeattr("w_bits")
        w_bits = old_bits if variant.weight_bits == own_bits else variant.weight_bits
        same_mix = all(schemes.count(s) == old.count(s) for s in set(schemes) | set(old))
        if same_mix and w_bits == old_bits:
            continue
        before = random_bits(inst)
        inst.set_nodeattr("row_scheme", schemes)
        inst.set_nodeattr("w_bits", w_bits)
        bits = max(2, inst.get_nodeattr("acc_bits") + random_bits(inst) - before)
        inst.set_nodeattr("acc_bits", bits)
        copy.set_tensor_datatype(node.output[0], int_type(bits))
        for behind in copy.find_consumers(node.output[0]):
            getCustomOp(behind).set_nodeattr("acc_bits", bits)
    return copy


def random_bits(inst: Any) -> int:
    """Accumulator width of an mvu with seeded random weights of its bits and schemes."""
    rng = np.random.default_rng(SEED)
    values = {int(s): magnitudes(int(s), inst.get_nodeattr("w_bits")) for s in np.unique(inst.schemes())}
    weight = np.stack([rng.choice(values[int(s)], inst.get_nodeattr("k")) for s in inst.schemes()])
    return int(inst.accumulator_bits(weight * rng.choice([-1, 1], weight.shape)))


def explore(
    graphs: Mapping[int, ModelWrapper],
    board: dict[str, Any],
    recipe: Recipe,
    own: Widths,
    weight_bits: Iterable[int] = (),
    fps: float | None = None,
    fraction: float | None = None,
    lanes: str = "all",
    measured: Mapping[Point, Measured] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Design]:
    """Fold every variant of a lowered graph for a board, and the best one of the model's widths at PACES; best first.

    Args:
        graphs: Activation bits -> lowered graph with minimized accumulators, all with the model's own weight bits.
        board: Content of board.yaml.
        recipe: The model's recipe: scheme, row_group and mixed layers.
        own: Widths of the model.
        weight_bits: Further weight bits that may be chosen.
        fps: Images per second to reach; None takes the fastest design. Then the smallest design comes first.
        fraction: Share of the device; None takes the shares of board.yaml.
        lanes: "all", or "dsp": no row on LUTs.
        measured: Accuracies of a sweep (measured_points).
        tell: Takes the progress.
    """

    def design(variant: Variant, rate: float | None) -> Design:
        copy = with_variant(graphs[variant.activation_bits], variant, recipe, own[0])
        macs = sum(getCustomOp(node).macs() for node in copy.graph.node)
        found = fold.search(copy, board, rate, fraction, variant.lanes)
        return Design(variant, found, macs, lane_rows(copy, found), (measured or {}).get(variant.point))

    todo, designs = variants(recipe, own, weight_bits, graphs, lanes), []
    for number, variant in enumerate(todo, 1):
        tell(f"design {number} of {len(todo)}")
        designs.append(design(variant, fps))
    if fps is not None:
        return sorted(designs, key=lambda d: (len(d.folding.excess), d.folding.used["lut"]))
    best = min((d for d in designs if d.variant.widths == own), key=Design.order)
    for pace in PACES if not best.folding.excess else ():
        tell(f"{pace:g} times the image time")
        slower = design(replace(best.variant, pace=pace), board["clock_mhz"] * 1e6 / (best.folding.cycles * pace))
        if slower.folding.used["lut"] < best.folding.used["lut"]:
            designs.append(slower)
    return sorted(designs, key=Design.order)


def sweep_files(backbone: str) -> list[Path]:
    """Trials of the sweeps of a backbone: of this machine's build folder, then those in docs/results."""
    names = [name for name in list_sweeps() if load_sweep(name).backbone == backbone]
    own = [build_root() / "sweep" / name / TRIALS for name in names]
    return [path for path in (*own, *(ROOT / "docs" / "results" / f"sweep_{n}.json" for n in names)) if path.is_file()]


def measured_points(recipe: Recipe, files: Iterable[Path]) -> dict[Point, Measured]:
    """Accuracies of designs that have the recipe but for scheme and ratio; the first file that has a design counts.

    Raises:
        ValueError: a file is no trials.json of a sweep.
    """
    points: dict[Point, Measured] = {}
    for path in files:
        found: dict[Point, list[float]] = {}
        try:
            for trial in json.loads(path.read_text(encoding="utf-8"))["trials"]:
                if "infeasible" not in trial and same_recipe(recipe, trial["params"]):
                    found.setdefault(point_of(trial["params"]), []).append(trial["results"]["integer_top1"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"explore: {path} is no trials.json of a sweep ({error!r}), from which the accuracies come; "
                '`make sweep` with ARGS="--stages report" writes it anew'
            ) from None
        source = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
        points = {point: Measured(fmean(v), len(v), source) for point, v in found.items()} | points
    return points


def same_recipe(recipe: Recipe, params: dict[str, Any]) -> bool:
    """True for a sweep's design that has the recipe but for what a variant varies and the length of the training."""
    if params["base"] not in list_recipes():
        return False
    base = load_recipe(params["base"])
    trained = params["training"] == "qat" and base.method == "qat"
    same = all(getattr(base, key) == value for key, value in asdict(recipe).items() if key not in VARIED)
    mixes = params["shift_add_rows"] and params["scheme"] != "fixed" and params["mixed_layers"] != "none"
    return same and trained == (recipe.epochs > 0) and (not mixes or params["mixed_layers"] == recipe.mixed_layers)


def point_of(params: dict[str, Any]) -> Point:
    """A sweep's design as Variant.point has it."""
    rows = params["shift_add_rows"] if params["mixed_layers"] != "none" and params["scheme"] != "fixed" else 0
    return params["weight_bits"], params["activation_bits"], params["scheme"] if rows else "fixed", rows


def lane_rows(model: ModelWrapper, folding: fold.Folding) -> dict[str, int]:
    """MACs of a cycle by lane: on multiplier blocks; on LUTs fixed-point and shift-add rows, and all rows in tables."""
    counts = {"dsp": 0, "lut_fixed": 0, "lut_shift_add": 0, "lut_da": 0}
    for node in model.graph.node:
        entry = folding.config.get(node.name, {})
        if "PE" not in entry:
            continue
        if entry["da"]:
            counts["lut_da"] += entry["PE"] * entry["SIMD"]
            continue
        inst = getCustomOp(node)
        fixed = int((inst.schemes()[: entry["PE"]] == FIXED).sum())
        counts["dsp"] += entry["dsp_rows"] * entry["SIMD"]
        counts["lut_fixed"] += (fixed - entry["dsp_rows"]) * entry["SIMD"]
        counts["lut_shift_add"] += (entry["PE"] - fixed) * entry["SIMD"]
    return counts


def show(designs: list[Design], name: str, own: Widths, board: dict[str, Any], fps: float | None, out: Console) -> None:
    """Print the best designs of each pair of widths, pairs with the best design first, and the best one's folding."""
    order = "images per second" if fps is None else f"LUTs at {fps:g} images per second"
    table = Table(
        title=f"{name} on {board['name']}: ranked by {order} alone, not by accuracy; all but top-1 are estimates",
        title_justify="left",
    )
    heads = ("widths", "shift-add rows", "lanes", "cycles", "images/s", "MAC/cycle", "on DSP", "fixed on LUT")
    heads += ("shift-add", "in tables", "LUT", "DSP", "BRAM", "top-1 % (seeds)", "fits")
    for head in heads:
        left = head in ("widths", "shift-add rows", "lanes", "fits")
        table.add_column(head, justify="left" if left else "right", min_width=12 if head == "top-1 % (seeds)" else None)
    for widths in dict.fromkeys(design.variant.widths for design in designs):
        group = [design for design in designs if design.variant.widths == widths]
        for design in group[: SHOWN if widths == own else SHOWN_OTHERS]:
            table.add_row(*row(design, board["clock_mhz"]))
        table.add_section()
    best = designs[0]
    budget = (f"{best.folding.available[key]:,}" for key in fold.RESOURCES)
    table.add_row("budget", *[""] * 9, *budget, "", "")
    if not out.is_terminal:
        out.width = max(out.width, WIDTH)
    out.print(table)
    shown = f"W{best.variant.weight_bits}A{best.variant.activation_bits}, shift-add rows: {ratio(best.variant)}"
    units = Table(title=f"the first design ({shown}), mvu and matmul", title_justify="left")
    for head in ("unit", "PE", "SIMD", "rows on DSP", "tokens of a table"):
        units.add_column(head, justify="left" if head == "unit" else "right")
    for unit, entry in best.folding.config.items():
        if unit != "Defaults":
            tile = str(entry["tile"]) if entry.get("da") else "-"
            units.add_row(unit, *(str(entry.get(key, "-")) for key in ("PE", "SIMD", "dsp_rows")), tile)
    out.print(units)
    sources = sorted({design.measured.source for design in designs if design.measured is not None})
    out.print(
        f"top-1: mean over the seeds of a sweep ({', '.join(sources)}), where training is short: these compare with "
        "one another, not with make train"
        if sources
        else "top-1: no sweep has measured one of these designs (make sweep)"
    )
    for note in best.folding.notes:
        out.print(note)
    for text in best.folding.excess.values():
        out.print(f"does not fit: {text}; cycles are those of the other resources")


def ratio(variant: Variant) -> str:
    """Shift-add rows as the table has them."""
    return f"{variant.shift_add_rows} {variant.scheme}" if variant.shift_add_rows else "none"


def row(design: Design, clock_mhz: float) -> tuple[str, ...]:
    """A design's row of the table."""
    found, variant, measured = design.folding, design.variant, design.measured
    return (
        f"W{variant.weight_bits}A{variant.activation_bits}",
        ratio(variant),
        variant.lanes,
        f"{found.cycles:,}",
        f"{clock_mhz * 1e6 / found.cycles:,.0f}",
        f"{design.macs / found.cycles:.0f}",
        *(str(count) for count in design.lanes.values()),
        *(f"{found.used[key]:,}" for key in fold.RESOURCES),
        "not measured" if measured is None else f"{measured.top1:.2f} ({measured.seeds})",
        "yes" if not found.excess else "; ".join(found.excess),
    )
