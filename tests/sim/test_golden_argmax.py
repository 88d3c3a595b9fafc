# SPDX-License-Identifier: Apache-2.0
"""sim/golden/argmax on numbers worked by hand."""

import numpy as np

from sim.golden.argmax import argmax


def test_argmax_takes_the_lowest_index_on_a_tie():
    rows = np.array([[1, 3, 2], [3, 1, 3], [-4, -4, -4], [-32768, -2, -1], [0, -1, 0]])
    assert np.array_equal(argmax(rows), [1, 0, 0, 2, 0])
    assert argmax(rows[0]) == 1
