# SPDX-License-Identifier: Apache-2.0
"""Step netlist: the netlist that nextpnr places, the whole board, simulated at its pins; two images, code by code."""

from pathlib import Path
from typing import Any

import numpy as np

from synthesis.build import Build, Step
from synthesis.steps import export, sim, synth

IMAGES = 2
SEED = 1


def run(build: Build, out: Path) -> dict[str, Any]:
    """Send images through the simulated UART and compare the logits and the class with the golden model.

    Raises:
        RuntimeError: a code differs; the text names image, class, got and expected.
    """
    from sim.board import BoardModel
    from sim.netlist import netlist_board

    images = sim.test_images(build, IMAGES)
    expected = sim.golden_logits(build, images)
    latency = build.results("sim")["throughput"]["latency_cycles"]
    model = BoardModel(
        netlist_board(build.folder("synth") / synth.NETLIST),
        build.folder("fifo"),
        int(build.board["oscillator_mhz"] * 1e6),
        build.board["uart_baud"],
        seed=SEED,
    )
    try:
        found, winners, _ = model.classify(images + 128, expected.shape[1], 4 * latency + 100_000)
    finally:
        model.close()
    different = np.argwhere(found != expected)
    if different.size:
        image, index = different[0]
        raise RuntimeError(
            f"netlist: logits image {image} class {index}: got={found[image, index]} want={expected[image, index]} "
            f"({len(different)} of {found.size} values differ, seed {SEED})"
        )
    best = expected.argmax(axis=1)
    if not np.array_equal(winners, best):
        raise RuntimeError(f"netlist: classes {winners.tolist()}, expected {best.tolist()} (seed {SEED})")
    values = int(found.size + winners.size)
    exact = {"images": IMAGES, "values_compared": values, "mismatches": 0}
    return {"bit_exact": {"netlist": exact}, "seeds": {"registers": SEED}}


STEP = Step(
    "netlist",
    "synthesized board, simulated at its pins",
    "10_netlist",
    ("fold", "fifo", "sim", "synth"),
    (*sim.SOURCES, "sim/netlist.*", "sim/cells/*", "sim/board.py", "sim/board_harness.cpp"),
    export.with_images,
    run,
)
