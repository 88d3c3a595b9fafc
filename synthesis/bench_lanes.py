# SPDX-License-Identifier: Apache-2.0
"""What a multiply-accumulate costs on each lane of the mvu: `make bench-lanes`.

Each lane is a whole mvu of that lane (W4A8, 24-bit sums), built of the target's cells, simulated with these cells'
models against the golden model, and synthesized, with two numbers of rows. The table has the cost per MAC of both
sizes, all included (control, accumulators, table loader, partial-sum RAM), and that of each MAC which the larger size
has more: there the control is left out. LUTs are physical sites as synthesis/backends/yosys.py counts them; nextpnr's
count (TRELLIS_COMB) stands beside for ECP5. Results are kept in build/bench_lanes by content:
a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.names import build_root
from quant.schemes import FIXED, POT, SP2, encode, magnitudes
from sim.golden.mvu import da_offset, mvu, packed_second
from sim.golden.reader import reader
from sim.golden.reorder import grouped_index
from sim.toolchain import ROOT, content_hash, unit_sources
from sim.verilate import Design, Job, pack
from synthesis.backends import yosys
from synthesis.backends.process import run_tool
from synthesis.backends.yosys import FLOWS
from synthesis.cost import TARGETS

SEED = 7
A_BITS, W_BITS, ACC_BITS = 8, 4, 24
SIMD = {"ecp5": 32, "xcup": 36}  # 8 and 9 quads: full trees of two and of three
ROWS = (4, 8)
TILE = 256  # tokens of a tile where weights stay
CHUNKS = 127  # of a row: up to 4,064 inputs on ECP5, 4,572 on UltraScale+
SCHEMES = {"fixed": FIXED, "pot": POT, "sp2": SP2}
LUTRAM = {"TRELLIS_DPR16X4": 6}  # sites of a cell; those of UltraScale+ come from yosys.XCUP_CELLS
FOLDER = build_root() / "bench_lanes"

# The lane that `*` gives: in place of mvu_lane_planes, multiplier blocks forbidden
PRODUCT_LANE = """
module mvu_lane_planes #(
    parameter int unsigned SIMD = 4, A_BITS = 8, W_BITS = 4, TARGET = 0,
    localparam int unsigned Y_BITS = A_BITS + W_BITS - 1 + $clog2(SIMD)
) (
    input wire logic clk, en,
    input wire logic [SIMD*A_BITS-1:0] a,
    input wire logic [SIMD*W_BITS-1:0] w,
    output logic [Y_BITS-1:0] y
);
  localparam int unsigned BITS = A_BITS + W_BITS - 1;
  logic [SIMD*BITS-1:0] products;
  logic [Y_BITS-1:0] sum, sum_q;
  for (genvar i = 0; i < SIMD; i++) begin : gen_product
    logic signed [A_BITS-1:0] a_q;
    logic signed [W_BITS-1:0] w_q;
    always_ff @(posedge clk) if (en) begin
      a_q <= a[i*A_BITS+:A_BITS];
      w_q <= w[i*W_BITS+:W_BITS];
      products[i*BITS+:BITS] <= BITS'(a_q * w_q);
    end
  end
  mvu_tree #(.N(SIMD), .IN_BITS(BITS)) tree_i (.clk, .en, .x(products), .y(sum));
  always_ff @(posedge clk) if (en) sum_q <= sum;
  assign y = SIMD > 8 ? sum_q : sum;
endmodule
"""


@dataclass(frozen=True)
class Lane:
    """One lane on one target, for one scheme of rows."""

    target: str
    name: str
    scheme: str
    tile: int = 1
    options: tuple[str, ...] = ()  # of Yosys' flow
    changes: Mapping[str, int] = field(default_factory=dict)  # parameters of the mvu

    def params(self, rows: int) -> dict[str, int]:
        """Parameters of the mvu with that many rows."""
        params = {"PE": rows, "SIMD": SIMD[self.target], "A_BITS": A_BITS, "W_BITS": W_BITS, "ACC_BITS": ACC_BITS}
        params |= {"T_MAX": self.tile, "DSP_ROWS": 0, "TARGET": TARGETS[self.target], "CHUNKS_MAX": CHUNKS}
        params |= {"ROWS_POT": rows * (self.scheme == "pot"), "ROWS_SP2": rows * (self.scheme == "sp2")}
        return params | {key: rows if key == "DSP_ROWS" else value for key, value in self.changes.items()}

    def sources(self) -> list[Path]:
        """Source files; `product` brings its own lane."""
        sources = unit_sources("mvu")
        if self.name == "product":
            own = FOLDER / "product" / "mvu_lane_planes.sv"
            own.parent.mkdir(parents=True, exist_ok=True)
            if not own.is_file() or own.read_text() != PRODUCT_LANE:
                part = own.with_suffix(f".{self.target}.part")
                part.write_text(PRODUCT_LANE)
                part.replace(own)
            sources = [own if source.name == own.name else source for source in sources]
        return sources


def lanes() -> list[Lane]:
    """Every lane that the table has."""
    found = []
    for target in TARGETS:
        tables = {"DA": 1, "DA_BANKS": 2 if target == "xcup" else 1, "DA_RADIX": 3 if target == "xcup" else 2}
        found.append(Lane(target, "product", "fixed", options=("-nodsp",)))
        found += [Lane(target, "lut_stream", scheme) for scheme in SCHEMES]
        found += [Lane(target, "lut_da", scheme, TILE, changes=tables) for scheme in SCHEMES]
        found.append(Lane(target, "dsp_pair", "fixed", changes={"DSP_ROWS": 1, "DSP_PACKED": 1}))
        sums = {"DSP_ROWS": 1, "DSP_SUMS": 1, "DSP_PACKED": int(target == "ecp5")}  # the pre-adder of a DSP48E2 packs
        found.append(Lane(target, "dsp_sums", "fixed", changes=sums))
    return found


def lane_table(path: Path = FOLDER / "lanes.json") -> list[dict[str, Any]]:
    """Read the table that `make bench-lanes` wrote.

    Returns:
        One dictionary for each lane: target ("ecp5", "xcup"), lane ("product", "lut_stream", "lut_da", "dsp_pair",
        "dsp_sums"), scheme ("fixed", "pot", "sp2"), simd, tile (tokens that a weight stays), sizes: [{rows, macs,
        beats (compared with the golden model), total, per_mac}], and marginal: the cost of a further MAC. total,
        per_mac and marginal have the keys lut, lutram (part of lut), ff, dsp, alu54b, bram (18 kbit on ECP5, 36 kbit on
        UltraScale+) and, for ECP5, comb (nextpnr's TRELLIS_COMB).

    Raises:
        ValueError: the table does not exist.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected the table of the lanes. Run: make bench-lanes")
    rows: list[dict[str, Any]] = json.loads(path.read_text())["lanes"]
    return rows


def verify(lane: Lane, rows: int) -> int:
    """Simulate a lane built of its target's cells against the golden model.

    Returns:
        Beats compared, each of `rows` sums.

    Raises:
        AssertionError: a sum differs.
    """
    params, rng = lane.params(rows), np.random.default_rng(SEED)
    cells = sorted((ROOT / "sim" / "cells").glob("*.sv"))
    design = Design.build("mvu", sources=[*lane.sources(), *cells], params=params)
    values = magnitudes(SCHEMES[lane.scheme], W_BITS)
    low, high = -(2 ** (A_BITS - 1)), 2 ** (A_BITS - 1) - 1
    jobs = []
    for chunks, tokens in ((1, 40), (3, 40), (2, 3 * lane.tile)):
        k = chunks * params["SIMD"]
        x = rng.integers(low, high + 1, (tokens, k))
        weight = rng.choice(values, (2 * rows, k)) * rng.choice([-1, 1], (2 * rows, k))
        jobs.append(_job(lane, params, x, weight))
        x = rng.choice([low, high], (tokens, k))
        x[:2] = [[low], [high]]
        weight = values.max() * np.resize(rng.choice([-1, 1], (2 * rows, 1)), weight.shape)
        weight[rows:] = values.max() * rng.choice([-1, 1], (rows, k))
        jobs.append(_job(lane, params, x, weight))
    for stall in (0, 30):
        design.run(jobs, stall=stall, seed=SEED)
    return sum(int(job.cfg["cfg_tokens"]) * 2 for job in jobs) * 2


def _job(lane: Lane, params: Mapping[str, int], x: np.ndarray, weight: np.ndarray) -> Job:
    """Streams of one job: x (tokens, k), weight (groups * rows, k)."""
    pe, simd = params["PE"], params["SIMD"]
    tokens, groups, chunks = len(x), len(weight) // pe, x.shape[1] // simd
    tile = min(lane.tile, tokens)
    codes = encode(weight, SCHEMES[lane.scheme], W_BITS)
    if params.get("DSP_PACKED"):  # the second row of a pair
        codes[1::2] = packed_second(weight[::2], weight[1::2], W_BITS)
    words = codes.reshape(groups, pe, chunks, simd).transpose(0, 2, 1, 3)
    if params.get("DA"):  # four inputs a word
        words = words.reshape(groups, chunks, pe, simd // 4, 4).transpose(0, 1, 3, 2, 4)
        words = words.reshape(-1, pe * 4)
    words = words.reshape(len(words) if words.ndim == 2 else groups * chunks, -1)
    acc = mvu(x, weight) - (da_offset(weight) if params.get("DA") else 0)
    acc = acc.ravel()[grouped_index(tokens, len(weight), pe, tile)].reshape(-1, pe)
    return Job(
        {
            "s_axis": pack(reader(x, simd, groups, tile), A_BITS),
            "s_axis_weight": pack(np.tile(words, (-(-tokens // tile), 1)), W_BITS),
        },
        {"m_axis": pack(acc, ACC_BITS)},
        {"cfg_chunks": chunks, "cfg_groups": groups, "cfg_tile": tile, "cfg_tokens": tokens},
    )


def measure(lane: Lane, rows: int) -> dict[str, float]:
    """Synthesize a lane.

    Returns:
        {lut, lutram, ff, dsp, alu54b, bram}, for ECP5 also comb.
    """
    params, sources = lane.params(rows), lane.sources()
    key = content_hash("lane", "comb", lane.target, params, lane.options, yosys.version(), FLOWS[lane.target], *sources)
    kept = FOLDER / "kept" / f"{key}.json"
    if kept.is_file():
        result: dict[str, float] = json.loads(kept.read_text())
        return result
    folder = FOLDER / f"{lane.target}_{lane.name}_{lane.scheme}_{rows}"
    made = yosys.synthesize(
        sources, "mvu", folder, cwd=ROOT, target=lane.target, parameters=params, options=lane.options
    )
    result = {key: made.resources[key] for key in ("lut", "ff", "dsp", "bram")}
    sites = LUTRAM | {name: parts["lut"] for name, parts in yosys.XCUP_CELLS.items() if name.startswith("RAM")
                      and not name.startswith("RAMB")}  # fmt: skip
    result["lutram"] = sum(sites.get(name, 0) * count for name, count in made.cells.items())
    result["alu54b"] = made.cells.get("ALU54B", 0)
    if lane.target == "ecp5":
        result["comb"] = trellis_comb(made.netlist_json, folder / "pack.log")
    for netlist in (made.netlist_json, made.netlist_verilog):
        netlist.unlink()
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.replace(kept)
    return result


def trellis_comb(netlist: Path, log: Path) -> int:
    """Let nextpnr pack a netlist and read its LUT sites; a LUT RAM has four, and its write port blocks two."""
    from synthesis.backends.nextpnr import nextpnr_command

    command = [*nextpnr_command(), "--85k", "--package", "CABGA381", "--json", netlist.name, "--pack-only"]
    run_tool([*command, "--out-of-context"], log, netlist.parent, "nextpnr: packing of a lane")
    text = log.read_text()
    count = re.search(r"TRELLIS_COMB:\s*(\d+)/", text)
    if count is None:
        raise RuntimeError(f"nextpnr: no count of TRELLIS_COMB in its log {log}")
    return int(count[1])


def row_of(lane: Lane) -> dict[str, Any]:
    """Verify and measure one lane: its row of the table (see lane_table)."""
    sizes: list[dict[str, Any]] = []
    for rows in ROWS:
        beats, macs, total = verify(lane, rows), rows * SIMD[lane.target], measure(lane, rows)
        per_mac = {key: value / macs for key, value in total.items()}
        sizes.append({"rows": rows, "macs": macs, "beats": beats, "total": total, "per_mac": per_mac})
    small, large = sizes[0], sizes[-1]
    more = large["macs"] - small["macs"]
    marginal = {key: (large["total"][key] - small["total"][key]) / more for key in large["total"]}
    about = {"target": lane.target, "lane": lane.name, "scheme": lane.scheme, "simd": SIMD[lane.target]}
    return about | {"tile": lane.tile, "sizes": sizes, "marginal": marginal}


def finn_sources(folder: Path, out: Path) -> list[Path]:
    """Copies of FINN+'s mvu in a form that read_slang takes, the circuit as it is.

    A function and its type move out of a generate block, where read_slang calls no function for a constant, and a
    watchdog of simulation with delays is left out.

    Args:
        folder: finn-rtllib/mvu of the package.
        out: Takes the changed copies.

    Raises:
        ValueError: a place to change is not there once.
    """
    text = {name: (folder / name).read_text() for name in ("add_multi.sv", "mvu.sv")}
    moved = re.findall(
        r"\t*typedef int unsigned  leaf_load_t.*?endfunction : init_leaf_loads\n", text["add_multi.sv"], re.S
    )
    place, watchdog = "\tuwire [SUM_WIDTH-1:0]  sum0;\n", "if(1) begin : blkRecoveryWatch"
    if len(moved) != 1 or text["add_multi.sv"].count(place) != 1 or text["mvu.sv"].count(watchdog) != 1:
        raise ValueError(f"{folder}: expected init_leaf_loads and blkRecoveryWatch once, is this another finn-plus?")
    text["add_multi.sv"] = text["add_multi.sv"].replace(moved[0], "").replace(place, moved[0] + place)
    text["mvu.sv"] = text["mvu.sv"].replace(watchdog, watchdog.replace("1", "0"))
    out.mkdir(parents=True, exist_ok=True)
    for name, content in text.items():
        (out / name).write_text(content)
    cell = ROOT / "hw" / "rtl" / "add_pair" / "LUT6_2.sv"
    return [cell, folder / "mvu_pkg.sv", out / "add_multi.sv", out / "mvu.sv"]


def finn_mvu() -> dict[str, Any]:
    """FINN+'s own mvu from the installed package: {per_mac} of 6 rows by 8 inputs on UltraScale+, or {reason}."""
    found = importlib.util.find_spec("finn")
    places = list(found.submodule_search_locations or []) if found else []
    folder = next((Path(p) / "finn-rtllib" / "mvu" for p in places if (Path(p) / "finn-rtllib" / "mvu").is_dir()), None)
    if folder is None:
        return {"reason": "the package finn-plus has no finn-rtllib/mvu"}
    params = {"VERSION": 2, "PE": 6, "SIMD": 8, "WEIGHT_WIDTH": W_BITS, "ACTIVATION_WIDTH": A_BITS}
    params |= {"ACCU_WIDTH": ACC_BITS, "SIGNED_ACTIVATIONS": 1, "NARROW_WEIGHTS": 1}
    try:
        sources = finn_sources(folder, FOLDER / "finn")
        made = yosys.synthesize(sources, "mvu", FOLDER / "finn", cwd=ROOT, target="xcup", parameters=params)
    except (RuntimeError, ValueError) as error:
        line = next((line for line in str(error).splitlines() if "ERROR" in line), str(error).splitlines()[0])
        return {"reason": line}
    return {"per_mac": {key: value / 48 for key, value in made.resources.items()}}


def markdown(table: Mapping[str, Any]) -> str:
    """The table as text for docs/results."""
    head = ["target", "lane", "rows are", "PE x SIMD", "LUT", "of it LUTRAM", "FF", "DSP", "BRAM", "LUT a further MAC"]
    lines = ["| " + " | ".join([*head, "TRELLIS_COMB", "beats equal"]) + " |", "|" + "---|" * (len(head) + 2)]
    for row in table["lanes"]:
        for size in row["sizes"]:
            per = size["per_mac"]
            dsp = f"{per['dsp']:.2f}" + (f" + {per['alu54b']:.2f} ALU54B" if per["alu54b"] else "")
            cells = [row["target"], row["lane"], row["scheme"], f"{size['rows']} x {row['simd']}", f"{per['lut']:.1f}"]
            cells += [f"{per['lutram']:.1f}", f"{per['ff']:.1f}", dsp, f"{per['bram']:.3f}"]
            cells += [
                f"{row['marginal']['lut']:.1f}",
                f"{per['comb']:.1f}" if "comb" in per else "",
                f"{size['beats']:,}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    finn = table["finn_mvu"]
    if "reason" in finn:
        lines += ["", f"FINN+'s mvu: not measured. {finn['reason']}"]
    else:
        per = finn["per_mac"]
        lines += [
            "",
            f"FINN+'s mvu, 6 x 8, UltraScale+: {per['lut']:.1f} LUT, {per['ff']:.1f} FF and {per['dsp']:.2f} DSP48E2 "
            "a MAC. A copy in which a function stands outside of its generate block and a watchdog of simulation is "
            "left out; not simulated here.",
        ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.bench_lanes", description=str(__doc__).split("\n")[0])
    parser.add_argument("--only", default="", help="lanes whose target/lane/scheme has this text; no table is written")
    parser.add_argument("--workers", type=int, default=2, help="syntheses at a time")
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = parser.parse_args(arguments)
    chosen = [lane for lane in lanes() if options.only in f"{lane.target}/{lane.name}/{lane.scheme}"]
    if not chosen or options.workers < 1:
        names = ", ".join(f"{lane.target}/{lane.name}/{lane.scheme}" for lane in lanes())
        fault = f"--only '{options.only}' names no lane, known are {names}"
        print(f"error: {fault if not chosen else '--workers must be 1 or more'}", file=sys.stderr)
        return 1
    if options.markdown and not options.markdown.parent.is_dir():
        print(f"error: --markdown {options.markdown}: its folder does not exist", file=sys.stderr)
        return 1
    started = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)

    def work(lane: Lane) -> dict[str, Any]:
        row = row_of(lane)
        per, more = row["sizes"][-1]["per_mac"], row["marginal"]
        beats = sum(size["beats"] for size in row["sizes"])
        print(
            f"{lane.target}/{lane.name}/{lane.scheme}: {per['lut']:.1f} LUT ({per['lutram']:.1f} LUTRAM), "
            f"{per['ff']:.1f} FF, {per['dsp']:.2f} DSP per MAC of {ROWS[-1]} x {row['simd']}, "
            f"{more['lut']:.1f} LUT for a further one; {beats} beats of both sizes equal to the golden model",
            flush=True,
        )
        return row

    try:
        with ThreadPoolExecutor(options.workers) as pool:
            rows = list(pool.map(work, chosen))
        about = {"seed": SEED, "weight_bits": W_BITS, "activation_bits": A_BITS, "accumulator_bits": ACC_BITS}
        table = {**about, "yosys": yosys.version(), "lanes": rows, "finn_mvu": finn_mvu()}
    except (AssertionError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.only:
        return 0
    files = {FOLDER / "lanes.json": json.dumps(table, indent=1) + "\n", FOLDER / "lanes.md": markdown(table)}
    if options.markdown:
        files[options.markdown] = markdown(table)
    for path, text in files.items():
        part = path.with_name(path.name + ".part")
        part.write_text(text)
        part.replace(path)
    print(markdown(table))
    print(f"{time.monotonic() - started:.0f} s; {FOLDER / 'lanes.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
