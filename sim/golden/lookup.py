# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/lookup."""

from __future__ import annotations

import math

import numpy as np

from quant.intmath import clip, half_even


def gelu_table(
    in_scale: float, out_scale: float, in_bits: int = 8, out_bits: int = 8, twin_shift: int = 0
) -> np.ndarray:
    """Exact GELU (erf form) from every input code to an output code, half_even, saturated.

    Args:
        in_scale: Real value of one input code.
        out_scale: Real value of one output code.
        in_bits: Width of the input code, signed.
        out_bits: Width of the output code, signed.
        twin_shift: m; with m > 0 negative results have n = out_bits - m - 1 magnitude bits, the others n bits in steps
            of 2**m (PTQ4ViT's twin ranges); 0 for one range.

    Returns:
        int64, shape (2**in_bits,), indexed by the input's bit pattern (code modulo 2**in_bits).
    """
    pattern = np.arange(2**in_bits)
    real = np.where(pattern >= 2 ** (in_bits - 1), pattern - 2**in_bits, pattern) * float(in_scale)
    gelu = real * 0.5 * (1.0 + np.array([math.erf(v / math.sqrt(2.0)) for v in real]))
    if twin_shift:
        top, step = 2 ** (out_bits - twin_shift - 1) - 1, 2**twin_shift
        fine = half_even(gelu / float(out_scale))
        coarse = np.clip(half_even(gelu / (float(out_scale) * step)), 0, top) * step
        return np.where(fine < 0, np.maximum(fine, -top), coarse)
    return clip(half_even(gelu / float(out_scale)), out_bits)


def lookup(x: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Look every code up: y = content[x modulo 2**in_bits].

    Args:
        x: Codes, any shape, signed or unsigned.
        content: Output codes, shape (2**in_bits,), indexed by the input's bit pattern.

    Returns:
        Codes, int64, shape of x.
    RTL: hw/rtl/lookup/lookup.sv.
    """
    content = np.asarray(content, dtype=np.int64)
    return content[np.asarray(x, dtype=np.int64) & (content.size - 1)]
