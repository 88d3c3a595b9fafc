# SPDX-License-Identifier: Apache-2.0
"""Step pnr: nextpnr and ecppack, the bitstream."""

import shutil
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import synth


def parameters(build: Build) -> dict[str, Any]:
    """What synthesis depends on, the number of placements, the clock that is enough, which nextpnr it is."""
    from synthesis.backends import nextpnr

    asked = {"seeds": build.seeds, "enough_mhz": build.enough_mhz}
    return {**synth.parameters(build), **asked, "nextpnr": nextpnr.version()}


def run(build: Build, out: Path) -> dict[str, Any]:
    """Place, route, pack; the bitstream is copied to the build folder as <model>.bit."""
    from synthesis.backends import nextpnr

    routed = nextpnr.place_and_route(
        build.folder("synth") / synth.NETLIST,
        build.board,
        out,
        build.model,
        seeds=build.seeds,
        enough_mhz=build.enough_mhz,
        kept=build.dir / "placements",
        progress=build.progress,
    )
    part = build.dir / f".{build.model}.bit.part"
    shutil.copyfile(routed.bitstream, part)
    part.replace(build.dir / f"{build.model}.bit")
    return {**routed.results(), "tools": {"nextpnr": nextpnr.version()}}


STEP = Step(
    "pnr",
    "place, route, bitstream",
    "09_pnr",
    ("synth",),
    synth.SOURCES,
    parameters,
    run,
    published=lambda build: (f"{build.model}.bit",),
)
