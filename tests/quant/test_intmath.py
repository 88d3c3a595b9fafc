# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic on hand-worked numbers."""

import numpy as np
import pytest

from quant.intmath import (
    clip,
    half_away,
    half_even,
    half_up_inf,
    int_range,
    matmul,
    pack_words,
    quantize_multiplier,
    shift_round,
    signed_bits,
    unpack_words,
)

TIES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])


def test_roundings_differ_exactly_at_ties():
    assert half_even(TIES).tolist() == [-2, -2, 0, 0, 2, 2]
    assert half_away(TIES).tolist() == [-3, -2, -1, 1, 2, 3]
    assert half_up_inf(TIES).tolist() == [-2, -1, 0, 1, 2, 3]
    off = TIES + 0.25
    assert half_even(off).tolist() == half_away(off).tolist() == half_up_inf(off).tolist()


def test_shift_round_equals_half_up_inf_for_every_small_value():
    values = np.arange(-64, 64)
    for shift in range(7):
        assert np.array_equal(shift_round(values, shift), half_up_inf(values / 2.0**shift))


def test_shift_round_takes_a_shift_per_value():
    assert shift_round(np.array([5, 5, -5]), np.array([0, 1, 1])).tolist() == [5, 3, -2]


def test_ranges_and_saturation():
    assert int_range(4) == (-8, 7) and int_range(4, narrow=True) == (-7, 7) and int_range(8, signed=False) == (0, 255)
    assert clip(np.array([-200, -128, 127, 128]), 8).tolist() == [-128, -128, 127, 127]
    with pytest.raises(ValueError, match="bits=0 must be at least 1"):
        int_range(0)


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-128, 127, 8), (-129, 0, 9), (0, 128, 9)]
)
def test_signed_bits_is_the_smallest_width(low, high, bits):
    assert signed_bits(low, high) == bits


def test_matmul_is_exact_and_refuses_what_float64_cannot_hold():
    a = np.array([[2**31, 1]])
    assert matmul(a, np.array([[2**20], [1]]))[0, 0] == 2**51 + 1
    with pytest.raises(ValueError, match="float64 is exact below"):
        matmul(a, np.array([[2**22], [1]]))


def test_pack_words_puts_element_0_in_the_low_bits():
    assert pack_words(np.array([[1, -1, 7]]), 4) == [0x7F1]
    assert unpack_words([0x7F1], 4, 3).tolist() == [[1, -1, 7]]
    assert unpack_words([0xF1], 4, 2, signed=False).tolist() == [[1, 15]]
    with pytest.raises(ValueError, match="do not fit in 4 bits"):
        pack_words(np.array([[16]]), 4)
    with pytest.raises(ValueError, match="do not fit in 4 bits"):
        pack_words(np.array([[-9]]), 4)


def test_quantize_multiplier_uses_all_magnitude_bits():
    mult, shift = quantize_multiplier(np.array([0.75, -0.375]), mult_bits=4)
    assert (mult.tolist(), shift) == ([12, -6], 4)
    mult, shift = quantize_multiplier(np.array([0.999]), mult_bits=4)  # 15.98 would round up to 16: one shift less
    assert (mult.tolist(), shift) == ([8], 3)
    for bad in ([0.0], [np.inf]):
        with pytest.raises(ValueError, match="finite and above zero"):
            quantize_multiplier(np.array(bad))
    with pytest.raises(ValueError, match="needs a shift below 1"):
        quantize_multiplier(np.array([1e6]), mult_bits=4)
