# SPDX-License-Identifier: Apache-2.0
"""`make explore`: shift-add ratio, weight bits, PE, SIMD and lane of every row that give a board most throughput.

Each design is the model's dataflow graph with other row schemes and weight bits in the layers that the recipe mixes;
synthesis/fold.py finds PE, SIMD and lanes for it. Geometry decides, not the values of the weights: a layer with other
bits or schemes takes its accumulator width from what seeded random weights of both kinds differ by.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from rich.console import Console
from rich.table import Table

from quant.recipe import Recipe
from quant.schemes import FIXED, magnitudes, scheme_id
from synthesis import fold
from synthesis.ops.base import int_type

SEED = 1
SHOWN = 10
WIDTH = 140  # of the table where no terminal says how wide it may be


@dataclass(frozen=True)
class Variant:
    """Weight bits, and so many rows of a scheme in each row_group; lanes as in fold.search."""

    weight_bits: int
    scheme: str
    shift_add_rows: int
    lanes: str = "all"


@dataclass(frozen=True)
class Design:
    """A variant folded for a board.

    Attributes:
        variant: What was folded.
        folding: Result of fold.search.
        macs: Multiply-accumulates of an image.
        lanes: MACs of a cycle by lane, as lane_rows counts them.
    """

    variant: Variant
    folding: fold.Folding
    macs: int
    lanes: dict[str, int] = field(default_factory=dict)

    def order(self) -> tuple[int, int, int]:
        """What fits comes first, then the fastest, then the smallest."""
        return (len(self.folding.excess), self.folding.cycles, self.folding.used["lut"])

    def content(self, clock_mhz: float) -> dict[str, Any]:
        """The design as JSON."""
        found = self.folding
        return {
            "weight_bits": self.variant.weight_bits,
            "scheme": self.variant.scheme if self.variant.shift_add_rows else "fixed",
            "shift_add_rows": self.variant.shift_add_rows,
            "lanes": self.variant.lanes,
            "cycles": found.cycles,
            "slowest": found.slowest,
            "images_per_second_estimate": clock_mhz * 1e6 / found.cycles,
            "macs_per_cycle": self.macs / found.cycles,
            "lane_macs": self.lanes,
            "estimate": found.used,
            "excess": found.excess,
            "config": found.config,
        }


def variants(recipe: Recipe, own_bits: int, weight_bits: Iterable[int]) -> list[Variant]:
    """Every ratio of the recipe's scheme at every width, and DSP lanes alone at every width."""
    found = []
    for bits in dict.fromkeys((own_bits, *weight_bits)):
        found += [Variant(bits, recipe.scheme, 0), Variant(bits, recipe.scheme, 0, "dsp")]
        if recipe.scheme != "fixed" and recipe.mixed_layers != "none":
            found += [Variant(bits, recipe.scheme, rows) for rows in range(1, recipe.row_group + 1)]
    return found


def mixed(name: str, mixed_layers: str) -> bool:
    """True for the mvus whose rows a recipe mixes."""
    return name.startswith("blocks.") and (mixed_layers == "all" or (mixed_layers == "mlp" and ".mlp." in name))


def with_variant(model: ModelWrapper, variant: Variant, recipe: Recipe) -> ModelWrapper:
    """A copy of a lowered graph with the variant's weight bits in its blocks and its schemes in the mixed layers."""
    copy = ModelWrapper(model.model, make_deepcopy=True)
    for node in copy.graph.node:
        inst = getCustomOp(node)
        if fold.kind(inst) != "VitrailMvu" or not node.name.startswith("blocks."):
            continue
        rows, group = inst.get_nodeattr("rows"), recipe.row_group
        schemes = [FIXED] * rows
        if variant.shift_add_rows and mixed(node.name, recipe.mixed_layers) and rows % group == 0:
            kinds = [FIXED] * (group - variant.shift_add_rows) + [scheme_id(variant.scheme)] * variant.shift_add_rows
            schemes = kinds * (rows // group)
        old = inst.schemes().tolist()
        same_mix = all(schemes.count(s) == old.count(s) for s in set(schemes) | set(old))
        if same_mix and variant.weight_bits == inst.get_nodeattr("w_bits"):
            continue
        before = random_bits(inst)
        inst.set_nodeattr("row_scheme", schemes)
        inst.set_nodeattr("w_bits", variant.weight_bits)
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
    model: ModelWrapper,
    board: dict[str, Any],
    recipe: Recipe,
    own_bits: int,
    weight_bits: Iterable[int] = (),
    fps: float | None = None,
    fraction: float | None = None,
) -> list[Design]:
    """Fold every variant of a lowered graph for a board; best first.

    Args:
        model: Lowered graph with minimized accumulators.
        board: Content of board.yaml.
        recipe: The model's recipe: scheme, row_group and mixed layers.
        own_bits: Weight bits of the model.
        weight_bits: Further widths that may be chosen.
        fps: Images per second to reach; None takes the fastest design. Then the smallest design comes first.
        fraction: Share of the device; None takes the shares of board.yaml.
    """
    designs = []
    for variant in variants(recipe, own_bits, weight_bits):
        copy = with_variant(model, variant, recipe)
        macs = sum(getCustomOp(node).macs() for node in copy.graph.node)
        found = fold.search(copy, board, fps, fraction, variant.lanes)
        designs.append(Design(variant, found, macs, lane_rows(copy, found)))
    return sorted(
        designs, key=Design.order if fps is None else lambda d: (len(d.folding.excess), d.folding.used["lut"])
    )


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


def show(designs: list[Design], name: str, board: dict[str, Any], out: Console) -> None:
    """Print the best designs, and the folding of the best one."""
    clock = board["clock_mhz"]
    table = Table(
        title=f"{name} on {board['name']}: best designs first; all figures are estimates", title_justify="left"
    )
    heads = ("weights", "shift-add rows", "lanes", "cycles", "images/s", "MAC/cycle", "on DSP", "fixed on LUT")
    heads += ("shift-add", "in tables", "LUT", "DSP", "BRAM", "fits")
    for head in heads:
        table.add_column(head, justify="left" if head in ("shift-add rows", "lanes", "fits") else "right")
    for design in designs[:SHOWN]:
        found, variant = design.folding, design.variant
        ratio = f"{variant.shift_add_rows} {variant.scheme}" if variant.shift_add_rows else "none"
        cells = (
            f"{variant.weight_bits} bit",
            ratio,
            variant.lanes,
            f"{found.cycles:,}",
            f"{clock * 1e6 / found.cycles:,.0f}",
        )
        cells += (f"{design.macs / found.cycles:.0f}", *(str(count) for count in design.lanes.values()))
        cells += tuple(f"{found.used[key]:,}" for key in fold.RESOURCES)
        table.add_row(*cells, "yes" if not found.excess else "; ".join(found.excess))
    best = designs[0]
    table.add_section()
    budget = (f"{best.folding.available[key]:,}" for key in fold.RESOURCES)
    table.add_row("budget", *[""] * 9, *budget, "")
    if not out.is_terminal:
        out.width = max(out.width, WIDTH)
    out.print(table)
    units = Table(title="the best design, mvu and matmul", title_justify="left")
    for head in ("unit", "PE", "SIMD", "rows on DSP", "tokens of a table"):
        units.add_column(head, justify="left" if head == "unit" else "right")
    for unit, entry in best.folding.config.items():
        if unit != "Defaults":
            tile = str(entry["tile"]) if entry.get("da") else "-"
            units.add_row(unit, *(str(entry.get(key, "-")) for key in ("PE", "SIMD", "dsp_rows")), tile)
    out.print(units)
    for note in best.folding.notes:
        out.print(note)
    for text in best.folding.excess.values():
        out.print(f"does not fit: {text}; cycles are those of the other resources")
