# SPDX-License-Identifier: Apache-2.0
"""sim/golden/add on numbers worked by hand."""

import numpy as np

from sim.golden.add import add


def test_add_sums_and_saturates():
    a = np.array([0, 5, -5, 7, -8, 7, -8, 3])
    b = np.array([0, -6, -3, 7, -8, 1, -1, 4])
    assert np.array_equal(add(a, b, 4), [0, -1, -8, 7, -8, 7, -8, 7])  # 4 bits hold -8..7
    assert np.array_equal(add(a, b, 5), [0, -1, -8, 14, -16, 8, -9, 7])
    assert add(a, b, 4).dtype == np.int64
