# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/reader."""

from __future__ import annotations

import numpy as np


def reader(x: np.ndarray, simd: int, groups: int, tile: int) -> np.ndarray:
    """Words of an element stream in the order in which an mvu wants them: tile { group { chunk { token of the tile }}}.

    Args:
        x: Elements, shape (tokens, k).
        simd: Elements of a word; the last word of a token is padded with zeros.
        groups: Times that a tile is replayed.
        tile: Tokens of a tile; the last tile is what is left.

    Returns:
        int64, shape (groups * ceil(k / simd) * tokens, simd).

    Raises:
        ValueError: simd, groups or tile is below 1.
    RTL: hw/rtl/reader/reader.sv.
    """
    if min(simd, groups, tile) < 1:
        raise ValueError(f"reader: simd={simd}, groups={groups} and tile={tile} must be at least 1")
    x = np.asarray(x, dtype=np.int64)
    tokens, k = x.shape
    chunks = -(-k // simd)
    words = np.zeros((tokens, chunks * simd), np.int64)
    words[:, :k] = x
    words = words.reshape(tokens, chunks, simd)
    tiles = [words[t : t + tile].swapaxes(0, 1).reshape(-1, simd) for t in range(0, tokens, tile)]
    return np.concatenate([np.tile(t, (groups, 1)) for t in tiles])
