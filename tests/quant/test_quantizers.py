# SPDX-License-Identifier: Apache-2.0
"""Brevitas weight quantizers: the rounding of quant.schemes, usable in a plain Brevitas layer, with gradients."""

import numpy as np
import pytest
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose2d, QuantLinear

from quant.quantizers import NearestInteger, RowSchemeWeightQuant
from quant.schemes import FIXED, POT, SCHEMES, SP2, assign_rows, largest, nearest, quantize_rows, search_scales


def layer(scheme, bits, unit_scale=False):
    torch.manual_seed(5)
    return QuantLinear(
        24,
        16,
        bias=False,
        weight_quant=RowSchemeWeightQuant,
        weight_bits=bits,
        weight_scheme=scheme,
        weight_row_group=4,
        weight_shift_add_rows=2,
        weight_unit_scale=unit_scale,
    )


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("scheme", [FIXED, POT, SP2])
def test_nearest_integer_matches_schemes(scheme, bits):
    top = 2 ** (bits - 1)
    values = np.concatenate([np.arange(-4 * top, 4 * top + 1) / 4, np.random.default_rng(bits).normal(0, top, 200)])
    values = values.astype(np.float32)[None]
    got = NearestInteger.apply(torch.from_numpy(values), torch.tensor([scheme], dtype=torch.int8), bits)
    np.testing.assert_array_equal(got.numpy(), nearest(values, scheme, bits))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("scheme", ["fixed", "pot", "sp2"])
def test_quantizer_works_in_a_brevitas_layer(scheme, bits):
    linear = layer(scheme, bits)
    quantizer = linear.weight_quant.tensor_quant
    expected = assign_rows(linear.weight.detach().numpy(), ["fixed", "pot", "sp2"].index(scheme), 4, 2)
    np.testing.assert_array_equal(quantizer.row_scheme.numpy(), expected)
    quantized = linear.quant_weight()
    integers = quantizer.integers(linear.weight)
    assert torch.equal(quantized.value, integers * quantizer.scale()[:, None])
    assert integers.abs().max() <= 2 ** (int(quantized.bit_width) - 1) - 1
    linear(torch.ones(2, 24)).sum().backward()
    for grad in (linear.weight.grad, quantizer.log_scale.grad):
        assert torch.isfinite(grad).all() and (grad != 0).any()


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(("scheme", "name"), [(FIXED, "fixed"), (POT, "pot"), (SP2, "sp2")])
def test_gradients_are_straight_through_inside_and_zero_outside(scheme, name, bits):
    top = float(largest(scheme, bits))
    scaled = torch.tensor([[0.3, -0.9 * top, top, 1.2 * top, -9.0 * top]], requires_grad=True)
    NearestInteger.apply(scaled, torch.tensor([scheme]), bits).mul(torch.arange(1.0, 6.0)).sum().backward()
    assert scaled.grad.tolist() == [[1.0, 2.0, 3.0, 0.0, 0.0]]
    # through the scale s: w' = s * q(w / s) has the derivative q - w / s inside and q outside
    linear = layer(name, bits)
    quantizer = linear.weight_quant.tensor_quant
    with torch.no_grad():
        quantizer.log_scale.sub_(0.5)  # some weights saturate
    integers = quantizer.integers(linear.weight).detach()
    ratio = (linear.weight / quantizer.scale()[:, None]).detach()
    tops = torch.tensor([largest(int(row), bits) for row in quantizer.row_scheme])[:, None]
    linear.quant_weight().value.sum().backward()
    slope = torch.where(ratio.abs() <= tops, integers - ratio, integers) * quantizer.scale().detach()[:, None]
    torch.testing.assert_close(quantizer.log_scale.grad, slope.sum(dim=1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(linear.weight.grad, (ratio.abs() <= tops).float())
    assert (ratio.abs() > tops).any() and (ratio.abs() < tops).any()


@pytest.mark.parametrize("scheme", ["fixed", "pot", "sp2"])
@pytest.mark.parametrize(
    ("kind", "shape", "row_dim"),
    [
        (QuantConv1d, (4, 8, 5), 0),
        (QuantConv2d, (4, 8, 3), 0),
        (QuantConvTranspose2d, (4, 8, 3), 1),
    ],
)
def test_quantizer_works_in_convolutions(scheme, kind, shape, row_dim):
    torch.manual_seed(7)
    keys = {"bits": 3, "scheme": scheme, "row_group": 4, "shift_add_rows": 2, "search_steps": 16}
    convolution = kind(*shape, weight_quant=RowSchemeWeightQuant, **{f"weight_{key}": v for key, v in keys.items()})
    quantizer = convolution.weight_quant.tensor_quant
    quantized = convolution.quant_weight()
    rows = convolution.weight.detach().movedim(row_dim, 0).flatten(1).double().numpy()
    schemes = quantizer.row_scheme.numpy()
    np.testing.assert_array_equal(schemes, assign_rows(rows, SCHEMES.index(scheme), 4, 2))
    scales = search_scales(rows, schemes, 3, 16)
    np.testing.assert_allclose(quantizer.scale().detach().numpy(), scales, rtol=1e-6)
    integers = (quantized.value / quantized.scale).detach().movedim(row_dim, 0).flatten(1).round().numpy()
    np.testing.assert_array_equal(integers, quantize_rows(rows, scales, schemes, 3))
    x = torch.randn(2, 4, *[6] * (convolution.weight.ndim - 2))
    convolution(x).square().sum().backward()
    assert (convolution.weight.grad != 0).any() and (quantizer.log_scale.grad != 0).all()


def test_unit_scale_hands_out_integers():
    linear = layer("sp2", 4, unit_scale=True)
    quantized = linear.quant_weight()
    assert quantized.scale == 1.0
    assert torch.equal(quantized.value, linear.weight_quant.tensor_quant.integers(linear.weight))


def test_fit_lowers_the_weight_error():
    linear = layer("sp2", 4)
    quantizer = linear.weight_quant.tensor_quant

    def error():
        return (linear.quant_weight().value - linear.weight).square().sum().item()

    before = error()
    quantizer.fit(linear.weight)
    assert error() < before
