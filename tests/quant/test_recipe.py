# SPDX-License-Identifier: Apache-2.0
"""Recipes: the shipped ones load, and every fault of a broken one is named in one message."""

from dataclasses import asdict

import pytest

from quant.recipe import AUTO, RECIPE_DIR, load_recipe, parse_recipe

NAMES = sorted(path.stem for path in RECIPE_DIR.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_recipe_loads_and_says_status_and_reason(name):
    load_recipe(name)
    header = (RECIPE_DIR / f"{name}.yaml").read_text().split("\n")
    assert header[1].startswith("# Status: ") and " Why: " in header[1]


def test_recipe_meanings():
    rows = {name: (r.mixed_layers, r.scheme, r.shift_add_rows) for name in NAMES for r in [load_recipe(name)]}
    assert rows["default"] == ("mlp", "sp2", 2)
    assert rows["sp2"] == ("mlp", "sp2", 3)
    assert rows["pot"] == ("mlp", "pot", 2)
    assert rows["fixed"] == ("none", "fixed", 0)
    assert rows["all"] == ("all", "sp2", 2)
    assert rows["auto"] == ("mlp", "sp2", AUTO)
    assert load_recipe("default").explore_weight_bits == (3, 4, 6)
    assert load_recipe("liu").explore_weight_bits == ()


def test_unknown_and_missing_keys_in_one_message():
    content = asdict(load_recipe("default"))
    del content["epochs"], content["seed"]
    content |= {"epoch": 3, "speed": 1, "residual_bits": 40, "scheme": "sp3"}
    with pytest.raises(ValueError) as caught:
        parse_recipe(content, "x.yaml")
    message = str(caught.value)
    assert message.startswith("recipe x.yaml: unknown keys epoch, speed; missing keys epochs, seed; ")
    assert "scheme='sp3', expected one of fixed, pot, sp2" in message
    assert "residual_bits=40, expected an integer from 8 to 16" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift_add_rows": 5}, r"shift_add_rows=5 exceeds row_group=4"),
        ({"shift_add_rows": "some"}, r"shift_add_rows='some', expected an integer from 0 to 64 or auto"),
        ({"shift_add_rows": AUTO}, r"shift_add_rows=-1, expected an integer from 0 to 64"),
        ({"epochs": 1.5}, r"epochs=1.5, expected an integer from 0 to 1000"),
        ({"epochs": True}, r"epochs=True, expected an integer"),
        ({"learning_rate": "fast"}, r"learning_rate='fast', expected a number from 0.0 to 1.0"),
        ({"assignment": "random"}, r"assignment='random', expected one of variance, sensitivity"),
        ({"scale_search_steps": 0}, r"scale_search_steps=0, expected an integer from 1 to 1000"),
        ({"mixed_layers": "some"}, r"mixed_layers='some', expected one of mlp, all, none"),
        ({"method": "ptv"}, r"method='ptv', expected one of qat, ptq, liu, ptq4vit, apqvit, noisyquant"),
        ({"integer_forms": False}, r"integer_forms=False goes with calibration alone, qat trains with the integer"),
        ({"method": "ptq", "epochs": 3}, r"epochs=3 goes with method qat, ptq calibrates alone"),
        ({"batch_size": 55_001}, r"batch_size=55001, expected an integer from 1 to 55000"),
        ({"integer_forms": 1}, r"integer_forms=1, expected one of True, False"),
        ({"explore_weight_bits": [3, 9]}, r"explore_weight_bits=\[3, 9\], expected a list of widths, each from 2 to 8"),
        ({"explore_weight_bits": 3}, r"explore_weight_bits=3, expected a list of widths, each from 2"),
        ({"explore_activation_bits": ["8"]}, r"explore_activation_bits=\['8'\], expected a list of widths"),
        ({"first_layer_weight_bits": 1}, r"first_layer_weight_bits=1, expected an integer from 2 to 8"),
    ],
)
def test_value_faults_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        parse_recipe(asdict(load_recipe("default")) | change, "x.yaml")


def test_file_faults_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"unknown recipe 'nope'; known are .*default, .*fixed, .*pot, .*sp2"):
        load_recipe("nope")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"bad.yaml is no valid YAML"):
        load_recipe("bad", tmp_path)
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ValueError, match=r"expected `key: value` lines, found list"):
        load_recipe("list", tmp_path)
