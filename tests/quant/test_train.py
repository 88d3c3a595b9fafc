# SPDX-License-Identifier: Apache-2.0
"""Quantization-aware training on a handful of made-up images: checkpoint, card, resuming, and refusals."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from models import train as training
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.names import parse_model_name
from models.train_float import Batches
from models.vit import ViT
from quant.recipe import load_recipe

MODEL = "vit_mini_w4a8"
CONFIG = parse_model_name(MODEL)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A folder with a random float checkpoint; 64 training images, two epochs."""

    def batches(count, seed):
        generator = torch.Generator().manual_seed(seed)
        codes = torch.randint(-128, 128, (count, 28, 28), generator=generator).to(torch.int8)
        return Batches(codes, torch.randint(0, 10, (count,), generator=generator))

    data = batches(64, 1), batches(20, 2), batches(30, 3)
    recipe = dataclasses.replace(load_recipe("default"), epochs=2, batch_size=16, calibration_images=16)
    monkeypatch.setattr(training, "load_fashion_mnist", lambda folder: data)
    monkeypatch.setattr(training, "load_recipe", lambda name, recipe_dir=None: recipe)
    torch.manual_seed(1)
    tensors = {name: p.detach() for name, p in ViT(CONFIG.dims).named_parameters()}
    details = {"minutes": 0.0}
    save_checkpoint(
        tmp_path / "vit_mini_float.safetensors", Checkpoint("vit_mini", "float", CONFIG.dims, tensors, details)
    )
    return tmp_path


def test_train_writes_checkpoint_and_card_and_resumes(small, monkeypatch):
    details = training.train(MODEL, small)
    path = training.checkpoint_path(CONFIG, small)
    assert {p.name for p in small.iterdir()} == {f"{MODEL}.md", f"{MODEL}.safetensors", "vit_mini_float.safetensors"}
    assert path.stat().st_size < 2e6
    text = path.with_suffix(".md").read_text()
    assert f"{100 * details['test_accuracy']:.2f} %" in text and "None" not in text and "{" not in text
    first = load_checkpoint(path, kind="quant")
    network, loaded = training.load_integer(CONFIG, small)
    assert loaded == json.loads(json.dumps(details))
    assert training.integer_accuracy(network, training.load_fashion_mnist(None)[2]) == details["test_accuracy"]
    path.unlink()

    class StopError(Exception):
        pass

    def interrupt(state_path, network, state, save=training._save_state):
        save(state_path, network, state)
        raise StopError

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(training, "_save_state", interrupt)
        training.train(MODEL, small)
    assert training._state_path(path).exists() and not path.exists()
    training.train(MODEL, small)
    again = load_checkpoint(path, kind="quant")
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(again.tensors[name].numpy(), tensor.numpy(), err_msg=name)


def test_damaged_and_foreign_checkpoints_are_refused(small, monkeypatch):
    path = training.checkpoint_path(CONFIG, small)
    with pytest.raises(ValueError, match=r"vit_mini_w4a8.safetensors is missing; .*make train"):
        training.load_integer(CONFIG, small)
    training.train(MODEL, small)
    good = load_checkpoint(path, kind="quant")

    wrong = good.tensors | {"blocks.0.mlp.fc1.weight": torch.full_like(good.tensors["blocks.0.mlp.fc1.weight"], 3)}
    save_checkpoint(path, dataclasses.replace(good, tensors=wrong))
    with pytest.raises(ValueError, match=r"is damaged: schemes: 3 is no 4-bit sp2 weight"):
        training.load_integer(CONFIG, small)
    wrong = good.tensors | {"norm.mult": good.tensors["norm.mult"].float()}
    save_checkpoint(path, dataclasses.replace(good, tensors=wrong))
    with pytest.raises(ValueError, match=r"tensor 'norm.mult' is float32, expected integers"):
        training.load_integer(CONFIG, small)
    wrong = good.tensors | {"blocks.0.attn.mix.bias": torch.zeros(4, 1, 24, dtype=torch.int32)}
    save_checkpoint(path, dataclasses.replace(good, tensors=wrong))
    with pytest.raises(ValueError, match=r"damaged: tensor 'blocks.0.attn.mix.bias' has shape .* expected \(1,\); `"):
        training.load_integer(CONFIG, small)
    save_checkpoint(path, good)
    changed = dataclasses.replace(training.load_recipe("default"), shift_add_rows=3)
    monkeypatch.setattr(training, "load_recipe", lambda name, recipe_dir=None: changed)
    with pytest.raises(ValueError, match=r"made with another recipe: shift_add_rows=2, now 3; `make train MODEL="):
        training.load_integer(CONFIG, small)


def test_training_state_of_another_run_is_refused(small):
    state = training._state_path(training.checkpoint_path(CONFIG, small))
    state.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"state cannot be read .*delete it to start afresh"):
        training.train(MODEL, small)
    torch.save({"run": "other"}, state)
    with pytest.raises(ValueError, match=r"belongs to a run with another recipe or float network"):
        training.train(MODEL, small)


def test_train_refuses_models_without_data(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "float_checkpoint_path", lambda config, folder=None: tmp_path / "absent.safetensors")
    assert training.main(["--model", "deit_s_w4a8", "--threads", "1"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: train: 'deit_s_w4a8' takes 224 x 224 images of 3 channels")
    assert text.count("train:") == 1
    assert training.main(["--model", "vit_mini_w4a8", "--threads", "0"]) == 1
    assert capsys.readouterr().err.endswith("train: --threads=0, expected 1 or more\n")
    assert training.main(["--model", "vit_mini_w9a8"]) == 1
    assert "weight bits 9" in capsys.readouterr().err


def test_untrained_network_is_seeded():
    first, second = training.untrained_integer(CONFIG), training.untrained_integer(CONFIG)
    images = torch.randint(-128, 128, (2, 28, 28, 1), generator=torch.Generator().manual_seed(4)).float()
    assert torch.equal(first(images), second(images))
    assert len(torch.unique(first(images))) > 10
