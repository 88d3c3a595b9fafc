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
