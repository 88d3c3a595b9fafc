# SPDX-License-Identifier: Apache-2.0
"""sim/golden/matmul on numbers worked by hand."""

import numpy as np
import pytest

from sim.golden.matmul import matmul_pv, matmul_qk

Q = np.array([[1, 2, 3, 4], [-1, 0, 5, -6]])  # 2 queries, 2 heads of 2 channels
K = np.array([[1, 0, 0, 1], [1, 1, 2, 0], [-3, 1, 1, -1]])  # 3 keys


def test_matmul_qk_lines_up_heads_per_query():
    # query 0: head 0 [1 2] . [1 0], [1 1], [-3 1] = 1, 3, -1; head 1 [3 4] . [0 1], [2 0], [1 -1] = 4, 6, -1
    # query 1: head 0 [-1 0]: -1, -1, 3; head 1 [5 -6]: -6, 10, 11
    want = [[1, 3, -1, 4, 6, -1], [-1, -1, 3, -6, 10, 11]]
    assert np.array_equal(matmul_qk(Q, K, 2), want)
    assert np.array_equal(matmul_qk(np.stack([Q, -Q]), np.stack([K, K]), 2), [want, np.negative(want)])


def test_matmul_qk_of_one_head_is_the_plain_product():
    assert np.array_equal(matmul_qk(Q, K, 1), Q @ K.T)


def test_matmul_pv_lines_up_heads_per_query():
    p = np.array([[1, 2, 3, 0, 0, 255]])  # head 0 weights 1 2 3, head 1 weights 0 0 255
    # head 0 channels 0, 1: 1 + 2 - 9 = -6, 0 + 2 + 3 = 5; head 1 channels 2, 3: 255 * 1, 255 * -1
    assert np.array_equal(matmul_pv(p, K, 2), [[-6, 5, 255, -255]])
    assert np.array_equal(
        matmul_pv(np.stack([p, 2 * p]), np.stack([K, K]), 2), [[[-6, 5, 255, -255]], [[-12, 10, 510, -510]]]
    )


def test_matmul_refuses_what_float64_cannot_hold():
    wide = np.full((1, 1), 2**27)
    with pytest.raises(ValueError, match="float64 is exact below"):
        matmul_qk(wide, wide, 1)
