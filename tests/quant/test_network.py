# SPDX-License-Identifier: Apache-2.0
"""One network, three ways: torch form, golden models by hand, QONNX run by qonnx give the same logits codes."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper

from models.quant_vit import BitWidths, QuantViT, constant_shapes
from models.registry import ViTDims
from models.vit import ViT
from quant.export import execute, export_qonnx
from quant.recipe import load_recipe
from quant.schemes import encode

TINY = ViTDims(8, 1, 4, 2, 16, 1, 2, 2, 4)
IMAGE_SHAPE = (8, 8, 1)
SEED = 3


def network(weight_bits=4, activation_bits=8, dims=TINY, **recipe_changes):
    """A calibrated QuantViT of random weights and its images, codes (6, H, W, channels)."""
    torch.manual_seed(SEED)
    tensors = {name: torch.randn_like(p) * 0.2 for name, p in ViT(dims).named_parameters()}
    images = torch.randint(-128, 128, (6, dims.image_size, dims.image_size, dims.channels)).float()
    recipe = dataclasses.replace(load_recipe("default"), **recipe_changes)
    bits = BitWidths.of(weight_bits, activation_bits, recipe)
    return QuantViT.from_float(tensors, dims, bits, recipe, images, search_steps=8), images


def logits_codes(module, images):
    with torch.no_grad():
        return module(images).numpy().astype(np.int64)


def test_training_form_integer_form_and_golden_agree(golden_forward):
    trained, images = network(dims=dataclasses.replace(TINY, depth=2, embed_dim=24, num_heads=3, channels=3))
    constants = trained.integer_constants()
    want = golden_forward(constants, trained.dims, trained.bits, images.numpy().astype(np.int64))
    np.testing.assert_array_equal(logits_codes(trained, images), want)
    np.testing.assert_array_equal(logits_codes(trained.integer(), images), want)
    assert len(np.unique(want)) > want.size // 2


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "changes"),
    [(b, 8, {}) for b in range(2, 9)]
    + [(4, a, {}) for a in range(2, 8)]
    + [(b, 8, {"scheme": "pot", "mixed_layers": "all"}) for b in (2, 4, 5, 8)]
    + [(4, 8, {"mixed_layers": "none"}), (3, 6, {"residual_bits": 16, "shift_add_rows": 4})],
)
def test_qonnx_execution_matches_torch_form(tmp_path, weight_bits, activation_bits, changes):
    trained, images = network(weight_bits, activation_bits, **changes)
    integer = trained.integer()
    want = logits_codes(integer, images)
    np.testing.assert_array_equal(logits_codes(trained, images), want)
    wrapper = export_qonnx(integer, IMAGE_SHAPE, tmp_path / "m.onnx", "m", "r")
    for image, codes in zip(images[:2].numpy(), want[:2], strict=True):
        np.testing.assert_array_equal(execute(wrapper, image[None]), codes[None])


@pytest.mark.parametrize("changes", [{"image_size": 3, "patch_size": 1, "patch_stride": 1}, {"patch_stride": 4}])
def test_qonnx_execution_matches_torch_form_for_other_patches(tmp_path, changes):
    """A patch of one pixel, and patches side by side."""
    trained, images = network(dims=dataclasses.replace(TINY, channels=3, **changes))
    integer = trained.integer()
    wrapper = export_qonnx(integer, tuple(images.shape[1:]), tmp_path / "m.onnx", "m", "r")
    np.testing.assert_array_equal(execute(wrapper, images[:1].numpy()), logits_codes(integer, images[:1]))


def test_constants_have_the_shapes_and_schemes_they_promise():
    trained, _ = network()
    constants = trained.integer_constants()
    assert {name: values.shape for name, values in constants.items()} == constant_shapes(TINY, trained.bits)
    for name in trained.linears():
        schemes = constants[f"{name}.scheme"]
        mixed = ".mlp." in name
        assert (schemes.reshape(-1, 4) == 2).sum(axis=1).tolist() == [2 if mixed else 0] * (len(schemes) // 4)
        for row, scheme in zip(constants[f"{name}.weight"], schemes, strict=True):
            encode(row, int(scheme), trained.weight_bits(name))  # raises for an integer outside the scheme
    again, _ = network()
    for name, values in again.integer_constants().items():
        np.testing.assert_array_equal(values, constants[name])


def test_quantized_network_is_close_to_float():
    trained, images = network(8, 8)
    torch.manual_seed(SEED)
    tensors = {name: torch.randn_like(p) * 0.2 for name, p in ViT(TINY).named_parameters()}
    reference = ViT(TINY)
    reference.load_state_dict(tensors)
    with torch.no_grad():
        real = reference(images.permute(0, 3, 1, 2) / 128)
        got = trained(images) * trained.real_scales()["logits"]
    assert (got - real).abs().max() < 0.1 * real.abs().max()


def test_every_parameter_gets_a_finite_gradient():
    trained, images = network()
    trained.refresh()
    logits = trained(images) * trained.log_scales[trained.scale_names.index("logits")].exp()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and (parameter.grad != 0).any(), name


def test_training_skips_tokens_that_nothing_reads():
    trained, images = network(dims=dataclasses.replace(TINY, depth=2))
    found, seen = {}, {}
    trained.blocks[-1].register_forward_hook(lambda module, args, out: seen.update({module.training: out.shape[1]}))
    for training in (True, False):
        trained.train(training).zero_grad()
        trained.refresh()
        logits = trained(images)
        (logits * torch.arange(4.0)).sum().backward()
        found[training] = [logits, *(parameter.grad.clone() for parameter in trained.parameters())]
    assert seen == {True: 1, False: TINY.tokens}
    assert torch.equal(found[True][0], found[False][0])
    for short, whole in zip(found[True], found[False], strict=True):
        # sums of another order, whose terms cancel
        torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-5 * float(whole.detach().abs().max()))


def test_training_lowers_the_loss():
    trained, images = network()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        trained.refresh()
        logits = trained(images) * trained.log_scales[trained.scale_names.index("logits")].exp()
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0], losses


def test_exported_file_is_annotated(tmp_path):
    trained, _ = network()
    path = tmp_path / "sub" / "tiny.onnx"
    export_qonnx(trained.integer(), IMAGE_SHAPE, path, "tiny_w4a8", "default")
    assert [p.name for p in path.parent.iterdir()] == ["tiny.onnx"]
    onnx.checker.check_model(onnx.load(path))
    wrapper = ModelWrapper(str(path))
    assert [value.name for value in wrapper.graph.input] == ["image"]
    assert wrapper.get_metadata_prop("model") == "tiny_w4a8"
    scales = json.loads(wrapper.get_metadata_prop("scales"))
    assert scales["image"] == 1 / 128 and set(trained.scale_names) <= set(scales)
    for node in wrapper.graph.node:
        assert node.name and not node.name.startswith("/"), node
        for name in (*node.input, *node.output):
            assert "/" not in name, name
            assert wrapper.get_tensor_shape(name) is not None, name
            integer = wrapper.get_tensor_datatype(name).is_integer()
            assert integer or name.rpartition(".")[2] in ("shape", "index", "sizes"), name
    types = {"image": "INT8", "embed": "INT12", "blocks.0.norm1.z": "INT16", "blocks.0.norm1": "INT8"}
    types |= {"blocks.0.attn.probabilities": "UINT8", "blocks.0.add2": "INT12", "logits": "INT16"}
    types |= {"blocks.0.attn.qkv.weight_codes": "INT4", "blocks.0.mlp.fc1.weight_codes": "INT5"}
    assert {name: wrapper.get_tensor_datatype(name).name for name in types} == types
    quant = next(node for node in wrapper.graph.node if node.name == "blocks.0.mlp.fc1.quant")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in quant.attribute}
    assert attributes["row_scheme"].count(2) == 16 and attributes["storage_bits"] == 4
    assert wrapper.get_initializer("blocks.0.norm1.bias").dtype == np.float64


def test_batched_export_matches_batch_of_one(tmp_path):
    trained, images = network()
    integer = trained.integer()
    wrapper = export_qonnx(integer, IMAGE_SHAPE, tmp_path / "m.onnx", "m", "r", batch=6)
    np.testing.assert_array_equal(execute(wrapper, images.numpy()), logits_codes(integer, images))
