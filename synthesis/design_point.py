# SPDX-License-Identifier: Apache-2.0
"""What a budget of LUTs and multiplier blocks holds in mvus: DSP lanes alone, and with LUT lanes beside them.

`make design-point` takes the published budget of Auto-ViT-Acc on the ZCU102. Every kind of lane is a real mvu of
ROWS x SIMD multiply-accumulates (synthesis/bench_lanes.py: W4A8, control, accumulators, weight tables and partial-sum
RAM included), synthesized with Yosys; the budget is filled with whole mvus, DSP lanes first, the last of these with as
many rows as blocks are left for. So a gain can be told apart: what fixed-point rows on LUTs bring, and what PoT or SP2
rows change of that.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from models.names import build_root
from synthesis import bench_lanes
from synthesis.backends import yosys
from synthesis.build import git_hash, write_json, write_text

ROWS = 8
TARGET = "xcup"
# Published for Auto-ViT-Acc on ZCU102 (FPL 2022, DeiT W8A8 mixed): what its design uses
BUDGET = {"lut": 185_000, "dsp": 1552}
KEPT = 0.30  # of the LUTs, for everything beside the mvus
PUBLISHED_GAIN = 1.74  # FPS per DSP, mixed scheme over fixed-point rows alone (P2-ViT, table VII)
DSP_LANE = "dsp_sums"
LUT_LANES = ("lut_da", "lut_stream")


@dataclass(frozen=True)
class Mvu:
    """One measured mvu: lane and scheme of its rows, MACs per cycle, LUT sites, FF, DSP, 36-kbit block RAMs."""

    lane: str
    scheme: str
    tile: int
    rows: int
    macs: int
    lut: float
    ff: float
    dsp: float
    bram: float


@dataclass(frozen=True)
class Point:
    """A budget filled with mvus.

    Attributes:
        name: What its LUT lanes hold.
        counts: mvus of DSP lanes, of LUT lanes.
        macs: Multiply-accumulates of a cycle.
        used: LUT, FF, DSP and block RAMs.
    """

    name: str
    counts: tuple[int, int]
    macs: int
    used: dict[str, int]


def measure(lane: str, scheme: str, rows: int = ROWS) -> Mvu:
    """Synthesize the mvu of a lane, or take its measurement from build/bench_lanes."""
    key = (TARGET, lane, scheme)
    [found] = [item for item in bench_lanes.lanes() if (item.target, item.name, item.scheme) == key]
    total = bench_lanes.measure(found, rows)
    figures = {name: total[name] for name in ("lut", "ff", "dsp", "bram")}
    return Mvu(lane, scheme, found.tile, rows, rows * bench_lanes.SIMD[TARGET], **figures)


def rest_rows(full: Mvu, dsp: int) -> int:
    """Rows of one more mvu on the blocks that whole mvus leave: an even number, as two rows share a block."""
    return int(dsp % full.dsp / full.dsp * full.rows) // 2 * 2


def fill(dsp_lanes: Sequence[Mvu], lut_lanes: Mvu | None, lut: int, dsp: int) -> Point:
    """Whole mvus of DSP lanes until the blocks or the LUTs are used up, then mvus of LUT lanes.

    Args:
        dsp_lanes: mvus whose rows are on multiplier blocks; of each as many as fit, in turn.
        lut_lanes: mvu whose rows are on LUTs; None leaves the other LUTs unused.
        lut: LUTs for all mvus.
        dsp: Multiplier blocks for all mvus.
    """
    counts: list[tuple[Mvu, int]] = []

    def used(key: str) -> float:
        return sum(getattr(mvu, key) * count for mvu, count in counts)

    for mvu in dsp_lanes:
        counts.append((mvu, int(min((dsp - used("dsp")) // mvu.dsp, (lut - used("lut")) // mvu.lut))))
    first = sum(count for _, count in counts)
    second = 0 if lut_lanes is None else int((lut - used("lut")) // lut_lanes.lut)
    if lut_lanes is not None:
        counts.append((lut_lanes, second))
    name = "none: DSP lanes alone" if lut_lanes is None else f"{lut_lanes.lane}, {lut_lanes.scheme}"
    figures = {key: round(used(key)) for key in ("lut", "ff", "dsp", "bram")}
    return Point(name, (first, second), round(used("macs")), figures)


def room(lut: int) -> int:
    """LUTs of a budget that mvus may use."""
    return round(lut * (1 - KEPT))


def markdown(mvus: list[Mvu], points: list[Point], given: dict[str, int], measured: str) -> str:
    """The report (docs/results/zcu102_mixed.md); given: the budget, measured: commit, day and machine."""
    lut, dsp = room(given["lut"]), given["dsp"]
    whose = ", the published size of Auto-ViT-Acc's mixed design on this board" if given == BUDGET else ""
    alone, mixed = points[0], points[1:]
    fixed = max((p for p in mixed if p.name.endswith("fixed")), key=lambda p: p.macs)
    shift = max((p for p in mixed if not p.name.endswith("fixed")), key=lambda p: p.macs, default=None)
    schemes = "- PoT and SP2 rows: not measured in this run."
    if shift is not None:
        schemes = f"""- With LUT lanes of **PoT or SP2** rows instead: {shift.macs:,} at best
  ({shift.macs / alone.macs:.2f} times; {shift.name}). The scheme changes the number by
  {shift.macs / fixed.macs - 1:+.1%} against fixed-point rows."""
    text = f"""# DSP and LUT lanes together in the ZCU102 budget of Auto-ViT-Acc

Multiply-accumulates of a cycle, W4A8 (4-bit weights, 8-bit activations), that {given["lut"]:,} LUTs and
{dsp:,} DSP48E2 hold{whose}.
{KEPT:.0%} of the LUTs are kept for everything beside the mvus, which leaves {lut:,}.

    make design-point

{measured}.
Yosys' counts ({yosys.version()}, synth_xilinx -family xcup), LUT sites as synthesis/backends/yosys.py defines them;
nothing is placed or routed, and whether a device this full meets its clock is open. An mvu is measured whole; several
of them are that number times, which is the only extrapolation. The last mvu on blocks has fewer rows, so that few stay
unused.

## The result

- DSP lanes alone: {alone.macs:,} MACs per cycle.
- With LUT lanes of **fixed-point** rows beside them: {fixed.macs:,}
  ({fixed.macs / alone.macs:.2f} times; {fixed.name}). This is what LUT lanes as such bring.
{schemes}
- Published for the mixed scheme: {PUBLISHED_GAIN} in FPS per DSP at W8A8, another measure, so the two are only
  neighbours.

## Designs

| rows on LUTs | mvus on DSP, on LUT | MAC per cycle | times DSP alone | LUT of {lut:,} | DSP of {dsp:,} | FF | RAMB36 |
|---|---|---|---|---|---|---|---|
"""
    for point in points:
        text += (
            f"| {point.name} | {point.counts[0]}, {point.counts[1]} | {point.macs:,} | {point.macs / alone.macs:.2f} | "
            f"{point.used['lut']:,} | {point.used['dsp']:,} | {point.used['ff']:,} | {point.used['bram']:,} |\n"
        )
    text += f"""
## The mvus

{bench_lanes.SIMD[TARGET]} inputs a row, 24-bit sums. `{DSP_LANE}`: two rows share a DSP48E2 and are summed
inside it. `lut_da`: distributed arithmetic, a weight stays for a tile of tokens. `lut_stream`: weights change every
cycle.

| lane | scheme | rows | tile | MAC per cycle | LUT | LUT per MAC | FF | DSP | RAMB36 |
|---|---|---|---|---|---|---|---|---|---|
"""
    for mvu in mvus:
        text += (
            f"| {mvu.lane} | {mvu.scheme} | {mvu.rows} | {mvu.tile} | {mvu.macs} | {mvu.lut:,.0f} | "
            f"{mvu.lut / mvu.macs:.1f} | {mvu.ff:,.0f} | {mvu.dsp:,.0f} | {mvu.bram:g} |\n"
        )
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.design_point", description=str(__doc__).split("\n")[0])
    parser.add_argument("--lut", type=int, default=BUDGET["lut"], help="LUTs of the budget")
    parser.add_argument("--dsp", type=int, default=BUDGET["dsp"], help="multiplier blocks of the budget")
    parser.add_argument("--only", default="", help="lanes to measure, such as lut_da/fixed; all without it")
    parser.add_argument("--machine", default="", help="what the machine is, for the report")
    folder = build_root()
    parser.add_argument("--results", type=Path, default=folder / "design_point.md", help="file that takes the report")
    options = parser.parse_args(arguments)
    if options.lut < 1 or options.dsp < 1:
        print(f"error: --lut {options.lut} --dsp {options.dsp}: expected two budgets above zero", file=sys.stderr)
        return 1
    known = [(lane, scheme) for scheme in bench_lanes.SCHEMES for lane in LUT_LANES]
    names = ["/".join(pair) for pair in known]
    wanted = options.only.split(",") if options.only else names
    chosen = [pair for pair, name in zip(known, names, strict=True) if name in wanted]
    if not set(wanted) <= set(names) or "fixed" not in [scheme for _, scheme in chosen]:
        expected = f"expected some of {', '.join(names)}, one of fixed-point rows among them"
        print(f"error: --only {options.only!r}: {expected}", file=sys.stderr)
        return 1
    try:
        on_blocks = [measure(DSP_LANE, "fixed")]
        if rows := rest_rows(on_blocks[0], options.dsp):
            on_blocks.append(measure(DSP_LANE, "fixed", rows))
        on_luts = []
        for lane, scheme in chosen:
            on_luts.append(measure(lane, scheme))
            print(f"{lane}, {scheme}: {on_luts[-1].macs} MAC, {on_luts[-1].lut:,.0f} LUT", flush=True)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    lut, dsp = room(options.lut), options.dsp
    mvus = [*on_blocks, *on_luts]
    points = [fill(on_blocks, mvu, lut, dsp) for mvu in (None, *on_luts)]
    if not points[0].macs:
        least = f"{on_blocks[0].lut / (1 - KEPT):,.0f} LUT and {on_blocks[0].dsp:,.0f} DSP"
        print(f"error: --lut {options.lut} --dsp {dsp}: no mvu fits, expected {least} or more", file=sys.stderr)
        return 1
    write_json(folder / "design_point.json", content(mvus, points, lut, dsp))
    measured = ", ".join(filter(None, [f"{date.today()}, commit {git_hash()}", options.machine]))
    write_text(options.results, markdown(mvus, points, {"lut": options.lut, "dsp": dsp}, measured))
    for point in points:
        print(f"{point.name}: {point.macs:,} MAC per cycle, {point.macs / points[0].macs:.2f} times DSP lanes alone")
    print(f"results: {options.results}")
    return 0


def content(mvus: list[Mvu], points: list[Point], lut: int, dsp: int) -> dict[str, Any]:
    """The figures as JSON."""
    return json.loads(
        json.dumps({"lut": lut, "dsp": dsp, "mvus": [vars(m) for m in mvus], "points": [vars(p) for p in points]})
    )


if __name__ == "__main__":
    sys.exit(main())
