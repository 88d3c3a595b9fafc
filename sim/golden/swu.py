# SPDX-License-Identifier: Apache-2.0
"""Golden model of hw/rtl/swu (sliding window unit)."""

from __future__ import annotations

import numpy as np


def swu(image: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Cut an image into square patches, overlapping when stride < kernel; no padding.

    Args:
        image: Pixel codes in raster order, shape (..., height, width, channels).
        kernel: Patch edge in pixels.
        stride: Step between patches in pixels.

    Returns:
        Patches in raster order, shape (..., patches, channels * kernel * kernel), elements in (channel, ky, kx) order.
    RTL: hw/rtl/swu/swu.sv.
    """
    image = np.asarray(image, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel), axis=(-3, -2))
    windows = windows[..., ::stride, ::stride, :, :, :]
    rows, cols = windows.shape[-5:-3]
    return windows.reshape(*image.shape[:-3], rows * cols, -1).copy()
