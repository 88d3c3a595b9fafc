# SPDX-License-Identifier: Apache-2.0
"""Step report: report.json and report.html from the results of the other steps, as far as they belong together."""

import json
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step


def parameters(build: Build) -> dict[str, Any]:
    """The results by step, the board, and the reference of hardware EER."""
    reference = build.reference and build.reference.read_text(encoding="utf-8")
    board = {key: value for key, value in build.board.items() if key != "dir"}
    return {"steps": belonging(build), "board": board, "reference": reference}


def belonging(build: Build) -> dict[str, Any]:
    """The results by step; those of a step that ran on an older design (another FPS=, say) are left out."""
    paths = sorted((build.dir / "results").glob("*.json"))
    kept = [path for path in paths if path.stem != STEP.name and build.agrees(path.stem)]
    return {path.stem: json.loads(path.read_text()) for path in kept}


def run(build: Build, out: Path) -> dict[str, Any]:
    """Write the report into the build folder."""
    from synthesis.reports.report import make_report

    build.save()
    make_report(build.dir, build.model, build.board, build.reference, steps=belonging(build))
    return {}


STEP = Step(
    "report",
    "report.json, report.html",
    "11_report",
    (),
    ("synthesis/reports/*",),
    parameters,
    run,
    published=lambda build: ("report.json", "report.html"),
)
