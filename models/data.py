# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST from Debian's package dataset-fashion-mnist. `python -m models.data` makes it ready."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

from models.registry import ViTDims

PACKAGE = "dataset-fashion-mnist"
DATA_DIR = Path(__file__).resolve().parents[1] / "data" / "fashion_mnist"
IMAGE_SIDE = 28
IMAGE_COUNTS = {"train": 60_000, "t10k": 10_000}
# The .gz files of the Debian package (upstream's MD5 sums do not apply: Debian re-stamps the gzip headers).
SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
REMEDY = "run `python -m models.data` to fetch it"


def load_split(split: str, data_dir: Path = DATA_DIR) -> tuple[np.ndarray, np.ndarray]:
    """Read one half of Fashion-MNIST.

    Args:
        split: "train" (60,000 images) or "test" (10,000).
        data_dir: Folder of the four .gz files.

    Returns:
        Pixels, shape (images, 28, 28), uint8; labels, shape (images,), uint8 in [0, 9].

    Raises:
        ValueError: unknown split; or a file is missing or corrupt.
    """
    prefixes = {"train": "train", "test": "t10k"}
    if split not in prefixes:
        raise ValueError(f"unknown split {split!r} of Fashion-MNIST; expected 'train' or 'test'")
    prefix = prefixes[split]
    count = IMAGE_COUNTS[prefix]
    pixels = _read_idx(data_dir / f"{prefix}-images-idx3-ubyte.gz", (count, IMAGE_SIDE, IMAGE_SIDE))
    labels = _read_idx(data_dir / f"{prefix}-labels-idx1-ubyte.gz", (count,))
    return pixels, labels


def fits(dims: ViTDims) -> bool:
    """True for a network that takes images of this size."""
    return (dims.image_size, dims.channels) == (IMAGE_SIDE, 1)


def image_codes(pixels: np.ndarray) -> np.ndarray:
    """Codes that enter the network: pixel - 128, int8, same shape; a code times 1/128 is the network's input."""
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def problems(data_dir: Path = DATA_DIR) -> list[str]:
    """What is wrong with the data folder, one entry per file by sha256; empty when all is well."""
    found = []
    for name, expected in SHA256.items():
        path = data_dir / name
        if not path.is_file():
            found.append(f"{path} is missing")
            continue
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != expected:
            found.append(f"{path} is corrupt: sha256 {actual}, expected {expected}")
    return found


def prepare(data_dir: Path = DATA_DIR) -> bool:
    """Download, check and unpack the data set, unless it is there already.

    The folder appears in one rename, so that an interrupted call leaves the old state.

    Returns:
        True when it was fetched, False when it was there.

    Raises:
        RuntimeError: apt-get or dpkg-deb is missing or failed.
        ValueError: the package holds other files than those whose sha256 is known.
    """
    if not problems(data_dir):
        return False
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise RuntimeError(
                f"data: {tool} is not on the PATH, and Fashion-MNIST comes from the Debian package {PACKAGE}; "
                f"on another system put its four .gz files into {data_dir}"
            )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=data_dir.parent) as name:
        work = Path(name)
        _apt_download(work)
        packages = list(work.glob(f"{PACKAGE}_*.deb"))
        assert len(packages) == 1, packages
        _run(["dpkg-deb", "-x", str(packages[0]), str(work / "root")])
        fresh = work / "fashion_mnist"
        fresh.mkdir()
        for file_name in SHA256:
            source = work / "root/usr/share/datasets/fashion-mnist" / file_name
            if source.is_file():
                shutil.copy(source, fresh / file_name)
        if found := problems(fresh):
            raise ValueError(
                f"data: package {packages[0].name} is not the one that is known: {found[0]}; "
                "models/data.py lists the expected sha256 sums"
            )
        if data_dir.exists():
            data_dir.rename(work / "old")
        fresh.rename(data_dir)
    return True


def _read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an idx file of unsigned bytes whose shape is known."""
    try:
        with gzip.open(path) as file:
            raw = file.read()
    except FileNotFoundError:
        raise ValueError(f"data set file {path} is missing; {REMEDY}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"data set file {path} is corrupt ({error}); {REMEDY}") from None
    magic = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    size = int(np.prod(shape))
    if raw[: len(magic)] != magic or len(raw) != len(magic) + size:
        raise ValueError(
            f"data set file {path} is corrupt: {len(raw)} bytes starting {raw[: len(magic)].hex()}, "
            f"expected {len(magic) + size} bytes starting {magic.hex()}; {REMEDY}"
        )
    return np.frombuffer(raw, np.uint8, offset=len(magic)).reshape(shape)


def _apt_download(work: Path) -> None:
    """Download the package into work; where apt has no package lists and we may, update them once."""
    command = ["apt-get", "download", PACKAGE]
    try:
        _run(command, work)
    except RuntimeError as error:
        if os.geteuid() != 0:
            raise RuntimeError(f"{error}; run `sudo apt-get update` and try again") from None
        print("data: apt-get download failed, updating the package lists", flush=True)
        _run(["apt-get", "update"])
        _run(command, work)


def _run(command: list[str], folder: Path | None = None) -> None:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        output = (result.stderr or result.stdout).strip()
        raise RuntimeError(f"data: `{' '.join(command)}` failed with exit status {result.returncode}: {output}")


def main() -> int:
    try:
        fetched = prepare()
    except (RuntimeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"data: Fashion-MNIST {'fetched to' if fetched else 'is ready in'} {DATA_DIR}, sha256 sums checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
