# SPDX-License-Identifier: Apache-2.0
"""Step fold: PE and SIMD for the board, FINN's configuration file and reports."""

import json
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import lower

FILE = "folded.onnx"
CONFIG = "folding.json"
BOARD_KEYS = (
    *("name", "part", "clock_mhz", "resources", "bram_bits"),
    *("dsp_sums", "fold_lut_limit", "budget_fraction", "block_fraction"),
)


def parameters(build: Build) -> dict[str, Any]:
    """What of the board decides the folding."""
    asked = {"fps": build.fps, "fraction": build.fraction, "lanes": build.lanes}
    return asked | {key: build.board[key] for key in BOARD_KEYS}


def run(build: Build, out: Path) -> dict[str, Any]:
    """Search, apply, report. What does not fit is recorded, the caller decides."""
    from qonnx.core.modelwrapper import ModelWrapper

    from synthesis import fold
    from synthesis.lower import save

    model = ModelWrapper(str(build.folder("lower") / lower.FILE))
    folding = fold.search(model, build.board, build.fps, build.fraction, build.lanes)
    model = fold.apply_folding(model, folding.config, build.board["part"])
    (out / CONFIG).write_text(json.dumps(folding.config, indent=1) + "\n")
    save(model, out / FILE)
    performance = fold.finn_reports(model, out / "finn", build.board["part"])
    return {
        "units": fold.unit_rows(model, build.board["part"]),
        "folding": {
            "target_fps": build.fps,
            "clock_mhz": build.board["clock_mhz"],
            "cycles": folding.cycles,
            "slowest": folding.slowest,
            "estimate": folding.used,
            "budget": folding.available,
            "excess": folding.excess,
            "fraction": build.fraction,
            "lanes": build.lanes,
            "notes": folding.notes,
            "finn_performance": performance,
        },
    }


SOURCES = (*lower.SOURCES, "synthesis/cost.py", "synthesis/costs/*.json")
STEP = Step("fold", "PE and SIMD for the board", "04_fold", ("lower",), SOURCES, parameters, run)
