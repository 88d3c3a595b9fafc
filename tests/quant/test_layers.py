# SPDX-License-Identifier: Apache-2.0
"""Torch forms of the integer ops equal the golden models code by code; gradients follow the real functions."""

import math

import numpy as np
import pytest
import torch

from quant import layers
from quant.intmath import clip, half_up_inf, int_range, quantize_multiplier
from sim.golden.add import add
from sim.golden.embed import embed
from sim.golden.layernorm import layernorm
from sim.golden.lookup import gelu_table, lookup
from sim.golden.mvu import mvu
from sim.golden.requant import requant
from sim.golden.softmax import exp_table, softmax
from sim.golden.swu import swu

SEED = 11


def codes(rng, bits, shape):
    """Random signed codes of which every tenth is the smallest, the largest or zero."""
    low, high = int_range(bits)
    values = rng.integers(low, high + 1, shape)
    corners = rng.choice([low, high, 0], shape)
    return np.where(rng.random(shape) < 0.1, corners, values)


def as_float(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def check(got, want):
    np.testing.assert_array_equal(got.detach().numpy(), want, err_msg=f"seed {SEED}")


def test_sliding_window_matches_golden():
    image = codes(np.random.default_rng(SEED), 8, (2, 12, 12, 3))
    check(layers.SlidingWindowFn.apply(as_float(image), 5, 3, "p")[:, :9], swu(image, 5, 3)[:, :9])


@pytest.mark.parametrize("out_bits", [2, 4, 8, 12, 16])
def test_requant_matches_golden(out_bits):
    rng = np.random.default_rng(SEED)
    acc = codes(rng, 24, (3, 50, 8))
    mult, shift = quantize_multiplier(rng.normal(size=8) * 2.0 ** (out_bits - 24))
    bias = rng.integers(-(2**33), 2**33, 8)
    module = layers.Requant("e", 8, out_bits)
    module.set_integers(mult, bias, shift)
    check(module(as_float(acc)), requant(acc, mult, bias, shift, out_bits))


def test_requant_with_an_offset_for_each_head_and_channel_matches_golden():
    rng = np.random.default_rng(SEED)
    acc = codes(rng, 20, (3, 2, 5, 4))  # images, heads, tokens, channels of a head
    mult, bias = np.array([40000]), rng.integers(-(2**26), 2**26, (2, 1, 4))
    module = layers.Requant("e", 1, 8)
    module.set_integers(mult, bias, 27)
    beside = np.moveaxis(acc, 1, 2).reshape(3, 5, 8)
    want = requant(beside, mult, bias.reshape(-1), 27, 8).reshape(3, 5, 2, 4)
    check(module(as_float(acc)), np.moveaxis(want, 2, 1))


def test_requant_every_tie_goes_up():
    acc = np.arange(-(2**10), 2**10).reshape(-1, 1)
    for shift in (1, 3):
        module = layers.Requant("e", 1, 8)
        module.set_integers(np.array([1]), np.array([0]), shift)
        check(module(as_float(acc)), requant(acc, np.array([1]), np.array([0]), shift, 8))
    module.set_integers(np.array([1]), np.array([0]), 1)
    assert module(torch.tensor([[-5.0], [-1.0], [1.0], [5.0]])).flatten().tolist() == [-2.0, 0.0, 1.0, 3.0]


def test_requant_widest_products_stay_exact():
    acc = np.array([[2.0**30 - 1, -(2.0**30), 2.0**30 - 3]]).astype(np.int64)
    mult, bias = np.array([65535, -65535, 65533]), np.array([2**40 + 1, -(2**40) - 1, 1])
    module = layers.Requant("e", 3, 16)
    module.set_integers(mult, bias, 31)
    check(module(torch.from_numpy(acc.astype(np.float64))), requant(acc, mult, bias, 31, 16))


def test_requant_offsets_have_eight_binary_places():
    """Of a code; ties of the offset itself to even. Shifts below eight bound them."""
    module = layers.Requant("e", 4, 8)
    offset = torch.tensor([0.3, -0.001, 1 / 512, 3 / 512], dtype=torch.float64)
    module.set_real(torch.full((4,), 2.0**-10, dtype=torch.float64), offset)
    assert (module.shift, module.mult.tolist()) == (25, [2**15] * 4)
    assert module.bias.tolist() == [77 * 2**17, 0, 0, 2 * 2**17]
    module.set_real(torch.full((4,), 2.0**10, dtype=torch.float64), offset)
    assert (module.shift, module.bias.tolist()) == (5, [10, 0, 0, 0])


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("channels", [4, 64, 96])
def test_layernorm_matches_golden(bits, channels):
    rng = np.random.default_rng(SEED)
    x = codes(rng, bits, (200, channels))
    low, high = int_range(bits)
    x[:5] = np.array([[0], [low], [high], [1], [-1]])  # no variance
    x[5, :] = 0
    x[5, 0] = 1  # smallest variance
    x[6] = np.where(np.arange(channels) % 2, low, high)  # largest variance
    x[7:60] = rng.integers(-3, 4, (53, channels))
    check(layers.LayerNormFn.apply(as_float(x), "e"), layernorm(x))


@pytest.mark.parametrize("length", [1, 5, 17, 197])
@pytest.mark.parametrize("scale", [1e-4, 0.03, 2.0])
@pytest.mark.parametrize("widths", [(8, 8, 0), (4, 6, 0), (12, 12, 5), (4, 4, 1)])
def test_softmax_matches_golden(length, scale, widths):
    rng = np.random.default_rng(SEED)
    x = codes(rng, 8, (40, 2 * length))
    x[0] = 127
    content = exp_table(scale)
    got = layers.SoftmaxFn.apply(as_float(x), as_float(content), length, "e", widths, None)
    check(got, softmax(x, content, length, *widths))


@pytest.mark.parametrize("bits", range(2, 9))
def test_table_matches_golden(bits):
    x = np.arange(*int_range(bits)).tolist() + [int_range(bits)[1]]
    content = gelu_table(0.05, 0.03, bits, 8)
    check(layers.TableFn.apply(as_float(x), as_float(content), "e", None, None, None), lookup(np.array(x), content))


def test_add_and_embed_match_golden():
    rng = np.random.default_rng(SEED)
    a, b = codes(rng, 12, (4, 9, 16)), codes(rng, 12, (4, 9, 16))
    check(layers.AddFn.apply(as_float(a), as_float(b), 12, "e"), add(a, b, 12))
    content = codes(rng, 12, (10, 16))
    check(layers.EmbedFn.apply(as_float(a), as_float(content), 12, "e"), embed(a, content, 12))


def test_linear_takes_float64_where_float32_is_not_exact():
    from quant.quantizers import IntegerWeightQuant

    rng = np.random.default_rng(SEED)
    weight, x = rng.integers(-(2**14), 2**14 + 1, (8, 300)), codes(rng, 8, (20, 300))
    layer = layers.CodeLinear("e", 300, 8, IntegerWeightQuant, bit_width=16)
    layer.set_bound(int(np.abs(weight).sum(axis=1).max()), 8)
    assert layer.wide
    with torch.no_grad():
        layer.weight.copy_(as_float(weight))
        check(layer(as_float(x)), mvu(x, weight))
    with pytest.raises(ValueError, match=r"linear\[e\]: accumulators may reach"):
        layer.set_bound(2**50, 8)


def test_gradients_follow_the_real_functions():
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randint(-1000, 1000, (5, 32), generator=generator).float().requires_grad_()
    direction = torch.randn(5, 32, generator=generator)
    (layers.LayerNormFn.apply(x, "e") * direction).sum().backward()
    real = x.detach().clone().requires_grad_()
    (torch.nn.functional.layer_norm(real, (32,), eps=0.0) * 1024 * direction).sum().backward()
    torch.testing.assert_close(x.grad, real.grad, rtol=1e-2, atol=1e-2)

    scale = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    scores = torch.randint(-128, 128, (6, 17), generator=generator).float().requires_grad_()
    module = layers.Softmax("e", 17)
    module.set_real(scale)
    direction = torch.randn(6, 17, generator=generator)
    (module(scores) * direction).sum().backward()
    real, factor = scores.detach().clone().requires_grad_(), torch.tensor(0.02, requires_grad=True)
    ((real * factor).softmax(-1) * 256 * direction).sum().backward()
    torch.testing.assert_close(scores.grad, real.grad, rtol=0.05, atol=0.02)
    torch.testing.assert_close(scale.grad.float(), factor.grad, rtol=0.05, atol=20.0)


def test_gelu_gradients_follow_the_real_function():
    low, high = torch.tensor(0.03, requires_grad=True), torch.tensor(0.03, requires_grad=True)
    x = torch.arange(-128.0, 128.0).requires_grad_()
    module = layers.Gelu("e", 8, 8)
    module.set_real(low, high)
    module(x).sum().backward()
    real = x.detach().clone().requires_grad_()
    a, b = torch.tensor(0.03, requires_grad=True), torch.tensor(0.03, requires_grad=True)
    (torch.nn.functional.gelu(real * a) / b).sum().backward()
    torch.testing.assert_close(x.grad, real.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(low.grad, a.grad, rtol=1e-2, atol=1.0)
    torch.testing.assert_close(high.grad, b.grad, rtol=1e-2, atol=1.0)


def test_requant_gradient_stops_where_codes_saturate():
    acc = torch.tensor([[-5000.0, 10.0, 5000.0]], requires_grad=True)
    factor = torch.tensor([0.1, 0.1, 0.1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    module = layers.Requant("e", 3, 8)
    module.set_real(factor, offset)
    module(acc).sum().backward()
    assert acc.grad.tolist() == [[0.0, pytest.approx(0.1), 0.0]]
    assert factor.grad.tolist() == [0.0, 10.0, 0.0] and offset.grad.tolist() == [0.0, 1.0, 0.0]


def test_requant_gradient_of_an_offset_for_each_head_and_channel():
    """That of one for each value, added up where it is used more than once; saturated values give none."""
    generator = torch.Generator().manual_seed(SEED)
    acc = torch.randint(-400, 400, (3, 2, 5, 4), generator=generator).float().requires_grad_()
    offset = torch.randn(2, 1, 4, dtype=torch.float64, generator=generator).requires_grad_()
    factor = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    module = layers.Requant("e", 1, 8)
    module.set_real(factor, offset)
    weight = torch.randint(1, 9, acc.shape, generator=generator).float()  # integers: float32 adds them up exactly
    (module(acc) * weight).sum().backward()
    rounded = torch.floor((acc.detach() * module.mult + module.bias) * 2.0**-module.shift + 0.5)
    passed = weight * ((rounded >= -128) & (rounded <= 127))
    assert 0 < int((passed == 0).sum()) < passed.numel()
    assert torch.equal(offset.grad, passed.sum((0, 2), dtype=torch.float64)[:, None])
    assert torch.equal(factor.grad, (passed * acc.detach()).sum(dtype=torch.float64)[None])
    assert torch.equal(acc.grad, passed * 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_requant_leaves_accumulators_as_they_are_for_backward(dtype):
    acc = torch.tensor([[10.0], [21.0]], dtype=dtype)
    factor = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    module = layers.Requant("e", 1, 8)
    module.set_real(factor, torch.zeros(1, dtype=torch.float64))
    codes = module(acc)
    assert codes.tolist() == [[5.0], [11.0]] and acc.tolist() == [[10.0], [21.0]]
    codes.sum().backward()
    assert factor.grad.tolist() == [31.0]


@pytest.mark.parametrize(
    ("bits", "signed", "x", "want"),
    [
        # quotients -4.5, -3.5, -2.5, -0.5, 0.5, 1.5, 2.5, 3.5: ties go up
        (3, True, [-2.25, -1.75, -1.25, -0.25, 0.25, 0.75, 1.25, 1.75], [-4, -3, -2, 0, 1, 2, 3, 3]),
        (3, True, [-100.0, -2.5, -2.0, 0.0, 1.5, 2.0, 100.0, 0.24], [-4, -4, -4, 0, 3, 3, 3, 0]),
        (2, False, [-9.0, -0.75, -0.25, 0.25, 0.75, 1.25, 1.75, 9.0], [0, 0, 0, 1, 2, 3, 3, 3]),
    ],
)
def test_activation_codes_of_hand_worked_values(bits, signed, x, want):
    got = layers.CodesFn.apply(torch.tensor(x), torch.tensor(0.5), bits, signed)
    assert got.tolist() == want


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_activation_codes_are_those_of_golden_requant(bits, signed):
    # every quarter of a code to far beyond both ends, so that every tie is there
    acc = np.arange(-5 * 2**bits, 5 * 2**bits)
    want = requant(acc[:, None], np.array([1]), np.array([0]), 2, bits, signed)[:, 0]
    assert {want.min(), want.max()} == set(int_range(bits, signed)) and len(np.unique(want)) == 2**bits
    for scale in (1.0, 2.0**-7, 2.0**9):
        x = as_float(acc) * (scale / 4)
        check(layers.CodesFn.apply(x, torch.tensor(scale), bits, signed), want)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("scale", [0.1, 1 / 3, 7e-3, 41.7])
@pytest.mark.parametrize("bits", range(2, 9))
def test_activation_codes_of_other_scales_match_intmath(bits, scale, signed):
    step = torch.tensor(scale)
    half = np.arange(-3 * 2**bits, 3 * 2**bits) / 2 * float(step)  # exact in float64: ties and codes
    near = half.astype(np.float32)
    beside = [np.nextafter(near, np.float32(sign * np.inf)) for sign in (-1, 1)]
    noise = np.random.default_rng(SEED).normal(0.0, 2**bits * scale, 3000).astype(np.float32)
    for values in (half, near, *beside, noise):
        got = layers.CodesFn.apply(torch.from_numpy(values), step, bits, signed)
        assert got.dtype == torch.from_numpy(values).dtype
        check(got, clip(half_up_inf(values.astype(np.float64) / float(step)), bits, signed))


def test_activation_codes_take_any_shape_and_leave_their_input_as_it_is():
    x = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    turned = x.permute(2, 0, 1)
    got = layers.CodesFn.apply(turned, torch.tensor(2.0), 4, True)
    assert torch.equal(x.flatten(), torch.arange(24.0, dtype=torch.float64))
    check(got, clip(half_up_inf(turned.numpy() / 2), 4))
    assert layers.CodesFn.apply(torch.tensor(3.0), torch.tensor(2.0), 4, True).shape == ()
    assert layers.CodesFn.apply(torch.zeros(0, 3), torch.tensor(2.0), 4, True).shape == (0, 3)


def test_activation_codes_have_straight_through_gradients():
    # x / scale = 3.2, -5, 0.6, -1.4, 3.4, -4.4: only -5 rounds to a code outside of -4..3
    x = torch.tensor([1.6, -2.5, 0.3, -0.7, 1.7, -2.2], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    codes = layers.CodesFn.apply(x, scale, 3, True)
    assert codes.tolist() == [3.0, -4.0, 1.0, -1.0, 3.0, -4.0]
    codes.mul(torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 6.0, 8.0, 10.0, 12.0]
    # d(x / s)/ds = -x / s^2 where nothing saturates
    assert scale.grad.item() == pytest.approx(-4 * (1.6 * 1 + 0.3 * 3 - 0.7 * 4 + 1.7 * 5 - 2.2 * 6), rel=1e-6)


def test_requant_refuses_bias_out_of_range():
    with pytest.raises(ValueError, match=r"requant\[e\]: B=9007199254740992 is not below 2\*\*52"):
        layers.Requant("e", 1, 8).set_integers(np.array([1]), np.array([2**53]), 1)


def test_softmax_refuses_rows_that_are_too_long():
    with pytest.raises(ValueError, match=r"softmax\[e\]: 4097 scores, expected at most 4096"):
        layers.Softmax("e", 4097)
    assert math.log2(layers.FLOAT32_EXACT) == 24
