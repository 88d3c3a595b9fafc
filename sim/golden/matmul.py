# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/matmul."""

from __future__ import annotations

import numpy as np

from quant.intmath import matmul as exact


def matmul_qk(q: np.ndarray, k: np.ndarray, heads: int) -> np.ndarray:
    """Attention scores: acc[tq, h * keys + tk] = sum over d of q[tq, h*D + d] * k[tk, h*D + d].

    Args:
        q: Query codes, shape (..., queries, heads * D), signed.
        k: Key codes, shape (..., keys, heads * D), signed.
        heads: Number of heads.

    Returns:
        Accumulators, int64, shape (..., queries, heads * keys); one softmax row is `keys` long.
    RTL: hw/rtl/matmul/matmul.sv with TRANSPOSE=0.
    """
    queries, channels = q.shape[-2:]
    keys, dim = k.shape[-2], channels // heads
    qh = np.moveaxis(q.reshape(*q.shape[:-1], heads, dim), -2, -3)
    kh = np.moveaxis(k.reshape(*k.shape[:-1], heads, dim), -2, -3)
    acc = exact(qh, np.swapaxes(kh, -1, -2))
    return np.moveaxis(acc, -3, -2).reshape(*q.shape[:-2], queries, heads * keys)


def matmul_pv(p: np.ndarray, v: np.ndarray, heads: int) -> np.ndarray:
    """Attention output: acc[tq, h*D + d] = sum over tk of p[tq, h * keys + tk] * v[tk, h*D + d].

    Args:
        p: Probability codes, shape (..., queries, heads * keys), unsigned.
        v: Value codes, shape (..., keys, heads * D), signed.
        heads: Number of heads.

    Returns:
        Accumulators, int64, shape (..., queries, heads * D).
    RTL: hw/rtl/matmul/matmul.sv with TRANSPOSE=1.
    """
    queries = p.shape[-2]
    keys, channels = v.shape[-2:]
    ph = np.moveaxis(p.reshape(*p.shape[:-1], heads, keys), -2, -3)
    vh = np.moveaxis(v.reshape(*v.shape[:-1], heads, channels // heads), -2, -3)
    acc = exact(ph, vh)
    return np.moveaxis(acc, -3, -2).reshape(*p.shape[:-2], queries, channels)
