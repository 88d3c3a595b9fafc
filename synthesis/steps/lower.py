# SPDX-License-Identifier: Apache-2.0
"""Step lower: QONNX -> FINN dataflow graph of hardware ops."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import export

FILE = "dataflow.onnx"
SOURCES = (
    "synthesis/lower.py",
    "synthesis/fold.py",
    "synthesis/finn_env.py",
    "synthesis/ops/*.py",
    "sim/golden/*.py",
    "quant/intmath.py",
    "quant/schemes.py",
    "quant/qonnx_ops.py",
)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Lower and minimize accumulators."""
    from qonnx.core.modelwrapper import ModelWrapper

    from synthesis.lower import lower, save

    source = ModelWrapper(str(build.folder("export") / export.FILE))
    from synthesis.fold import minimize_accumulators

    model = minimize_accumulators(lower(source))
    save(model, out / FILE)
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return {"dataflow": {"nodes": counts}}


STEP = Step("lower", "FINN dataflow graph", "03_lower", ("export",), SOURCES, lambda build: {}, run, shared=True)
