# SPDX-License-Identifier: Apache-2.0
"""The ULX3S board top with a stand-in network, compiled once, for the tests of everything around the network."""

from pathlib import Path

import numpy as np

from sim.board import build_board
from synthesis.board import board_sources, load_board

STAND_IN = Path(__file__).parent / "stand_in" / "vit_top.sv"
IMAGE_BYTES = 784
CLASSES = 10
MODEL_ID = 0x0123_4567_89AB_CDEF
TIMEOUT_MS = 2


def stand_in_logits(images: np.ndarray) -> np.ndarray:
    """Logits codes of stand_in/vit_top.sv.

    Args:
        images: Pixels 0..255, shape (B, ...) with IMAGE_BYTES pixels each.

    Returns:
        Codes, shape (B, CLASSES), int64 in the signed 16-bit range.
    """
    codes = images.reshape(len(images), IMAGE_BYTES).astype(np.int64) - 128
    padded = np.zeros((len(images), -(-IMAGE_BYTES // CLASSES) * CLASSES), dtype=np.int64)
    padded[:, :IMAGE_BYTES] = codes
    return padded.reshape(len(images), -1, CLASSES).sum(axis=1) + np.arange(CLASSES)


def random_images(count: int, seed: int) -> np.ndarray:
    """Random images, the first all black, the second all white; shape (count, 28, 28), uint8."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for index, value in enumerate((0, 255)[:count]):
        images[index] = value
    return images


def board_library() -> Path:
    """Compile the board top with the stand-in."""
    sources = [STAND_IN, *board_sources(load_board("ulx3s_85f"))]
    return build_board(sources, {"MODEL_ID": MODEL_ID, "TIMEOUT_MS": TIMEOUT_MS})
