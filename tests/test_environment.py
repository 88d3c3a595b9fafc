# SPDX-License-Identifier: Apache-2.0
"""The set-up itself: pins, make targets, and what is said when a tool is absent."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERBS = (
    "bitstream train export estimate rtl lint sim synth pnr report view flash run bench "
    "test check list-models list-boards clean help venv data"
).split()


def make(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env={**inherited, **env}, capture_output=True, text=True)


def packages(file: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return [line for line in lines if line]


def plain_name(requirement: str) -> str:
    return re.split(r"[\[=<>~! ]", requirement)[0].lower().replace("_", "-")


def test_lock_pins_every_package_exactly() -> None:
    assert [line for line in packages("requirements.lock") if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_lock_covers_what_is_asked_for() -> None:
    locked = {plain_name(line) for line in packages("requirements.lock")}
    assert [line for line in packages("requirements.in") if plain_name(line) not in locked] == []


def test_make_help_lists_every_target() -> None:
    output = make("help").stdout
    assert [verb for verb in VERBS if f"make {verb} " not in output] == []


def test_make_passes_model_board_and_fps_on() -> None:
    # -o venv: no set-up while this runs
    output = make("-n", "estimate", "MODEL=a", "BOARD=b", "FPS=30").stdout
    assert "-m synthesis estimate --model 'a' --board 'b' --fps '30'" in output


@pytest.mark.parametrize("model", ["..", "../x", "/", ""])
def test_make_clean_refuses_a_path(model: str, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    result = make("-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "clean", f"MODEL={model}")
    assert result.returncode != 0 and f"clean: MODEL='{model}' is not a model name" in result.stderr
    assert (tmp_path / "build").exists()


def test_make_clean_of_a_model_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "build" / "a").mkdir(parents=True)
    (tmp_path / "build" / "b").mkdir()
    make("-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "clean", "MODEL=a")
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["b"]


def test_make_names_missing_tools_and_their_packages(tmp_path: Path) -> None:
    for name in ("bash", "make", "git", "perl"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    result = make("tools", PATH=str(tmp_path))
    assert result.returncode != 0
    assert "missing: python3.11\nmissing: g++\n" in result.stderr
    assert "On Debian: sudo apt-get install python3.11-venv g++" in result.stderr


def test_make_names_a_python_that_is_not_3_11(tmp_path: Path) -> None:
    other = tmp_path / "python3.11"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    result = make("tools", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert result.returncode != 0 and "missing: Python 3.11 with its venv module" in result.stderr


@pytest.mark.parametrize("variable", [None, "CI", "VITRAIL_REQUIRE_TOOLS"])
def test_absent_tool_is_named_and_fails_where_required(tmp_path: Path, variable: str | None) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "test_one.py").write_text(
        "import pytest\n"
        "@pytest.mark.dataset\ndef test_needs_data(): pass\n"
        "@pytest.mark.vivado\ndef test_needs_vivado(): pass\n"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "VITRAIL_REQUIRE_TOOLS")}
    env["PATH"] = str(Path(sys.executable).parent)
    if variable:
        env[variable] = {"CI": "true"}.get(variable, "1")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "dataset: no Fashion-MNIST in data/fashion_mnist (make data)" in result.stdout
    assert "vivado: vivado not on PATH" in result.stdout
    assert ("this run must have it" in result.stdout) == (variable is not None)
    assert (result.returncode != 0) == (variable is not None)
