# SPDX-License-Identifier: Apache-2.0
"""A user's own images for the backbones that Fashion-MNIST does not fit: folders as torchvision's ImageFolder has them.

    data/images/train/<class>/<image>    calibration takes the first of a seeded order
    data/images/val/<class>/<image>      accuracy is measured on all of them

Link a data set there, or name its folder in VITRAIL_IMAGES. Classes are numbered in the order of their folders' names.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from models.data import image_codes
from models.names import ROOT
from models.registry import ViTDims
from models.train_float import Batches

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's mode
CROP = 0.875  # side of the centre crop over the shorter side, as in the evaluation of DeiT
ORDER_SEED = 2020  # of the order in which training images are taken
VALIDATION_IMAGES = 256  # training images behind those of the calibration


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

    def take(self, rows: np.ndarray) -> "OwnImages":
        """These images alone, in this order."""
        paths = tuple(self.paths[row] for row in rows)
        return OwnImages(paths, self.labels[torch.from_numpy(rows)], self.side, self.channels)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Codes (up to `size`, side, side, channels) int8 and labels, piece by piece."""
        for start in range(0, len(self), size):
            stop = start + size
            pixels = np.stack([load_pixels(path, self.side, self.channels) for path in self.paths[start:stop]])
            yield torch.from_numpy(image_codes(pixels)), self.labels[start:stop]

    def read(self) -> Batches:
        """All of them in memory."""
        codes, labels = next(self.batches(len(self)))
        return Batches(codes, labels)

    def digest(self) -> str:
        """Hash of names, sizes and dates of the files: another one says that they may have changed."""
        found = [(str(path), status.st_size, status.st_mtime_ns) for path in self.paths if (status := path.stat())]
        return hashlib.sha256(repr(found).encode()).hexdigest()


def load_pixels(path: Path, side: int, channels: int) -> np.ndarray:
    """Read an image: shorter side to side / CROP (bicubic), the middle of it.

    Returns:
        Pixels, shape (side, side, channels), uint8.

    Raises:
        ValueError: the file is no image.
    """
    try:
        with Image.open(path) as file:
            image = file.convert(MODES[channels])
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"image {path} cannot be read ({error}); take it out of the folder") from None
    if image.size != (side, side):
        scale = round(side / CROP) / min(image.size)
        size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
        left, top = ((length - side) // 2 for length in size)
        image = image.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
    return np.asarray(image, np.uint8).reshape(side, side, channels)


def list_images(split: str, dims: ViTDims) -> OwnImages:
    """The images of a half, "train" or "val", class by class.

    Raises:
        ValueError: the folder is missing, has another number of classes than the network, or holds no image; or the
            network takes neither grey nor colour images.
    """
    if dims.channels not in MODES:
        raise ValueError(f"images of {dims.channels} channels cannot be read from files, expected 1 or 3")
    folder = images_dir() / split
    remedy = (
        f"link the data set to {images_dir()} (or name its folder in VITRAIL_IMAGES): train/<class>/<image> and "
        "val/<class>/<image>"
    )
    if not folder.is_dir():
        raise ValueError(f"images: no folder {folder}; {remedy}")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(classes) != dims.num_classes:
        raise ValueError(
            f"images: {folder} has {len(classes)} folders, the network has {dims.num_classes} classes; {remedy}"
        )
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(path for path in name.iterdir() if path.suffix.lower() in SUFFIXES)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ValueError(f"images: {folder} holds no image ({', '.join(SUFFIXES)}); {remedy}")
    return OwnImages(tuple(paths), torch.tensor(labels), dims.image_size, dims.channels)


def load_own_images(dims: ViTDims, calibration_images: int) -> tuple[Batches, Batches, OwnImages]:
    """Images for calibration, held-out training images, and the test images (all of val, read as they are needed).

    Raises:
        ValueError: as list_images; or train holds fewer images than these.
    """
    training, test = list_images("train", dims), list_images("val", dims)
    wanted = calibration_images + VALIDATION_IMAGES
    if len(training) < wanted:
        raise ValueError(
            f"images: {images_dir() / 'train'} holds {len(training)} images, expected at least {wanted}: "
            f"{calibration_images} to calibrate on (calibration_images of the recipe), {VALIDATION_IMAGES} held out"
        )
    order = np.random.default_rng(ORDER_SEED).permutation(len(training))
    parts = (order[:calibration_images], order[calibration_images:wanted])
    first, held_out = (training.take(rows).read() for rows in parts)
    return first, held_out, test
