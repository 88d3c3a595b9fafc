# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST: content, and what a missing, corrupt or unreachable data set says."""

import gzip
import shutil
import subprocess

import numpy as np
import pytest

from models import data

REMEDY = "run `python -m models.data` to fetch it"
APT_ERROR = "E: Unable to locate package dataset-fashion-mnist"


@pytest.fixture
def copy(tmp_path):
    """Copy of the real data folder, to be damaged."""
    return shutil.copytree(data.DATA_DIR, tmp_path / "fashion_mnist")


@pytest.mark.dataset
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_split_is_complete_and_balanced(split, count):
    pixels, labels = data.load_split(split)
    assert (pixels.shape, pixels.dtype, labels.dtype) == ((count, 28, 28), np.uint8, np.uint8)
    assert np.array_equal(np.bincount(labels, minlength=10), [count // 10] * 10)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_image_codes_are_pixel_minus_128():
    codes = data.image_codes(np.arange(256, dtype=np.uint8))
    assert codes.dtype == np.int8
    assert np.array_equal(codes.astype(int), np.arange(256) - 128)


@pytest.mark.dataset
def test_good_data_set_has_no_problems_and_is_not_fetched_again(monkeypatch):
    monkeypatch.setattr(data, "_run", None)
    assert data.problems() == []
    assert data.prepare() is False


def test_missing_file_is_named(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    with pytest.raises(ValueError) as caught:
        data.load_split("test", tmp_path)
    assert str(caught.value) == f"data set file {path} is missing; {REMEDY}"
    assert f"{path} is missing" in data.problems(tmp_path)


@pytest.mark.dataset
def test_truncated_file_is_refused(copy):
    path = copy / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError) as caught:
        data.load_split("test", copy)
    text = str(caught.value)
    assert text.startswith(f"data set file {path} is corrupt (") and text.endswith(f"; {REMEDY}")


@pytest.mark.dataset
def test_flipped_byte_is_refused(copy):
    path = copy / "t10k-images-idx3-ubyte.gz"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is corrupt"):
        data.load_split("test", copy)
    (problem,) = data.problems(copy)
    assert problem.startswith(f"{path} is corrupt: sha256 ")
    assert problem.endswith(f", expected {data.SHA256[path.name]}")


def test_file_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(100)))
    with pytest.raises(ValueError) as caught:
        data.load_split("test", tmp_path)
    assert str(caught.value) == (
        f"data set file {path} is corrupt: 100 bytes starting {'00' * 16}, "
        f"expected 7840016 bytes starting 00000803000027100000001c0000001c; {REMEDY}"
    )


def test_file_that_is_no_gzip_is_refused(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="is corrupt \\(Not a gzipped file"):
        data.load_split("test", tmp_path)


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError) as caught:
        data.load_split("val", tmp_path)
    assert str(caught.value) == "unknown split 'val' of Fashion-MNIST; expected 'train' or 'test'"


def test_missing_tool_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError) as caught:
        data.prepare(tmp_path / "fashion_mnist")
    text = str(caught.value)
    assert text.startswith("data: apt-get is not on the PATH, and Fashion-MNIST comes from the Debian package ")
    assert text.endswith(f"put its four .gz files into {tmp_path / 'fashion_mnist'}")


class FakeTools:
    """Stands for apt-get and dpkg-deb: apt-get download fails until `apt-get update` ran."""

    def __init__(self, files, lists=False):
        self.files, self.lists, self.commands = files, lists, []

    def __call__(self, command, cwd=None, **options):
        self.commands.append(" ".join(command[:2]))
        if command[1] == "update":
            self.lists = True
        elif command[1] == "download":
            if not self.lists:
                return subprocess.CompletedProcess(command, 100, "", APT_ERROR)
            (cwd / "dataset-fashion-mnist_1_all.deb").touch()
        else:
            shutil.copytree(self.files, f"{command[3]}/usr/share/datasets/fashion-mnist")
        return subprocess.CompletedProcess(command, 0, "", "")


def fake_tools(monkeypatch, user, *arguments):
    tools = FakeTools(*arguments)
    monkeypatch.setattr(data.subprocess, "run", tools)
    monkeypatch.setattr(data.shutil, "which", lambda name: name)
    monkeypatch.setattr(data.os, "geteuid", lambda: user)
    return tools


@pytest.mark.dataset
def test_root_without_package_lists_updates_them_once(tmp_path, monkeypatch):
    tools = fake_tools(monkeypatch, 0, data.DATA_DIR)
    assert data.prepare(tmp_path / "fashion_mnist") is True
    assert tools.commands == ["apt-get download", "apt-get update", "apt-get download", "dpkg-deb -x"]
    assert data.problems(tmp_path / "fashion_mnist") == []
    assert [path.name for path in tmp_path.iterdir()] == ["fashion_mnist"]


def test_user_without_package_lists_is_told_what_to_do(tmp_path, monkeypatch):
    tools = fake_tools(monkeypatch, 1000, tmp_path)
    with pytest.raises(RuntimeError) as caught:
        data.prepare(tmp_path / "fashion_mnist")
    assert str(caught.value) == (
        f"data: `apt-get download dataset-fashion-mnist` failed with exit status 100: {APT_ERROR}; "
        "run `sudo apt-get update` and try again"
    )
    assert tools.commands == ["apt-get download"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.dataset
def test_corrupt_data_set_is_replaced(copy, monkeypatch):
    (copy / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    fake_tools(monkeypatch, 1000, data.DATA_DIR, True)
    assert data.prepare(copy) is True
    assert data.problems(copy) == []


def test_package_with_other_files_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    files = tmp_path / "files"
    files.mkdir()
    for name in data.SHA256:
        (files / name).write_bytes(b"other")
    fake_tools(monkeypatch, 1000, files, True)
    with pytest.raises(ValueError) as caught:
        data.prepare(tmp_path / "data" / "fashion_mnist")
    text = str(caught.value)
    assert text.startswith("data: package dataset-fashion-mnist_1_all.deb is not the one that is known: ")
    assert text.endswith("; models/data.py lists the expected sha256 sums")
    assert list((tmp_path / "data").iterdir()) == []


def test_command_line_says_the_error_and_exits_with_one(monkeypatch, capsys):
    def fail():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data, "prepare", fail)
    assert data.main() == 1
    assert capsys.readouterr().err == "[Errno 28] No space left on device\n"
