# SPDX-License-Identifier: Apache-2.0
"""Float training: augmentation, schedule, and that an interrupted run ends as an uninterrupted one."""

import pytest
import torch

from models import train_float as module
from models.checkpoint import load_checkpoint
from models.registry import ViTDims
from models.train_float import Batches, FloatRecipe, augment, learning_rate_at, main, to_input, train_float

DIMS = ViTDims(28, 1, 14, 14, 16, 1, 2, 1, 10)
RECIPE = FloatRecipe(epochs=3, batch_size=32, warmup_steps=2)


@pytest.fixture
def small_data(monkeypatch):
    """Random images in place of Fashion-MNIST."""
    print("seed 5")
    generator = torch.Generator().manual_seed(5)

    def batches(count):
        codes = torch.randint(-128, 128, (count, 28, 28), generator=generator).to(torch.int8)
        return Batches(codes, torch.arange(count) % 10)

    splits = batches(96), batches(20), batches(30)
    monkeypatch.setattr(module, "load_fashion_mnist", lambda data_dir: splits)


def test_input_is_code_over_128():
    codes = torch.tensor([[[-128, 0, 127]]], dtype=torch.int8)
    assert torch.equal(to_input(codes), torch.tensor([[[[-1.0, 0.0, 127 / 128]]]]))


def test_augment_gives_flips_and_shifts_of_the_image_only():
    image = torch.randint(-128, 128, (28, 28), generator=torch.Generator().manual_seed(6)).to(torch.int8)
    recipe = FloatRecipe(erase_probability=0.0)
    images = augment(image.expand(300, 28, 28), recipe, torch.Generator().manual_seed(7))
    padded = torch.nn.functional.pad(torch.stack([image, image.flip(1)]), (1, 1, 1, 1), value=-128)
    allowed = {
        padded[flip, y : y + 28, x : x + 28].numpy().tobytes() for flip in (0, 1) for y in (0, 1, 2) for x in (0, 1, 2)
    }
    assert {image.numpy().tobytes() for image in images} == allowed


def test_augment_erases_one_rectangle_in_the_stated_share_of_images():
    recipe = FloatRecipe(shift=0, erase_probability=0.25)
    images = augment(torch.zeros(4000, 28, 28, dtype=torch.int8), recipe, torch.Generator().manual_seed(8))
    erased = images.flatten(1).any(1)
    assert 0.22 < erased.float().mean() < 0.28
    for image in images[erased][:50]:
        rows, columns = image.any(1).nonzero(), image.any(0).nonzero()
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert height <= 13 and width <= 13
        assert image.count_nonzero() > 0.9 * height * width


def test_learning_rate_warms_up_and_falls_to_zero():
    recipe = FloatRecipe(learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, 110, recipe) for step in range(111)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0 and rates[60] == pytest.approx(0.5) and rates[110] == pytest.approx(0.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.dataset
def test_validation_images_are_held_out_of_the_training_images():
    train, validation, test = module.load_fashion_mnist()
    assert (len(train), len(validation), len(test)) == (55_000, 5_000, 10_000)
    again = module.load_fashion_mnist()[1]
    assert torch.equal(validation.codes, again.codes)
    both = torch.cat([train.labels, validation.labels])
    assert torch.equal(both.bincount(), torch.full((10,), 6_000))


def test_interrupted_training_ends_with_the_same_weights(tmp_path, small_data, monkeypatch):
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    train_float("tiny", DIMS, RECIPE, whole)
    train_epoch = module._train_epoch

    def interrupted(*arguments):
        if arguments[5] == 1:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(module, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_float("tiny", DIMS, RECIPE, resumed)
    assert [path.name for path in tmp_path.glob("resumed*")] == ["resumed.safetensors.state"]
    monkeypatch.setattr(module, "_train_epoch", train_epoch)
    train_float("tiny", DIMS, RECIPE, resumed)
    first, second = (load_checkpoint(path, kind="float", dims=DIMS) for path in (whole, resumed))
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert first.details["test_accuracy"] == second.details["test_accuracy"]
    assert {path.name for path in tmp_path.iterdir()} == {"whole.safetensors", "resumed.safetensors"}


def test_state_of_another_run_is_refused(tmp_path, small_data, monkeypatch):
    out = tmp_path / "tiny.safetensors"
    monkeypatch.setattr(module, "save_checkpoint", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_float("tiny", DIMS, RECIPE, out)
    with pytest.raises(ValueError) as caught:
        train_float("other", DIMS, RECIPE, out)
    text = str(caught.value)
    assert text.startswith(f"training state {out}.state belongs to a run with another model, sizes or recipe than ")
    assert text.endswith("; delete it to start afresh")


def test_damaged_state_is_refused(tmp_path, small_data):
    out = tmp_path / "tiny.safetensors"
    (tmp_path / "tiny.safetensors.state").write_bytes(b"half")
    with pytest.raises(ValueError) as caught:
        train_float("tiny", DIMS, RECIPE, out)
    text = str(caught.value)
    assert text.startswith(f"training state {out}.state cannot be read (")
    assert text.endswith("; delete it to start afresh")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--backbone", "vit_mino"], "unknown backbone 'vit_mino'; did you mean 'vit_mini'?"),
        (["--dims", "width=3"], "--dims: 'width=3' is not <size>=<integer>; sizes are image_size, channels, "),
        (["--dims", "depth=x"], "--dims: 'depth=x' is not <size>=<integer>; sizes are image_size, channels, "),
        (["--epochs", "0"], "FloatRecipe: epochs=0, expected 1 or more"),
    ],
)
def test_command_line_refuses_bad_input(tmp_path, capsys, arguments, text):
    assert main(["--out", str(tmp_path / "x.safetensors"), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"train_float: {text}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.dataset
def test_shipped_float_network_has_the_accuracy_it_states():
    path = module.Path(module.__file__).parent / "checkpoints" / "vit_mini_float.safetensors"
    shipped = load_checkpoint(path, kind="float", dims=module.backbone_dims("vit_mini"))
    assert path.stat().st_size < 2_000_000
    assert shipped.details["recipe"] == module.asdict(FloatRecipe())
    network = module.ViT(shipped.dims)
    network.load_state_dict(shipped.tensors)
    measured = module.accuracy(network, module.load_fashion_mnist()[2])
    assert measured >= 0.905
    # Another CPU may sum in another order; a few images lie that close to a boundary.
    assert measured == pytest.approx(shipped.details["test_accuracy"], abs=5e-4)
