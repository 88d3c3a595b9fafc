# SPDX-License-Identifier: Apache-2.0
"""A sweep's trial: seeded images, errors worked by hand, and a checkpoint that holds the network that was measured."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import yaml

from models.names import parse_model_name
from models.train import integer_accuracy, load_integer
from models.train_float import Batches, load_fashion_mnist
from models.trial import percent, relative_rms, run_trial, subset
from quant.recipe import load_recipe


def numbered(count):
    """Batches whose label is the image's number."""
    return Batches(torch.zeros(count, 2, 2, dtype=torch.int8), torch.arange(count))


def test_trial_subset_is_drawn_by_the_seed():
    first, again, other = (subset(numbered(100), 30, seed).labels for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(set(first.tolist())) == 30


@pytest.mark.parametrize("count", [0, 101])
def test_trial_subset_says_how_many_there_are(count):
    with pytest.raises(ValueError, match=f"trial: train_images={count}, expected 1..100"):
        subset(numbered(100), count, 1)


def test_trial_relative_rms_and_percent():
    # differences 3 and 4 on 6 and 8
    assert relative_rms(np.array([9.0, 12.0]), np.array([6.0, 8.0])) == pytest.approx(5 / 10)
    assert relative_rms(np.array([6.0, 8.0]), np.array([6.0, 8.0])) == 0.0
    assert percent(np.array([True, False, False, False])) == 25.0


@pytest.mark.slow
@pytest.mark.dataset
def test_trial_keeps_the_network_that_it_measured(tmp_path):
    recipe = replace(load_recipe("sp2"), epochs=1, warmup_steps=0, calibration_images=64, scale_search_steps=4)
    (tmp_path / "sp2.yaml").write_text(yaml.safe_dump(asdict(recipe)))
    config = parse_model_name("vit_mini_w3a8_sp2", tmp_path)
    results = run_trial(config, recipe, 256, tmp_path)
    network, details = load_integer(config, tmp_path, tmp_path)
    assert details["seed"] == recipe.seed and details["train_images"] == results["train_images"] == 256
    *_, test = load_fashion_mnist()
    assert results["images"] == len(test)
    assert integer_accuracy(network, test) == pytest.approx(results["integer_top1"] / 100)
    assert 0 < results["weight_error_calibrated"] < results["weight_error"] < 1
