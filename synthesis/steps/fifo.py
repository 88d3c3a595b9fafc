# SPDX-License-Identifier: Apache-2.0
"""Step fifo: FIFO depths from simulation with real FIFOs, then the final design in rtl/."""

import json
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import fold, generate

CONFIG = "folding.json"
SIMULATOR = ("sim/verilate.py", "sim/words.py", "sim/toolchain.py", "sim/*.cpp", "sim/network.py", "sim/compare.py")
SOURCES = (*generate.SOURCES, "synthesis/fifo.py", *SIMULATOR)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Size, check, write."""
    from qonnx.core.modelwrapper import ModelWrapper

    from synthesis.fifo import depths_config, size_fifos
    from synthesis.fold import target_of

    model = ModelWrapper(str(build.folder("fold") / fold.FILE))
    sizing = size_fifos(model, build.folder("generate") / generate.RTL, out, target_of(build.board), build.report)
    config = json.loads((build.folder("fold") / fold.CONFIG).read_text())
    (out / CONFIG).write_text(json.dumps(depths_config(model, config), indent=1) + "\n")
    return {
        "fifo_sizing": {
            "cycles_per_image_large_fifos": sizing.large_cycles,
            "cycles_per_image": sizing.cycles,
            "latency_cycles": sizing.latency,
            "images": sizing.images,
            "rounds": sizing.rounds,
            "bits": sizing.bits,
        },
        "seeds": {"stimulus": sizing.seed},
    }


STEP = Step("fifo", "FIFO depths by simulation", "rtl", ("fold", "generate"), SOURCES, lambda build: {}, run)
