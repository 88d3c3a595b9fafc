# SPDX-License-Identifier: Apache-2.0
"""sim/golden/mvu on numbers worked by hand."""

import numpy as np

from sim.golden.mvu import mvu


def test_mvu_multiplies_tokens_with_rows():
    x = np.array([[1, 2, 3], [-128, 127, 0]])
    weight = np.array([[1, 0, 0], [7, -7, 7], [64, 8, -64], [0, 0, 0]])
    # token 0: 1, 7 - 14 + 21, 64 + 16 - 192, 0; token 1: -128, -896 - 889, -8192 + 1016, 0
    assert np.array_equal(mvu(x, weight), [[1, 14, -112, 0], [-128, -1785, -7176, 0]])
    assert np.array_equal(mvu(x[None], weight), [[[1, 14, -112, 0], [-128, -1785, -7176, 0]]])


def test_mvu_is_exact_for_wide_accumulators():
    x = np.full((1, 4096), -128)
    assert mvu(x, np.full((1, 4096), 16384)).item() == -128 * 16384 * 4096
