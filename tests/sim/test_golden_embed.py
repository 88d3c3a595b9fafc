# SPDX-License-Identifier: Apache-2.0
"""sim/golden/embed on numbers worked by hand."""

import numpy as np

from sim.golden.embed import embed

CONTENT = np.array([[10, -20], [1, 2], [120, -120]])  # class token, positions of two patches


def test_embed_puts_the_class_token_in_front():
    x = np.array([[5, 6], [7, -8]])
    assert np.array_equal(embed(x, CONTENT, 8), [[10, -20], [6, 8], [127, -128]])  # 127 and -128 are exact
    assert np.array_equal(embed(x + [1, -1], CONTENT, 8), [[10, -20], [7, 7], [127, -128]])  # 128 and -129 saturate


def test_embed_takes_batches():
    x = np.array([[[0, 0], [0, 0]], [[1, 1], [2, 2]]])
    assert np.array_equal(embed(x, CONTENT, 12), [CONTENT, [[10, -20], [2, 3], [122, -118]]])
