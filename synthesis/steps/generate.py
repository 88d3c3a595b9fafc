# SPDX-License-Identifier: Apache-2.0
"""Step generate: the stitched design with FIFOs that are surely large enough."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import fold, lower

RTL = "rtl"
SOURCES = (*lower.SOURCES, "synthesis/generate.py", "synthesis/board.py", "hw/rtl/**/*.sv", "hw/rtl/**/*.f")


def run(build: Build, out: Path) -> dict[str, Any]:
    """Refuse what does not fit, then write the design."""
    from qonnx.core.modelwrapper import ModelWrapper

    from synthesis.fold import target_of
    from synthesis.generate import generate

    excess = build.results("fold")["folding"]["excess"]
    if excess:
        raise ValueError(too_large(build, excess))
    model = ModelWrapper(str(build.folder("fold") / fold.FILE))
    generate(model, out / RTL, target_of(build.board))
    return {}


def too_large(build: Build, excess: dict[str, str]) -> str:
    """What does not fit, and what to do."""
    return (
        f"fold: {build.model} is too large for {build.board['name']} as a dataflow design with its weights on chip: it "
        f"needs an estimated {'; '.join(excess.values())} (the share of the board that folding may use). Choose a "
        "larger board (make list-boards), a smaller model or a lower FPS="
    )


STEP = Step("generate", "stitched SystemVerilog", "05_generate", ("fold",), SOURCES, lambda build: {}, run)
