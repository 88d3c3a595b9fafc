# SPDX-License-Identifier: Apache-2.0
"""What each method of post-training quantization claims, by the objective that it optimizes; small random networks."""

import copy
import dataclasses
import re
from functools import cache

import numpy as np
import pytest
import torch

import models.ptq as methods
from models.fake_quant import FakeQuantViT, squared_gradients
from models.ptq import Calibration, calibrate, mixed_precision
from models.quant_vit import BitWidths
from models.registry import ViTDims
from models.vit import ViT
from quant.ptq import Noisy, Twin, Uniform, correlation, matthew_scale, ranking_loss, uniform_noise
from quant.recipe import RECIPE_DIR, load_recipe

TINY = ViTDims(8, 1, 4, 2, 16, 2, 2, 2, 4)
IMAGES = 24


@cache
def float_network(seed, query_gain=1.0):
    """Parameters of a float network of random weights, and images as codes (B, H, W, channels); do not change them.

    Args:
        seed: Of both.
        query_gain: Factor of the weights of queries and keys: above 1, attention has peaks.
    """
    torch.manual_seed(seed)
    tensors = {name: torch.randn_like(p) * 0.3 for name, p in ViT(TINY).named_parameters()}
    for i in range(TINY.depth):
        tensors[f"blocks.{i}.attn.qkv.weight"][: 2 * TINY.embed_dim] *= query_gain
    return tensors, torch.randint(-128, 128, (8 * IMAGES, 8, 8, 1)).float()


def arguments(method, seed, weight_bits=4, activation_bits=4, query_gain=1.0, **changes):
    """What Calibration and calibrate take; the last images are held out."""
    tensors, images = float_network(seed, query_gain)
    recipe = dataclasses.replace(load_recipe(method), **changes)
    return tensors, TINY, BitWidths.of(weight_bits, activation_bits, recipe), recipe, images[:IMAGES]


@cache
def finished(method, *args, **changes):
    """A finished calibration, shared by the tests: do not change it."""
    return calibrate(*arguments(method, *args, **changes))


def started(method, *args, **changes):
    """A calibration with the scales of the plain method, before its own method."""
    with torch.no_grad():
        return Calibration(*arguments(method, *args, **changes))


def squared_error(name, out, reference, axis):
    error = (out - reference).square()
    return error.mean() if axis is None else error.mean(axis)


def products(state):
    """Name, product, reference of every product of a calibration."""
    with torch.no_grad():
        for name, edges in state.products():
            yield name, state.product(name, edges), state.reference[f"{name}.out"]


def geometric_mean(ratios):
    return float(np.exp(np.mean(np.log(list(ratios)))))


@pytest.mark.parametrize("method", methods.METHODS)
def test_candidates_are_compared_on_as_many_images_as_recipes_say(monkeypatch, method):
    """Starting scales come from all images; the comment beside calibration_images names the others."""
    counts = [methods.BLOCK_IMAGES] if method == "apqvit" else []
    comment = (RECIPE_DIR / f"{method}.yaml").read_text().split("calibration_images: ")[1].split("\n")[0]
    assert re.findall(r"first (\d+)", comment) == [str(count) for count in (methods.PRODUCT_IMAGES, *counts)]
    *others, _ = arguments(method, 0)
    _, images = float_network(0)
    seen = []
    monkeypatch.setattr(methods, "ROUNDS", 0)
    gradients = methods.squared_gradients
    monkeypatch.setattr(methods, "squared_gradients", lambda *args: seen.append(len(args[2])) or gradients(*args))
    state = calibrate(*others, images)
    assert len(images) > methods.PRODUCT_IMAGES == len(state.reference["head.out"])
    assert seen == {"apqvit": [methods.BLOCK_IMAGES], "ptq4vit": [methods.PRODUCT_IMAGES]}.get(method, [])
    with torch.no_grad():
        starts = [Calibration(*others, some).fake.quantizers for some in (images, images[: methods.PRODUCT_IMAGES])]
    assert starts[0] != starts[1]


# ---------------------------------------------------------------------------------------------------- liu


def dissimilarity(state):
    """Product -> 1 - correlation: mean over the rows of a linear layer, over all elements of the other products."""
    found = {}
    for name, out, reference in products(state):
        rows = name in state.layer_bits
        x, y = (value.flatten(0, -2) if rows else value for value in (out, reference))
        found[name] = float((1 - correlation(x, y, 0 if rows else None)).mean())
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_liu_makes_products_more_similar_than_plain_scales_or_least_squared_error(seed):
    plain = started("liu", seed)
    mixed_precision(plain)
    least_squares = started("liu", seed)
    mixed_precision(least_squares)
    with torch.no_grad():
        least_squares.search(squared_error)
    done = finished("liu", seed)
    assert done.layer_bits == plain.layer_bits == least_squares.layer_bits
    found, *others = (dissimilarity(state) for state in (done, plain, least_squares))
    for other in others:
        assert geometric_mean(found[name] / other[name] for name in found) < 0.95, (found, other, seed)


def test_liu_loss_by_hand(monkeypatch):
    """Similarity for every product; for scores also their order."""
    losses = []
    monkeypatch.setattr(Calibration, "search", lambda self, loss: losses.append(loss))
    calibrate(*arguments("liu", 0))
    (loss,) = losses
    reference, out = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])
    # correlation 1/2; of the reference's two pairs of neighbours one is turned round, by 1; the deviation is 1
    assert float(loss("blocks.0.mlp.fc1", out, reference, None)) == pytest.approx(0.5)
    assert float(loss("blocks.0.attn.scores", out, reference, None)) == pytest.approx(0.5 + 0.1 * 0.5)
    assert float(loss("blocks.0.attn.scores", 5 * reference + 7, reference, None)) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(loss("head", torch.cat([out, -out]), torch.cat([out, out + 1]), 0), [2.0, 2.0, 2.0])


def test_liu_ranking_keeps_attention_scores_in_order(monkeypatch):
    """A network whose scales of most similar scores are not those of best order."""
    seed = 4

    def disorder(state):
        scores = [(out, reference) for name, out, reference in products(state) if name.endswith(".scores")]
        return sum(float(ranking_loss(out, reference) / reference.std()) for out, reference in scores)

    done = disorder(finished("liu", seed, 4, 3))
    monkeypatch.setattr(methods, "RANKING_WEIGHT", 0.0)
    without = disorder(calibrate(*arguments("liu", seed, 4, 3)))
    assert done < 0.97 * without, (done, without, seed)


def test_liu_leaves_no_mean_error_in_any_channel():
    seed = 0
    done = finished("liu", seed)
    largest = []
    for state in (started("liu", seed), done):
        errors = [(out - y).flatten(0, -2) / y.std() for name, out, y in products(state) if name in state.layer_bits]
        largest.append(max(float(error.mean(0).abs().max()) for error in errors))
    assert largest[0] > 0.01 and largest[1] < 1e-5, (largest, seed)
    network = done.quantized()
    for name, layer in network.linears().items():
        assert torch.equal(layer.bias.detach(), done.fake.tensors[f"{name}.bias"]), name


@pytest.mark.parametrize("rich", [0, 1])
def test_liu_gives_bits_to_the_block_with_outputs_of_larger_nuclear_norm(rich):
    """Two blocks of the same weights and inputs, so of the same errors, with outputs of the same energy: those of one
    spread over all directions (norm: square root of the channels), those of the other lie in one direction (norm 1).
    """
    tensors, *others = arguments("liu", 0, 3, 8)
    state = Calibration({name: tensors[name.replace("blocks.1.", "blocks.0.")] for name in tensors}, *others)
    layers = [name.removeprefix("blocks.0.") for name in state.layer_bits if name.startswith("blocks.0.")]
    for name, edges in state.products():
        if name.startswith("blocks.1."):
            state.reference[edges[0]] = state.reference[edges[0].replace("blocks.1.", "blocks.0.")]
    for block in (0, 1):
        for layer in layers:
            name = f"blocks.{block}.{layer}.out"
            channels = state.reference[name].shape[-1]
            values = torch.zeros(channels)
            values[0] = 1.0
            if block == rich:
                values[:] = channels**-0.5
            state.reference[name] = torch.diag(values)
    mixed_precision(state)
    bits = [[state.layer_bits[f"blocks.{block}.{layer}"] for layer in layers] for block in (rich, 1 - rich)]
    assert all(more >= fewer for more, fewer in zip(*bits, strict=True)), bits
    assert sum(bits[0]) > sum(bits[1]), bits


# ---------------------------------------------------------------------------------------------------- ptq4vit


def product_errors(state, weights):
    """Product -> mean of the squared errors, times these weights."""
    return {
        name: float((weights[f"{name}.out"].reshape(out.shape) * (out - reference).square()).mean())
        for name, out, reference in products(state)
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_ptq4vit_scales_lower_the_error_that_the_gradients_weigh(monkeypatch, seed):
    """Each of the two searches, with and without gradients, is the better one by its own measure."""
    tensors, dims, bits, recipe, images = arguments("ptq4vit", seed)
    weights = squared_gradients(tensors, dims, images, recipe.seed)
    equal = {name: torch.ones_like(value) for name, value in weights.items()}
    done, plain = finished("ptq4vit", seed), finished("ptq", seed)
    monkeypatch.setattr(methods, "squared_gradients", lambda *_: equal)
    without = calibrate(tensors, dims, bits, recipe, images)

    def ratio(better, worse, measure):
        first, second = product_errors(better, measure), product_errors(worse, measure)
        return geometric_mean(first[name] / second[name] for name in first)

    assert ratio(done, plain, weights) < 0.6, seed
    assert ratio(done, without, weights) < 0.85, seed
    assert ratio(without, done, equal) < 0.85, seed


@pytest.mark.parametrize("seed", [1, 2])
def test_ptq4vit_twin_ranges_behind_gelu_have_finer_steps_for_negative_values(seed):
    one, twin = finished("ptq", seed), finished("ptq4vit", seed)
    tensors, dims, bits, recipe, images = arguments("ptq4vit", seed)
    weights = squared_gradients(tensors, dims, images, recipe.seed)
    for block in twin.blocks:
        edge, product = f"{block}.mlp.gelu", f"{block}.mlp.fc2"
        assert isinstance(twin.fake.quantizers[edge], Twin) and twin.fake.quantizers[edge].bits == bits.activation
        negative = twin.reference[edge][twin.reference[edge] < 0]
        errors = [float((state.fake.quantizers[edge](negative) - negative).square().mean()) for state in (one, twin)]
        assert errors[1] < 0.25 * errors[0], (block, errors, seed)
        errors = [product_errors(state, weights)[product] for state in (one, twin)]
        assert errors[1] < 0.5 * errors[0], (block, errors, seed)


def test_squared_gradients_by_hand():
    """The gradient of the cross-entropy at the logits is p - 1 for the label, p for the others."""
    tensors, dims, _, _, images = arguments("ptq4vit", 1)
    found = squared_gradients(tensors, dims, images, seed=1)["head.out"]
    with torch.no_grad():
        p = FakeQuantViT(dict(tensors), dims)(images).softmax(dim=1)
    # (image, label, class): the label that was drawn is the one of the same proportions
    candidates = (p[:, None] - torch.eye(dims.num_classes)).square()
    factor = found[:, None] / candidates
    labels = (factor.amax(2) / factor.amin(2)).argmin(1)
    want = candidates[torch.arange(len(p)), labels]
    torch.testing.assert_close(found, want / want.mean(), rtol=1e-3, atol=1e-5)
    assert len(set(labels.tolist())) > 1


# ---------------------------------------------------------------------------------------------------- apqvit


def block_errors(state, weights):
    """Weighted squared error of each block's output behind the quantized blocks in front of it."""
    found = []
    with torch.no_grad():
        x = state.fake.embed(state.images)
        for index, block in enumerate(state.blocks):
            x = state.fake.block(index, x)
            found.append(float((weights[f"{block}.out"] * (x - state.reference[f"{block}.out"]).square()).mean()))
    return np.array(found)


@pytest.mark.parametrize("seed", [1, 2])
def test_apqvit_lowers_the_error_of_blocks(seed):
    """Below that of scales chosen by products, of plain ones, and of its own with plain ones of weights or of edges."""
    tensors, dims, _, recipe, images = arguments("apqvit", seed)
    weights = squared_gradients(tensors, dims, images, recipe.seed)
    by_products = started("apqvit", seed)
    with torch.no_grad():
        by_products.search(squared_error)
    done, plain = finished("apqvit", seed), finished("ptq", seed)
    plain_weights, plain_edges = copy.deepcopy(done), copy.deepcopy(done)
    for name, scales in plain.row_scales.items():
        plain_weights.set_weight(name, scales)
    plain_edges.fake.quantizers.update(plain.fake.quantizers)
    errors = block_errors(done, weights)
    for other in (by_products, plain, plain_weights, plain_edges):
        assert np.all(errors < 0.85 * block_errors(other, weights)), (errors, block_errors(other, weights), seed)


def test_apqvit_judges_by_the_larger_half_of_the_weighted_errors_of_the_block(monkeypatch):
    seed = 0
    tensors, dims, bits, recipe, images = arguments("apqvit", seed)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(images), dims.tokens, dims.embed_dim)
    weights = {f"blocks.{i}.out": torch.rand(shape, generator=generator) + 0.5 for i in range(dims.depth)}
    seen = []

    def choose(self, edge, loss):
        """Instead of a choice: the loss of the present quantizers beside all terms, computed from the embedding on."""
        index = int(edge.split(".")[1])
        x = self.fake.embed(images)
        for i in range(index + 1):
            x = self.fake.block(i, x)
        terms = weights[f"blocks.{index}.out"] * (x - self.reference[f"blocks.{index}.out"]) ** 2
        seen.append((edge, float(loss()), np.sort(terms.double().numpy(), axis=None)))

    monkeypatch.setattr(methods, "squared_gradients", lambda *_: weights)
    monkeypatch.setattr(methods, "ROUNDS", 1)
    monkeypatch.setattr(Calibration, "choose", choose)
    calibrate(tensors, dims, bits, recipe, images)
    assert {edge.split(".")[1] for edge, _, _ in seen} == {"0", "1"}
    for edge, loss, terms in seen:
        assert loss == pytest.approx(terms[len(terms) // 2 :].sum(), rel=1e-4), (edge, seed)
        assert loss < 0.98 * terms.sum()


@pytest.mark.parametrize("seed", [1, 2])
def test_apqvit_keeps_the_largest_probabilities_apart(monkeypatch, seed):
    """Where a scale of least squared error cuts the largest probabilities to one code, this one cuts none."""
    monkeypatch.setattr(methods, "ROUNDS", 0)  # over the other scales
    cut = {}
    for method, forms in (("ptq", True), ("apqvit", True), ("apqvit", False)):
        state = calibrate(*arguments(method, seed, query_gain=2.0, integer_forms=forms))
        cut[method, forms] = 0
        for block in state.blocks:
            quantizer, real = (of[f"{block}.attn.probabilities"] for of in (state.fake.quantizers, state.reference))
            assert isinstance(quantizer, Uniform) and not quantizer.signed
            if not forms:
                assert quantizer.scale == matthew_scale(float(real.max()), 4)
                assert float(quantizer.codes(real).max()) == 15
            cut[method, forms] += int((torch.round(real / quantizer.scale) > 2**4).sum())
    assert cut["ptq", True] > 0 and cut["apqvit", True] == cut["apqvit", False] == 0, (cut, seed)


# ---------------------------------------------------------------------------------------------------- noisyquant


def noise_errors(plain, done, images):
    """Product behind an edge with noise -> squared errors without and with it."""
    reference, found = {}, {}
    with torch.no_grad():
        FakeQuantViT(dict(done.tensors), TINY, watch=reference.__setitem__)(images)
    for name, (edge, *_) in done.products():
        if isinstance(done.fake.quantizers[edge], Noisy):
            outs = [state.fake.quantizers[edge](reference[edge]) for state in (plain, done)]
            weight, bias = (done.fake.tensors[f"{name}.{part}"] for part in ("weight", "bias"))
            outs = [torch.nn.functional.linear(x, weight, bias) for x in outs]
            found[name] = [float((out - reference[f"{name}.out"]).square().mean()) for out in outs]
    return found


@pytest.mark.parametrize("integer_forms", [True, False])
def test_noise_lowers_the_error_of_products_on_other_images_too(integer_forms):
    seed = 0
    plain = started("noisyquant", seed, 8, 3, integer_forms=integer_forms)
    done = finished("noisyquant", seed, 8, 3, integer_forms=integer_forms)
    _, images = float_network(seed)
    errors = noise_errors(plain, done, images[:IMAGES])
    assert len(errors) >= 4 and all(with_noise < without for without, with_noise in errors.values()), (errors, seed)
    for chosen in (images[:IMAGES], images[IMAGES:]):
        errors = noise_errors(plain, done, chosen)
        assert geometric_mean(with_noise / without for without, with_noise in errors.values()) < 0.92, (errors, seed)


def test_noise_is_taken_at_its_best_amplitude_or_not_at_all():
    seed = 1
    plain, done = started("noisyquant", seed, 8, 3), finished("noisyquant", seed, 8, 3)
    taken = []
    for position, (name, edges) in enumerate(done.products()):
        edge = edges[0]
        if name not in done.layer_bits or edge.rpartition(".")[2] not in ("norm1", "mix", "norm2", "norm"):
            assert done.fake.quantizers[edge] == plain.fake.quantizers[edge], edge
            continue
        inner, noise = plain.fake.quantizers[edge], 0.0
        if isinstance(done.fake.quantizers[edge], Noisy):
            inner, noise = done.fake.quantizers[edge].inner, done.fake.quantizers[edge].noise
        assert inner == plain.fake.quantizers[edge]
        unit = torch.from_numpy(uniform_noise(TINY.embed_dim, inner.scale / 2, 1000 * done.recipe.seed + position))
        errors = {}
        for amplitude in (0.0, 0.25, 0.5, 0.75, 1.0):
            plain.fake.quantizers[edge] = Noisy(inner, (unit * amplitude).float())
            with torch.no_grad():
                errors[amplitude] = float((plain.product(name, edges) - plain.reference[f"{name}.out"]).square().mean())
        best = min(errors, key=errors.__getitem__)
        torch.testing.assert_close(torch.as_tensor(noise).float().expand(TINY.embed_dim), (unit * best).float())
        taken.append(best)
    assert 0.0 in taken and len(set(taken)) > 2, (taken, seed)


def test_integers_with_noise_compute_what_was_compared():
    """Codes of three bits: a value that rounds the other way is seen in a few logits, noise left in in all of them."""
    seed = 0
    done = finished("noisyquant", seed, 8, 3)
    network = done.quantized()
    with torch.no_grad():
        fake = done.fake(done.images)
        real = network(done.images) * network.real_scales()["logits"]
    assert float((real - fake).abs().median()) < 0.01 * float(fake.abs().max()), seed
