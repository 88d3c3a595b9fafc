# SPDX-License-Identifier: Apache-2.0
"""Backbones: sizes against hand-worked and published figures, and the errors of the registry."""

import subprocess
import sys
from dataclasses import replace

import pytest

from models.registry import ViTDims, backbone_dims, list_backbones, parameter_shapes, register_backbone

TINY = ViTDims(
    image_size=6,
    channels=2,
    patch_size=4,
    patch_stride=2,
    embed_dim=8,
    depth=1,
    num_heads=2,
    mlp_ratio=3,
    num_classes=5,
)


def test_dims_derived_sizes_by_hand():
    assert (TINY.grid, TINY.patches, TINY.tokens) == (2, 4, 5)
    assert (TINY.patch_values, TINY.head_dim, TINY.mlp_dim) == (32, 4, 24)


def test_dims_params_and_macs_by_hand():
    embedding = 8 + 5 * 8 + (32 * 8 + 8)
    block = 2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 24 + 24) + (24 * 8 + 8)
    assert TINY.params == embedding + block + 16 + (8 * 5 + 5)
    assert TINY.macs == 4 * 32 * 8 + 5 * (8 * 24 + 8 * 8 + 2 * 8 * 24) + 2 * 5 * 5 * 8 + 8 * 5


def test_vit_mini_is_small_enough_and_suits_the_hardware():
    dims = backbone_dims("vit_mini")
    assert dims.params <= 300_000
    assert (dims.image_size, dims.channels, dims.tokens, dims.num_classes) == (28, 1, 17, 10)
    assert dims.embed_dim % 16 == 0 and dims.mlp_dim % 16 == 0 and dims.head_dim % 8 == 0


# Published: Touvron et al., ICML 2021, table 1 (5 M, 22 M, 86 M) and the timm model cards for the exact counts.
@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [("deit_ti", 5_717_416, 1.3), ("deit_s", 22_050_664, 4.6), ("deit_b", 86_567_656, 17.6)],
)
def test_deit_sizes_are_the_published_ones(name, params, gmacs):
    dims = backbone_dims(name)
    assert dims.params == params
    assert round(dims.macs / 1e9, 1) == gmacs
    assert dims.tokens == 197


@pytest.mark.parametrize("name", list_backbones())
def test_backbone_dims_are_equal_at_each_call_and_hashable(name):
    assert backbone_dims(name) == backbone_dims(name)
    assert len({backbone_dims(name), backbone_dims(name)}) == 1
    assert all(min(shape) >= 1 for shape in parameter_shapes(backbone_dims(name)).values())


def test_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError) as caught:
        backbone_dims("dait_s", "dait_s_w4a8")
    assert str(caught.value) == "unknown backbone 'dait_s' in 'dait_s_w4a8'; did you mean 'deit_s'? (make list-models)"


def test_unknown_backbone_far_from_all_is_refused_with_the_list():
    with pytest.raises(ValueError) as caught:
        backbone_dims("zzz")
    assert str(caught.value) == f"unknown backbone 'zzz'; known are {', '.join(list_backbones())} (make list-models)"


def test_second_backbone_of_a_name_is_refused():
    list_backbones()

    def vit_mini() -> ViTDims:
        return TINY

    with pytest.raises(ValueError) as caught:
        register_backbone(vit_mini)
    text = str(caught.value)
    assert text.startswith("backbone 'vit_mini' is registered twice: in models.backbones.vit_mini and in ")
    assert text.endswith("; rename one of them")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"depth": 0}, "ViTDims: depth=0, expected an integer of 1 or more"),
        ({"embed_dim": 8.0}, "ViTDims: embed_dim=8.0, expected an integer of 1 or more"),
        ({"num_heads": 3}, "ViTDims: embed_dim=8 is not a multiple of num_heads=3"),
        ({"patch_stride": 3}, "ViTDims: patches of 4 at stride 3 do not tile an image of 6; "),
        ({"patch_size": 7}, "ViTDims: patches of 7 at stride 2 do not tile an image of 6; "),
    ],
)
def test_impossible_dims_are_refused(change, text):
    with pytest.raises(ValueError) as caught:
        replace(TINY, **change)
    assert str(caught.value).startswith(text)


def test_registry_and_names_need_neither_torch_nor_numpy():
    code = "import sys, models.names as n; n.list_models(); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
