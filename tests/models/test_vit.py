# SPDX-License-Identifier: Apache-2.0
"""The float ViT: names, shapes, patch order, and that it can learn."""

import pytest
import torch

from models.registry import ViTDims, backbone_dims, list_backbones, parameter_shapes
from models.vit import ViT, unfold_patches


@pytest.mark.parametrize("name", list_backbones())
def test_parameters_have_the_stated_names_and_shapes(name):
    dims = backbone_dims(name)
    with torch.device("meta"):
        network = ViT(dims)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes == parameter_shapes(dims)
    assert list(shapes) == list(parameter_shapes(dims))


@pytest.mark.parametrize("name", list_backbones())
def test_forward_gives_one_logit_a_class(name):
    dims = backbone_dims(name)
    with torch.device("meta"):
        logits = ViT(dims)(torch.zeros(2, dims.channels, dims.image_size, dims.image_size))
    assert tuple(logits.shape) == (2, dims.num_classes)


def test_unfold_orders_patches_by_row_and_values_by_channel_y_x():
    images = torch.arange(2 * 3 * 6 * 6).reshape(2, 3, 6, 6)
    patches = unfold_patches(images, 4, 2)
    assert tuple(patches.shape) == (2, 4, 48)
    for index, (y, x) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        assert torch.equal(patches[:, index], images[:, :, y : y + 4, x : x + 4].reshape(2, 48))


def test_patch_embedding_equals_the_convolution():
    torch.manual_seed(1)
    dims = ViTDims(12, 3, 4, 4, 16, 1, 2, 2, 5)
    embed = ViT(dims).patch_embed
    images = torch.randn(2, 3, 12, 12)
    kernel = embed.proj.weight.reshape(16, 3, 4, 4)
    expected = torch.nn.functional.conv2d(images, kernel, embed.proj.bias, stride=4).flatten(2).transpose(1, 2)
    assert torch.allclose(embed(images), expected, atol=1e-5)


def test_attention_equals_the_formula():
    torch.manual_seed(2)
    dims = ViTDims(12, 1, 4, 4, 16, 1, 2, 2, 5)
    attention = ViT(dims).blocks[0].attn
    x = torch.randn(2, 10, 16)
    q, k, v = attention.qkv(x).split(16, dim=2)
    heads = []
    for head in (slice(0, 8), slice(8, 16)):
        scores = q[:, :, head] @ k[:, :, head].transpose(1, 2) / 8**0.5
        heads.append(scores.softmax(2) @ v[:, :, head])
    assert torch.allclose(attention(x, 10), attention.proj(torch.cat(heads, 2)), atol=1e-5)


@pytest.mark.parametrize("wanted", [1, 3])
def test_block_computes_the_wanted_tokens_as_if_it_computed_all(wanted):
    torch.manual_seed(2)
    block = ViT(ViTDims(12, 1, 4, 4, 16, 1, 2, 2, 5)).blocks[0]
    x = torch.randn(2, 10, 16)
    assert torch.allclose(block(x, wanted), block(x, 10)[:, :wanted], atol=1e-5)


def test_vit_mini_overfits_a_tiny_batch():
    print("seed 3")
    torch.manual_seed(3)
    dims = backbone_dims("vit_mini")
    network = ViT(dims)
    images = torch.rand(16, dims.channels, dims.image_size, dims.image_size) * 2 - 1
    labels = torch.arange(16) % dims.num_classes
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert torch.equal(network(images).argmax(1), labels)
