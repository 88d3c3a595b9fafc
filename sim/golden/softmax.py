# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/softmax."""

from __future__ import annotations

import numpy as np

from quant.intmath import half_even

EXP_BITS = 12  # entries of the exponential table are unsigned, the first is 2**12 - 1
OUT_BITS = 8  # probabilities are unsigned with scale 2**-8
RECIP_BITS = 28  # the reciprocal is floor(2**28 / sum)


def exp_table(scale: float) -> np.ndarray:
    """Table of exp(-d * scale) for the code differences d = 0..255, half_even, EXP_BITS wide.

    Args:
        scale: Real value of one score code.

    Returns:
        int64, shape (256,), entry 0 is 2**EXP_BITS - 1.
    """
    return half_even((2**EXP_BITS - 1) * np.exp(-np.arange(256) * float(scale)))


def softmax(x: np.ndarray, table: np.ndarray, length: int) -> np.ndarray:
    """Softmax of rows of `length` scores, in integers.

    e = table[max - x]; total = sum e; r = floor(2**28 / total); p = min((e * r + 2**19) >> 20, 255).

    Args:
        x: Score codes, signed 8 bits, shape (..., rows * length): consecutive rows along the last axis.
        table: Exponential table, shape (256,), unsigned EXP_BITS.
        length: Scores of one row, 1..4096.

    Returns:
        Probability codes, int64, shape of x, unsigned 8 bits, scale 2**-8.
    RTL: hw/rtl/softmax/softmax.sv.
    """
    x = np.asarray(x, dtype=np.int64)
    rows = x.reshape(*x.shape[:-1], -1, length)
    e = np.asarray(table, dtype=np.int64)[rows.max(axis=-1, keepdims=True) - rows]
    r = (1 << RECIP_BITS) // e.sum(axis=-1, keepdims=True)
    shift = RECIP_BITS - OUT_BITS
    return np.minimum((e * r + (1 << (shift - 1))) >> shift, 2**OUT_BITS - 1).reshape(x.shape)
