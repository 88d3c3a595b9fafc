# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/reorder."""

from __future__ import annotations

import numpy as np


def grouped_index(tokens: int, rows: int, pe: int, tile: int) -> np.ndarray:
    """Where each element of the order tile { group of pe rows { token { row of the group }}} comes from.

    Args:
        tokens: Tokens.
        rows: Rows (channels) of a token; the last group is what is left of them.
        pe: Rows of a group.
        tile: Tokens of a tile; the last tile is what is left.

    Returns:
        Positions token * rows + row, int64, shape (tokens * rows,).

    Raises:
        ValueError: pe or tile is below 1.
    """
    if min(pe, tile) < 1:
        raise ValueError(f"grouped_index: pe={pe} and tile={tile} must be at least 1")
    index = np.arange(tokens * rows, dtype=np.int64).reshape(tokens, rows)
    parts = [index[t : t + tile, g : g + pe].ravel() for t in range(0, tokens, tile) for g in range(0, rows, pe)]
    return np.concatenate(parts)


def reorder(stream: np.ndarray, tokens: int, rows: int, pe: int, tile: int) -> np.ndarray:
    """Token-major codes of a stream in the order tile { group { token { row of the group }}}.

    Args:
        stream: Elements in stream order, shape (tokens * rows,).
        tokens, rows, pe, tile: As in grouped_index.

    Returns:
        int64, shape (tokens, rows).
    RTL: hw/rtl/reorder/reorder.sv.
    """
    out = np.empty(tokens * rows, np.int64)
    out[grouped_index(tokens, rows, pe, tile)] = np.asarray(stream, dtype=np.int64).ravel()
    return out.reshape(tokens, rows)
