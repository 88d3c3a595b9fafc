# SPDX-License-Identifier: Apache-2.0
"""Bad input and interruptions on the real flow: one message, status not zero, nothing half-written, the next run works.

Model, board, recipe, bit widths, full disk: also tests/synthesis/test_cli.py. Garbage on the UART: test_board.py.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from models.train_float import fashion_mnist_test
from synthesis import cli
from synthesis.board import ROOT, load_board
from synthesis.steps import export

MODEL, BOARD = "vit_mini_w4a8", "ulx3s_85f"
SHIPPED = ROOT / "models" / "checkpoints"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build folder of the tests that build on one another's exports."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(autouse=True)
def _build_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRAIL_BUILD", str(root))


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must fail; returns its only message."""
    assert cli.main(words) == 1
    text = capsys.readouterr().err
    return one_message(text)


def one_message(text: str) -> str:
    assert text.startswith("error: ") and text.count("error: ") == 1 and "Traceback" not in text, text
    return text


def half_written(folder: Path) -> list[Path]:
    """What a step that did not end has left: its folder, its temporary folder, its results."""
    return [
        path for name in ("01_export", ".01_export.part", "results/export.json") if (path := folder / name).exists()
    ]


def start(root: Path, *words: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "synthesis", *words]
    env = {**os.environ, "VITRAIL_BUILD": str(root)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=env, **pipes, **options)  # type: ignore[call-overload]


def test_killed_export_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / MODEL / BOARD

    def stop_in_the_middle(number: signal.Signals) -> tuple[int, str]:
        process = start(tmp_path, "export", "--untrained")
        deadline = time.monotonic() + 300
        while not (folder / ".01_export.part").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(number)
        _, text = process.communicate(timeout=300)
        return process.returncode, text

    status, text = stop_in_the_middle(signal.SIGINT)
    assert (status, text) == (130, "error: interrupted; run the same command again to resume\n")
    assert half_written(folder) == []
    status, text = stop_in_the_middle(signal.SIGTERM)
    assert (status, text) == (143, "error: interrupted; run the same command again to resume\n")
    assert half_written(folder) == []
    status, _ = stop_in_the_middle(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert half_written(folder) in ([], [folder / ".01_export.part"])  # which no one reads and the next run removes
    process = start(tmp_path, "export", "--untrained")
    _, text = process.communicate(timeout=300)
    assert (process.returncode, text) == (0, "")
    assert half_written(folder) == [folder / "01_export", folder / "results/export.json"]


def test_refused_write_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses to let a file grow, in the middle of the graph's file."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, 100_000))
    process = start(tmp_path, "export", "--untrained", preexec_fn=limit)
    _, text = process.communicate(timeout=300)
    assert process.returncode == 1 and "File too large" in one_message(text)
    assert half_written(tmp_path / MODEL / BOARD) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def take_float(path: Path) -> None:
    shutil.copyfile(SHIPPED / "vit_mini_float.safetensors", path)


def take_other_recipe(path: Path) -> None:
    shutil.copyfile(SHIPPED / "vit_mini_w4a8_fixed.safetensors", path)


def flip(path: Path) -> None:
    """A damaged header."""
    data = bytearray(path.read_bytes())
    data[9] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (Path.unlink, "is missing; expected a quant checkpoint"),
        (truncate, "cannot be read: 5000 bytes, truncated or no safetensors file"),
        (lambda path: path.write_bytes(b""), "cannot be read: 0 bytes"),
        (flip, "cannot be read"),
        (take_float, "is of kind 'float'; expected a quant checkpoint"),
        (take_other_recipe, "was made with another recipe"),
    ],
)
def test_bad_checkpoint_is_refused(
    damage: Callable[[Path], None],
    text: str,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"{MODEL}.safetensors"
    shutil.copyfile(SHIPPED / path.name, path)
    damage(path)
    monkeypatch.setattr("models.train.checkpoint_path", lambda config, folder: path)
    monkeypatch.setattr(export, "checkpoint", lambda build: path)
    assert text in fails(capsys, "export")
    assert half_written(root / MODEL / BOARD) == []


@pytest.mark.dataset
def test_bad_data_set_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First run with the shipped checkpoint: the export ends well, its accuracy needs the images."""
    monkeypatch.setattr("models.train.fashion_mnist_test", partial(fashion_mnist_test, data_dir=tmp_path))
    text = fails(capsys, "bitstream")
    assert f"{tmp_path}/t10k-images-idx3-ubyte.gz is missing; run `python -m models.data`" in text
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b, but then no gzip")
    assert "t10k-images-idx3-ubyte.gz is corrupt" in fails(capsys, "bitstream")
    assert not list((root / MODEL / BOARD).glob("*02_accuracy*"))


def test_too_large_model_says_by_how_much(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_board(BOARD)
    small = board | {"resources": board["resources"] | {"lut": 5000, "bram": 20}}
    monkeypatch.setattr(cli, "load_board", lambda name: small)
    text = fails(capsys, "rtl")
    for part in (f"{MODEL} is too large for {BOARD}", "LUT of 3,", "block RAM (18 kbit) of 1", "(+", "list-boards"):
        assert part in text
    text = fails(capsys, "bitstream")
    assert "is too large" in text and "not done: RTL, simulation, synthesis, bitstream" in text
    folder = root / MODEL / BOARD
    assert not list(folder.glob("*05_generate*")) and (folder / "report.html").is_file()
    monkeypatch.undo()
    monkeypatch.setenv("VITRAIL_BUILD", str(root))
    assert cli.main(["estimate"]) == 0
    assert "fits the board's budget" in capsys.readouterr().out


@pytest.mark.verilator
def test_missing_compiler_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no_such_compiler")
    process = start(root, "rtl")
    _, text = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "the C++ compiler no_such_compiler is absent; apt install g++" in one_message(text)
    assert not list((root / MODEL / BOARD).glob("*rtl*"))
