# SPDX-License-Identifier: Apache-2.0
"""Step netlist: the synthesized netlist in Verilator, two images, code by code."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import export, sim, synth

IMAGES = 2


def run(build: Build, out: Path) -> dict[str, Any]:
    """Simulate the netlist and compare."""
    from sim.network import simulate_netlist

    images = sim.test_images(build, IMAGES)
    logits, _ = sim.golden(build, images, 0)
    return simulate_netlist(build.folder("synth") / synth.NETLIST_VERILOG, build.folder("fifo"), images, logits, out)


STEP = Step(
    "netlist",
    "synthesized netlist in Verilator",
    "10_netlist",
    ("fold", "fifo", "synth"),
    (*sim.SOURCES, "sim/cells/*"),
    export.parameters,
    run,
)
