# SPDX-License-Identifier: Apache-2.0
"""Brevitas weight quantizers: the rounding of quant.schemes, usable in a plain Brevitas layer, with gradients."""

import numpy as np
import pytest
import torch
from brevitas.nn import QuantLinear

from quant.quantizers import NearestInteger, RowSchemeWeightQuant
from quant.schemes import FIXED, POT, SP2, assign_rows, nearest


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
