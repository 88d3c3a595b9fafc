# SPDX-License-Identifier: Apache-2.0
"""The shipped networks: their accuracy is what their cards say, and all forms give the same codes."""

import numpy as np
import pytest
import torch

from models.checkpoint import load_checkpoint
from models.data import image_codes, load_split
from models.names import parse_model_name
from models.quant_vit import BitWidths
from models.train import CHECKPOINT_DIR, checkpoint_path, integer_accuracy, load_integer
from models.train_float import load_fashion_mnist
from quant.export import execute, export_qonnx
from quant.recipe import load_recipe

SHIPPED = sorted(path.stem for path in CHECKPOINT_DIR.glob("*.safetensors") if not path.stem.endswith("_float"))
IMAGES = 1000


def test_default_model_is_shipped():
    assert "vit_mini_w4a8" in SHIPPED


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_checkpoint_loads_and_is_small(model):
    config = parse_model_name(model)
    _, details = load_integer(config)
    path = checkpoint_path(config)
    assert path.stat().st_size < 2e6
    assert f"{100 * details['test_accuracy']:.2f} %" in path.with_suffix(".md").read_text()
    assert details["float_test_accuracy"] - details["test_accuracy"] <= 0.007


@pytest.mark.slow
@pytest.mark.dataset
@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_accuracy_is_what_the_card_says(model):
    network, details = load_integer(parse_model_name(model))
    assert integer_accuracy(network, load_fashion_mnist()[2]) == details["test_accuracy"]


@pytest.mark.slow
@pytest.mark.dataset
def test_qonnx_torch_and_golden_agree_on_test_images(tmp_path, golden_forward):
    config = parse_model_name("vit_mini_w4a8")
    network, _ = load_integer(config)
    bits = BitWidths.of(config.weight_bits, config.activation_bits, load_recipe(config.recipe))
    tensors = load_checkpoint(checkpoint_path(config), kind="quant").tensors
    constants = {name: tensor.numpy() for name, tensor in tensors.items()}
    codes = image_codes(load_split("test")[0][:IMAGES])[..., None]
    with torch.no_grad():
        want = network(torch.from_numpy(codes).float()).numpy().astype(np.int64)
    np.testing.assert_array_equal(golden_forward(constants, config.dims, bits, codes.astype(np.int64)), want)
    single = export_qonnx(network, codes.shape[1:], tmp_path / "single.onnx", config.source_name, config.recipe)
    for image, expected in zip(codes[:20], want[:20], strict=True):
        np.testing.assert_array_equal(execute(single, image[None]), expected[None])
    batch = 100
    wrapper = export_qonnx(network, codes.shape[1:], tmp_path / "batch.onnx", config.source_name, config.recipe, batch)
    for start in range(0, IMAGES, batch):
        got = execute(wrapper, codes[start : start + batch])
        np.testing.assert_array_equal(got, want[start : start + batch])
