# SPDX-License-Identifier: Apache-2.0
"""Static checks of a unit in hw/rtl: Verilator's lint with all warnings, and elaboration by Yosys."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sim.verilate import ROOT, RTL, run_tool, unit_sources, verilator_dir, verilator_env

ELABORATE = """
import sys
from pyosys import libyosys as ys
design, top, sources = ys.Design(), sys.argv[1], sys.argv[2:]
for command in ("read_slang --top " + top + " " + " ".join(sources), "hierarchy -check -top " + top, "proc", "check -assert"):
    ys.run_pass(command, design)
print("elaborated", top, flush=True)
"""


def units() -> list[str]:
    """Units of hw/rtl, the folders that hold a source list."""
    return sorted(f.stem for f in RTL.glob("*/*.f") if f.stem == f.parent.name)


def lint(unit: str, sources: Sequence[Path] | None = None) -> str:
    """verilator --lint-only -Wall of a unit with its default parameters; RuntimeError with the warnings.

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
    relative = [os.path.relpath(p, ROOT) for p in paths]
    log = run_tool([sys.executable, "-c", ELABORATE, unit, *relative], f"elaborate [{unit}]", cwd=ROOT)
    if f"elaborated {unit}" not in log:
        raise RuntimeError(f"elaborate [{unit}]: Yosys ended early\n{log[-3000:]}")
    return log
