# SPDX-License-Identifier: Apache-2.0
"""Quantizers, losses and bit assignment of post-training quantization, on numbers worked by hand."""

import numpy as np
import pytest
import torch

from quant.ptq import (
    IntegerFormError,
    Noisy,
    Twin,
    Uniform,
    assign_bits,
    correlation,
    keep_largest,
    matthew_fraction_bits,
    matthew_scale,
    nuclear_norm,
    probability_widths,
    ranking_loss,
    uniform_noise,
)
from sim.golden.lookup import gelu_table
from sim.golden.softmax import exp_table, softmax

SEED = 11


def both(values):
    """The same values as a numpy array and as a torch tensor."""
    array = np.asarray(values, dtype=np.float64)
    return array, torch.from_numpy(array)


@pytest.mark.parametrize(
    ("quantizer", "values", "codes"),
    [
        (Uniform(0.5, 3), [-3.0, -1.9, -0.25, 0.25, 0.75, 1.4, 9.0], [-4, -4, 0, 0, 2, 3, 3]),
        (Uniform(0.25, 2, signed=False), [-1.0, 0.1, 0.2, 0.5, 0.9], [0, 0, 1, 2, 3]),
        # 4 bits, m = 2, steps 1/32 and 1/8: codes 0..7, then multiples of 4 up to 28
        (Twin(1 / 32, 4, 2), [0.0, 0.03, 7 / 32, 0.24, 0.3, 0.5, 1.0], [0, 1, 7, 8, 8, 16, 28]),
        # behind GELU: negative in steps of 0.1 down to -7, positive in steps of 0.4 up to 28
        (Twin(0.1, 4, 2, signed=True), [-1.0, -0.17, -0.04, 0.0, 0.1, 0.3, 1.1, 5.0], [-7, -2, 0, 0, 0, 4, 12, 28]),
    ],
)
def test_codes_by_hand(quantizer, values, codes):
    for x in both(values):
        found = quantizer.codes(x)
        np.testing.assert_array_equal(np.asarray(found), codes)
        np.testing.assert_array_equal(np.asarray(quantizer(x)), np.asarray(codes) * quantizer.scale)


def test_twin_ranges_need_the_bits_they_name():
    """Eq. 23: k bits name every code, k - 1 of each range; a multiplier takes value_bits."""
    for bits, shift in ((4, 2), (6, 3), (8, 5)):
        x = np.linspace(0.0, 1.0, 100_001)
        unsigned = Twin(2.0 ** -(bits - 1 + shift), bits, shift)
        assert len(np.unique(unsigned.codes(x))) <= 2**bits and unsigned.codes(x).max() < 2**unsigned.value_bits
        signed = Twin(2.0 ** -(bits - 1 + shift), bits, shift, signed=True)
        codes = signed.codes(np.linspace(-1.0, 1.0, 100_001))
        assert len(np.unique(codes)) <= 2**bits and np.abs(codes).max() < 2 ** (signed.value_bits - 1)


def test_twin_ranges_suit_probabilities_better_than_one_range():
    """The claim of PTQ4ViT: many values near zero and a few large ones."""
    rng = np.random.default_rng(SEED)
    p = np.exp(rng.normal(0, 2.5, (200, 50)))
    p /= p.sum(axis=1, keepdims=True)
    one = min(np.square(Uniform(f / 15, 4, signed=False)(p) - p).sum() for f in np.geomspace(0.05, 1, 40))
    twin = min(np.square(Twin(2.0 ** -(3 + m), 4, m)(p) - p).sum() for m in range(1, 8))
    assert twin < 0.75 * one, (twin, one, SEED)


def test_twin_integers_are_those_of_the_softmax_unit_and_of_the_gelu_table():
    table = exp_table(np.log(2))
    scores = np.array([[3, 2, 1, -5], [7, 7, 7, 6], [9, -40, -50, -60]])
    real = np.exp2(scores - scores.max(axis=1, keepdims=True))
    real /= real.sum(axis=1, keepdims=True)
    for quantizer in (Twin(2.0**-9, 6, 4), Twin(2.0**-4, 4, 1), Uniform(2.0**-6, 4, signed=False)):
        widths = probability_widths(quantizer)
        np.testing.assert_array_equal(softmax(scores, table, 4, *widths), quantizer.codes(real))
    quantizer = Twin(0.02, 6, 3, signed=True)
    x = torch.arange(-32, 32).double() * 0.1
    content = gelu_table(0.1, 0.02, 6, quantizer.value_bits, twin_shift=3)
    np.testing.assert_array_equal(content[x.mul(10).round().long() % 64], quantizer.codes(torch.nn.functional.gelu(x)))


def test_matthew_scale_by_hand():
    assert matthew_scale(0.6, 4) == pytest.approx(0.04)
    assert [matthew_fraction_bits(p, 8) for p in (1.0, 0.999, 0.5, 0.26, 0.2)] == [8, 8, 9, 9, 10]
    assert [matthew_fraction_bits(p, 4) for p in (1.0, 0.6, 0.125, 1e-4)] == [4, 4, 7, 12]


def test_matthew_scale_keeps_the_order_of_the_largest():
    """The claim of APQ-ViT: a scale of least squared error cuts the largest probabilities to one code."""
    rng = np.random.default_rng(SEED)
    p = np.concatenate([rng.uniform(0.0, 0.03, 5_000), [0.30, 0.35, 0.42, 0.55]])
    bits = 4

    def error(scale):
        return np.square(Uniform(scale, bits, signed=False)(p) - p).sum()

    least = min((f * p.max() / 15 for f in np.geomspace(0.02, 1, 60)), key=error)
    cut = Uniform(least, bits, signed=False).codes(p[-4:])
    kept = Uniform(matthew_scale(p.max(), bits), bits, signed=False).codes(p[-4:])
    integer = Uniform(2.0 ** -matthew_fraction_bits(p.max(), bits), bits, signed=False).codes(p[-4:])
    assert kept.tolist() == [8, 10, 11, 15] and np.all(np.diff(kept) > 0)
    assert np.all(np.diff(integer) > 0)
    assert np.any(np.diff(cut) == 0), (least, cut, SEED)


def test_noise_makes_the_error_that_of_a_uniform_value():
    """The claim of NoisyQuant: a value near the middle between two codes loses up to step**2 / 4; with noise as wide as
    a step the expectation is step**2 / 12, wherever the value is.
    """
    quantizer, draws = Uniform(1.0, 8), 200_000
    noise = uniform_noise(draws, 0.5, SEED)
    assert noise.min() >= -0.5 and noise.max() < 0.5 and np.array_equal(noise, uniform_noise(draws, 0.5, SEED))
    for x, plain in ((3.45, 0.2025), (3.3, 0.09), (3.0, 0.0)):
        values = np.full(draws, x)
        assert np.square(quantizer(values) - values).mean() == pytest.approx(plain)
        with_noise = np.square(Noisy(quantizer, noise)(values) - values).mean()
        assert with_noise == pytest.approx(1 / 12, rel=0.02), (x, SEED)


def test_noise_lowers_the_error_of_a_product_of_peaked_activations():
    """Channels whose values gather between two codes: their errors have one sign, and a product adds them up."""
    rng = np.random.default_rng(SEED)
    x = 0.4 + rng.normal(0, 0.05, (500, 64))
    weight = rng.normal(0.3, 1.0, (64, 32))
    quantizer = Uniform(1.0, 6)
    noisy = Noisy(quantizer, uniform_noise(64, 0.5, SEED))
    plain, better = (np.square((q(x) - x) @ weight).mean() for q in (quantizer, noisy))
    assert better < 0.6 * plain, (plain, better, SEED)


@pytest.mark.parametrize(
    ("quantizer", "reason"),
    [
        (Uniform(0.9 / 255, 8, signed=False), "its steps are powers of two"),
        (Twin(2.0**-13, 8, 6), r"probabilities of 13 bits in steps of 2\*\*-13 \(twin ranges\)"),
        (Uniform(2.0**-7, 8, signed=False), r"8 bits in steps of 2\*\*-7: the softmax unit has 8..12 fraction bits"),
    ],
)
def test_probabilities_that_the_unit_does_not_have_are_refused(quantizer, reason):
    with pytest.raises(IntegerFormError, match=reason):
        probability_widths(quantizer)


def test_probability_widths_by_hand():
    assert probability_widths(Uniform(2.0**-9, 8, signed=False)) == (8, 9, 0)
    assert probability_widths(Twin(2.0**-12, 8, 5)) == (12, 12, 5)


def test_losses_by_hand():
    for x, reference in zip(both([[1.0, 2.0], [3.0, 5.0]]), both([[2.0, 1.0], [6.0, 0.0]]), strict=True):
        assert float(correlation(x, x)) == pytest.approx(1.0) and float(correlation(x, -3 * x)) == pytest.approx(-1.0)
        np.testing.assert_allclose(np.asarray(correlation(x, reference, 0)), [1.0, -1.0])
    # in the reference's order: 0.1, 0.5, 0.4; one of two neighbours is turned round, by 0.1
    for scores, reference in zip(both([[0.5, 0.4, 0.1]]), both([[2.0, 3.0, 1.0]]), strict=True):
        assert float(ranking_loss(scores, reference)) == pytest.approx(0.05)
        assert float(ranking_loss(reference, reference)) == 0.0
    for errors in both([[4.0, 1.0], [2.0, 3.0]]):
        assert float(keep_largest(errors, 0.5)) == 7.0 and float(keep_largest(errors, 1.0)) == 10.0
        np.testing.assert_array_equal(np.asarray(errors), [[4.0, 1.0], [2.0, 3.0]])
    assert nuclear_norm(np.diag([3.0, -4.0])) == pytest.approx(7.0)
    assert nuclear_norm(np.array([[1.0, 2.0], [2.0, 1.0]])) == pytest.approx(3.0 + 1.0)
    assert nuclear_norm(np.array([[3.0, 3.0], [4.0, 4.0]])) == pytest.approx(5.0 * 2.0**0.5)


def test_assign_bits_is_the_best_of_all():
    losses = {"a": {3: 9.0, 4: 4.0, 5: 1.0}, "b": {3: 2.0, 4: 1.9, 5: 1.8}, "c": {3: 30.0, 4: 8.0, 5: 2.0}}
    weights = {"a": 100, "b": 200, "c": 100}
    # 1,600 bits: b gives one bit of 200 weights, a and c take one of 100 each
    assert assign_bits(losses, weights, 1600) == {"a": 5, "b": 3, "c": 5}
    assert assign_bits(losses, weights, 10**9) == {"a": 5, "b": 5, "c": 5}
    # a gives its bit to c: 1500 - 600 for b leave 9 bits
    assert assign_bits(losses, weights, 1400) == {"a": 3, "b": 3, "c": 5}
    with pytest.raises(ValueError, match="1000 bits do not hold all layers"):
        assign_bits(losses, weights, 1000)
