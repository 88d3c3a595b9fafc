# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/add."""

from __future__ import annotations

import numpy as np

from quant.intmath import clip


def add(a: np.ndarray, b: np.ndarray, out_bits: int) -> np.ndarray:
    """Saturating sum of two code arrays of one scale: y = clip(a + b) to signed out_bits.

    Shapes (..., tokens, channels).

    RTL: hw/rtl/add/add.sv.
    """
    return clip(np.asarray(a, np.int64) + np.asarray(b, np.int64), out_bits)
