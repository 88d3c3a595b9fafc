# SPDX-License-Identifier: Apache-2.0
"""The cost of a shift-add row is the divergence that the changed row is measured to cause."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.float_forward import float_forward
from models.quant_vit import BitWidths, QuantViT
from models.registry import ViTDims
from models.sensitivity import row_change, row_costs, row_divergences
from models.vit import ViT
from quant.recipe import load_recipe
from quant.schemes import FIXED, POT, SP2

TINY = ViTDims(8, 1, 4, 2, 16, 2, 2, 2, 4)
SEED = 3
LAYERS = ("blocks.0.mlp.fc1", "blocks.1.mlp.fc2", "blocks.0.attn.qkv", "blocks.1.attn.proj")


def network():
    """Float parameters and image codes (40, 8, 8, 1)."""
    torch.manual_seed(SEED)
    tensors = {name: torch.randn_like(p) * 0.2 for name, p in ViT(TINY).named_parameters()}
    return tensors, torch.randint(-128, 128, (40, 8, 8, 1)).float()


def measured(tensors, images, name, row, change):
    """Mean divergence [nats] when one row of a layer changes."""
    weight = tensors[f"{name}.weight"].clone()
    weight[row] += change
    with torch.no_grad():
        reference = float_forward(tensors, TINY, images).double().log_softmax(1)
        moved = float_forward(tensors | {f"{name}.weight": weight}, TINY, images).double().log_softmax(1)
    return float(functional.kl_div(moved, reference, log_target=True, reduction="batchmean"))


def test_float_forward_is_the_float_network():
    tensors, images = network()
    reference = ViT(TINY)
    reference.load_state_dict(tensors)
    seen = []
    got = float_forward(tensors, TINY, images, keep=lambda name, value: seen.append(name))
    torch.testing.assert_close(got, reference(images.permute(0, 3, 1, 2) / 128))
    assert set(seen) == set(
        QuantViT(TINY, BitWidths.of(4, 8, load_recipe("default")), load_recipe("default")).scale_names
    )


@pytest.mark.parametrize("name", LAYERS)
def test_divergence_is_the_measured_one(name):
    tensors, images = network()
    change = row_change(tensors[f"{name}.weight"], SP2, 5, 8)[None]
    got = row_divergences(tensors, TINY, images, {name: change}, probes=400)[name][0]
    rows = range(0, len(got), 5)
    want = np.array([measured(tensors, images, name, row, change[0, row]) for row in rows])
    np.testing.assert_allclose(got[::5], want, rtol=0.25)
    assert want.max() > 3 * want.min()  # the rows differ, so that agreement says something


def test_cost_is_that_of_shift_add_less_that_of_fixed():
    tensors, images = network()
    name = "blocks.0.mlp.fc1"
    changes = torch.stack([row_change(tensors[f"{name}.weight"], kind, 4, 8) for kind in (FIXED, POT)])
    fixed, shift_add = row_divergences(tensors, TINY, images, {name: changes})[name]
    np.testing.assert_array_equal(row_costs(tensors, TINY, images, {name: (POT, 4)}, 8)[name], shift_add - fixed)
    assert shift_add.sum() > 2 * fixed.sum()  # four-bit PoT rows are coarser


def test_recipe_assigns_the_rows_of_least_cost():
    tensors, images = network()
    recipe = dataclasses.replace(load_recipe("default"), assignment="sensitivity", scale_search_steps=8)
    bits = BitWidths.of(4, 8, recipe)
    trained = QuantViT.from_float(tensors, TINY, bits, recipe, images)
    layers = trained.mixed_layers()
    assert set(layers) == {f"blocks.{i}.mlp.{part}" for i in (0, 1) for part in ("fc1", "fc2")}
    costs = row_costs(tensors, TINY, images, layers, 8)
    by_variance = QuantViT.from_float(tensors, TINY, bits, load_recipe("default"), images, search_steps=8)
    differ = 0
    for name, cost in costs.items():
        chosen = trained.quantizer(name).row_scheme.numpy().reshape(-1, 4) == SP2
        assert (chosen.sum(axis=1) == 2).all()
        groups = cost.reshape(-1, 4)
        assert (np.where(chosen, groups, -np.inf).max(axis=1) <= np.where(chosen, np.inf, groups).min(axis=1)).all()
        differ += int((chosen != (by_variance.quantizer(name).row_scheme.numpy().reshape(-1, 4) == SP2)).sum())
    assert differ > 0
