# SPDX-License-Identifier: Apache-2.0
"""What a worker of a sweep does: a trial (train, measure, estimate) or a point's hardware (synthesize, simulate)."""

import tempfile
from pathlib import Path
from typing import Any

from models.names import parse_model_name
from quant.recipe import parse_recipe
from synthesis.board import load_board
from synthesis.sweep_engine import Direction, InfeasibleError

TRIAL_DIRECTIONS: tuple[Direction, ...] = (
    "maximize",
    "minimize",
    "minimize",
)  # integer top-1, estimated LUT, estimated DSP
HARDWARE_DIRECTIONS: tuple[Direction, ...] = ("minimize", "minimize", "minimize")  # LUT, DSP, cycles per image
FOLD_STEPS = ("export", "lower", "fold")
HARDWARE_STEPS = ("generate", "fifo", "synth")


def trial(job: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one point with one seed; see models.trial. Resources are the fold's estimates."""
    results = train(job)
    estimate = estimate_resources(job)
    results |= {f"{kind}_estimate": estimate[kind] for kind in ("lut", "dsp", "bram")}
    return {"values": [results["integer_top1"], estimate["lut"], estimate["dsp"]], "results": results}


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train and measure; leaves the checkpoint."""
    from models.trial import run_trial

    config = parse_model_name(job["model"], Path(job["recipes"]))
    recipe = parse_recipe(job["recipe"], f"of {job['model']}")
    return run_trial(config, recipe, job["train_images"], Path(job["checkpoints"]))


def estimate_resources(job: dict[str, Any]) -> dict[str, int]:
    """LUT, DSP and 18-kbit block RAMs of a point's trained network, folded for the board and frame rate."""
    from models.train import load_integer
    from quant.export import export_qonnx
    from synthesis import fold
    from synthesis.lower import lower

    config = parse_model_name(job["model"], Path(job["recipes"]))
    network, _ = load_integer(config, Path(job["checkpoints"]), Path(job["recipes"]))
    shape = (config.dims.image_size, config.dims.image_size, config.dims.channels)
    with tempfile.TemporaryDirectory() as folder:
        model = export_qonnx(network, shape, Path(folder) / "model.onnx", job["model"], config.recipe)
    return fold.search(fold.minimize_accumulators(lower(model)), load_board(job["board"]), job["fps"]).used


def hardware(job: dict[str, Any]) -> dict[str, Any]:
    """Build one point's design: cycles from the simulation that sizes its FIFOs, and Yosys' resources.

    That simulation runs the whole design and stops at a logits code that the golden models do not give. A network whose
    checkpoint is not there is trained again.

    Raises:
        InfeasibleError: no folding for the frame rate fits the board.
    """
    from models.train import checkpoint_path
    from synthesis.build import Build
    from synthesis.reports.report import collect, read_results
    from synthesis.steps import STEPS

    config, checkpoints = parse_model_name(job["model"], Path(job["recipes"])), Path(job["checkpoints"])
    if not checkpoint_path(config, checkpoints).is_file():
        train(job)
    build = Build(
        config,
        load_board(job["board"]),
        job["fps"],
        root=Path(job["builds"]),
        report=lambda text: None,
        checkpoint_dir=checkpoints,
        recipe_dir=Path(job["recipes"]),
    )
    with build.locked():
        build.execute(STEPS[name] for name in FOLD_STEPS)
        if excess := build.results("fold")["folding"]["excess"]:
            raise InfeasibleError(f"needs an estimated {'; '.join(excess.values())} that folding may use")
        build.execute(STEPS[name] for name in HARDWARE_STEPS)
        report = collect(read_results(build.dir), build.model, build.board)
        simulated = build.results("fifo")["fifo_sizing"]
        seconds = {name: step["seconds"] for name, step in build.manifest["steps"].items()}
    used = report["resources"]
    results = {"model": report["model"], "resources": used, "eer": report["eer"], "simulated": simulated}
    results |= {"estimate": report["folding"]["estimate"], "seconds": seconds}
    return {"values": [used["lut"], used["dsp"], simulated["cycles_per_image"]], "results": results}
