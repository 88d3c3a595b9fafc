# SPDX-License-Identifier: Apache-2.0
"""sim/golden/softmax on numbers worked by hand, and against real arithmetic."""

import numpy as np
import pytest

from sim.golden.softmax import exp_table, softmax


def test_exp_table_by_hand():
    # exp(-d * ln 2): 4095, 2047.5 -> 2048 (even), 1023.75, 511.875, 255.9375
    table = exp_table(np.log(2))
    assert table.shape == (256,)
    assert np.array_equal(table[:5], [4095, 2048, 1024, 512, 256])
    assert table[14:].max() == 0
    assert np.array_equal(exp_table(0.0), [4095] * 256)


def test_softmax_by_hand():
    table = exp_table(np.log(2))
    # one score: total 4095, r = 2**28 // 4095 = 65552, (4095 * 65552 + 2**19) >> 20 = 256, clipped
    assert np.array_equal(softmax(np.array([-7]), table, 1), [255])
    # two equal scores: total 8190, r = 32776, 4095 * 32776 = 134217720, + 2**19, >> 20 = 128
    assert np.array_equal(softmax(np.array([-128, -128]), table, 2), [128, 128])
    # differences 0, 1, 2: total 7167, r = 37454, products 153374130, 76705792, 38352896: 146.3, 73.2, 36.6 of 256
    assert np.array_equal(softmax(np.array([3, 2, 1]), table, 3), [146, 73, 37])
    # the largest difference, 255
    assert np.array_equal(softmax(np.array([-128, 127]), table, 2), [0, 255])


def test_softmax_takes_rows_one_after_the_other():
    table = exp_table(0.1)
    x = np.arange(24).reshape(2, 12) * 5 % 37
    rows = [softmax(r, table, 4) for r in x.reshape(-1, 4)]
    assert np.array_equal(softmax(x, table, 4), np.concatenate(rows).reshape(2, 12))


@pytest.mark.parametrize("length", [2, 17, 197])
def test_softmax_close_to_real_arithmetic(length):
    rng = np.random.default_rng(length)
    x = rng.integers(-128, 128, (50, length))
    real = np.exp((x - x.max(-1, keepdims=True)) * 0.05)
    real /= real.sum(-1, keepdims=True)
    assert np.abs(softmax(x, exp_table(0.05), length) - real * 256).max() < 1.2


def test_twin_ranges_by_hand():
    # quotients of 64: 36.6, 18.3, 9.15 (differences 0, 1, 2 of ln 2); out_bits 6, shift 2: up to 15 as they are,
    # above in steps of 4: 36.6 / 4 = 9.14 -> 36, 18.3 / 4 = 4.57 -> 20
    table = exp_table(np.log(2))
    assert np.array_equal(softmax(np.array([3, 2, 1]), table, 3, 6, 6, 2), [36, 20, 9])
    assert np.array_equal(softmax(np.array([3, 2, 1]), table, 3, 6, 6), [37, 18, 9])
    # a probability of one: the last multiple, 15 * 4
    assert np.array_equal(softmax(np.array([0]), table, 1, 6, 6, 2), [60])


def test_narrow_codes_with_a_finer_scale_saturate():
    # 4 bits of scale 2**-5: 18.3, 9.15, 4.57 of 32
    table = exp_table(np.log(2))
    assert np.array_equal(softmax(np.array([3, 2, 1]), table, 3, 4, 5), [15, 9, 5])


@pytest.mark.parametrize("widths", [(8, 7, 0), (13, 13, 0), (8, 8, 8), (0, 8, 0)])
def test_widths_that_the_unit_does_not_have_are_refused(widths):
    with pytest.raises(ValueError, match=r"softmax: out_bits=.* expected 1 <= out_bits <= fraction_bits <= 12"):
        softmax(np.zeros(2, int), exp_table(0.1), 2, *widths)
