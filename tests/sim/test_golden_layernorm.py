# SPDX-License-Identifier: Apache-2.0
"""sim/golden/layernorm on numbers worked by hand, and against real arithmetic."""

import numpy as np
import pytest

from sim.golden.layernorm import layernorm, rsqrt, rsqrt_table


def test_rsqrt_table_covers_every_mantissa():
    table = rsqrt_table()
    assert table.shape == (192,)
    # entry 0: mantissa 64.5 * 256 = 16512, 2**23 / sqrt(16512) = 65281.49
    # entry 191: mantissa 255.5 * 256 = 65408, 2**23 / sqrt(65408) = 32800.05
    assert (table[0], table[191]) == (65281, 32800)
    assert (np.diff(table) < 0).all()
    assert table.min() >= 2**15 and table.max() < 2**16


def test_rsqrt_by_hand():
    # v = 4: 3 bits, k = 2, m = 4 * 2**12 = 16384, r0 = 65281
    # t = 16384 * 65281 >> 16 = 16320, u = 16320 * 65281 >> 15 = 32512, 65281 * (98304 - 32512) >> 16 = 65536, clipped
    # v = 1: k = 1, m = 1 * 2**14, the same mantissa
    # v = 2**32: 33 bits, k = 17, m = 2**32 >> 18 = 16384
    r, k = rsqrt(np.array([4, 1, 2**32]))
    assert np.array_equal(r, [65535] * 3)
    assert np.array_equal(k, [2, 1, 17])


def test_rsqrt_close_to_real_root():
    v = np.unique(np.r_[np.arange(1, 5000), (1.001 ** np.arange(9000, 40000, 7)).astype(np.int64)])
    r, k = rsqrt(v)
    error = r / 2.0 ** (15 + k) * np.sqrt(v.astype(np.float64)) - 1
    assert np.abs(error).max() < 1e-4


def test_layernorm_by_hand():
    # [1, -1]: S1 = 0, S2 = 2, V = 2 * 2 - 0 = 4, r = 65535, k = 2, n = +-2
    # (2 * 65535 + 64) >> 7 = 1024, (-2 * 65535 + 64) >> 7 = -1024: one standard deviation with 10 fraction bits
    assert np.array_equal(layernorm(np.array([1, -1])), [1024, -1024])
    # the mean is taken out and the scale too
    assert np.array_equal(layernorm(np.array([[101, 99], [-2048, 2047]])), [[1024, -1024], [-1024, 1024]])


def test_layernorm_of_equal_codes_is_zero():
    assert not layernorm(np.array([[7] * 6, [-2048] * 6, [2047] * 6, [0] * 6])).any()
    assert np.array_equal(layernorm(np.array([5])), [0])


def test_layernorm_of_one_outlier():
    # C = 64, one code 1: n = 63, V = 64 - 1 = 63, z = 63 / sqrt(63) * 1024 = 8127.75
    # the others: n = -1, z = -1024 / sqrt(63) = -129.01
    x = np.zeros(64, np.int64)
    x[10] = 1
    z = layernorm(x)
    assert z[10] == 8128
    assert np.array_equal(np.delete(z, 10), [-129] * 63)


def test_layernorm_saturates_beyond_1024_channels():
    x = np.zeros(2000, np.int64)
    x[0], x[1] = 2047, 0
    assert layernorm(x)[0] == 32767  # sqrt(1999) * 1024 = 45783
    assert layernorm(-x)[0] == -32768


@pytest.mark.parametrize("channels", [5, 64, 192, 384])
def test_layernorm_close_to_real_arithmetic(channels):
    rng = np.random.default_rng(channels)
    x = np.clip(np.rint(rng.normal(50, rng.choice([3, 40, 700], (100, 1)), (100, channels))), -2048, 2047).astype(
        np.int64
    )
    real = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * 1024
    assert np.abs(layernorm(x) - real).max() < 1.5
