# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/layernorm. gamma and beta live in the requant unit that follows it."""

from __future__ import annotations

import numpy as np

from quant.intmath import clip, half_even, shift_round

Z_BITS = 16  # width of the normalized value
Z_FRAC = 10  # its fraction bits: z = (x - mean) / std * 2**Z_FRAC
TABLE_LOW = 64  # first used index of the rsqrt table (the mantissa, 16 bits, is in [2**14, 2**16), >> 8 in 64..255)


def rsqrt_table() -> np.ndarray:
    """Seeds r0 = round(2**23 / sqrt(mantissa)) at the middle of each step of 256, half_even, 16 bits.

    Returns:
        int64, shape (192,), entry i for mantissa >> 8 == i + 64, values in [2**15, 2**16).
    """
    mantissa = (np.arange(TABLE_LOW, 256) + 0.5) * 256
    return np.minimum(half_even(2.0**23 / np.sqrt(mantissa)), 2**16 - 1)


def rsqrt(variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal square root of positive integers: 1 / sqrt(v) ~ r / 2**(15 + k).

    v is normalized with an even exponent: L = bit length of v, k = (L + 1) // 2, m = v * 2**(16 - 2k) (right shifts
    truncate), so m is in [2**14, 2**16). r0 comes from the table; one Newton step in integers refines it:
        t = (m * r0) >> 16,  u = (t * r0) >> 15,  r = min((r0 * (3 * 2**15 - u)) >> 16, 2**16 - 1)

    Args:
        variance: int64 array, values 1..2**62.

    Returns:
        (r, k): int64 arrays of the same shape; r has 16 bits.
    """
    variance = np.asarray(variance, dtype=np.int64)
    length = np.zeros(variance.shape, dtype=np.int64)
    rest = variance.copy()
    for step in (32, 16, 8, 4, 2, 1):
        more = rest >= (np.int64(1) << step)
        length += np.where(more, step, 0)
        rest = np.where(more, rest >> step, rest)
    k = (length + 2) // 2  # bit length is length + 1
    up = 16 - 2 * k
    mantissa = np.where(up >= 0, variance << np.maximum(up, 0), variance >> np.maximum(-up, 0))
    r0 = rsqrt_table()[(mantissa >> 8) - TABLE_LOW]
    t = (mantissa * r0) >> 16
    u = (t * r0) >> 15
    return np.minimum((r0 * (3 * 2**15 - u)) >> 16, 2**16 - 1), k


def layernorm(x: np.ndarray) -> np.ndarray:
    """Normalize each token over its channels in integers.

    With C channels, S1 = sum x and S2 = sum x*x: V = max(C*S2 - S1*S1, 1) is C**2 times the variance, exactly, and
    n = C*x - S1 is C times the deviation; z = clip((n * r + half) >> (5 + k)), (r, k) = rsqrt(V), ties toward +inf.

    Args:
        x: Residual codes, shape (..., tokens, channels), signed, 8 to 16 bits.

    Returns:
        z, int64, shape of x, signed Z_BITS with Z_FRAC fraction bits.
    RTL: hw/rtl/layernorm/layernorm.sv.
    """
    x = np.asarray(x, dtype=np.int64)
    channels = x.shape[-1]
    s1 = x.sum(axis=-1, keepdims=True)
    s2 = (x * x).sum(axis=-1, keepdims=True)
    r, k = rsqrt(np.maximum(channels * s2 - s1 * s1, 1))
    return clip(shift_round((channels * x - s1) * r, 15 - Z_FRAC + k), Z_BITS)
