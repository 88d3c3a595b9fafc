# SPDX-License-Identifier: Apache-2.0
"""sim/golden/requant on numbers worked by hand."""

import numpy as np
import pytest

from sim.golden.requant import requant


def test_requant_rounds_ties_toward_plus_infinity():
    # halves: -2.5 -> -2, -1.5 -> -1, -0.5 -> 0, 0.5 -> 1, 1.5 -> 2, 2.5 -> 3
    acc = np.array([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5])[:, None]
    assert np.array_equal(requant(acc, np.array([1]), np.array([0]), 1, 8)[:, 0], [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3])


def test_requant_scales_adds_and_saturates_per_channel():
    # (100 * 3 + 20 + 8) >> 4 = 20; (100 * -3 - 20 + 8) >> 4 = -312 / 16 = -19.5 -> -20; 100 * 30000 >> 4 = 187500
    acc = np.array([[100, 100, 100, -100]])
    mult, bias = np.array([3, -3, 30000, 30000]), np.array([20, -20, 0, 0])
    assert np.array_equal(requant(acc, mult, bias, 4, 8), [[20, -20, 127, -128]])
    assert np.array_equal(requant(acc, mult, bias, 4, 8, signed=False), [[20, 0, 255, 0]])
    assert np.array_equal(requant(acc, mult, bias, 4, 20), [[20, -20, 187500, -187500]])


def test_requant_takes_the_lane_of_each_channel():
    acc = np.array([[10, 20, 30, 40]])
    got = requant(acc, np.array([2]), np.array([0, 2, 4, 6]), 1, 8, lane=np.array([1, 0, 2, 3]))
    assert np.array_equal(got, [[20, 11, 32, 43]])


def test_requant_keeps_biases_beyond_float32():
    # 2**30 + 1 has no float32: (1 + 2**30) >> 1 rounds to 2**29 + 1
    assert requant(np.array([[0]]), np.array([1]), np.array([2**30 + 1]), 1, 32).item() == 2**29 + 1


def test_requant_refuses_a_shift_of_zero():
    with pytest.raises(ValueError, match="shift=0 must be at least 1"):
        requant(np.zeros((1, 1)), np.array([1]), np.array([0]), 0, 8)
