# SPDX-License-Identifier: Apache-2.0
"""Cheap evaluations for the tests of the sweep engine; every start leaves a line in the job's log."""

import os
import time
from pathlib import Path
from typing import Any


def evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """Sum of the job's numbers after job["seconds"]; job["fault"] is raised while the file job["once"] is absent."""
    with Path(job["log"]).open("a") as log:
        log.write(f"{job['key']} {os.getpid()}\n")
    time.sleep(job.get("seconds", 0.0))
    if "fault" in job and not Path(job["once"]).exists():
        raise ValueError(job["fault"])
    return {"values": [float(job["x"] + job["y"]), float(job["x"])], "results": {"sum": job["x"] + job["y"]}}


def give(job: dict[str, Any]) -> dict[str, Any]:
    """The job itself as the outcome."""
    return job
