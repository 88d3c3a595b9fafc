# SPDX-License-Identifier: Apache-2.0
"""A user's own images and float weights: files to codes, classes, refusals, and calibration with them to accuracy."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import own_images, registry
from models import train as training
from models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, fold_normalization, load_checkpoint
from models.names import parse_model_name
from models.own_images import calibration_list, list_images, load_pixels
from models.registry import ViTDims
from models.vit import ViT
from synthesis import cli
from synthesis.board import load_board
from synthesis.build import Build
from synthesis.steps import STEPS, export, sim

COLOUR = ViTDims(
    image_size=16,
    channels=3,
    patch_size=8,
    patch_stride=8,
    embed_dim=12,
    depth=1,
    num_heads=2,
    mlp_ratio=2,
    num_classes=3,
)
CLASSES = ("ant", "bee", "cow")
MODEL = "colour_w4a8_ptq_sp2"


def write_images(folder: Path, count: int, seed: int, side: int = COLOUR.image_size) -> None:
    rng = np.random.default_rng(seed)
    for number in range(count):
        name = folder / CLASSES[number % len(CLASSES)]
        name.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(name / f"{number:03}.png")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 training and 12 test images of noise, in VITRAIL_IMAGES."""
    folder = tmp_path / "images"
    write_images(folder / "train", 40, 1)
    write_images(folder / "val", 12, 2)
    monkeypatch.setenv("VITRAIL_IMAGES", str(folder))
    return folder


# ---------------------------------------------------------------------------------------------------- files


def test_image_of_the_network_size_is_taken_as_it_is(tmp_path):
    pixels = np.random.default_rng(5).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_pixels(tmp_path / "a.png", 16, 3), pixels)


def test_middle_of_a_larger_image_is_taken(tmp_path):
    """28 pixels of 32 are the crop's share, so that 64 x 32 is cut and not resized: 18 columns and 2 rows are left."""
    pixels = np.random.default_rng(6).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_pixels(tmp_path / "a.png", 28, 3), pixels[2:30, 18:46])


@pytest.mark.parametrize("size", [(640, 480), (33, 500), (40, 48)])
def test_images_of_any_size_are_resized_by_their_shorter_side(tmp_path, size):
    """A ramp from left to right keeps its middle: of the shorter side the crop shows seven eighths."""
    width, height = size
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()).save(tmp_path / "a.png")
    found = load_pixels(tmp_path / "a.png", 56, 3).astype(float)
    assert found.shape == (56, 56, 3) and abs(found.mean() - 127.5) < 3
    shown = 255 * 0.875 * min(size) / width * 55 / 56
    assert found[:, -1].mean() - found[:, 0].mean() == pytest.approx(shown, rel=0.1)


def test_grey_networks_get_one_channel(tmp_path):
    Image.fromarray(np.full((16, 16, 3), (255, 0, 0), np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_pixels(tmp_path / "a.png", 16, 1), np.full((16, 16, 1), 76))  # 0.299 of red


def test_classes_are_numbered_by_name_and_codes_are_pixel_minus_128(images):
    found = list_images("val", COLOUR)
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and len(found) == 12
    assert [path.parent.name for path in found.paths] == ["ant"] * 4 + ["bee"] * 4 + ["cow"] * 4
    pieces = list(found.batches(5))
    assert [len(codes) for codes, _ in pieces] == [5, 5, 2]
    pixels = np.asarray(Image.open(images / "val" / "bee" / "001.png"))
    np.testing.assert_array_equal(pieces[0][0][4].numpy(), pixels.astype(int) - 128)
    assert pieces[0][1].tolist() == [0, 0, 0, 0, 1] and pieces[0][0].dtype == torch.int8


def test_calibration_takes_training_images_in_a_seeded_order_over_all_classes(images):
    found = calibration_list(COLOUR, 30)
    assert found.paths == calibration_list(COLOUR, 30).paths and len(set(found.paths)) == 30
    assert found.paths == calibration_list(COLOUR, 40).paths[:30] != list_images("train", COLOUR).paths[:30]
    assert [CLASSES[label] for label in found.labels.tolist()] == [path.parent.name for path in found.paths]
    assert set(found.labels.tolist()) == {0, 1, 2}


def test_images_below_a_class_folder_count_and_a_class_may_be_empty(images):
    below = images / "val" / "bee" / "more"
    below.mkdir()
    for path in sorted((images / "val" / "cow").iterdir()):
        path.rename(below / path.name)
    found = list_images("val", COLOUR)
    assert found.labels.tolist() == [0] * 4 + [1] * 8


def test_unusable_folders_are_refused(images, monkeypatch):
    def refusal(text, dims=COLOUR):
        with pytest.raises(ValueError) as caught:
            list_images("val", dims)
        assert text in str(caught.value) and "\n" not in str(caught.value)

    remedy = "train/<class>/<image> and val/<class>/<image> belong there (or name their folder in VITRAIL_IMAGES)"
    refusal(f"{images}/val has 3 classes, the network has 4; {remedy}", replace(COLOUR, num_classes=4))
    refusal("images of 2 channels cannot be read", replace(COLOUR, channels=2))
    with pytest.raises(ValueError, match=r"train holds 40 images, calibration takes 256 \(calibration_images of"):
        calibration_list(COLOUR, 256)
    (images / "val" / "bee").rename(images / "val" / "fly")
    refusal(f"images: class 'bee' is in one of {images}/train and val alone; {remedy}")
    (images / "val" / "fly").rename(images / "val" / "bee")
    for path in images.glob("val/*/*.png"):
        path.rename(path.with_suffix(".txt"))
    refusal("val holds no image (.bmp, .jpeg, ")
    shutil.rmtree(images / "val")
    refusal(f"images: no folder {images / 'val'}; {remedy}")
    monkeypatch.delenv("VITRAIL_IMAGES")
    assert own_images.images_dir() == own_images.ROOT / "data" / "images"


def damage(path):
    path.write_bytes(path.read_bytes()[:60])


def deepen(path):
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(path)


def enlarge(path):
    Image.new("1", (20_000, 10_000)).save(path)


@pytest.mark.parametrize(("spoil", "reason"), [(damage, ""), (deepen, "mode I;16, expected 8"), (enlarge, "exceeds")])
def test_unusable_files_are_refused(images, spoil, reason):
    path = images / "val" / "ant" / "000.png"
    spoil(path)
    with pytest.raises(ValueError) as caught:
        list(list_images("val", COLOUR).batches(4))
    text = str(caught.value)
    assert text.startswith(f"image {path} cannot be read (") and reason in text
    assert text.endswith("); take it out of the folder") and "\n" not in text


def test_digest_follows_the_files(images):
    path = images / "val" / "ant" / "000.png"
    first = list_images("val", COLOUR).digest()
    assert first == list_images("val", COLOUR).digest() != list_images("train", COLOUR).digest()
    shutil.copyfile(images / "val" / "bee" / "001.png", path)
    assert list_images("val", COLOUR).digest() != first
    path.unlink()
    path.symlink_to(images / "absent.png")
    with pytest.raises(ValueError, match=r"image .*000.png cannot be read \(.*No such file.*\); take it out"):
        list_images("val", COLOUR).digest()


# ---------------------------------------------------------------------------------------------------- weights


def test_normalization_goes_into_the_patch_embedding():
    print("seed 7")
    torch.manual_seed(7)
    network, folded = ViT(COLOUR), ViT(COLOUR)
    folded.load_state_dict(fold_normalization(network.state_dict(), COLOUR, IMAGENET_MEAN, IMAGENET_STD))
    pixels = torch.randint(0, 256, (5, 3, 16, 16)).float()
    normalized = (pixels / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(folded((pixels - 128) / 128), network(normalized), atol=1e-5)


def test_normalization_by_hand():
    """One pixel a patch: 2 * (p / 255 - 0.5) / 0.25 + 1, with p = 128 + 128 x."""
    dims = replace(COLOUR, image_size=1, patch_size=1, patch_stride=1, channels=1)
    tensors = {"patch_embed.proj.weight": torch.full((12, 1), 2.0), "patch_embed.proj.bias": torch.ones(12)}
    found = fold_normalization(tensors, dims, (0.5,), (0.25,))
    assert found["patch_embed.proj.weight"][0].item() == pytest.approx(8 * 128 / 255)
    assert found["patch_embed.proj.bias"][0].item() == pytest.approx(1 + 8 * (128 / 255 - 0.5))


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ((0.5,), (0.5,) * 3, "mean has 1 numbers, expected 3, one for each channel"),
        ((0.5,) * 3, (0.5, 0.5), "std has 2 numbers, expected 3"),
        ((0.5,) * 3, (0.5, 0.0, 0.5), r"std \[0.5, 0.0, 0.5\]: expected finite numbers, std of 0.001 or more"),
        ((0.5,) * 3, (0.5, float("nan"), 0.5), "expected finite numbers"),
        ((0.5, float("inf"), 0.5), (0.5,) * 3, "expected finite numbers"),
    ],
)
def test_normalizations_that_do_not_go_with_the_network_are_refused(mean, std, text):
    with pytest.raises(ValueError, match=text):
        fold_normalization(ViT(COLOUR).state_dict(), COLOUR, mean, std)


# ---------------------------------------------------------------------------------------------------- the flow


@pytest.fixture
def colour(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backbone `colour`, its checkpoints and builds below tmp_path; returns a user's file with its weights."""
    registry.list_backbones()
    monkeypatch.setitem(registry._BACKBONES, "colour", lambda: COLOUR)
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path / "build"))

    def path(config, folder=None):
        return tmp_path / f"{config.backbone}_float.safetensors"

    monkeypatch.setattr("models.names.float_checkpoint_path", path)
    monkeypatch.setattr(training, "float_checkpoint_path", path)
    load = training.load_recipe
    changes = {"ptq_sp2": {"calibration_images": 24}}
    monkeypatch.setattr(
        training, "load_recipe", lambda name, *args: replace(load(name, *args), **changes.get(name, {}))
    )
    print("seed 8")
    torch.manual_seed(8)
    state = ViT(COLOUR).state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].reshape(12, 3, 8, 8)
    torch.save({"model": state}, tmp_path / "user.pth")
    return tmp_path / "user.pth"


def built(tmp_path, **options):
    build = Build(parse_model_name(MODEL), load_board("ulx3s_85f"), root=tmp_path / "build", **options)
    build.report = lambda text: None
    build.checkpoint_dir = tmp_path / "build" / MODEL / "checkpoint"
    build.load()
    return build


def test_imported_weights_are_calibrated_and_measured_on_all_of_val(colour, images, tmp_path, monkeypatch):
    monkeypatch.setattr("synthesis.steps.accuracy.BATCH_TOKENS", 5 * COLOUR.tokens)  # 5, 5 and 2 images
    assert cli.main(["import", "--model", MODEL, "--checkpoint", str(colour)]) == 0
    details = load_checkpoint(tmp_path / "colour_float.safetensors", kind="float", dims=COLOUR).details
    assert details["source"] == "user.pth" and details["mean"] == list(IMAGENET_MEAN)

    build = built(tmp_path)
    build.execute([STEPS["export"], STEPS["accuracy"]])
    assert build.results("export")["model"]["trained"]
    rows = build.results("export")["model"]["rows"]
    assert rows["sp2"] == (COLOUR.mlp_dim + COLOUR.embed_dim) // 2  # half of fc1's and fc2's
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(images.glob("val/*/*.png"))])
    labels = np.repeat([0, 1, 2], 4)
    network, _ = training.load_integer(build.config)
    logits = training.integer_logits(network, pixels.astype(np.int64) - 128)
    # the user's network as it came, on normalized pixels
    state = torch.load(colour)["model"]
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].flatten(1)
    original = ViT(COLOUR)
    original.load_state_dict(state)
    normalized = (pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    with torch.no_grad():
        wanted = original(torch.from_numpy(normalized).movedim(-1, 1).float()).numpy()
    assert build.results("accuracy") == {
        "accuracy": {
            "float_top1": pytest.approx(100 * (wanted.argmax(axis=1) == labels).mean()),
            "integer_top1": pytest.approx(100 * (logits.argmax(axis=1) == labels).mean()),
            "images": 12,
        },
        "bit_exact": {"qonnx": {"images": 10, "values_compared": 30, "mismatches": 0}},
    }
    scale = network.scales["logits"]
    assert np.abs(logits * scale - wanted).mean() < 0.2 * np.abs(wanted).mean()  # the integer network is that network
    np.testing.assert_array_equal(np.load(build.folder("accuracy") / "logits.npy"), logits)
    np.testing.assert_array_equal(sim.test_images(build, 5), pixels[:5].astype(int) - 128)
    assert len(sim.test_images(build, 100)) == 12
    text = (build.checkpoint_dir / f"{MODEL}.md").read_text()
    assert "images of its user" in text and "Fashion" not in text and "None" not in text


def test_other_images_are_calibrated_on_and_measured_anew(colour, images, tmp_path, monkeypatch):
    made = []
    make = training.make_checkpoint
    monkeypatch.setattr(training, "make_checkpoint", lambda *args: made.append(args) or make(*args))
    cli.main(["import", "--model", MODEL, "--checkpoint", str(colour)])
    steps = [STEPS["export"], STEPS["accuracy"]]
    build = built(tmp_path)
    build.execute(steps)
    sim_key = build.key(STEPS["sim"])
    assert build.up_to_date(STEPS["accuracy"]) and len(made) == 1
    shutil.copyfile(images / "val" / "ant" / "000.png", images / "val" / "cow" / "900.png")
    assert not build.up_to_date(STEPS["accuracy"]) and build.key(STEPS["sim"]) != sim_key
    build.execute(steps)
    assert build.results("accuracy")["accuracy"]["images"] == 13 and len(made) == 1
    (images / "train" / "ant" / "000.png").unlink()
    write_images(images / "train", 3, 9)
    build.execute(steps)
    assert len(made) == 2
    shutil.rmtree(images / "train")
    assert training.is_current(build.config, build.checkpoint_dir)  # nothing to calibrate on anew
    cli.main(["import", "--model", MODEL, "--checkpoint", str(colour), "--mean", "0.5,0.5,0.5"])
    assert not training.is_current(build.config, build.checkpoint_dir)
    with pytest.raises(ValueError, match=rf"is not what was calibrated; run: make train MODEL={MODEL}"):
        training.calibrated_float(build.config, training.load_integer(build.config)[1])
    build = built(tmp_path, untrained=True)
    assert export.is_untrained(build) and sim.test_images(build, 4).shape == (4, 16, 16, 3)  # seeded, without val


def test_what_is_missing_is_asked_for(colour, images, capsys, tmp_path):
    def message(*words):
        assert cli.main(words) == 1
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.count("error: ") == 1 and text.count("\n") == 1
        return text

    text = message("train", "--model", "colour_w4a8")
    assert "takes 16 x 16 images of 3 channels, training is for Fashion-MNIST (28 x 28 of 1); recipe 'default'" in text
    assert text.endswith("on your own images, such as colour_w4a8_ptq4vit\n")
    text = message("train", "--model", MODEL)
    assert f"`make import MODEL={MODEL} CHECKPOINT=<file>` makes it from DeiT's or timm's weights" in text
    assert f"make import MODEL={MODEL} CHECKPOINT=<.pth or .safetensors file>" in message("import", "--model", MODEL)
    assert "'vit_mini' is trained here (make train MODEL=vit_mini_w4a8)" in message("import")
    weights = ("import", "--model", MODEL, "--checkpoint", str(colour))
    assert "--mean '0.5;0.5': expected numbers with commas" in message(*weights, "--mean", "0.5;0.5")
    assert "std has 1 numbers, expected 3" in message(*weights, "--std", "0.5")
    state = torch.load(colour)["model"]
    state["head.bias"][1] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    text = message("import", "--model", MODEL, "--checkpoint", str(tmp_path / "nan.pth"))
    assert "tensor 'head.bias' holds infinities or no numbers (NaN)" in text
    assert not (tmp_path / "colour_float.safetensors").exists()

    assert cli.main(weights) == 0
    assert "untrained" not in capsys.readouterr().out
    own = str(tmp_path / "colour_float.safetensors")
    assert "was written here already" in message("import", "--model", MODEL, "--checkpoint", own)
    assert "run: sends images of Fashion-MNIST, which colour_w4a8_ptq_sp2 does not" in message("run", "--model", MODEL)
    shutil.rmtree(images / "train")
    assert f"images: no folder {images / 'train'}; " in message("export", "--model", MODEL)


def test_import_says_when_the_recipe_does_not_use_it(colour, capsys):
    assert cli.main(["import", "--model", "colour_w4a8", "--checkpoint", str(colour)]) == 0
    out = capsys.readouterr().out
    assert "colour_w4a8 stays untrained, as its recipe trains; recipes that calibrate: apqvit, liu, " in out


def test_a_backbone_without_float_network_stays_untrained(colour):
    build = Build(parse_model_name(MODEL), load_board("ulx3s_85f"))
    assert export.is_untrained(build) and not export.has_images(build)
