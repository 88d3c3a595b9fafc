# SPDX-License-Identifier: Apache-2.0
"""Model names: parsing, listing and each refusal's text."""

import pytest

from models.names import ModelConfig, list_models, list_recipes, parse_model_name
from models.registry import backbone_dims, list_backbones


@pytest.fixture
def recipe_dir(tmp_path):
    for name in ("sp2", "default", "half_pot"):
        (tmp_path / f"{name}.yaml").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_name_without_recipe_has_the_default_one():
    expected = ModelConfig("deit_s", 4, 8, "default", "deit_s_w4a8")
    assert parse_model_name("deit_s_w4a8") == expected
    assert expected.dims == backbone_dims("deit_s")


@pytest.mark.parametrize(("name", "recipe"), [("vit_mini_w2a3_sp2", "sp2"), ("vit_mini_w2a3_half_pot", "half_pot")])
def test_name_with_recipe(recipe_dir, name, recipe):
    assert parse_model_name(name, recipe_dir) == ModelConfig("vit_mini", 2, 3, recipe, name)


def test_listed_models_all_parse_and_are_unique():
    names = list_models()
    assert len(set(names)) == len(names)
    assert [parse_model_name(name).source_name for name in names] == names
    assert {parse_model_name(name).backbone for name in names} == set(list_backbones())


def test_list_models_is_every_backbone_with_every_recipe(recipe_dir):
    expected = [f"{name}_w4a8{suffix}" for name in list_backbones() for suffix in ("", "_half_pot", "_sp2")]
    assert list_models(recipe_dir) == expected


def test_missing_recipe_folder_leaves_the_default(tmp_path):
    assert list_recipes(tmp_path / "absent") == ["default"]


FORM = " is not of the form <backbone>_w<bits>a<bits>[_<recipe>], such as 'vit_mini_w4a8' (make list-models)"


@pytest.mark.parametrize(
    "name", ["", "vit_mini", "vit_mini_w4", "vit_mini_wxa8", "vit_mini_w4a8_", "../w4a8", "VIT_w4a8"]
)
def test_name_of_another_form_is_refused(name):
    with pytest.raises(ValueError) as caught:
        parse_model_name(name)
    assert str(caught.value) == f"model name {name!r}{FORM}"


@pytest.mark.parametrize("bits", [0, 1, 9, 16])
def test_bits_outside_the_range_are_refused(bits):
    with pytest.raises(ValueError) as caught:
        parse_model_name(f"vit_mini_w{bits}a8")
    assert str(caught.value).startswith(f"weight bits {bits} in 'vit_mini_w{bits}a8' are outside 2..8; ")
    with pytest.raises(ValueError) as caught:
        parse_model_name(f"vit_mini_w4a{bits}")
    assert str(caught.value).startswith(f"activation bits {bits} in 'vit_mini_w4a{bits}' are outside 2..8; ")


def test_unknown_backbone_is_refused_with_the_whole_name():
    with pytest.raises(ValueError) as caught:
        parse_model_name("dait_s_w4a8")
    assert str(caught.value) == "unknown backbone 'dait_s' in 'dait_s_w4a8'; did you mean 'deit_s'? (make list-models)"


def test_unknown_recipe_is_refused(recipe_dir):
    with pytest.raises(ValueError) as caught:
        parse_model_name("vit_mini_w4a8_sp3", recipe_dir)
    assert str(caught.value) == (
        "unknown recipe 'sp3' in 'vit_mini_w4a8_sp3'; did you mean 'sp2'? (files of quant/recipes)"
    )
