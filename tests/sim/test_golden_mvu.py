# SPDX-License-Identifier: Apache-2.0
"""sim/golden/mvu on numbers worked by hand."""

import numpy as np

from sim.golden.mvu import da_offset, mvu


def test_mvu_multiplies_tokens_with_rows():
    x = np.array([[1, 2, 3], [-128, 127, 0]])
    weight = np.array([[1, 0, 0], [7, -7, 7], [64, 8, -64], [0, 0, 0]])
    # token 0: 1, 7 - 14 + 21, 64 + 16 - 192, 0; token 1: -128, -896 - 889, -8192 + 1016, 0
    assert np.array_equal(mvu(x, weight), [[1, 14, -112, 0], [-128, -1785, -7176, 0]])
    assert np.array_equal(mvu(x[None], weight), [[[1, 14, -112, 0], [-128, -1785, -7176, 0]]])


def test_mvu_is_exact_for_wide_accumulators():
    x = np.full((1, 4096), -128)
    assert mvu(x, np.full((1, 4096), 16384)).item() == -128 * 16384 * 4096


def test_da_offset_sums_the_negative_weights():
    weight = np.array([[3, -5, 0, 2], [-1, -2, -4, 0], [7, 1, 2, 4], [0, 0, 0, 0], [-64, 64, -64, 1]], dtype=np.int8)
    offset = da_offset(weight)
    assert np.array_equal(offset, [5, 7, 0, 0, 128])
    assert offset.dtype == np.int64 and offset.shape == (5,)


def test_da_offset_is_what_unsigned_tables_leave_out():
    """One input, activations of 3 bits: |w| * (bit ^ (w < 0)) of the planes 1, 2 and -4."""
    # a = 3 = 011: w = 5: 5 + 10 - 0 = 15 = 3 * 5 - 0; w = -5 inverts to 100: 0 + 0 - 20 = -20 = 3 * -5 - 5
    # a = -4 = 100: w = 5: 0 + 0 - 20 = -4 * 5 - 0; w = -5 inverts to 011: 5 + 10 - 0 = 15 = -4 * -5 - 5
    sums = mvu(np.array([[3], [-4]]), np.array([[5], [-5]])) - da_offset(np.array([[5], [-5]]))
    assert np.array_equal(sums, [[15, -20], [-20, 15]])
