# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/requant."""

from __future__ import annotations

import numpy as np

from quant.intmath import clip, shift_round


def requant(
    acc: np.ndarray,
    mult: np.ndarray,
    bias: np.ndarray,
    shift: int,
    out_bits: int,
    signed: bool = True,
    lane: np.ndarray | None = None,
) -> np.ndarray:
    """Scale accumulators to codes: y = clip((acc * M + B + 2**(shift-1)) >> shift), ties toward +infinity.

    Args:
        acc: Accumulators, shape (..., tokens, channels), integers.
        mult: M, signed, shape (channels,) or (1,).
        bias: B, signed, shape (channels,) or (1,).
        shift: Right shift in bits, 1 or more.
        out_bits: Width of the codes.
        signed: Codes are two's complement, otherwise unsigned.
        lane: Source channel of each output channel, shape (channels,); None keeps the order.
            The unit reads it as the lane inside the group of PE rows that a channel belongs to.

    Returns:
        Codes, int64, shape of acc.

    Raises:
        ValueError: shift is below 1.
    RTL: hw/rtl/requant/requant.sv.
    """
    if shift < 1:
        raise ValueError(f"requant: shift={shift} must be at least 1")
    acc = np.asarray(acc, dtype=np.int64)
    if lane is not None:
        acc = acc[..., lane]
    return clip(shift_round(acc * np.asarray(mult, np.int64) + np.asarray(bias, np.int64), shift), out_bits, signed)
