# SPDX-License-Identifier: Apache-2.0
"""Cheap evaluations for the tests of the sweep engine, importable in workers; every start leaves a log line."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from distributed import Client

from synthesis import sweep_engine as engine

DIRECTIONS: tuple[engine.Direction, ...] = ("maximize", "minimize")
SPACE: engine.Space = {"x": tuple(range(6)), "y": (0, 1, 2)}


def study_in(folder: Path, **options: Any) -> Any:
    """The test study in folder/study.db."""
    return engine.open_study(f"sqlite:///{folder / 'study.db'}", "test", DIRECTIONS, SPACE, **options)


def task(folder: Path, params: dict[str, Any], **extra: Any) -> engine.Task:
    """A task whose values are x + y and x."""
    key = f"{params['x']}_{params['y']}"
    return engine.Task(key, params, {"key": key, "log": str(folder / "log"), **params, **extra})


def grid(folder: Path, **extra: Any) -> list[engine.Task]:
    """Twelve tasks; y = 2 is left to a search."""
    return [task(folder, {"x": x, "y": y}, **extra) for x in range(6) for y in (0, 1)]


def evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """Sum of the job's numbers after job["seconds"].

    While the file job["once"] is absent, job["fault"] is raised, or the process killed for job["kill"]. With
    job["infeasible"] it never can be built.
    """
    with Path(job["log"]).open("a") as log:
        log.write(f"{job['key']} {os.getpid()}\n")
    time.sleep(job.get("seconds", 0.0))
    if job.get("infeasible"):
        raise engine.InfeasibleError(job["infeasible"])
    if "once" in job and not Path(job["once"]).exists():
        if job.get("kill"):
            Path(job["once"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(job["fault"])
    return {"values": [float(job["x"] + job["y"]), float(job["x"])], "results": {"sum": job["x"] + job["y"]}}


def give(job: dict[str, Any]) -> dict[str, Any]:
    """The job itself as the outcome."""
    return job


def trial(job: dict[str, Any]) -> dict[str, Any]:
    """Made-up figures of a sweep's trial: more weight bits cost more and gain more, at 5 bits at any cost."""
    bits = int(job["model"].partition("_w")[2][0])
    lut = 10 if bits == 5 else 100 * bits
    results = dict.fromkeys(("weight_error_calibrated", "weight_error", "logit_error"), 0.01)
    results |= {"integer_top1": 80.0 + bits, "float_top1": 91.0, "images": 10_000}
    results |= {"lut_estimate": lut, "dsp_estimate": 1, "bram_estimate": 1}
    return {"values": [80.0 + bits, lut, 1], "results": results}


def hardware(job: dict[str, Any]) -> dict[str, Any]:
    """Made-up hardware of a sweep's point."""
    results = {
        "resources": {"lut": 77, "ff": 10, "dsp": 4, "bram": 2},
        "eer": {"params_flops": 0.1, "bits_size": 9.0, "all": 4.5},
        "simulated": {"cycles_per_image": 50, "latency_cycles": 80},
    }
    return {"values": [77, 4, 50], "results": results}


def coordinate(folder: Path) -> None:
    """A whole run, in a process of its own that a test kills."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        engine.run(study_in(folder), grid(folder, seconds=0.2), evaluate, client)
