# SPDX-License-Identifier: Apache-2.0
"""Static checks of a unit in hw/rtl: Verilator's lint with all warnings, and elaboration by Yosys."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sim.toolchain import ROOT, RTL, run_tool, unit_sources, verilator_dir, verilator_env

ELABORATE = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1].splitlines():
    ys.run_pass(command, design)
print("elaboration is complete", flush=True)
"""
# Yosys' black boxes of the primitives that our wrappers instantiate, used as library files
LIBRARIES = ("ecp5/cells_bb.v", "xilinx/cells_xtra.v")


def yosys_share() -> Path:
    """Folder of the files that Yosys calls +/."""
    found = importlib.util.find_spec("pyosys")
    if found is None or found.origin is None:
        raise RuntimeError("sim: the Python package pyosys is absent; run make venv")
    return Path(found.origin).parent / "share"


def units() -> list[str]:
    """Units of hw/rtl, the folders that hold a source list."""
    return sorted(f.stem for f in RTL.glob("*/*.f") if f.stem == f.parent.name)


def lint(unit: str, sources: Sequence[Path] | None = None) -> str:
    """Lint a unit: verilator --lint-only -Wall of a unit with its default parameters; RuntimeError with the warnings.

    Waivers are the files hw/lint/*.vlt.
    """
    paths = list(sources) if sources is not None else unit_sources(unit)
    waivers = sorted((ROOT / "hw" / "lint").glob("*.vlt"))
    binary = verilator_dir() / "bin" / "verilator_bin"
    command = [binary, "--lint-only", "-Wall", "--no-timing", "--top-module", unit, *waivers, *paths]
    return run_tool(command, f"lint [{unit}]", env=verilator_env())


def elaborate(unit: str, sources: Sequence[Path] | None = None) -> str:
    """Elaborate a unit in Yosys (slang front end), in a process of its own; RuntimeError with its messages."""
    paths = [Path(p).resolve() for p in (sources if sources is not None else unit_sources(unit))]
    share = yosys_share()
    files = [*(f"-v {share / library}" for library in LIBRARIES), *(os.path.relpath(p, ROOT) for p in paths)]
    commands = [f"read_slang --top {unit} " + " ".join(files)]
    commands += [f"hierarchy -check -top {unit}", "proc", "check -assert"]
    log = run_tool([sys.executable, "-c", ELABORATE, "\n".join(commands)], f"elaborate [{unit}]", cwd=ROOT)
    if "elaboration is complete" not in log:
        raise RuntimeError(f"elaborate [{unit}]: Yosys ended early\n{log[-3000:]}")
    return log
