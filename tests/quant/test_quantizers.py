# SPDX-License-Identifier: Apache-2.0
"""Brevitas quantizers: the rounding of quant.schemes and of the integer graph in plain Brevitas layers, gradients."""

import warnings

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.export import export_qonnx
from brevitas.graph.calibrate import calibration_mode
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose2d, QuantLinear
from brevitas.quant import Int8ActPerTensorFloat, Int32Bias

from quant.intmath import clip, half_up_inf, int_range
from quant.quantizers import (
    CodeActQuant,
    CodeQuant,
    NearestInteger,
    RowSchemeQuant,
    RowSchemeWeightQuant,
    fit_weights,
    search_scale,
)
from quant.schemes import FIXED, POT, SCHEMES, SP2, assign_rows, largest, nearest, quantize_rows, search_scales

SEED = 23


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


# ---------------------------------------------------------------------------------------------------- weight keywords


def row_schemes(rows=8, **keys):
    torch.manual_seed(SEED)
    linear = QuantLinear(6, rows, bias=False, weight_quant=RowSchemeWeightQuant, **keys)
    return linear.weight_quant.tensor_quant.row_scheme.tolist()


@pytest.mark.parametrize(("scheme", "name"), [(POT, "pot"), (SP2, "sp2")])
@pytest.mark.parametrize("rows", [8, 10])
def test_a_scheme_alone_goes_to_all_rows(scheme, name, rows):
    assert row_schemes(rows, weight_scheme=name) == [scheme] * rows
    assert row_schemes(rows, weight_scheme=name, weight_row_group=4) == [scheme] * rows
    assert row_schemes(rows, weight_scheme=name, weight_shift_add_rows=0) == [FIXED] * rows
    assert row_schemes(rows, weight_scheme="fixed") == row_schemes(rows) == [FIXED] * rows


def test_shift_add_rows_are_counted_in_each_group():
    found = np.reshape(row_schemes(weight_scheme="pot", weight_row_group=4, weight_shift_add_rows=3), (2, 4))
    assert (found == POT).sum(axis=1).tolist() == [3, 3]
    with pytest.raises(ValueError, match="10 rows do not divide into groups of row_group=4"):
        row_schemes(10, weight_scheme="pot", weight_shift_add_rows=4)


@pytest.mark.parametrize("bits", range(2, 9))
def test_bit_width_means_bits(bits):
    layers = []
    for keys in ({"weight_bits": bits}, {"weight_bit_width": bits}, {"weight_bits": bits, "weight_bit_width": bits}):
        torch.manual_seed(SEED)
        layers.append(QuantLinear(24, 16, weight_quant=RowSchemeWeightQuant, weight_scheme="pot", **keys))
    for linear in layers:
        quantizer = linear.weight_quant.tensor_quant
        assert quantizer.bits == bits
        assert quantizer.integers(linear.weight).abs().max() == largest(POT, bits)
        assert torch.equal(linear.quant_weight().value, layers[0].quant_weight().value)
    identity = qnn.QuantIdentity(act_quant=CodeActQuant, bit_width=bits, scale=1.0, return_quant_tensor=True)
    assert identity(torch.tensor([1e6])).value.item() == 2 ** (bits - 1) - 1


def test_widths_have_defaults():
    assert QuantLinear(4, 4, weight_quant=RowSchemeWeightQuant).weight_quant.tensor_quant.bits == 4
    assert qnn.QuantIdentity(act_quant=CodeActQuant, scale=1.0)(torch.tensor([1e6])).item() == 127


@pytest.mark.parametrize(("make", "name"), [("weight", "RowSchemeWeightQuant"), ("act", "CodeActQuant")])
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bits": 4, "bit_width": 3}, "bits=4 contradicts bit_width=3; they mean the same, give one"),
        ({"bits": 1}, r"bits=1, expected an integer in 2\.\.8"),
        ({"bit_width": 9}, "bits=9, expected an integer in"),
        ({"bits": 3.5}, r"bits=3\.5, expected an integer in"),
        ({"bits": True}, "bits=True, expected an integer in"),
    ],
)
def test_widths_that_cannot_be_are_refused(make, name, keys, message):
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        if make == "weight":
            QuantLinear(
                4, 4, weight_quant=RowSchemeWeightQuant, **{f"weight_{key}": item for key, item in keys.items()}
            )
        else:
            qnn.QuantIdentity(act_quant=CodeActQuant, **keys)


# ---------------------------------------------------------------------------------------------------- kinds of layers

WEIGHTS = {"weight_quant": RowSchemeWeightQuant, "weight_bits": 4, "weight_scheme": "sp2", "weight_search_steps": 4}
CODES = {"input_quant": CodeActQuant, "input_bits": 6, "input_search_steps": 4}
IN_PROJ = {f"in_proj_{key}": item for key, item in {**WEIGHTS, **CODES}.items()}
OUT_PROJ = {f"out_proj_{key}": item for key, item in {**WEIGHTS, **CODES}.items()}
OPERANDS = dict.fromkeys(["q_scaled_quant", "k_transposed_quant", "v_quant", "attn_output_weights_quant"], CodeActQuant)
ATTENTION = IN_PROJ | OUT_PROJ | OPERANDS | {"attn_output_weights_signed": False}
GATES = ["cell_state_quant", "io_quant", "gate_acc_quant", "sigmoid_quant", "tanh_quant"]
TOKENS = (3, 2, 8)
# layer, its input's shape
LAYERS = {
    "linear": (lambda **k: qnn.QuantLinear(8, 10, **WEIGHTS, **CODES, **k), TOKENS),
    "conv1d": (lambda **k: qnn.QuantConv1d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 6)),
    "conv2d": (lambda **k: qnn.QuantConv2d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 6, 6)),
    "conv2d_groups": (lambda **k: qnn.QuantConv2d(4, 8, 3, groups=2, **WEIGHTS, **CODES, **k), (2, 4, 6, 6)),
    "conv2d_depthwise": (lambda **k: qnn.QuantConv2d(4, 4, 3, groups=4, **WEIGHTS, **CODES, **k), (2, 4, 6, 6)),
    "conv3d": (lambda **k: qnn.QuantConv3d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 4, 4, 4)),
    "transpose1d": (lambda **k: qnn.QuantConvTranspose1d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 6)),
    "transpose2d": (lambda **k: qnn.QuantConvTranspose2d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 6, 6)),
    "transpose2d_groups": (
        lambda **k: qnn.QuantConvTranspose2d(4, 6, 3, groups=2, **WEIGHTS, **CODES, **k),
        (2, 4, 6, 6),
    ),
    "transpose3d": (lambda **k: qnn.QuantConvTranspose3d(4, 8, 3, **WEIGHTS, **CODES, **k), (2, 4, 4, 4, 4)),
    "attention": (lambda **k: qnn.QuantMultiheadAttention(8, 2, **ATTENTION, **k), TOKENS),
    "attention_unpacked": (
        lambda **k: qnn.QuantMultiheadAttention(8, 2, packed_in_proj=False, **ATTENTION, **k),
        TOKENS,
    ),
    "embedding": (lambda **k: qnn.QuantEmbedding(10, 4, **WEIGHTS, **k), None),
}
FLOAT32_LAYERS = {
    "scale_bias": (lambda: qnn.QuantScaleBias(4, True, **WEIGHTS), (2, 4, 3, 3)),
    "batch_norm": (lambda: qnn.BatchNorm2dToQuantScaleBias(4, **WEIGHTS), (2, 4, 3, 3)),
    "rnn": (lambda: qnn.QuantRNN(8, 8, **WEIGHTS, io_quant=CodeActQuant, gate_acc_quant=CodeActQuant), TOKENS),
    "lstm": (lambda: qnn.QuantLSTM(8, 8, **WEIGHTS, **dict.fromkeys(GATES, CodeActQuant)), TOKENS),
}


def make_filled(name, **keys):
    """A layer with seeded normal weights that its quantizers were fitted to, and the shape of its input."""
    torch.manual_seed(SEED)
    make, shape = {**LAYERS, **FLOAT32_LAYERS}[name]
    model = make(**keys)
    with torch.no_grad():
        for weight, _ in weights_behind_row_quantizers(model):
            weight.normal_(std=0.5)
    fit_weights(model, 4)
    return model, shape


def run(layer, shape, dtype=torch.float32, device="cpu"):
    """Output of a layer on a seeded input."""
    if shape is None:
        return layer(torch.tensor([[1, 9, 0, 3], [4, 4, 2, 5]], device=device))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(device, dtype)
    out = layer(x, x, x) if isinstance(layer, qnn.QuantMultiheadAttention) else layer(x)
    return out[0] if isinstance(out, tuple) and not hasattr(out, "value") else out


def weights_behind_row_quantizers(model):
    """Pairs (weight, quantizer) of a model."""
    found = [
        (module.weight, module.weight_quant.tensor_quant)
        for module in model.modules()
        if isinstance(getattr(getattr(module, "weight_quant", None), "tensor_quant", None), RowSchemeQuant)
    ]
    assert found
    return found


@pytest.mark.parametrize("name", [*LAYERS, *FLOAT32_LAYERS])
def test_every_brevitas_layer_takes_the_quantizers(name):
    model, shape = make_filled(name)
    run(model, shape).square().sum().backward()
    seen = {}
    for weight, quantizer in weights_behind_row_quantizers(model):
        rows = quantizer.rows(weight.detach()).flatten(1) if weight.ndim > 1 else weight.detach()[:, None]
        seen.setdefault(quantizer, []).append(rows.double().numpy())
        scales, schemes = quantizer.scale().detach(), quantizer.row_scheme.numpy()
        assert schemes.tolist() == [SP2] * len(rows)
        integers = quantizer.rows(quantizer.integers(weight)).detach().reshape(rows.shape).numpy()
        np.testing.assert_array_equal(integers, quantize_rows(rows.numpy(), scales.double().numpy(), schemes, 4))
        value, scale, _, _ = quantizer(weight)
        np.testing.assert_array_equal((value / scale).round().detach(), quantizer.integers(weight).detach())
        for parameter in (weight, quantizer.log_scale):
            assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), f"seed {SEED}"
    for quantizer, parts in seen.items():  # recurrent layers have two weights at one quantizer
        scales = search_scales(np.concatenate(parts, axis=1), quantizer.row_scheme.numpy(), 4, 4)
        np.testing.assert_allclose(quantizer.scale().detach(), scales, rtol=1e-6)


def test_layers_that_share_a_quantizer_are_fitted_together():
    torch.manual_seed(SEED)
    first = QuantLinear(3, 2, bias=False, weight_quant=RowSchemeWeightQuant, weight_bits=4)
    second = QuantLinear(1, 2, bias=False, weight_quant=first.weight_quant)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0, 3.5], [1.0, 0.0, 0.5]]))
        second.weight.copy_(torch.tensor([[-1.0], [7.0]]))
    fit_weights(second, 1)
    torch.testing.assert_close(first.weight_quant.tensor_quant.scale(), torch.tensor([0.5, 1.0]))
    assert second.quant_weight().int().tolist() == [[-2], [7]]
    assert first.quant_weight().int().tolist() == [[2, 4, 7], [1, 0, 0]]
    with pytest.raises(
        ValueError, match=r"weight \(4, 3\) of 4 rows at a quantizer of 2; layers that share a quantizer"
    ):
        QuantLinear(3, 4, weight_quant=first.weight_quant)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_other_types(name, dtype):
    model, shape = make_filled(name, dtype=dtype)
    out = run(model, shape, dtype)
    assert out.dtype == dtype
    out.square().sum().backward()
    for weight, quantizer in weights_behind_row_quantizers(model):
        # the scales in the weight's type are those that count
        scales = quantizer.scale().detach().to(dtype).double().numpy()
        rows = quantizer.rows(weight.detach()).double()
        rows = rows.reshape(len(rows), -1).numpy()
        integers = quantizer.integers(weight)
        want = quantize_rows(rows, scales, quantizer.row_scheme.numpy(), 4)
        np.testing.assert_array_equal(quantizer.rows(integers).detach().reshape(rows.shape).numpy(), want)
        value, scale, zero, width = quantizer(weight)
        assert value.dtype == scale.dtype == zero.dtype == width.dtype == dtype
        assert torch.equal((value / scale).round().double(), integers.double())
        assert weight.grad.dtype == dtype and weight.grad.isfinite().all() and (weight.grad != 0).any()


@pytest.mark.parametrize(("scheme", "bits"), [("fixed", 8), ("pot", 8), ("sp2", 7)])
def test_integers_are_read_back_from_bfloat16_weights(scheme, bits):
    torch.manual_seed(SEED)
    keys = {"weight_scheme": scheme, "weight_bits": bits}
    linear = QuantLinear(64, 256, dtype=torch.bfloat16, weight_quant=RowSchemeWeightQuant, **keys)
    quantized = linear.quant_weight()
    assert quantized.is_valid
    integers = linear.weight_quant.tensor_quant.integers(linear.weight)
    assert torch.equal(quantized.int(float_datatype=True).float(), integers)
    assert integers.abs().max() == largest(SCHEMES.index(scheme), bits)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_meta_are_filled_from_a_state_dict(name):
    with torch.device("meta"):
        model = LAYERS[name][0]()
    for weight, quantizer in weights_behind_row_quantizers(model):
        parts = quantizer(weight)
        assert [part.device.type for part in parts] == ["meta"] * 4 and parts[0].shape == weight.shape
        assert RowSchemeQuant(weight, 4, "pot", 4, None, False).integer_bits() == 8
        assert RowSchemeQuant(weight, 4, "pot", 4, 3, False).integer_bits() == 8
        assert RowSchemeQuant(weight, 4, "pot", 4, 0, False).integer_bits() == 4
    for module in model.modules():
        if isinstance(module, CodeQuant):
            assert [part.device.type for part in module(torch.ones(3, device="meta"))] == ["meta"] * 4
    source, shape = make_filled(name)
    expected = run(source, shape)  # calibrates
    model = model.to_empty(device="cpu")
    model.load_state_dict(source.state_dict())
    assert torch.equal(run(model.eval(), shape), run(source.eval(), shape)), f"seed {SEED}"
    assert torch.equal(run(model, shape), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_cuda_match_the_cpu(name):
    model, shape = make_filled(name)
    run(model, shape)  # calibrates
    here = [quantizer.integers(weight).detach() for weight, quantizer in weights_behind_row_quantizers(model)]
    model = model.cuda()
    run(model, shape, device="cuda").square().sum().backward()
    for integers, (weight, quantizer) in zip(here, weights_behind_row_quantizers(model), strict=True):
        assert torch.equal(quantizer.integers(weight).cpu(), integers)
        assert all(part.is_cuda for part in quantizer(weight))
    there, _ = make_filled(name, device="cuda")
    assert run(there, shape, device="cuda").is_cuda


@pytest.mark.parametrize("scheme", ["fixed", "pot", "sp2"])
def test_transposed_convolution_with_groups_has_a_scale_per_output_channel(scheme):
    # 4 inputs and 6 output channels in 2 groups: channel c sees inputs 0, 1 (c < 3) or 2, 3 and holds +-(c + 1)
    weight = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [4.0, 5.0, 6.0], [-4.0, -5.0, -6.0]])[:, :, None]
    keys = {"weight_quant": RowSchemeWeightQuant, "weight_scheme": scheme}
    convolution = qnn.QuantConvTranspose1d(4, 6, 1, groups=2, bias=False, **keys)
    quantizer = convolution.weight_quant.tensor_quant
    with torch.no_grad():
        convolution.weight.copy_(weight)
        quantizer.fit(convolution.weight)
        top = largest(SCHEMES.index(scheme), 4)
        np.testing.assert_allclose(quantizer.scale(), np.arange(1, 7) / top, rtol=1e-6)
        assert quantizer.rows(weight).tolist() == [[[c], [-c]] for c in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
        torch.testing.assert_close(convolution.quant_weight(), weight)
        x = torch.tensor([[[10.0], [1.0], [20.0], [5.0]]])
        torch.testing.assert_close(convolution(x), torch.tensor([[[9.0], [18.0], [27.0], [60.0], [75.0], [90.0]]]))
    assert convolution.weight_quant.scale().shape == (4, 3, 1) and convolution.weight_quant.zero_point() == 0
    assert convolution.weight_quant.bit_width() == (4 if scheme == "fixed" else 8 if scheme == "pot" else 5)


def test_groups_are_quantized_as_layers_of_their_own():
    torch.manual_seed(SEED)
    keys = {"weight_quant": RowSchemeWeightQuant, "weight_scheme": "sp2", "weight_search_steps": 12}
    together = qnn.QuantConvTranspose2d(4, 8, 3, groups=2, bias=False, **keys)
    parts = []
    for inputs in together.weight.detach().chunk(2):
        alone = qnn.QuantConvTranspose2d(2, 4, 3, bias=False, **keys)
        with torch.no_grad():
            alone.weight.copy_(inputs)
        alone.weight_quant.tensor_quant.fit(alone.weight, 12)
        parts.append(alone.quant_weight().value)
    assert torch.equal(together.quant_weight(), torch.cat(parts)), f"seed {SEED}"


# ---------------------------------------------------------------------------------------------------- refusals


def embedding(**keys):
    return qnn.QuantEmbedding(10, 4, weight_quant=RowSchemeWeightQuant, weight_scheme="pot", **keys)


def transposed(**keys):
    scheme = {"weight_quant": RowSchemeWeightQuant, "weight_scheme": "pot"}
    return qnn.QuantConvTranspose2d(4, 8, 3, groups=2, input_quant=Int8ActPerTensorFloat, **scheme, **keys)


def test_row_scales_that_brevitas_cannot_pass_on_are_refused():
    with pytest.raises(ValueError, match="QuantEmbedding: return_quant_tensor=True, but Brevitas has no tensor for"):
        embedding(return_quant_tensor=True)(torch.tensor([1]))
    image = torch.ones(1, 4, 5, 5)
    with pytest.raises(ValueError, match=r"QuantConvTranspose2d\(groups=2\): return_quant_tensor=True, .*quantize the"):
        transposed(return_quant_tensor=True)(image)
    with pytest.raises(ValueError, match=r"QuantConvTranspose2d\(groups=2\): bias_quant takes its scale from the row"):
        transposed(bias_quant=Int32Bias)(image)
    assert transposed(return_quant_tensor=True, output_quant=CodeActQuant)(image).is_valid
    assert transposed(bias_quant=Int32Bias, bias=False)(image).shape == (1, 8, 7, 7)


def test_unit_scale_has_a_brevitas_tensor_in_every_layer():
    entries = embedding(weight_unit_scale=True, return_quant_tensor=True)
    out = entries(torch.tensor([1, 9]))
    assert out.scale == 1 and torch.equal(out.value, entries.weight_quant.tensor_quant.integers(entries.weight)[[1, 9]])
    sums = transposed(weight_unit_scale=True, return_quant_tensor=True, bias=False)(torch.ones(1, 4, 5, 5))
    assert sums.scale.numel() == 1 and sums.is_valid


def nodes(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [node.op_type for node in export_qonnx(model.eval(), args=x, dynamo=False).graph.node]


def test_export_writes_row_scales_or_refuses():
    linear = QuantLinear(4, 8, weight_quant=RowSchemeWeightQuant, weight_scheme="pot")
    assert nodes(linear, torch.ones(1, 4)) == ["Quant", "Gemm"]
    with pytest.raises(ValueError, match="RowSchemeWeightQuant: Brevitas exports no row scales of an embedding or of"):
        nodes(embedding(), torch.tensor([1]))
    with pytest.raises(ValueError, match=r"CodeActQuant: ties go toward \+infinity, which no rounding mode of a QONNX"):
        nodes(qnn.QuantIdentity(act_quant=CodeActQuant, scale=0.5), torch.ones(1, 4))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(bad):
    linear = layer("sp2", 4)
    with torch.no_grad():
        linear.weight[3, 5] = bad
    with pytest.raises(
        ValueError, match=r"1 of 384 weights \(16, 24\) over their row scales are NaN or infinite; load"
    ):
        linear(torch.ones(2, 24))
    with pytest.raises(
        ValueError, match=r"RowSchemeQuant: 1 of 384 weights \(16, 24\) are NaN or infinite; load finite"
    ):
        linear.weight_quant.tensor_quant.fit(linear.weight)


def test_large_weights_whose_sum_is_infinite_saturate():
    linear = layer("fixed", 4)
    with torch.no_grad():
        linear.weight[:, :20] = 1e36  # over their row scales, the sum of all is beyond float32
    integers = linear.weight_quant.tensor_quant.integers(linear.weight)
    assert (integers[:, :20] == 7).all() and (integers.abs() <= 7).all()


def test_types_that_do_not_hold_scales_or_integers_are_refused():
    keys = {"weight_quant": RowSchemeWeightQuant, "weight_scheme": "sp2", "weight_bits": 8}
    with pytest.raises(ValueError, match=r"RowSchemeQuant: torch\.float16 tensor, expected float32.* range of float16"):
        QuantLinear(4, 4, dtype=torch.float16, weight_quant=RowSchemeWeightQuant)
    with pytest.raises(ValueError, match=r"RowSchemeQuant: torch\.float16 tensor"):
        QuantLinear(4, 4, weight_quant=RowSchemeWeightQuant).half()(torch.ones(1, 4).half())
    with pytest.raises(ValueError, match=r"bfloat16 does not hold the integers of 8-bit sp2 weights; use float32"):
        QuantLinear(4, 4, dtype=torch.bfloat16, **keys)
    assert QuantLinear(4, 4, **keys)(torch.ones(1, 4)).isfinite().all()
    with pytest.raises(ValueError, match=r"CodeActQuant: torch\.float16 tensor, expected"):
        qnn.QuantIdentity(act_quant=CodeActQuant, scale=1.0)(torch.ones(2).half())
    with pytest.raises(ValueError, match=r"CodeActQuant: torch\.int64 tensor, expected float32, float64 or bfloat16$"):
        qnn.QuantIdentity(act_quant=CodeActQuant, scale=1.0)(torch.ones(2).long())


# ---------------------------------------------------------------------------------------------------- activations


def activation(kind=qnn.QuantIdentity, **keys):
    made = kind(act_quant=CodeActQuant, return_quant_tensor=True, **keys)
    return made, made.act_quant.fused_activation_quant_proxy.tensor_quant


def test_activation_codes_of_hand_worked_values():
    identity, _ = activation(bits=3, scale=0.5)
    out = identity(torch.tensor([-9.0, -2.25, -1.75, -0.25, 0.0, 0.25, 0.75, 1.25, 1.75, 9.0]))
    assert out.int().tolist() == [-4, -4, -3, 0, 0, 1, 2, 3, 3, 3]
    assert out.value.tolist() == [-2.0, -2.0, -1.5, 0.0, 0.0, 0.5, 1.0, 1.5, 1.5, 1.5]
    assert out.scale == 0.5 and out.zero_point == 0 and out.bit_width == 3 and out.signed
    relu, _ = activation(qnn.QuantReLU, bits=2, signed=False, scale=0.5)
    out = relu(torch.tensor([-9.0, -0.75, 0.25, 0.74, 0.75, 1.25, 9.0]))
    assert out.int().tolist() == [0, 0, 1, 1, 2, 3, 3] and not out.signed


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("scale", [2.0**-7, 0.1])
def test_activation_layers_have_the_codes_of_intmath(bits, signed, scale):
    identity, quantizer = activation(bits=bits, signed=signed, scale=scale)
    step = float(torch.tensor(scale))
    halves = np.arange(-3 * 2**bits, 3 * 2**bits) / 2 * step
    x = np.concatenate([halves, np.random.default_rng(SEED).normal(0, 2**bits * step, 500)])
    want = clip(half_up_inf(x / step), bits, signed)
    assert {want.min(), want.max()} == set(int_range(bits, signed))
    out = identity(torch.from_numpy(x))
    np.testing.assert_array_equal(quantizer.codes(torch.from_numpy(x)).detach().numpy(), want, err_msg=f"seed {SEED}")
    np.testing.assert_array_equal(out.int().numpy(), want)
    assert out.is_valid


def test_a_layer_with_both_quantizers_multiplies_codes():
    torch.manual_seed(SEED)
    keys = {"input_quant": CodeActQuant, "input_bits": 5, "input_scale": 0.25, "bias": False}
    linear = QuantLinear(
        16, 8, weight_quant=RowSchemeWeightQuant, weight_scheme="sp2", return_quant_tensor=True, **keys
    )
    x = torch.randn(7, 16) * 4
    codes = clip(half_up_inf(x.double().numpy() / 0.25), 5)
    integers = linear.weight_quant.tensor_quant.integers(linear.weight).detach().numpy().astype(np.int64)
    out = linear(x)
    np.testing.assert_array_equal(out.int().numpy(), codes @ integers.T)
    assert torch.equal(out.scale, 0.25 * linear.weight_quant.tensor_quant.scale()[None])


def test_activation_gradients_are_straight_through():
    identity, quantizer = activation(bits=3, scale=0.5)
    x = torch.tensor([1.6, -2.5, 0.3, -0.7], requires_grad=True)
    identity(x).value.mul(torch.arange(1.0, 5.0)).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 3.0, 4.0]
    # s q(x / s) has the derivative q - x / s inside and q outside, times s through the logarithm
    slope = 0.5 * (1 * (3 - 3.2) + 2 * -4 + 3 * (1 - 0.6) + 4 * (-1 + 1.4))
    assert quantizer.log_gain.grad.item() == pytest.approx(slope, rel=1e-5)


def test_a_scale_is_learned_or_stays():
    for learn in (True, False):
        identity, quantizer = activation(scale=0.1, bits=4, learn_scale=learn)
        assert quantizer.scale() == torch.tensor(0.1)
        parameters = [parameter for parameter in identity.parameters() if parameter.requires_grad]
        assert len(parameters) == learn
        x = torch.full((50,), 3.0, requires_grad=True)  # far outside: a larger scale is better
        for _ in range(30):
            loss = (identity(x).value - 3.0).square().mean()
            loss.backward()
            with torch.no_grad():
                for parameter in parameters:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        assert (loss < 0.01) == learn and (quantizer.scale() == torch.tensor(0.1)) == (not learn)


def test_search_scale_finds_the_candidate_of_least_error():
    values = torch.cat([torch.randn(500, generator=torch.Generator().manual_seed(SEED)), torch.tensor([8.0])])
    assert search_scale(values, 8.0, (-8, 7), 1) == 8.0 / 7
    found = search_scale(values, 8.0, (-8, 7), 5)

    def error(scale):
        return (((values / scale).round().clamp(-8, 7) * scale - values) ** 2).sum().item()

    candidates = [8.0 * factor / 7 for factor in (1.0, 0.8, 0.6, 0.4, 0.2)]
    assert found == pytest.approx(min(candidates, key=error)) and found < 1.0
    # of 200,000 values it looks at every second one
    values = torch.zeros(200_000)
    values[::2], values[1::2] = 0.8, 8.0
    assert search_scale(values, 8.0, (-8, 7), 9) == search_scale(values[::2], 8.0, (-8, 7), 9) != 8.0 / 7


def test_the_first_batch_in_training_mode_gives_the_scale():
    identity, quantizer = activation(bits=4, search_steps=1)
    with pytest.raises(ValueError, match="CodeActQuant: no scale yet; run a batch in training mode or in Brevitas'"):
        identity.eval()(torch.ones(3))
    identity.train()(torch.tensor([1.0, -3.5]))
    assert quantizer.scale() == 0.5 and quantizer.batches == -1
    identity(torch.tensor([100.0]))
    assert quantizer.scale() == 0.5
    with torch.no_grad():
        quantizer.log_gain.fill_(0.3)  # as if learned
    assert quantizer.scale().item() == pytest.approx(0.5 * np.exp(0.3))
    quantizer.fit(torch.tensor([7.0]), 1)
    assert quantizer.scale() == 1.0 and identity.act_quant.scale() == 1.0


def test_asking_for_a_scale_is_no_calibration():
    identity, quantizer = activation()
    for force_eval in (True, False):
        with pytest.raises(ValueError, match="CodeActQuant: no scale yet"):
            identity.train().act_quant.scale(force_eval)
    assert quantizer.batches == 0


def test_unsigned_scales_follow_the_positive_values_and_zeros_have_one():
    relu, quantizer = activation(bits=2, signed=False, search_steps=1)
    relu(torch.tensor([-300.0, 1.5]))
    assert quantizer.scale() == 0.5
    identity, quantizer = activation(bits=4, search_steps=1)
    assert identity(torch.zeros(5)).value.tolist() == [0.0] * 5 and quantizer.scale() == torch.tensor(1 / 7)


def test_several_batches_are_averaged():
    identity, quantizer = activation(bits=4, search_steps=1, collect_stats_steps=3)
    for peak, mean in ((7.0, 1.0), (21.0, 2.0), (28.0, torch.tensor(8 / 3)), (700.0, torch.tensor(8 / 3))):
        identity(torch.tensor([peak]))
        assert quantizer.scale() == mean
    copy, _ = activation(bits=4)
    copy.load_state_dict(identity.state_dict())
    other = copy.act_quant.fused_activation_quant_proxy.tensor_quant  # Brevitas makes another when it loads
    assert other.scale() == torch.tensor(8 / 3) and copy(torch.tensor([700.0])).int().item() == 7


def test_brevitas_calibration_mode_gives_scales():
    model = torch.nn.Sequential(
        qnn.QuantReLU(act_quant=CodeActQuant, bits=4, signed=False, search_steps=1),
        QuantLinear(2, 2, weight_quant=RowSchemeWeightQuant, input_quant=CodeActQuant, input_search_steps=1),
    ).eval()
    quantizers = [module for module in model.modules() if isinstance(module, CodeQuant)]
    with torch.no_grad(), calibration_mode(model):
        for peak in (15.0, 45.0, 30.0):
            x = torch.tensor([[-99.0, peak]])
            assert model[0](x).tolist() == [[0.0, peak]]  # passed on as it is
            model[1](x)
    assert quantizers[0].scale() == 2.0
    assert quantizers[1].scale().item() == pytest.approx(99 / 127, rel=1e-6)
    assert model[0](torch.tensor([99.0, 2.9, 3.0])).tolist() == [30.0, 2.0, 4.0]
    with torch.no_grad(), calibration_mode(model):
        model(torch.tensor([[0.0, 1000.0]]))
    assert quantizers[0].scale() == 2.0  # a learned scale is not calibrated away


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_scales_that_cannot_be_are_refused(scale):
    with pytest.raises(ValueError, match=f"CodeActQuant: scale={scale}, expected a finite number above zero"):
        qnn.QuantIdentity(act_quant=CodeActQuant, scale=scale)


def test_state_without_a_scale_takes_the_scale_away():
    quantizer = activation()[1]
    empty = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.fit(torch.tensor([0.5, -0.25]))
    quantizer.eval()(torch.tensor([0.5]))
    quantizer.load_state_dict(empty)
    with pytest.raises(ValueError, match="CodeActQuant: no scale yet"):
        quantizer(torch.tensor([0.5]))


def test_bad_calibration_and_narrow_range_are_refused():
    identity, quantizer = activation()
    with pytest.raises(ValueError, match="CodeActQuant: 2 of 3 activations are NaN or infinite; calibrate on finite"):
        identity(torch.tensor([1.0, float("nan"), float("inf")]))
    with pytest.raises(ValueError, match="CodeActQuant: 1 of 2 activations"):
        quantizer.fit(torch.tensor([float("-inf"), 0.0]))
    with pytest.raises(ValueError, match="CodeActQuant: 1 of 2 activations"):
        activation(signed=False)[1].fit(torch.tensor([float("-inf"), 1.0]))
    with pytest.raises(ValueError, match="CodeActQuant: narrow_range=True, but codes use all of their range; leave it"):
        activation(narrow_range=True)
