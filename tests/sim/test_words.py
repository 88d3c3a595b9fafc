# SPDX-License-Identifier: Apache-2.0
"""Packing of beats: hand-worked words, and the way there and back for every width."""

import numpy as np
import pytest

from sim.words import Words, as_words, fields, pack, unpack


def test_pack_puts_element_0_low():
    assert pack(np.array([[1, 2, 3]]), 4).data.tolist() == [[0x321]]
    assert pack(np.array([[-1, 1]]), 20).data.tolist() == [[0x001FFFFF, 0x0]]
    assert pack(np.array([[0, -1]]), 20).data.tolist() == [[0xFFF00000, 0xFF]]


@pytest.mark.parametrize("elem_bits", [1, 3, 8, 17, 31, 32, 33, 63, 64, 100])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("signed", [False, True])
def test_unpack_reverses_pack(elem_bits, n, signed):
    rng = np.random.default_rng(elem_bits * 10 + n)
    low, high = (-(1 << (elem_bits - 1)), (1 << (elem_bits - 1)) - 1) if signed else (0, (1 << elem_bits) - 1)
    picks = [[int.from_bytes(rng.bytes(16), "little") % (high - low + 1) + low for _ in range(n)] for _ in range(50)]
    values = np.array([[low] * n, [high] * n, *picks], object if elem_bits > 63 else np.int64)
    words = pack(values, elem_bits)
    assert words.data.shape == (52, -(-n * elem_bits // 32))
    assert np.array_equal(unpack(words, n, signed), values)


def test_fields_keep_their_order():
    words = fields((np.array([-1, 2]), 17), (np.array([3, -4]), 24), (np.array([1, 0]), 2))
    want = [0x1FFFF | 3 << 17 | 1 << 41, 2 | (0xFFFFFC << 17)]
    assert unpack(words, 1, False)[:, 0].tolist() == want and words.bits == 43


def test_values_too_large_are_refused():
    with pytest.raises(ValueError, match=r"x: values 0\.\.256 do not fit 8 bits"):
        as_words(np.array([0, 256]), 8, "x")
    with pytest.raises(ValueError, match=r"x: shape \(2, 3\) given, \(beats, n\) with n a divisor of 8 bits"):
        as_words(np.zeros((2, 3), int), 8, "x")
    with pytest.raises(ValueError, match="x: dtype float64 given, integers expected"):
        as_words(np.zeros(3), 8, "x")
    with pytest.raises(ValueError, match="x: 8 bits given, the port has 9"):
        as_words(Words(np.zeros((1, 1), np.uint32), 8), 9, "x")
