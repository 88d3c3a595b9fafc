# SPDX-License-Identifier: Apache-2.0
"""sim/golden/swu on numbers worked by hand."""

import numpy as np

from sim.golden.swu import swu

IMAGE = np.arange(9).reshape(3, 3, 1)  # 0 1 2 / 3 4 5 / 6 7 8


def test_swu_overlapping_patches():
    assert np.array_equal(swu(IMAGE, 2, 1), [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]])


def test_swu_leaves_out_what_does_not_fit():
    assert np.array_equal(swu(IMAGE, 2, 2), [[0, 1, 3, 4]])
    assert np.array_equal(swu(IMAGE, 1, 2), [[0], [2], [6], [8]])
    assert np.array_equal(swu(IMAGE, 3, 5), [range(9)])


def test_swu_puts_channels_first_in_a_patch():
    image = np.stack([IMAGE[..., 0], 10 + IMAGE[..., 0]], axis=-1)
    assert np.array_equal(swu(image, 2, 2), [[0, 1, 3, 4, 10, 11, 13, 14]])


def test_swu_takes_batches_of_oblong_images():
    images = np.arange(16).reshape(2, 2, 4, 1)
    want = [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
    assert np.array_equal(swu(images, 2, 2), want)
