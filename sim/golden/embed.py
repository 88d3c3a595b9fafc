# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/embed."""

from __future__ import annotations

import numpy as np

from quant.intmath import clip


def embed(x: np.ndarray, content: np.ndarray, out_bits: int) -> np.ndarray:
    """Put the class token in front and add the position embedding.

    y[0] = content[0] (class token plus its position, already in codes); y[t] = clip(x[t - 1] + content[t]), t >= 1.

    Args:
        x: Patch codes, shape (..., tokens - 1, channels), signed.
        content: Codes, shape (tokens, channels), in the signed range of out_bits.
        out_bits: Width of the output codes.

    Returns:
        Codes, int64, shape (..., tokens, channels).
    RTL: hw/rtl/embed/embed.sv.
    """
    x = np.asarray(x, dtype=np.int64)
    content = np.asarray(content, dtype=np.int64)
    first = np.broadcast_to(content[:1], (*x.shape[:-2], 1, x.shape[-1]))
    return np.concatenate([first, clip(x + content[1:], out_bits)], axis=-2)
