# SPDX-License-Identifier: Apache-2.0
"""Weight schemes on hand-worked numbers, and round trips at every width."""

import numpy as np
import pytest

from quant import schemes
from quant.schemes import FIXED, POT, SP2

ALL_BITS = range(2, 9)


@pytest.mark.parametrize(
    ("scheme", "bits", "expected"),
    [
        (FIXED, 2, [0, 1]),
        (FIXED, 3, [0, 1, 2, 3]),
        (FIXED, 4, [0, 1, 2, 3, 4, 5, 6, 7]),
        (FIXED, 5, list(range(16))),
        (FIXED, 6, list(range(32))),
        (FIXED, 7, list(range(64))),
        (FIXED, 8, list(range(128))),
        (POT, 2, [0, 1]),
        (POT, 3, [0, 1, 2, 4]),
        (POT, 4, [0, 1, 2, 4, 8, 16, 32, 64]),
        # from five bits on, the exponent stops at 14
        (POT, 5, [0, *(2**k for k in range(15))]),
        (POT, 6, [0, *(2**k for k in range(15))]),
        (POT, 7, [0, *(2**k for k in range(15))]),
        (POT, 8, [0, *(2**k for k in range(15))]),
        # m1 = 1, m2 = 0: one term of 0 or 1
        (SP2, 2, [0, 1]),
        # m1 = m2 = 1: both terms 0 or 1
        (SP2, 3, [0, 1, 2]),
        # m1 = 2: 0, 1, 2, 4; m2 = 1: 0 or 4
        (SP2, 4, [0, 1, 2, 4, 5, 6, 8]),
        # m1 = m2 = 2: both 0, 1, 2, 4
        (SP2, 5, [0, 1, 2, 3, 4, 5, 6, 8]),
        # m1 = 3: 0, 1 .. 64; m2 = 2: 0, 16, 32, 64
        (SP2, 6, [0, 1, 2, 4, 8, 16, 17, 18, 20, 24, 32, 33, 34, 36, 40, 48, 64, 65, 66, 68, 72, 80, 96, 128]),
        # m1 = m2 = 3: both 0, 1 .. 64
        (
            SP2,
            7,
            [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 17, 18, 20, 24, 32, 33, 34, 36, 40, 48]
            + [64, 65, 66, 68, 72, 80, 96, 128],
        ),
    ],
)
def test_magnitudes_of_small_widths(scheme, bits, expected):
    assert schemes.magnitudes(scheme, bits).tolist() == expected


def test_sp2_of_eight_bits_has_a_coarse_second_term():
    first = [0, *(2**k for k in range(15))]  # m1 = 4
    second = [0, *(2**k for k in range(8, 15))]  # m2 = 3, the same largest power
    assert schemes.magnitudes(SP2, 8).tolist() == sorted({a + b for a in first for b in second})


def test_two_bits_are_ternary_in_every_scheme():
    for scheme in (FIXED, POT, SP2):
        assert schemes.magnitudes(scheme, 2).tolist() == [0, 1]
        assert schemes.encode(np.array([0, 1, -1]), scheme, 2).tolist() == [0, 1, 0b11]


def test_rows_follow_a_given_cost():
    weight = np.ones((8, 2))
    cost = np.array([3.0, 1.0, 2.0, 0.0, -1.0, 5.0, 5.0, 4.0])
    assert schemes.assign_rows(weight, POT, 4, 2, cost).tolist() == [0, 1, 0, 1, 1, 0, 0, 1]


def test_pot_exponents_stop_at_14():
    assert [schemes.largest(POT, bits) for bits in ALL_BITS] == [1, 4, 64, 2**14, 2**14, 2**14, 2**14]


def test_bit_codes_of_four_bits():
    assert schemes.encode(np.array([-7, -1, 0, 5]), FIXED, 4).tolist() == [0b1001, 0b1111, 0, 0b0101]
    # pot: sign, e: 64 = 2**6 has e = 7
    assert schemes.encode(np.array([-64, -1, 0, 1, 8]), POT, 4).tolist() == [0b1111, 0b1001, 0, 0b0001, 0b0100]
    # sp2: sign, e1 (2 bits), e2 (1 bit): 4 is q1 = 4 or q2 = 4, the lower code wins; 5 = 1 + 4; 8 = 4 + 4
    assert schemes.encode(np.array([-8, 0, 2, 4, 5]), SP2, 4).tolist() == [0b1111, 0, 0b0100, 0b0001, 0b0011]


@pytest.mark.parametrize("bits", ALL_BITS)
@pytest.mark.parametrize("scheme", [FIXED, POT, SP2])
def test_codes_round_trip(scheme, bits):
    magnitude = schemes.magnitudes(scheme, bits)
    values = np.concatenate([-magnitude[::-1], magnitude])
    codes = schemes.encode(values, scheme, bits)
    assert codes.min() >= 0 and codes.max() < 2**bits
    np.testing.assert_array_equal(schemes.decode(codes, scheme, bits), values)
    assert schemes.encode(np.array(0), scheme, bits) == 0
    if scheme == SP2:
        m1, m2 = -(-(bits - 1) // 2), (bits - 1) // 2
        for code, value in zip(codes.tolist(), values.tolist(), strict=True):
            e1, e2 = code >> m2 & (2**m1 - 1), code & (2**m2 - 1)
            q1 = 2 ** (e1 - 1) if e1 else 0
            q2 = 2 ** (e2 - 1 + 2**m1 - 2**m2) if e2 else 0
            assert (-1 if code >> (bits - 1) else 1) * (q1 + q2) == value


@pytest.mark.parametrize(
    ("scheme", "value", "expected"),
    [
        (FIXED, 2.5, 2),
        (FIXED, -2.5, -2),
        (FIXED, 2.51, 3),
        (FIXED, 99.0, 7),
        (POT, 3.0, 2),
        (POT, -3.0, -2),
        (POT, 3.01, 4),
        (POT, 0.5, 0),
        (POT, -1e9, -64),
        (SP2, 3.0, 2),
        (SP2, 7.0, 6),
        (SP2, -7.1, -8),
    ],
)
def test_nearest_breaks_ties_toward_zero(scheme, value, expected):
    assert schemes.nearest(np.array(value), scheme, 4) == expected


@pytest.mark.parametrize("bits", ALL_BITS)
@pytest.mark.parametrize("scheme", [FIXED, POT, SP2])
def test_nearest_is_nearest(scheme, bits):
    magnitude = schemes.magnitudes(scheme, bits)
    levels = np.unique(np.concatenate([-magnitude, magnitude]))
    values = np.random.default_rng(bits).normal(0, magnitude[-1] / 2, 500)
    got = schemes.nearest(values, scheme, bits)
    np.testing.assert_array_equal(np.abs(got - values), np.abs(levels[None] - values[:, None]).min(axis=1))


def test_assign_rows_takes_smallest_variance_of_each_group():
    spread = np.array([4.0, 1.0, 3.0, 2.0, 1.0, 1.0, 5.0, 0.0])
    weight = spread[:, None] * np.array([-1.0, 1.0])
    got = schemes.assign_rows(weight, SP2, row_group=4, shift_add_rows=2)
    assert got.tolist() == [0, 2, 0, 2, 2, 0, 0, 2]
    assert schemes.assign_rows(weight, SP2, 4, 0).tolist() == [0] * 8
    assert schemes.assign_rows(weight, POT, 4, 4).tolist() == [1] * 8


def test_search_scales_finds_exact_rows():
    rng = np.random.default_rng(3)
    kinds = np.array([FIXED, POT, SP2])
    codes = np.stack([rng.choice(schemes.magnitudes(k, 4), 40) for k in kinds])
    codes[:, 0] = [7, 64, 8]
    scale = np.array([0.1, 0.01, 0.03])
    got = schemes.search_scales(codes * scale[:, None], kinds, 4)
    np.testing.assert_allclose(got, scale)
    np.testing.assert_array_equal(schemes.quantize_rows(codes * scale[:, None], got, kinds, 4), codes)
    assert schemes.search_scales(np.zeros((1, 4)), kinds[:1], 4).tolist() == [1.0]


def test_integer_bits_covers_the_widest_row():
    assert schemes.integer_bits(np.array([FIXED, FIXED]), 4) == 4
    assert schemes.integer_bits(np.array([FIXED, SP2]), 4) == 5
    assert schemes.integer_bits(np.array([FIXED, POT]), 4) == 8


def test_errors_name_what_was_given():
    with pytest.raises(ValueError, match=r"3 is no 4-bit sp2 weight; magnitudes are 0, 1, 2, 4"):
        schemes.encode(np.array([0, 3]), SP2, 4)
    with pytest.raises(ValueError, match=r"9 weight bits, expected 2..8"):
        schemes.magnitudes(FIXED, 9)
    with pytest.raises(ValueError, match=r"unknown scheme 'sp3'; expected one of fixed, pot, sp2"):
        schemes.scheme_id("sp3")
    with pytest.raises(ValueError, match=r"10 rows do not divide into groups of row_group=4"):
        schemes.assign_rows(np.ones((10, 2)), SP2, 4, 2)
    with pytest.raises(ValueError, match=r"shift_add_rows=5, expected 0..4"):
        schemes.assign_rows(np.ones((8, 2)), SP2, 4, 5)
