# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/mvu."""

from __future__ import annotations

import numpy as np

from quant.intmath import matmul


def mvu(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Matrix-vector products of all tokens: acc[t, r] = sum over k of weight[r, k] * x[t, k].

    Args:
        x: Activation codes, shape (..., tokens, k), signed.
        weight: Weight integers (a PoT or SP2 row holds its integer values, not its bit code), shape (rows, k).

    Returns:
        Accumulators, int64, shape (..., tokens, rows).
    RTL: hw/rtl/mvu/mvu.sv.
    """
    return matmul(np.asarray(x), np.asarray(weight).T)


def packed_second(first: np.ndarray, second: np.ndarray, bits: int) -> np.ndarray:
    """Codes of the second row of a pair on multiplier blocks with DSP_PACKED: one less where the first is negative.

    Args:
        first: Weight integers of the first rows, any shape.
        second: Those of the second rows, same shape, not below -(2**(bits-1)-1).
        bits: Width of a weight.

    Returns:
        Unsigned codes of `bits` bits, int64, same shape.
    RTL: hw/rtl/mvu/mvu_lane_dsp_pair.sv, hw/rtl/mvu/mvu_lane_dsp_ecp5.sv.
    """
    return (np.asarray(second, dtype=np.int64) - (np.asarray(first) < 0)) % 2**bits


def da_offset(weight: np.ndarray) -> np.ndarray:
    """What the mvu's sums are short of with DA: the mvu delivers mvu(x, weight) - da_offset(weight) for each row.

    Args:
        weight: Weight integers, shape (rows, k).

    Returns:
        Sum of |w| over the negative weights of each row, int64, shape (rows,).
    RTL: hw/rtl/mvu/mvu_lane_da.sv.
    """
    return -np.minimum(np.asarray(weight, dtype=np.int64), 0).sum(axis=1)
