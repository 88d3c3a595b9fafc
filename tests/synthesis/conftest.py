# SPDX-License-Identifier: Apache-2.0
"""A ViT small enough to be exported, lowered and simulated in seconds: mixed rows, two heads, one block."""

from pathlib import Path

import pytest

from models.registry import ViTDims

TINY = ViTDims(
    image_size=8,
    channels=1,
    patch_size=4,
    patch_stride=2,
    embed_dim=16,
    depth=1,
    num_heads=2,
    mlp_ratio=2,
    num_classes=4,
)


def export_tiny(path: Path, recipe_name: str = "default", dims: ViTDims = TINY):
    """Write a random integer ViT as QONNX and return it."""
    import torch

    from models.quant_vit import BitWidths, QuantViT
    from models.vit import ViT
    from quant.export import export_qonnx
    from quant.recipe import load_recipe

    torch.manual_seed(3)
    recipe = load_recipe(recipe_name)
    images = torch.randint(-128, 128, (4, dims.image_size, dims.image_size, dims.channels)).float()
    tensors = {name: value.detach() for name, value in ViT(dims).named_parameters()}
    bits = BitWidths.of(4, 8, recipe)
    network = QuantViT.from_float(tensors, dims, bits, recipe, images, search_steps=1).integer()
    shape = (dims.image_size, dims.image_size, dims.channels)
    return export_qonnx(network, shape, path, f"tiny_{recipe_name}", recipe_name)


@pytest.fixture(scope="session")
def tiny_qonnx(tmp_path_factory):
    """QONNX graph of the tiny ViT, default recipe (half the MLP rows SP2)."""
    return export_tiny(tmp_path_factory.mktemp("tiny") / "model.onnx")


@pytest.fixture(scope="session")
def tiny_dataflow(tiny_qonnx):
    """Lowered graph with minimal accumulators. Tests copy it before they change it."""
    from synthesis.fold import minimize_accumulators
    from synthesis.lower import lower

    return minimize_accumulators(lower(tiny_qonnx))
