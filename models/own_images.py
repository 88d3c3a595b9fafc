# SPDX-License-Identifier: Apache-2.0
"""A user's own images for the backbones that Fashion-MNIST does not fit, one folder for each class:

    data/images/train/<class>/<image>    calibration takes the first of a seeded order
    data/images/val/<class>/<image>      accuracy is measured on all of them

Link a data set there (ImageNet as torchvision's ImageFolder reads it is one), or name its folder in VITRAIL_IMAGES.
Classes are numbered in the order of their folders' names; a class may be empty.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.data import image_codes
from models.names import ROOT
from models.registry import ViTDims

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's mode
RESIZED, CROPPED = 256, 224  # the shorter side is resized to these parts of the crop, as in the evaluation of DeiT
ORDER_SEED = 2020  # of the order in which training images are taken
REMEDY = "train/<class>/<image> and val/<class>/<image> belong there (or name their folder in VITRAIL_IMAGES)"


def images_dir() -> Path:
    """Folder of the images: $VITRAIL_IMAGES, or data/images in the repository."""
    return Path(os.environ.get("VITRAIL_IMAGES", ROOT / "data" / "images"))


@dataclass(frozen=True)
class OwnImages:
    """Images that are read when they are asked for.

    Attributes:
        paths: Files.
        labels: (images,) int64.
        side: Side of the square that the network takes, pixels.
        channels: 1 (grey) or 3 (red, green, blue).
    """

    paths: tuple[Path, ...]
    labels: Tensor
    side: int
    channels: int

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Codes (up to `size`, side, side, channels) int8 and labels of images after one another."""
        for start in range(0, len(self), size):
            stop = start + size
            pixels = np.stack([load_pixels(path, self.side, self.channels) for path in self.paths[start:stop]])
            yield torch.from_numpy(image_codes(pixels)), self.labels[start:stop]

    def digest(self) -> str:
        """Hash of names, sizes and dates of the files: another one says that they may have changed.

        Raises:
            ValueError: a file is not there, as behind a broken link.
        """
        found = []
        for path in self.paths:
            try:
                status = path.stat()
            except OSError as error:
                raise _unreadable(path, error) from None
            found.append((path.parent.name, path.name, status.st_size, status.st_mtime_ns))
        return hashlib.sha256(repr(found).encode()).hexdigest()


def load_pixels(path: Path, side: int, channels: int) -> np.ndarray:
    """Read an image. One of the network's size is taken as it is; others are resized and the middle is cut out.

    The shorter side is resized (bicubic) to 256 / 224 of the network's, as in the evaluation of DeiT.

    Returns:
        Pixels, shape (side, side, channels), uint8.

    Raises:
        ValueError: the file is no image of 8 bits a channel.
    """
    try:
        with Image.open(path) as file:
            if file.mode[0] in "IF":
                raise ValueError(f"mode {file.mode}, expected 8 bits a channel")
            image = file.convert(MODES[channels])
    except Exception as error:  # whatever Pillow's readers raise at damaged files
        raise _unreadable(path, error) from None
    if image.size != (side, side):
        shorter, short = side * RESIZED // CROPPED, min(image.size)
        size = (image.width * shorter // short, image.height * shorter // short)
        left, top = (round((length - side) / 2) for length in size)
        image = image.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
    return np.asarray(image, np.uint8).reshape(side, side, channels)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"image {path} cannot be read ({error}); take it out of the folder")


def list_images(split: str, dims: ViTDims) -> OwnImages:
    """The images of a half, "train" or "val", class by class, those in folders below a class too.

    Raises:
        ValueError: a folder is missing, has another number of classes than the network or other ones than the other
            half, or holds no image; or the network takes neither grey nor colour images.
    """
    if dims.channels not in MODES:
        raise ValueError(f"images of {dims.channels} channels cannot be read from files, expected 1 or 3")
    classes = {half: _classes(half) for half in ("train", "val")}
    folder, found = images_dir() / split, classes[split]
    if len(found) != dims.num_classes:
        raise ValueError(f"images: {folder} has {len(found)} classes, the network has {dims.num_classes}; {REMEDY}")
    if odd := sorted(set(classes["train"]) ^ set(classes["val"])):
        raise ValueError(f"images: class {odd[0]!r} is in one of {images_dir()}/train and val alone; {REMEDY}")
    paths: list[Path] = []
    labels = []
    for label, name in enumerate(found):
        for where, _, files in sorted(os.walk(folder / name, followlinks=True)):
            chosen = sorted(file for file in files if file.lower().endswith(SUFFIXES))
            paths += [Path(where) / file for file in chosen]
            labels += [label] * len(chosen)
    if not paths:
        raise ValueError(f"images: {folder} holds no image ({', '.join(SUFFIXES)}); {REMEDY}")
    return OwnImages(tuple(paths), torch.tensor(labels), dims.image_size, dims.channels)


def _classes(split: str) -> list[str]:
    folder = images_dir() / split
    if not folder.is_dir():
        raise ValueError(f"images: no folder {folder}; {REMEDY}")
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())


def calibration_list(dims: ViTDims, count: int) -> OwnImages:
    """The first `count` training images of the seeded order.

    Raises:
        ValueError: as list_images; or train/ holds fewer images.
    """
    images = list_images("train", dims)
    if len(images) < count:
        raise ValueError(
            f"images: {images_dir() / 'train'} holds {len(images)} images, calibration takes {count} "
            "(calibration_images of the recipe)"
        )
    rows = np.random.default_rng(ORDER_SEED).permutation(len(images))[:count]
    return OwnImages(
        tuple(images.paths[row] for row in rows), images.labels[torch.from_numpy(rows)], images.side, images.channels
    )
