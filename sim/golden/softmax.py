# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/softmax."""

from __future__ import annotations

import numpy as np

from quant.intmath import half_even

EXP_BITS = 12  # entries of the exponential table are unsigned, the first is 2**12 - 1
OUT_BITS = 8  # width of the probabilities, unless calibration chose another
FRACTION_BITS = 8  # their scale is 2**-8, unless calibration chose another
MAX_FRACTION_BITS = 12  # as many as the exponential table has
RECIP_BITS = 28  # the reciprocal is floor(2**28 / sum)


def exp_table(scale: float) -> np.ndarray:
    """Table of exp(-d * scale) for the code differences d = 0..255, half_even, EXP_BITS wide.

    Args:
        scale: Real value of one score code.

    Returns:
        int64, shape (256,), entry 0 is 2**EXP_BITS - 1.
    """
    return half_even((2**EXP_BITS - 1) * np.exp(-np.arange(256) * float(scale)))


def softmax(
    x: np.ndarray,
    table: np.ndarray,
    length: int,
    out_bits: int = OUT_BITS,
    fraction_bits: int = FRACTION_BITS,
    twin_shift: int = 0,
) -> np.ndarray:
    """Softmax of rows of `length` scores, in integers.

    e = table[max - x]; total = sum e; r = floor(2**28 / total); s = 28 - fraction_bits;
    p = min((e * r + 2**(s-1)) >> s, 2**out_bits - 1). With twin_shift m (PTQ4ViT's twin ranges), codes that do not fit
    n = out_bits - m bits are rounded to multiples of 2**m instead: min((e * r + 2**(s+m-1)) >> (s+m), 2**n - 1) << m.

    Args:
        x: Score codes, signed 8 bits, shape (..., rows * length): consecutive rows along the last axis.
        table: Exponential table, shape (256,), unsigned EXP_BITS.
        length: Scores of one row, 1..4096.
        out_bits: Width of the probabilities, 1..fraction_bits.
        fraction_bits: Their scale is 2**-fraction_bits, 1..12.
        twin_shift: m, 0..out_bits - 1; 0 for one range.

    Returns:
        Probability codes, int64, shape of x, unsigned out_bits, scale 2**-fraction_bits.

    Raises:
        ValueError: widths outside their ranges.
    RTL: hw/rtl/softmax/softmax.sv.
    """
    check_widths(out_bits, fraction_bits, twin_shift)
    x = np.asarray(x, dtype=np.int64)
    rows = x.reshape(*x.shape[:-1], -1, length)
    e = np.asarray(table, dtype=np.int64)[rows.max(axis=-1, keepdims=True) - rows]
    r = (1 << RECIP_BITS) // e.sum(axis=-1, keepdims=True)

    def rounded(shift: int) -> np.ndarray:
        return (e * r + (1 << (shift - 1))) >> shift

    shift, range_bits = RECIP_BITS - fraction_bits, out_bits - twin_shift
    fine = rounded(shift)
    if twin_shift:
        coarse = np.minimum(rounded(shift + twin_shift), 2**range_bits - 1) << twin_shift
        return np.where(fine < 2**range_bits, fine, coarse).reshape(x.shape)
    return np.minimum(fine, 2**out_bits - 1).reshape(x.shape)


def check_widths(out_bits: int, fraction_bits: int, twin_shift: int) -> None:
    """Raise ValueError for widths of the probabilities that the unit does not have."""
    if not (1 <= out_bits <= fraction_bits <= MAX_FRACTION_BITS and 0 <= twin_shift < out_bits):
        raise ValueError(
            f"softmax: out_bits={out_bits}, fraction_bits={fraction_bits}, twin_shift={twin_shift}; expected "
            f"1 <= out_bits <= fraction_bits <= {MAX_FRACTION_BITS} and 0 <= twin_shift < out_bits"
        )
