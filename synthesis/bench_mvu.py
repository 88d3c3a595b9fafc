# SPDX-License-Identifier: Apache-2.0
"""Place and route one mvu on an ECP5-85 out of context: `make bench-mvu`.

The mvu stands between registers (synthesis/bench_mvu.sv) on a device of its own; its clock comes from a pin. A row of
the table is one kind of lane, on multiplier blocks:
    packed  products summed in ALU54B, weights of row pairs packed in memory (DSP_SUMS, DSP_PACKED)
    sums    products summed in ALU54B, weights packed in front of the multipliers (DSP_SUMS)
    fabric  products summed in LUTs, weights packed in memory (as in designs for the ULX3S)
or on LUTs (lut_stream), with the scheme of all rows:
    fixed, pot, sp2
or on LUTs by distributed arithmetic (lut_da), weights held for 256 tokens:
    da, da_pot, da_sp2
nextpnr does not know the delay of an ALU54B and leaves paths through it out of Fmax. ALU routes is the routing on such
a path: what it leaves of the clock period, less a flip-flop, is for the ALU.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.names import build_root
from sim.toolchain import ROOT, unit_sources
from synthesis.backends import nextpnr, yosys
from synthesis.backends.process import run_tool

HARNESS = Path(__file__).with_suffix(".sv")
PART, PACKAGE, SPEED = "LFE5U-85F", "CABGA381", 6
# Of the harness
REGISTERS = (
    "start_q", "noise_q", "data_q", "weight_q", "sum_q", "parity_q", "data_valid_q", "weight_valid_q", "sum_ready_q",
    "led",
)  # fmt: skip
DA: dict[str, int | bool] = {"DA": 1, "T_MAX": 256}
# Parameters of the harness; True: all rows
LANES: dict[str, dict[str, int | bool]] = {
    "packed": {"DSP_ROWS": True, "DSP_SUMS": 1, "DSP_PACKED": 1},
    "sums": {"DSP_ROWS": True, "DSP_SUMS": 1},
    "fabric": {"DSP_ROWS": True, "DSP_PACKED": 1},
    "fixed": {},
    "pot": {"ROWS_POT": True},
    "sp2": {"ROWS_SP2": True},
    "da": DA,
    "da_pot": {**DA, "ROWS_POT": True},
    "da_sp2": {**DA, "ROWS_SP2": True},
}
OPTIONS = ("--threads", "1", "--router", "router2", "--timing-allow-fail")
# As the flow routes: what misses the clock aimed for is taken up again, without end where that cannot be met
RIP_UP = "--tmg-ripup"
COLUMNS = (
    "lanes",
    "PE x SIMD",
    "LUT / MAC",
    "FF / MAC",
    "MULT18X18D / MAC",
    "ALU54B / MAC",
    "Fmax MHz",
    "ALU routes ns",
)


@dataclass(frozen=True)
class Measured:
    """One mvu, placed and routed. lut, ff, dsp: of the mvu alone, as synthesis.backends.yosys counts them."""

    lanes: str
    pe: int
    simd: int
    lut: float
    ff: float
    dsp: float
    alu: int
    fmax_mhz: float
    # Longest routes into and out of an ALU54B together, which nextpnr's Fmax leaves out; None without ALU54B
    alu_routes_ns: float | None
    synthesis_seconds: float
    route_seconds: float
    utilization: dict[str, dict[str, int]]

    def row(self) -> str:
        """Return the row of the table, figures per multiply-accumulate and cycle."""
        macs = self.pe * self.simd
        costs = [f"{self.lut / macs:.2f}", f"{self.ff / macs:.2f}", f"{self.dsp / macs:.3f}", f"{self.alu / macs:.3f}"]
        route = "-" if self.alu_routes_ns is None else f"{self.alu_routes_ns:.2f}"
        cells = [self.lanes, f"{self.pe} x {self.simd}", *costs, f"{self.fmax_mhz:.1f}", route]
        return f"| {' | '.join(cells)} |"


def check(lanes: str, pe: int, simd: int) -> None:
    """Raise ValueError for unknown lanes, or an odd or non-positive size."""
    if lanes not in LANES:
        raise ValueError(f"bench-mvu: unknown lanes '{lanes}', expected one of {', '.join(LANES)}")
    if pe < 2 or pe % 2 or simd < 1:
        raise ValueError(f"bench-mvu: {pe} x {simd} is no size; give an even number of rows and 1 or more inputs")


def measure(
    lanes: str, pe: int, simd: int, out_dir: Path, seed: int = 1, freq_mhz: float = 100.0, rip_up: bool = False
) -> Measured:
    """Synthesize, place and route.

    Args:
        lanes: Key of LANES.
        pe: Rows, even.
        simd: Inputs of a cycle.
        out_dir: Takes netlist, logs and reports.
        seed: Of nextpnr's placer.
        freq_mhz: What placer and router aim at.
        rip_up: The router takes up again what misses freq_mhz, and does not end before all meets it.

    Raises:
        ValueError: unknown lanes, or an odd or non-positive size.
        RuntimeError: a tool failed.
    """
    check(lanes, pe, simd)
    sources = [*unit_sources("mvu"), HARNESS]
    rows = {name: pe if value is True else value for name, value in LANES[lanes].items()}
    placer = "heap" if "DSP_SUMS" in rows else "static"  # nextpnr 0.11.1 stops in its static placer at an ALU54B
    parameters = {"PE": pe, "SIMD": simd, **rows}
    made = yosys.synthesize(sources, "bench_mvu", out_dir, cwd=ROOT, parameters=parameters)
    netlist = out_dir.resolve() / "netlist.json"
    shutil.copyfile(made.netlist_json, netlist)
    report, sdf = netlist.with_name("timing.json"), netlist.with_name("delays.sdf")
    seconds = run_tool(
        [
            *nextpnr.nextpnr_command(),
            nextpnr.DEVICES[PART],
            *("--package", PACKAGE, "--speed", str(SPEED), "--json", netlist.name, "--lpf-allow-unconstrained"),
            *("--report", report.name, "--sdf", sdf.name, "--textcfg", "bench_mvu.config"),
            *("--freq", str(freq_mhz), "--seed", str(seed), "--placer", placer, *OPTIONS),
            *((RIP_UP,) if rip_up else ()),
        ],
        netlist.with_name("nextpnr.log"),
        netlist.parent,
        f"nextpnr: mvu {lanes} {pe} x {simd}",
    )
    timing = json.loads(report.read_text())
    module = json.loads(made.netlist_json.read_text())["modules"]["bench_mvu"]
    resources = made.resources_by_unit["mvu_i"]
    return Measured(
        lanes=lanes,
        pe=pe,
        simd=simd,
        lut=resources["lut"],
        ff=flip_flops(module),
        dsp=resources["dsp"],
        alu=made.cells.get("ALU54B", 0),
        fmax_mhz=min(clock["achieved"] for clock in timing["fmax"].values()),
        alu_routes_ns=alu_routes(sdf.read_text()),
        synthesis_seconds=made.seconds,
        route_seconds=seconds,
        utilization=timing["utilization"],
    )


def flip_flops(module: dict[str, Any]) -> int:
    """Count the flip-flops of a synthesized harness without its own, which stand right in front of the mvu.

    Args:
        module: Of Yosys' JSON netlist.
    """
    own = {bit for name in REGISTERS for bit in module["netnames"][name]["bits"]}
    cells = [cell for cell in module["cells"].values() if cell["type"] == "TRELLIS_FF"]
    return sum(cell["connections"]["Q"][0] not in own for cell in cells)


def alu_routes(sdf: str) -> float | None:
    """Return the largest sum in ns of the longest routes into (C) and out of (R) the same ALU54B; None without any.

    Args:
        sdf: Text that nextpnr wrote, delays in ps; the ALU54B instances are called alu_i.
    """
    routes: dict[str, dict[str, float]] = defaultdict(lambda: {"C": 0.0, "R": 0.0})
    for pattern in (r"\S+ (\S*alu_i)/(C)\d+", r"(\S*alu_i)/(R)\d+ \S+"):
        for instance, port, ps in re.findall(rf"\(INTERCONNECT {pattern} \([\d.]+:[\d.]+:([\d.]+)\)", sdf):
            routes[instance][port] = max(routes[instance][port], float(ps) / 1000)
    return max((sum(ends.values()) for ends in routes.values()), default=None)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-mvu", description=__doc__.split("\n")[0])
    parser.add_argument("--pe", type=int, default=16, help="rows (16)")
    parser.add_argument("--simd", type=int, default=16, help="inputs of a cycle (16)")
    parser.add_argument("--lanes", nargs="+", default=["packed"], help=f"of {', '.join(LANES)} (packed)")
    parser.add_argument("--seed", type=int, default=1, help="of the placer (1)")
    parser.add_argument("--freq", type=float, default=100.0, help="MHz to aim at (100)")
    parser.add_argument("--rip-up", action="store_true", help="route until all meets --freq, which must be in reach")
    arguments = parser.parse_args(argv)
    out = build_root() / "bench_mvu"
    try:
        for lanes in arguments.lanes:
            check(lanes, arguments.pe, arguments.simd)
        print(f"{yosys.version()}, {nextpnr.version()}, {PART} {PACKAGE} grade {SPEED}, seed {arguments.seed}")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for lanes in arguments.lanes:
            folder = out / f"{lanes}_{arguments.pe}x{arguments.simd}"
            asked = (arguments.seed, arguments.freq, arguments.rip_up)
            found = measure(lanes, arguments.pe, arguments.simd, folder, *asked)
            print(found.row())
            used = {kind: count["used"] for kind, count in found.utilization.items() if count["used"]}
            print(f"  synthesis {found.synthesis_seconds:.0f} s, nextpnr {found.route_seconds:.0f} s; whole: {used}")
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
