# SPDX-License-Identifier: Apache-2.0
"""sim/golden/lookup on numbers worked by hand."""

import numpy as np

from sim.golden.lookup import gelu_table, lookup


def test_lookup_indexes_by_bit_pattern():
    content = np.array([10, 11, 12, 13, 14, 15, 16, 17])  # 3 bits: codes 0, 1, 2, 3, -4, -3, -2, -1
    assert np.array_equal(lookup(np.array([0, 3, -4, -1]), content), [10, 13, 14, 17])
    assert np.array_equal(lookup(np.array([[0, 4], [7, 5]]), content), [[10, 14], [17, 15]])  # unsigned codes


def test_gelu_table_by_hand():
    # gelu(1) = 0.8413, gelu(2) = 1.9545, gelu(-1) = -0.1587, gelu(-2) = -0.0455, in steps of 0.1
    content = gelu_table(in_scale=1.0, out_scale=0.1)
    assert content.shape == (256,)
    assert np.array_equal(lookup(np.array([0, 1, 2, -1, -2, -128]), content), [0, 8, 20, -2, 0, 0])
    assert lookup(np.array(13), content) == 127  # 130 saturates
    assert np.array_equal(gelu_table(1.0, 1.0, out_bits=4)[:9], [0, 1, 2, 3, 4, 5, 6, 7, 7])
