# SPDX-License-Identifier: Apache-2.0
"""Calibrated networks: their integers are those of the golden models and of QONNX, and refusals say why."""

import dataclasses

import numpy as np
import pytest
import torch

from models import quant_vit
from models import train as training
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.fake_quant import FakeQuantViT, squared_gradients
from models.float_forward import float_forward
from models.names import checkpoint_folder, parse_model_name
from models.ptq import METHODS, Calibration, calibrate, largest_shift, mixed_precision
from models.quant_vit import BitWidths, Formats
from models.registry import ViTDims
from models.train_float import Batches
from models.vit import ViT
from quant.export import execute, export_qonnx
from quant.ptq import IntegerFormError, Noisy, Twin, Uniform
from quant.quantizers import search_scale
from quant.recipe import load_recipe
from synthesis.board import load_board
from synthesis.build import Build
from synthesis.steps import export

TINY = ViTDims(8, 1, 4, 2, 16, 2, 2, 2, 4)
SEED = 3


def float_network():
    """Parameters of a float network of random weights, and 24 images as codes (B, H, W, channels)."""
    torch.manual_seed(SEED)
    tensors = {name: torch.randn_like(p) * 0.3 for name, p in ViT(TINY).named_parameters()}
    return tensors, torch.randint(-128, 128, (24, 8, 8, 1)).float()


def calibration(method, weight_bits=4, activation_bits=8, **changes):
    """A finished calibration of TINY, and its images."""
    tensors, images = float_network()
    recipe = dataclasses.replace(load_recipe(method), **changes)
    bits = BitWidths.of(weight_bits, activation_bits, recipe)
    return calibrate(tensors, TINY, bits, recipe, images), images


def codes(network, images):
    with torch.no_grad():
        return network(images).numpy().astype(np.int64)


def test_fake_network_without_quantizers_is_the_float_network():
    tensors, images = float_network()
    reference = ViT(TINY)
    reference.load_state_dict(tensors)
    with torch.no_grad():
        want = reference(images.permute(0, 3, 1, 2) / 128)
        torch.testing.assert_close(FakeQuantViT(tensors, TINY)(images), want, rtol=1e-4, atol=1e-5)


def test_squared_gradients_cover_every_product():
    tensors, images = float_network()
    found = squared_gradients(tensors, TINY, images, seed=1)
    names = {"patch_embed.proj", "head"} | {
        f"blocks.{i}.{name}"
        for i in range(2)
        for name in ("attn.qkv", "attn.scores", "attn.mix", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    assert {f"{name}.out" for name in names} | {"blocks.0.out", "blocks.1.out"} == set(found)
    for name, value in found.items():
        assert torch.isfinite(value).all() and float(value.mean()) == pytest.approx(1.0, rel=1e-3), name
    again = squared_gradients(tensors, TINY, images, seed=1)
    assert torch.equal(found["head.out"], again["head.out"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 8), (2, 3)])
def test_integers_agree_with_golden_models_and_qonnx(tmp_path, golden_forward, method, weight_bits, activation_bits):
    done, images = calibration(method, weight_bits, activation_bits)
    network = done.quantized()
    integer = network.integer()
    want = codes(integer, images)
    np.testing.assert_array_equal(codes(network, images), want)
    constants = network.integer_constants()
    widths = network.formats.probabilities
    golden = golden_forward(constants, TINY, network.bits, images.numpy().astype(np.int64), widths)
    np.testing.assert_array_equal(golden, want)
    wrapper = export_qonnx(integer, (8, 8, 1), tmp_path / "m.onnx", "m", method)
    for image, expected in zip(images[:2].numpy(), want[:2], strict=True):
        np.testing.assert_array_equal(execute(wrapper, image[None]), expected[None])


@pytest.mark.parametrize("method", METHODS)
def test_fake_network_and_integer_network_are_close(method):
    """What calibration judges is what the integers compute, but for the rounding of the residual stream."""
    done, images = calibration(method, 8, 8)
    with torch.no_grad():
        fake = done.fake(images)
    network = done.quantized()
    real = codes(network, images) * network.real_scales()["logits"]
    assert np.abs(real - fake.numpy()).max() < 0.12 * float(fake.abs().max())


@pytest.mark.parametrize("method", METHODS)
def test_formats_survive_a_checkpoint(method):
    done, _ = calibration(method, 4, 6)
    formats = done.quantized().formats
    assert Formats.of({"formats": dataclasses.asdict(formats)}) == formats
    assert Formats.of({}) == Formats()
    with pytest.raises(ValueError, match=r"formats \{'gelu': 1\} are unusable"):
        Formats.of({"formats": {"gelu": 1}})


def test_liu_keeps_to_the_weight_bits_of_the_name():
    for width in (2, 3, 4, 8):
        done, _ = calibration("liu", width, 8)
        network = done.quantized()
        names = [name for name in network.linears() if name.startswith("blocks.")]
        counts = {name: network.linears()[name].matrix.weight.numel() for name in names}
        spent = sum(counts[name] * network.weight_bits(name) for name in names)
        assert spent <= width * sum(counts.values())
        assert all(max(width - 1, 2) <= network.weight_bits(name) <= min(width + 1, 8) for name in names)
        for name, values in network.integer_constants().items():
            if name.endswith(".weight") and name.removesuffix(".weight") in names:
                assert np.abs(values).max() < 2 ** (network.weight_bits(name.removesuffix(".weight")) - 1)


def test_liu_gives_bits_to_the_layer_that_loses_most():
    """A layer whose rounding does not matter (weights on the grid of two bits) gives its bits to another one."""
    tensors, images = float_network()
    for name in ("blocks.0.attn.qkv", "blocks.0.mlp.fc1"):
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"].sign() * 0.3
    recipe = load_recipe("liu")
    state = Calibration(tensors, TINY, BitWidths.of(3, 8, recipe), recipe, images)
    mixed_precision(state)
    assert {state.layer_bits[name] for name in ("blocks.0.attn.qkv", "blocks.0.mlp.fc1")} == {2}
    assert max(state.layer_bits[name] for name in state.layer_bits if name.startswith("blocks.1")) == 4


def test_search_finds_the_better_of_two_scales():
    tensors, images = float_network()
    recipe = load_recipe("ptq")
    state = Calibration(tensors, TINY, BitWidths.of(4, 4, recipe), recipe, images)
    edge, good = "blocks.0.norm1", state.fake.quantizers["blocks.0.norm1"]
    bad = Uniform(good.scale * 5, good.bits)
    reference = state.reference["blocks.0.attn.qkv.out"]

    def loss():
        return (state.product("blocks.0.attn.qkv", [edge]) - reference).square().mean()

    for first, second in ((good, bad), (bad, good)):
        state.fake.quantizers[edge] = first
        state.choose(edge, loss, [second])
        assert state.fake.quantizers[edge] is good


def test_methods_leave_their_mark():
    done, _ = calibration("ptq4vit", 4, 6)
    for block in ("blocks.0", "blocks.1"):
        assert isinstance(done.fake.quantizers[f"{block}.attn.probabilities"], Twin)
        assert isinstance(done.fake.quantizers[f"{block}.mlp.gelu"], Twin)
    network = done.quantized()
    assert set(network.formats.gelu_shift) == {"blocks.0", "blocks.1"}
    assert network.in_bits("blocks.0.mlp.fc2") == 6 + network.formats.gelu_shift["blocks.0"]
    done, _ = calibration("apqvit", 4, 4)
    for block in ("blocks.0", "blocks.1"):
        peak = float(done.reference[f"{block}.attn.probabilities"].max())
        _, fraction_bits, _ = done.quantized().formats.probabilities[block]
        assert 2**4 / 2 <= peak * 2**fraction_bits <= 2**4
    done, _ = calibration("noisyquant", 4, 3)
    noisy = [edge for edge, quantizer in done.fake.quantizers.items() if isinstance(quantizer, Noisy)]
    assert {edge.rpartition(".")[2] for edge in noisy} == {"norm1", "mix", "norm2", "norm"}


def test_noise_is_in_nothing_but_biases():
    """The same graph as without noise but for B behind the product with the probabilities: one for each channel."""
    done, _ = calibration("noisyquant", 4, 3)
    noisy, plain = done.quantized(), calibration("ptq", 4, 3)[0].quantized()
    mixed = tuple(block for block in done.blocks if isinstance(done.fake.quantizers[f"{block}.attn.mix"], Noisy))
    assert mixed and noisy.formats == dataclasses.replace(plain.formats, mix_offsets=mixed)
    changed = {
        name
        for name, values in noisy.integer_constants().items()
        if not np.array_equal(values, plain.integer_constants()[name])
    }
    allowed = {f"{edge}.bias" for edge in ("norm1", "qkv", "mix", "proj", "norm2", "fc1", "norm", "logits")}
    assert changed and {".".join(name.split(".")[-2:]) for name in changed} <= allowed


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("ptq", "attn.scores and mlp.fc1 are not rounded, but softmax and GELU look codes up in tables"),
        ("apqvit", "its steps are powers of two"),
        ("noisyquant", "noise differs between channels, but GELU has one table for all channels"),
    ],
)
def test_published_forms_are_evaluated_and_refused_as_integers(method, reason):
    done, images = calibration(method, 4, 3, integer_forms=False)
    with torch.no_grad():
        assert torch.isfinite(done.fake(images)).all()
    with pytest.raises(IntegerFormError) as caught:
        done.quantized()
    message = str(caught.value)
    assert message.startswith(f"{method}: no integer unit computes this calibration: ") and reason in message
    assert message.endswith("with `integer_forms: true` in its recipe the method keeps to what the units compute")


def test_wide_twin_ranges_are_refused():
    done, _ = calibration("ptq4vit", 4, 8)
    edge = "blocks.0.mlp.gelu"
    done.fake.quantizers[edge] = Twin(done.fake.quantizers[edge].scale, 8, 5, signed=True)
    with pytest.raises(IntegerFormError, match=r"8 bits and shift 5 are operands of 13 bits, the units take 12"):
        done.quantized()


def test_twin_shift_is_limited_by_the_softmax_unit_and_by_exact_sums():
    recipe = load_recipe("ptq4vit")
    assert largest_shift(TINY, BitWidths.of(4, 8, recipe)) == 5  # 7 + 5 = 12 fraction bits
    long = dataclasses.replace(TINY, image_size=64)  # 31 * 31 + 1 tokens
    assert (long.tokens << 7 + 0) << 7 <= 2**24 and largest_shift(long, BitWidths.of(4, 8, recipe)) == 0


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Builds below tmp_path, a random float checkpoint, 300 random images."""
    config = parse_model_name("vit_mini_w4a6_ptq4vit")

    def batches(count, seed):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(-128, 128, (count, 28, 28), generator=generator).to(torch.int8)
        return Batches(images, torch.randint(0, 10, (count,), generator=generator))

    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    data = batches(8, 1), batches(10, 2), batches(20, 3)
    monkeypatch.setattr(training, "load_fashion_mnist", lambda folder: data)
    torch.manual_seed(1)
    tensors = {name: p.detach() for name, p in ViT(config.dims).named_parameters()}
    path = tmp_path / "float.safetensors"
    save_checkpoint(path, Checkpoint("vit_mini", "float", config.dims, tensors, {"minutes": 0.0}))
    return config, path


def test_train_only_calibrates_and_writes_into_the_build_folder(small, tmp_path):
    config, float_checkpoint = small
    details = training.train(config.source_name, float_checkpoint=float_checkpoint)
    path = training.checkpoint_path(config)
    assert path == tmp_path / config.source_name / "checkpoint" / f"{config.source_name}.safetensors"
    assert path.parent == checkpoint_folder(config) and path.is_file()
    assert details["epochs"] == 0 and details["calibrated_test_accuracy"] == details["test_accuracy"]
    text = path.with_suffix(".md").read_text()
    assert "calibration alone, method ptq4vit" in text and "gelu_shift" in text
    network, loaded = training.load_integer(config)
    assert network.formats == Formats.of(loaded) and network.formats.gelu_shift
    data = training.load_fashion_mnist(None)
    assert training.integer_accuracy(network, data[2]) == details["test_accuracy"]


def test_offsets_behind_the_mix_come_back_from_the_checkpoint(small):
    _, float_checkpoint = small
    config = parse_model_name("vit_mini_w4a4_noisyquant")
    training.train(config.source_name, float_checkpoint=float_checkpoint)
    network, details = training.load_integer(config)
    assert network.formats.mix_offsets and network.formats == Formats.of(details)
    for block in network.formats.mix_offsets:
        bias = network.requants()[f"{block}.attn.mix"].bias
        assert bias.shape == (config.dims.num_heads, 1, config.dims.head_dim) and len(bias.unique()) > 1


def test_a_calibration_of_another_recipe_or_float_network_is_not_current(small, monkeypatch, tmp_path):
    config, float_checkpoint = small
    monkeypatch.setattr(training, "float_checkpoint_path", lambda config, folder=None: float_checkpoint)
    folder = checkpoint_folder(config)
    assert not training.is_current(config, folder)
    training.make_checkpoint(config, folder)
    assert training.is_current(config, folder)
    recipe = load_recipe("ptq4vit")
    for change in ({"calibration_images": 7}, {"integer_forms": False}, {"assignment": "sensitivity"}, {"seed": 9}):
        edited = dataclasses.replace(recipe, **change)
        with monkeypatch.context() as patch:
            patch.setattr(training, "load_recipe", lambda name, recipe_dir=None, edited=edited: edited)
            assert not training.is_current(config, folder), change
            if "seed" not in change:  # the trials of a sweep have one recipe and a seed each
                with pytest.raises(ValueError, match=f"made with another recipe: {next(iter(change))}="):
                    training.load_integer(config)
    other = load_checkpoint(float_checkpoint, kind="float")
    changed = {name: tensor + 0.01 for name, tensor in other.tensors.items()}
    save_checkpoint(float_checkpoint, dataclasses.replace(other, tensors=changed))
    assert not training.is_current(config, folder)


def test_export_calibrates_where_the_checkpoint_is_not_of_the_recipe(small, monkeypatch, tmp_path):
    """With the shift-add rows that the board gave, where the recipe leaves them to it."""
    config, _ = small
    made, current = [], False
    monkeypatch.setattr(training, "is_current", lambda config, folder: current)
    monkeypatch.setattr(training, "train", lambda *arguments: made.append(arguments))
    build = Build(dataclasses.replace(config, shift_add_rows=3), load_board("ulx3s_85f"), report=lambda text: None)
    build.checkpoint_dir = tmp_path / "checkpoint"
    export.calibrate(build)
    current = True
    export.calibrate(build)
    assert [(name, folder, rows) for name, folder, _, _, rows in made] == [
        (config.source_name, tmp_path / "checkpoint", 3)
    ]


def test_train_evaluates_a_published_form_and_refuses_its_integers(small, monkeypatch, capsys):
    config, float_checkpoint = small
    recipe = dataclasses.replace(load_recipe("noisyquant"), integer_forms=False)
    monkeypatch.setattr(training, "load_recipe", lambda name, recipe_dir=None: recipe)
    assert training.main(["--model", config.source_name, "--float-checkpoint", str(float_checkpoint)]) == 1
    out, err = capsys.readouterr()
    assert "fake-quantized, 20 test images: " in out
    assert err.startswith("error: noisyquant: no integer unit computes this calibration: ") and err.count("\n") == 1
    assert not training.checkpoint_path(config).exists()


def test_untrained_networks_have_the_formats_of_their_method():
    network = training.untrained_integer(parse_model_name("vit_mini_w4a8_ptq4vit"))
    assert network.formats.probabilities["blocks.0"] == (12, 12, 5) and network.formats.gelu_shift["blocks.1"] == 4
    network = training.untrained_integer(parse_model_name("vit_mini_w4a6_ptq"))
    assert network.formats.probabilities["blocks.0"] == (6, 6, 0)


def test_a_float_network_that_overflows_is_refused():
    tensors, images = float_network()
    tensors["head.bias"][0] = float("nan")
    bits = BitWidths.of(4, 8, load_recipe("ptq"))
    with pytest.raises(ValueError, match="calibration: logits of the float network reaches nan; its weights are not"):
        quant_vit.calibrate(tensors, TINY, bits, images, 4)


def test_scales_are_those_of_all_values_of_an_edge():
    """Found edge by edge; all residual edges share the largest magnitude."""
    tensors, images = float_network()
    bits = BitWidths.of(4, 6, load_recipe("ptq"))
    edges = {}
    float_forward(tensors, TINY, images, keep=lambda name, value: edges.setdefault(name, []).append(value))
    found = quant_vit.calibrate(tensors, TINY, bits, images, 48)
    assert found.keys() == edges.keys() and len(edges["residual"]) == 2 + 4 * TINY.depth
    for name, values in edges.items():
        peak = max(float(value.abs().max()) for value in values)
        if name in ("residual", "logits"):
            width = bits.residual if name == "residual" else bits.logits
            assert found[name] == 1.25 * peak / (2 ** (width - 1) - 1)
        else:
            width = quant_vit.SCORE_BITS if name.endswith(".scores") else 6
            limits = (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
            assert found[name] == search_scale(values[0].flatten(), peak, limits, 48), name
