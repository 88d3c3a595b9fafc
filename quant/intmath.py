# SPDX-License-Identifier: Apache-2.0
"""Exact integer arithmetic shared by the golden models, the training layers and the generators. Needs numpy only.

Rounding is one of three named functions; the names other tools use for them do not travel:

    value   half_even  half_away  half_up_inf
    -2.5       -2         -3          -2
    -1.5       -2         -2          -1
     1.5        2          2           2
     2.5        2          3           3

QONNX HALF_UP is half_away, da4ml RND is half_up_inf, numpy, torch and Brevitas round half_even. The integer graph
itself rounds half_up_inf everywhere (an adder and a shift); half_even occurs only when float constants become codes.
"""

from __future__ import annotations

import numpy as np

# A float64 holds every integer up to this magnitude, so BLAS may carry an exact integer product below it.
FLOAT64_EXACT = 2**53


def half_even(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer, ties to even. Float array of any shape -> int64 of the same shape."""
    return np.rint(np.asarray(values, dtype=np.float64)).astype(np.int64)


def half_away(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer, ties away from zero. Float array of any shape -> int64 of the same shape."""
    values = np.asarray(values, dtype=np.float64)
    return (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64)


def half_up_inf(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer, ties toward +infinity. Float array of any shape -> int64 of the same shape."""
    return np.floor(np.asarray(values, dtype=np.float64) + 0.5).astype(np.int64)


def shift_round(values: np.ndarray, shift: int | np.ndarray) -> np.ndarray:
    """Divide integers by 2**shift, rounding half_up_inf: (v + 2**(shift-1)) >> shift; shift 0 returns v.

    Args:
        values: int64 array of any shape, |v| + 2**(shift-1) below 2**63.
        shift: Right shift in bits, 0..62, scalar or array that broadcasts against values.
    """
    values = np.asarray(values, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (values + half) >> shift


def int_range(bits: int, signed: bool = True, narrow: bool = False) -> tuple[int, int]:
    """Smallest and largest code of an integer type; narrow drops the most negative code of a signed type."""
    if bits < 1:
        raise ValueError(f"int_range: bits={bits} must be at least 1")
    if not signed:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + int(narrow), 2 ** (bits - 1) - 1


def clip(values: np.ndarray, bits: int, signed: bool = True) -> np.ndarray:
    """Saturate int64 values to the range of a `bits` wide type."""
    low, high = int_range(bits, signed)
    return np.clip(values, low, high)


def signed_bits(low: int, high: int) -> int:
    """Width in bits of the smallest two's complement type that holds both low and high (at least 1)."""
    low, high = int(low), int(high)
    return max((high.bit_length() if high >= 0 else 0), (-low - 1).bit_length() if low < 0 else 0) + 1


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact integer matrix product of int arrays (..., n, k) and (..., k, m) as int64, through float64 BLAS.

    Raises:
        ValueError: the product could leave the range in which float64 is exact (2**53).
    """
    bound = float(np.abs(a).max(initial=0)) * float(np.abs(b).max(initial=0)) * a.shape[-1]
    if bound >= FLOAT64_EXACT:
        raise ValueError(f"matmul: accumulators may reach {bound:.3g}, float64 is exact below 2**53")
    return np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)


def pack_words(fields: np.ndarray, bits: int) -> list[int]:
    """Pack the last axis of an int array into one unsigned word a row, element 0 in the low bits, two's complement.

    Args:
        fields: Integers, shape (words, elements), each in the signed or unsigned range of `bits`.
        bits: Width of one element.

    Returns:
        Python ints of bits * elements bits, one a row.

    Raises:
        ValueError: an element does not fit in `bits`.
    """
    fields = np.asarray(fields, dtype=np.int64)
    if fields.size and (fields.min() < -(2 ** (bits - 1)) or fields.max() >= 2**bits):
        raise ValueError(f"pack_words: values {fields.min()}..{fields.max()} do not fit in {bits} bits")
    mask = (1 << bits) - 1
    return [sum((int(v) & mask) << (bits * i) for i, v in enumerate(row)) for row in fields]


def unpack_words(words: list[int], bits: int, elements: int, signed: bool = True) -> np.ndarray:
    """Inverse of pack_words: unsigned words -> int64 array (words, elements)."""
    mask = (1 << bits) - 1
    out = np.array([[(int(w) >> (bits * i)) & mask for i in range(elements)] for w in words], dtype=np.int64)
    return np.where(out >= 1 << (bits - 1), out - (1 << bits), out) if signed else out


def quantize_multiplier(scales: np.ndarray, mult_bits: int = 16, max_shift: int = 40) -> tuple[np.ndarray, int]:
    """Turn positive or negative real factors into integers M and one shift s with factor ~ M / 2**s.

    s is the largest shift at which every |M| stays below 2**mult_bits.

    Args:
        scales: Real factors, shape (channels,); at least one is not zero.
        mult_bits: Magnitude bits of M (RTL holds M in mult_bits + 1 signed bits).
        max_shift: Upper limit of s.

    Returns:
        (M int64 of shape (channels,), s in 1..max_shift).

    Raises:
        ValueError: factors are not finite, all zero, or too large for a shift of 1.
    """
    scales = np.atleast_1d(np.asarray(scales, dtype=np.float64))
    peak = np.abs(scales).max()
    if not np.isfinite(peak) or peak == 0.0:
        raise ValueError(f"quantize_multiplier: largest factor {peak} must be finite and above zero")
    shift = min(int(np.floor(mult_bits - np.log2(peak))), max_shift)
    while shift > 0 and np.abs(half_even(scales * 2.0**shift)).max() >= 2**mult_bits:
        shift -= 1
    if shift < 1:
        raise ValueError(f"quantize_multiplier: factor {peak:.6g} needs a shift below 1 at {mult_bits} bits")
    return half_even(scales * 2.0**shift), shift
