# SPDX-License-Identifier: Apache-2.0
"""Post-training quantization: the quantized network from a float network and a few hundred images, nothing trained.

    method      starts from the plain one and adds
    ptq         scales of least squared error on each edge and each weight row (QuantViT.from_float)
    liu         bits of each layer within the budget of uniform bits, scales of most similar products, ranking of the
                attention scores, corrected biases
    ptq4vit     twin ranges for probabilities and behind GELU, scales of least squared error of the products weighted by
                squared gradients
    apqvit      probabilities whose largest value keeps the largest code, scales of least error of whole blocks without
                its smallest terms
    noisyquant  noise before the rounding of an edge, its product with the weights taken off in the bias that follows

Candidates are compared in the fake-quantized float network (models/fake_quant.py); the outcome is a QuantViT, whose
integers run on the hardware as those of a trained network do. Two of the published forms have no integer form, see
quant/ptq.py: IntegerFormError. A recipe with `integer_forms: false` keeps them in the fake-quantized network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.fake_quant import FakeQuantViT, squared_gradients
from models.quant_vit import SCORE_BITS, BitWidths, Formats, QuantViT
from models.registry import ViTDims
from quant.layers import FLOAT32_EXACT
from quant.ptq import (
    MAX_OPERAND_BITS,
    IntegerFormError,
    Noisy,
    Twin,
    Uniform,
    assign_bits,
    correlation,
    keep_largest,
    matthew_fraction_bits,
    matthew_scale,
    nuclear_norm,
    probability_widths,
    ranking_loss,
    uniform_noise,
)
from quant.recipe import Recipe
from quant.schemes import MAX_BITS, MIN_BITS, quantize_rows, search_scales
from sim.golden.softmax import MAX_FRACTION_BITS

FACTORS = tuple(np.geomspace(0.5, 1.25, 16).tolist())  # candidates of a scale over the plain one
ROUNDS = 2  # over the scales of a product, or of a block
PRODUCT_IMAGES, BLOCK_IMAGES = 128, 96  # candidates are compared on the first images; starting scales come from all
COMPARED_TOKENS = 8192  # of these images at most, as all their edges and products are kept: 41 images of DeiT
KEPT_SHARE = 0.5  # of the terms of a block's error, the largest
RANKING_WEIGHT = 0.1
AMPLITUDES = (0.25, 0.5, 0.75, 1.0)  # of noise, over half a step
FREE_SHIFTS = 10  # twin ranges of the published form: largest shift
NORM_TOKENS = 2048  # of a layer's output, for its nuclear norm

Loss = Callable[[str, Tensor, Tensor, int | None], Tensor]


def calibrated(
    tensors: Mapping[str, Tensor], dims: ViTDims, bits: BitWidths, recipe: Recipe, images: Tensor
) -> QuantViT:
    """The calibrated network of a recipe with a method other than "qat".

    Args:
        tensors: Parameters of models.vit.ViT.
        dims: Its sizes.
        bits: Widths.
        recipe: Recipe.
        images: Calibration images, codes (B, H, W, channels).

    Raises:
        IntegerFormError: the recipe asks for a published form that no integer unit computes.
    """
    return calibrate(tensors, dims, bits, recipe, images).quantized()


def calibrate(
    tensors: Mapping[str, Tensor], dims: ViTDims, bits: BitWidths, recipe: Recipe, images: Tensor
) -> Calibration:
    """The finished calibration: its `fake` network is the fake-quantized form, quantized() the one with integers."""
    with torch.no_grad():
        calibration = Calibration(tensors, dims, bits, recipe, images)
        METHODS[recipe.method](calibration)
    return calibration


def typical_formats(dims: ViTDims, bits: BitWidths, recipe: Recipe) -> Formats:
    """Formats as the method usually ends with, for networks without weights (estimates of large backbones)."""
    blocks = [f"blocks.{i}" for i in range(dims.depth)]
    if recipe.method == "qat":
        return Formats()
    if recipe.method != "ptq4vit":
        return Formats(probabilities=dict.fromkeys(blocks, (bits.activation, bits.activation, 0)))
    shift = largest_shift(dims, bits)
    widths = (bits.activation - 1 + shift, bits.activation - 1 + shift, shift)
    return Formats({}, dict.fromkeys(blocks, widths), dict.fromkeys(blocks, min(4, MAX_OPERAND_BITS - bits.activation)))


def largest_shift(dims: ViTDims, bits: BitWidths) -> int:
    """Largest twin shift of the probabilities: the softmax unit's fraction bits and exact sums of products limit it."""
    shift = MAX_FRACTION_BITS - (bits.activation - 1)
    while shift and (dims.tokens << (bits.activation - 1 + shift)) << (bits.activation - 1) > FLOAT32_EXACT:
        shift -= 1
    return shift


class Calibration:
    """What is known of the float network, and the quantizers chosen so far.

    Attributes:
        reference: Real values of all edges and products (`<name>.out`) of the float network.
        fake: The float network with the present quantizers, weights and biases.
        row_scales, layer_bits, schemes: Linear layer -> row scales, storage bits, row schemes.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], dims: ViTDims, bits: BitWidths, recipe: Recipe, images: Tensor
    ) -> None:
        self.tensors, self.dims, self.bits, self.recipe = dict(tensors), dims, bits, recipe
        self.images = images[: min(PRODUCT_IMAGES, max(1, COMPARED_TOKENS // dims.tokens))]
        self.all_images = images
        self.blocks = [f"blocks.{i}" for i in range(dims.depth)]
        plain = QuantViT.from_float(tensors, dims, bits, recipe, images)
        self.schemes = {name: plain.quantizer(name).row_scheme.numpy() for name in plain.linears()}
        self.row_scales = {name: plain.quantizer(name).scale().detach().double().numpy() for name in plain.linears()}
        self.layer_bits = {name: plain.weight_bits(name) for name in plain.linears()}
        self.reference: dict[str, Tensor] = {}
        FakeQuantViT(self.tensors, dims, watch=self.reference.__setitem__)(self.images)
        self.fake = FakeQuantViT(dict(tensors), dims)
        for name in self.layer_bits:
            self.set_weight(name, self.row_scales[name])
        scales = plain.real_scales()
        for edge in self.edges():
            width = SCORE_BITS if edge.endswith(".scores") else bits.activation
            self.fake.quantizers[edge] = Uniform(scales[edge], width)
        for block in self.blocks:
            edge = f"{block}.attn.probabilities"
            real = self.reference[edge]
            self.fake.quantizers[edge] = _best(
                self.probability_ranges(),
                lambda q: _squared(q(real), real),  # noqa: B023
            )

    # ------------------------------------------------------------------------------------------------ candidates

    def edges(self) -> list[str]:
        """Edges with a signed uniform range. The published forms leave the inputs of softmax and GELU alone."""
        names = ["norm1", "attn.q", "attn.k", "attn.v", "attn.mix", "norm2", "mlp.gelu"]
        if self.recipe.integer_forms:
            names += ["attn.scores", "mlp.fc1"]
        return [*(f"{block}.{name}" for block in self.blocks for name in names), "norm"]

    def probability_ranges(self) -> list[Uniform]:
        """One unsigned range for the probabilities, from the scale of 1.0 down."""
        width = self.bits.activation
        if self.recipe.integer_forms:
            return [Uniform(2.0**-s, width, signed=False) for s in range(width, MAX_FRACTION_BITS + 1)]
        return [Uniform(f / (2**width - 1), width, signed=False) for f in np.geomspace(1.0, 0.02, 32).tolist()]

    def candidates(self, edge: str) -> list[Any]:
        """Quantizers to compare on an edge: the present one with other scales."""
        present = self.fake.quantizers[edge]
        if isinstance(present, Uniform) and present.signed:
            return [Uniform(present.scale * f, present.bits) for f in FACTORS]
        if isinstance(present, Uniform):
            return self.probability_ranges()
        return self.twin_ranges(edge)

    def twin_ranges(self, edge: str) -> list[Twin]:
        """Twin ranges for an edge behind softmax or GELU."""
        width, free = self.bits.activation, not self.recipe.integer_forms
        if edge.endswith(".probabilities"):
            top = FREE_SHIFTS if free else largest_shift(self.dims, self.bits)
            return [Twin(2.0 ** -(width - 1 + m), width, m) for m in range(1, top + 1)]
        top = FREE_SHIFTS if free else MAX_OPERAND_BITS - width
        step = float(self.reference[edge].max()) / (2 ** (width - 1) - 1)
        shifts = range(1, top + 1)
        return [Twin(step * f * 2.0**-m, width, m, signed=True) for m in shifts for f in FACTORS if f <= 1.0]

    def set_weight(self, name: str, scales: np.ndarray) -> None:
        """Quantize the weights of a layer with these row scales."""
        self.row_scales[name] = scales
        self.fake.tensors[f"{name}.weight"] = self.quantized_weight(name, scales, self.layer_bits[name])

    def quantized_weight(self, name: str, scales: np.ndarray, bits: int) -> Tensor:
        """Real values of quantized weights (rows, columns)."""
        integers = quantize_rows(self.tensors[f"{name}.weight"].numpy(), scales, self.schemes[name], bits)
        return torch.from_numpy((integers * scales[:, None]).astype(np.float32))

    # ------------------------------------------------------------------------------------------------ products

    def products(self) -> Iterator[tuple[str, list[str]]]:
        """Every product and the edges that it reads."""
        for block in self.blocks:
            yield f"{block}.attn.qkv", [f"{block}.norm1"]
            yield f"{block}.attn.scores", [f"{block}.attn.q", f"{block}.attn.k"]
            yield f"{block}.attn.mix", [f"{block}.attn.probabilities", f"{block}.attn.v"]
            yield f"{block}.attn.proj", [f"{block}.attn.mix"]
            yield f"{block}.mlp.fc1", [f"{block}.norm2"]
            yield f"{block}.mlp.fc2", [f"{block}.mlp.gelu"]
        yield "head", ["norm"]

    def product(self, name: str, edges: list[str], weight: Tensor | None = None) -> Tensor:
        """A product of the float network's values behind the present quantizers."""
        operands = [self.fake.quantizers[edge](self.reference[edge]) for edge in edges]
        if name.endswith(".scores"):
            return self.fake.scores(name.removesuffix(".attn.scores"), *operands)
        if name.endswith(".mix"):
            return operands[0] @ operands[1]
        weight = self.fake.tensors[f"{name}.weight"] if weight is None else weight
        return functional.linear(operands[0], weight, self.fake.tensors[f"{name}.bias"])

    def search(self, loss: Loss) -> None:
        """Scales of least loss, product by product, edges and weight rows in turn.

        Args:
            loss: Of (name, product, reference, axis): one number for axis None, otherwise one for each row of a linear
                layer, reduced over axis 0 of (samples, rows).
        """
        for name, edges in self.products():
            reference = self.reference[f"{name}.out"]
            for _ in range(ROUNDS):
                for edge in edges:
                    self.choose(edge, lambda: loss(name, self.product(name, edges), reference, None))  # noqa: B023
                if name in self.layer_bits:
                    self.search_rows(name, edges, loss)

    def choose(self, edge: str, loss: Callable[[], Tensor], candidates: list[Any] | None = None) -> None:
        """Give an edge the candidate of least loss; the present quantizer is one of them."""

        def of(quantizer: Any) -> float:
            self.fake.quantizers[edge] = quantizer
            return float(loss())

        present = self.fake.quantizers[edge]
        self.fake.quantizers[edge] = _best([present, *(candidates or self.candidates(edge))], of)

    def search_rows(self, name: str, edges: list[str], loss: Loss) -> None:
        """Give every weight row the scale of least loss."""
        reference = self.reference[f"{name}.out"]
        best = self.row_scales[name].copy()
        least = np.full(len(best), np.inf)
        for factor in (1.0, *FACTORS):
            scales = self.row_scales[name] * factor
            out = self.product(name, edges, self.quantized_weight(name, scales, self.layer_bits[name]))
            losses = loss(name, out.flatten(0, -2), reference.flatten(0, -2), 0).numpy()
            better = losses < least
            best[better], least[better] = scales[better], losses[better]
        self.set_weight(name, best)

    # ------------------------------------------------------------------------------------------------ result

    def refusals(self) -> list[str]:
        """Why these choices have no integer form; empty when they have one."""
        found = []
        bare = [name for name in ("attn.scores", "mlp.fc1") if f"{self.blocks[0]}.{name}" not in self.fake.quantizers]
        if bare:
            found.append(f"{' and '.join(bare)} are not rounded, but softmax and GELU look codes up in tables")
        for edge, quantizer in self.fake.quantizers.items():
            if edge.endswith(".probabilities"):
                try:
                    probability_widths(quantizer)
                except IntegerFormError as error:
                    found.append(f"{edge}: {error}")
            elif isinstance(quantizer, Twin) and quantizer.value_bits > MAX_OPERAND_BITS:
                found.append(
                    f"{edge}: twin ranges of {quantizer.bits} bits and shift {quantizer.shift} are operands of "
                    f"{quantizer.value_bits} bits, the units take {MAX_OPERAND_BITS}"
                )
            elif isinstance(quantizer, Noisy) and not foldable(edge):
                found.append(
                    f"{edge}: noise differs between channels, but GELU has one table for all channels; noise folds "
                    "into B behind a LayerNorm and behind the product with the probabilities"
                )
        return found

    def quantized(self) -> QuantViT:
        """The network of these choices, with its integers.

        Raises:
            IntegerFormError: choices have no integer form.
        """
        if reasons := self.refusals():
            more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
            raise IntegerFormError(
                f"{self.recipe.method}: no integer unit computes this calibration: {'; '.join(reasons[:3])}{more}; "
                "with `integer_forms: true` in its recipe the method keeps to what the units compute"
            )
        quantizers = self.fake.quantizers
        probabilities = {block: probability_widths(quantizers[f"{block}.attn.probabilities"]) for block in self.blocks}
        behind_gelu = {block: quantizers[f"{block}.mlp.gelu"] for block in self.blocks}
        shifts = {block: q.shift for block, q in behind_gelu.items() if isinstance(q, Twin)}
        weights = {
            name: width
            for name, width in self.layer_bits.items()
            if name.startswith("blocks.") and width != self.bits.weight
        }
        mixed = (f"{block}.attn.mix" for block in self.blocks)
        offsets = tuple(edge.removesuffix(".attn.mix") for edge in mixed if isinstance(quantizers[edge], Noisy))
        formats = Formats(weights, probabilities, shifts, offsets)
        network = QuantViT.from_float(self.tensors, self.dims, self.bits, self.recipe, self.all_images, 1, formats)
        scales = dict(zip(network.scale_names, network.log_scales.tolist(), strict=True))
        with torch.no_grad():
            for name, layer in network.linears().items():
                network.quantizer(name).row_scheme.copy_(torch.from_numpy(self.schemes[name]))
                network.quantizer(name).log_scale.copy_(torch.from_numpy(np.log(self.row_scales[name])))
                layer.bias.copy_(self.fake.tensors[f"{name}.bias"])
            for edge, quantizer in quantizers.items():
                inner = quantizer.inner if isinstance(quantizer, Noisy) else quantizer
                if edge in scales:
                    scales[edge] = math.log(inner.scale)
                if isinstance(quantizer, Noisy):
                    parent, _, kind = edge.rpartition(".")
                    if kind == "mix":
                        offset = network.mix_offsets[parent.removesuffix(".attn")]
                        offset.copy_(quantizer.noise.view_as(offset))
                    else:
                        network.norms()[edge].beta.add_(quantizer.noise)
                    name = f"{parent}.{FOLLOWER[kind]}".lstrip(".")
                    weight = self.fake.tensors[f"{name}.weight"]
                    network.linears()[name].bias.sub_(weight @ quantizer.noise)
            network.log_scales.copy_(torch.tensor([scales[name] for name in network.scale_names]))
        network.refresh()
        return network


FOLLOWER = {"norm1": "attn.qkv", "mix": "proj", "norm2": "mlp.fc1", "norm": "head"}  # the layer that reads an edge


def foldable(edge: str) -> bool:
    """True where noise before an edge goes into B of the requantization that it comes from."""
    return edge.rpartition(".")[2] in FOLLOWER


# ---------------------------------------------------------------------------------------------------- the methods


def plain(calibration: Calibration) -> None:
    """Nothing to add: one range a tensor, of least squared error."""


def liu(calibration: Calibration) -> None:
    """Bits within a budget, scales of most similar products, attention scores in order, corrected biases."""
    mixed_precision(calibration)

    def loss(name: str, out: Tensor, reference: Tensor, axis: int | None) -> Tensor:
        value = 1.0 - correlation(out, reference, axis)
        if name.endswith(".scores"):
            value = value + RANKING_WEIGHT * ranking_loss(out, reference) / reference.std()
        return value

    calibration.search(loss)
    correct_biases(calibration)


def mixed_precision(calibration: Calibration) -> None:
    """Bits of every layer of the blocks: one fewer or more than the name says, no more weight bits in all.

    A layer's loss at some bits is the squared error of its product times the product's nuclear norm.
    """
    width = calibration.bits.weight
    losses: dict[str, dict[int, float]] = {}
    for name, edges in calibration.products():
        if name not in calibration.layer_bits or not name.startswith("blocks."):
            continue
        x = calibration.reference[edges[0]].flatten(0, -2)[:NORM_TOKENS]
        reference = calibration.reference[f"{name}.out"].flatten(0, -2)[:NORM_TOKENS]
        norm = nuclear_norm(reference.numpy())
        weight, schemes = calibration.tensors[f"{name}.weight"], calibration.schemes[name]
        losses[name] = {}
        for candidate in range(max(width - 1, MIN_BITS), min(width + 1, MAX_BITS) + 1):
            scales = search_scales(weight.numpy(), schemes, candidate)
            error = functional.linear(x, calibration.quantized_weight(name, scales, candidate) - weight)
            losses[name][candidate] = norm * float(error.square().sum())
    counts = {name: calibration.tensors[f"{name}.weight"].numel() for name in losses}
    for name, chosen in assign_bits(losses, counts, width * sum(counts.values())).items():
        calibration.layer_bits[name] = chosen
        weight = calibration.tensors[f"{name}.weight"].numpy()
        calibration.set_weight(name, search_scales(weight, calibration.schemes[name], chosen))


def correct_biases(calibration: Calibration) -> None:
    """Take the mean error of every linear layer's product, channel by channel, off its bias."""
    for name, edges in calibration.products():
        if name in calibration.layer_bits:
            error = calibration.product(name, edges) - calibration.reference[f"{name}.out"]
            bias = f"{name}.bias"
            calibration.fake.tensors[bias] = calibration.fake.tensors[bias] - error.flatten(0, -2).mean(0)


def ptq4vit(calibration: Calibration) -> None:
    """Twin ranges, and scales of least error of the products weighted by squared gradients."""
    weights = squared_gradients(calibration.tensors, calibration.dims, calibration.images, calibration.recipe.seed)

    def loss(name: str, out: Tensor, reference: Tensor, axis: int | None) -> Tensor:
        importance = weights[f"{name}.out"].reshape(reference.shape)
        error = importance * (out - reference).square()
        return error.mean() if axis is None else error.mean(axis)

    for block in calibration.blocks:
        for edge in (f"{block}.attn.probabilities", f"{block}.mlp.gelu"):
            reference = calibration.reference[edge]
            calibration.fake.quantizers[edge] = _best(
                calibration.twin_ranges(edge),
                lambda q: _squared(q(reference), reference),  # noqa: B023
            )
    calibration.search(loss)


def apqvit(calibration: Calibration) -> None:
    """The largest probability keeps the largest code; every scale of a block is judged by the block's output."""
    width = calibration.bits.activation
    for block in calibration.blocks:
        edge = f"{block}.attn.probabilities"
        peak = float(calibration.reference[edge].max())
        free = matthew_scale(peak, width)
        scale = 2.0 ** -matthew_fraction_bits(peak, width) if calibration.recipe.integer_forms else free
        calibration.fake.quantizers[edge] = Uniform(scale, width, signed=False)
    images = calibration.images[:BLOCK_IMAGES]
    weights = squared_gradients(calibration.tensors, calibration.dims, images, calibration.recipe.seed)
    fake = calibration.fake
    x = fake.embed(images)
    for index, block in enumerate(calibration.blocks):
        name = f"{block}.out"
        reference, importance = calibration.reference[name][: len(images)], weights[name]

        def loss() -> Tensor:
            error = importance * (fake.block(index, x) - reference).square()  # noqa: B023
            return keep_largest(error, KEPT_SHARE)

        edges = [e for e in fake.quantizers if e.startswith(f"{block}.") and not e.endswith(".probabilities")]
        layers = [layer for layer in calibration.layer_bits if layer.startswith(f"{block}.")]
        for _ in range(ROUNDS):
            for edge in edges:
                calibration.choose(edge, loss)
            for layer in layers:
                scales = calibration.row_scales[layer]

                def of(factor: float) -> Tensor:
                    calibration.set_weight(layer, scales * factor)  # noqa: B023
                    return loss()

                calibration.set_weight(layer, scales * _best([1.0, *FACTORS], of))
        x = fake.block(index, x)


def noisyquant(calibration: Calibration) -> None:
    """Noise before the edges that linear layers read, where it lowers the error of their products."""
    free = not calibration.recipe.integer_forms
    for position, (name, edges) in enumerate(calibration.products()):
        edge = edges[0]
        if name not in calibration.layer_bits or not (free or foldable(edge)):
            continue
        inner, reference = calibration.fake.quantizers[edge], calibration.reference[f"{name}.out"]
        channels = calibration.tensors[f"{name}.weight"].shape[1]
        seed = calibration.recipe.seed * 1000 + position
        noises = [uniform_noise(channels, a * inner.scale / 2, seed) for a in AMPLITUDES]
        noisy = [Noisy(inner, torch.from_numpy(noise).float()) for noise in noises]
        calibration.choose(edge, lambda: _squared(calibration.product(name, edges), reference), noisy)  # noqa: B023


METHODS: dict[str, Callable[[Calibration], None]] = {
    "ptq": plain,
    "liu": liu,
    "ptq4vit": ptq4vit,
    "apqvit": apqvit,
    "noisyquant": noisyquant,
}


def _best(candidates: list[Any], loss: Callable[[Any], Tensor | float]) -> Any:
    """The first candidate of least loss."""
    return min(candidates, key=lambda candidate: float(loss(candidate)))


def _squared(out: Tensor, reference: Tensor) -> Tensor:
    return (out - reference).square().mean()
