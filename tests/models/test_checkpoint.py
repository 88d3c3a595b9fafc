# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: round trip, each refusal's text, and the import of DeiT and timm weights."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from models import checkpoint
from models.checkpoint import Checkpoint, load_checkpoint, load_timm_checkpoint, save_checkpoint
from models.registry import ViTDims, backbone_dims, list_backbones, parameter_shapes
from models.vit import ViT

DIMS = ViTDims(12, 3, 4, 4, 16, 1, 2, 2, 5)
EXPECTED = "expected a float checkpoint of format vitrail version 1"


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "tiny.safetensors"
    original = Checkpoint("tiny", "float", DIMS, ViT(DIMS).state_dict(), {"seed": 1, "minutes": 0.5})
    save_checkpoint(path, original)
    return path, original


def refusal(path, **options):
    with pytest.raises(ValueError) as caught:
        load_checkpoint(path, **{"kind": "float", **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_checkpoint_round_trip(saved):
    path, original = saved
    loaded = load_checkpoint(path, kind="float", dims=DIMS)
    assert replace(loaded, tensors={}) == replace(original, tensors={})
    assert loaded.tensors.keys() == original.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in original.tensors.items())
    ViT(DIMS).load_state_dict(loaded.tensors)
    assert list(path.parent.iterdir()) == [path]


def test_quantized_checkpoint_round_trip_with_integers(tmp_path):
    tensors = {"codes": torch.tensor([-7, 7], dtype=torch.int8), "scale": torch.tensor(0.5)}
    save_checkpoint(tmp_path / "q.safetensors", Checkpoint("tiny_w4a8", "quant", DIMS, tensors, {}))
    loaded = load_checkpoint(tmp_path / "q.safetensors", kind="quant")
    assert loaded.tensors["codes"].dtype == torch.int8
    assert torch.equal(loaded.tensors["codes"], tensors["codes"])


def test_missing_checkpoint_is_refused(tmp_path):
    path = tmp_path / "none.safetensors"
    assert refusal(path) == f"checkpoint {path} is missing; {EXPECTED} (make train writes it)"


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_truncated_checkpoint_is_refused(saved, size):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:size])
    text = refusal(path)
    assert text.startswith(
        f"checkpoint {path} cannot be read: {path.stat().st_size} bytes, truncated or no safetensors"
    )
    assert text.endswith(f"; {EXPECTED}")


def test_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "picture.safetensors"
    path.write_bytes(b"\x89PNG\r\n" * 100)
    assert refusal(path).startswith(f"checkpoint {path} cannot be read: 600 bytes, truncated or no safetensors file (")


def test_foreign_safetensors_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    assert refusal(path) == (f"checkpoint {path} is foreign: header says format None version None; {EXPECTED}")


def test_checkpoint_of_another_version_is_refused(tmp_path):
    path = tmp_path / "later.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"format": "vitrail", "version": "9"})
    assert refusal(path).startswith(f"checkpoint {path} is foreign: header says format 'vitrail' version '9'; ")


def test_checkpoint_of_the_other_kind_is_refused(saved):
    path, _ = saved
    assert refusal(path, kind="quant") == (
        f"checkpoint {path} is of kind 'float'; expected a quant checkpoint of format vitrail version 1"
    )


@pytest.mark.parametrize("dims", [None, "{", "{}", '{"depth": 0}'])
def test_checkpoint_with_damaged_header_is_refused(tmp_path, dims):
    path = tmp_path / "damaged.safetensors"
    header = {"format": "vitrail", "version": "1", "kind": "float", "model": "tiny", "details": "{}"}
    save_file({"x": torch.zeros(1)}, path, header | ({"dims": dims} if dims else {}))
    text = refusal(path)
    assert text.startswith(f"checkpoint {path} has a damaged header (") and text.endswith(f"; {EXPECTED}")


def test_checkpoint_of_another_size_is_refused(saved):
    path, _ = saved
    assert refusal(path, dims=replace(DIMS, depth=2, mlp_ratio=4)) == (
        f"checkpoint {path} holds 'tiny' with depth=1, expected 2, mlp_ratio=2, expected 4"
    )


def test_checkpoint_with_wrong_tensors_is_refused(saved):
    path, original = saved
    with pytest.raises(ValueError, match="tensor 'head.weight' has shape \\(1,\\), expected \\(5, 16\\)"):
        save_checkpoint(path, replace(original, tensors=original.tensors | {"head.weight": torch.zeros(1)}))
    # as a quantized one nothing is asked of its tensors: so the file can have those of another network
    fewer = {name: tensor for name, tensor in original.tensors.items() if name != "head.bias"}
    shapes = parameter_shapes(DIMS)
    for tensors, text in (
        (original.tensors | {"head.weight": torch.zeros(7, 16)}, "'head.weight' has shape (7, 16), expected (5, 16)"),
        (fewer, "'head.bias' is missing, expected shape (5,)"),
        (
            original.tensors | {"dist_token": torch.zeros(1)},
            f"'dist_token' is not part of the network; expected {len(shapes)} tensors",
        ),
    ):
        save_checkpoint(path, replace(original, kind="quant", tensors=tensors))
        payload = path.read_bytes()
        path.write_bytes(payload.replace(b'"kind":"quant"', b'"kind":"float"'))
        assert refusal(path) == f"checkpoint {path}: tensor {text}"


def test_unknown_kind_is_not_written(saved):
    path, original = saved
    with pytest.raises(ValueError, match="kind 'half', expected one of float, quant"):
        save_checkpoint(path.with_name("other"), replace(original, kind="half"))
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_the_old_checkpoint(saved, monkeypatch):
    path, original = saved
    before = path.read_bytes()

    def full_disk(self, payload):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(path, replace(original, model="new"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def timm_state(dims):
    state = {name: torch.randn(shape) for name, shape in parameter_shapes(dims).items()}
    kernel = (dims.embed_dim, dims.channels, dims.patch_size, dims.patch_size)
    state["patch_embed.proj.weight"] = torch.randn(kernel)
    return state


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 3}])
def test_timm_checkpoint_gives_the_convolution_as_linear_layer(tmp_path, wrap):
    print("seed 4")
    torch.manual_seed(4)
    state = timm_state(DIMS)
    torch.save(wrap(state), tmp_path / "deit.pth")
    tensors = load_timm_checkpoint(tmp_path / "deit.pth", DIMS)
    network = ViT(DIMS)
    network.load_state_dict(tensors)
    images = torch.randn(2, 3, 12, 12)
    convolved = torch.nn.functional.conv2d(
        images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=4
    )
    assert torch.allclose(network.patch_embed(images), convolved.flatten(2).transpose(1, 2), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in list_backbones() if name.startswith("deit")])
def test_official_deit_shapes_are_taken(tmp_path, name):
    dims = backbone_dims(name)
    # One stored value per tensor: the file holds the official names and shapes, not the 346 MB of a DeiT-B.
    state = {key: torch.zeros(()).expand(value.shape) for key, value in meta_timm_state(dims).items()}
    torch.save({"model": state}, tmp_path / "deit.pth")
    tensors = load_timm_checkpoint(tmp_path / "deit.pth", dims)
    assert {key: tuple(value.shape) for key, value in tensors.items()} == parameter_shapes(dims)


def meta_timm_state(dims):
    with torch.device("meta"):
        return timm_state(dims)


def test_timm_safetensors_is_taken(tmp_path):
    save_file(timm_state(DIMS), tmp_path / "vit.safetensors")
    assert load_timm_checkpoint(tmp_path / "vit.safetensors", DIMS).keys() == parameter_shapes(DIMS).keys()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_unreadable_timm_checkpoint_is_refused(tmp_path, suffix):
    path = tmp_path / f"deit{suffix}"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError) as caught:
        load_timm_checkpoint(path, DIMS)
    text = str(caught.value)
    assert text.startswith(f"checkpoint {path} cannot be read (") and "\n" not in text
    assert text.endswith("); expected a DeiT or timm ViT state dict")


def test_timm_checkpoint_that_is_missing_empty_or_of_another_network_is_refused(tmp_path):
    path = tmp_path / "deit.pth"
    with pytest.raises(ValueError, match="is missing; expected a DeiT or timm ViT state dict"):
        load_timm_checkpoint(path, DIMS)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match="holds no state dict; expected a DeiT or timm ViT state dict"):
        load_timm_checkpoint(path, DIMS)
    torch.save(timm_state(replace(DIMS, num_classes=6)), path)
    with pytest.raises(ValueError, match="tensor 'head.weight' has shape \\(6, 16\\), expected \\(5, 16\\)"):
        load_timm_checkpoint(path, DIMS)
