# SPDX-License-Identifier: Apache-2.0
"""The quantized ViT: one graph of integer ops, with trained real scales (QuantViT) or fixed integers (IntegerViT).

    image codes -> patches -> proj -> embed -> blocks -> class token -> norm -> head -> logits codes
    block: x + proj(attention(qkv(norm1(x)))), then x + fc2(gelu(fc1(norm2(x))))

Residual edges share one scale, so that adds are plain saturating adds. QuantViT.refresh turns real scales into the
integer constants that forward uses; IntegerViT holds the same constants without anything real behind them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.float_forward import IMAGE_SCALE, float_forward
from models.registry import ViTDims
from models.sensitivity import row_costs
from quant.intmath import int_range, signed_bits
from quant.layers import (
    FLOAT32_EXACT,
    Add,
    CodeLinear,
    Embed,
    Gelu,
    LayerNorm,
    Requant,
    SlidingWindow,
    Softmax,
)
from quant.quantizers import IntegerWeightQuant, RowSchemeQuant, RowSchemeWeightQuant, search_scale
from quant.recipe import Recipe
from quant.schemes import FIXED, SCHEMES, integer_bits, largest
from sim.golden.layernorm import Z_FRAC
from sim.golden.softmax import FRACTION_BITS
from sim.golden.softmax import OUT_BITS as PROBABILITY_BITS

IMAGE_BITS = 8
SCORE_BITS = 8  # the softmax unit takes 8-bit scores

LinearFactory = Callable[[str, int, int], CodeLinear]
Constants = dict[str, np.ndarray]


@dataclass(frozen=True)
class BitWidths:
    """Widths of the codes in a network.

    Attributes:
        weight: Weights of the encoder blocks.
        activation: Operands of the matrix products in the blocks and of the GELU table.
        residual: Residual stream.
        first, last: Weights of the patch embedding and of the head.
        logits: Logits.
    """

    weight: int
    activation: int
    residual: int
    first: int
    last: int
    logits: int

    @staticmethod
    def of(weight_bits: int, activation_bits: int, recipe: Recipe) -> BitWidths:
        """Widths of a model name's bits and its recipe."""
        first, last = recipe.first_layer_weight_bits, recipe.last_layer_weight_bits
        return BitWidths(weight_bits, activation_bits, recipe.residual_bits, first, last, recipe.logits_bits)


@dataclass(frozen=True)
class Formats:
    """Where calibration departs from BitWidths, layer by layer; empty for trained networks.

    Attributes:
        weights: Linear layer, such as blocks.0.mlp.fc1 -> storage bits of a weight.
        probabilities: Block, such as blocks.0 -> out_bits, fraction_bits, twin_shift as in sim.golden.softmax.
        gelu_shift: Block -> twin_shift as in sim.golden.lookup.gelu_table; codes get that much wider.
        mix_offsets: Blocks whose requantization behind attn.mix has a B for each head and channel, not one of 0.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    probabilities: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    gelu_shift: Mapping[str, int] = field(default_factory=dict)
    mix_offsets: tuple[str, ...] = ()

    @staticmethod
    def of(details: Mapping[str, Any]) -> Formats:
        """From a checkpoint's details, where they are a dict (as dataclasses.asdict makes it) or missing.

        Raises:
            ValueError: unknown keys, or no tables of integers.
        """
        found = details.get("formats", {})
        try:
            formats = Formats(**found)
            widths = {block: (int(a), int(b), int(c)) for block, (a, b, c) in formats.probabilities.items()}
            return Formats(dict(formats.weights), widths, dict(formats.gelu_shift), tuple(formats.mix_offsets))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"formats {found!r} are unusable ({error})") from None

    def weight_bits(self, name: str, bits: BitWidths) -> int:
        """Storage bits of one weight of a linear layer (by the name of its parameters, or of its edge)."""
        ends = {"patch_embed.proj": bits.first, "head": bits.last, "logits": bits.last}
        return self.weights.get(name, ends.get(name, bits.weight))

    def gelu_bits(self, block: str, bits: BitWidths) -> int:
        """Width of the codes behind a block's GELU."""
        return bits.activation + self.gelu_shift.get(block, 0)

    def mix_offset_shape(self, block: str, dims: ViTDims) -> tuple[int, ...]:
        """Shape of B behind a block's attn.mix, whose accumulators are (B, heads, tokens, head_dim)."""
        return (dims.num_heads, 1, dims.head_dim) if block in self.mix_offsets else (1,)


PLAIN = Formats()


class Linear(nn.Module):
    """Integer matrix product and requantization: codes (..., columns) -> codes (..., rows)."""

    def __init__(self, edge: str, columns: int, rows: int, out_bits: int, linear: LinearFactory) -> None:
        super().__init__()
        self.matrix = linear(edge, columns, rows)
        self.requant = Requant(edge, rows, out_bits)

    def forward(self, x: Tensor) -> Tensor:
        return self.requant(self.matrix(x))


class Norm(nn.Module):
    """Integer LayerNorm and the requantization that holds gamma and beta: (..., C) -> (..., C)."""

    def __init__(self, edge: str, channels: int, out_bits: int) -> None:
        super().__init__()
        self.norm = LayerNorm(f"{edge}.z")
        self.requant = Requant(edge, channels, out_bits)

    def forward(self, x: Tensor) -> Tensor:
        return self.requant(self.norm(x))


def _first(x: Tensor, wanted: int) -> Tensor:
    """The first `wanted` tokens of (B, N, C); x itself if it has no more, so that an export gets no slice."""
    return x if wanted == x.shape[1] else x[:, :wanted]


class Attention(nn.Module):
    """Multi-head self-attention on codes, (B, N, C) -> (B, wanted, C) in residual codes: the first `wanted` tokens."""

    def __init__(self, edge: str, dims: ViTDims, bits: BitWidths, linear: LinearFactory, formats: Formats) -> None:
        super().__init__()
        self.heads, self.dim = dims.num_heads, dims.embed_dim
        self.qkv = Linear(f"{edge}.qkv", dims.embed_dim, 3 * dims.embed_dim, bits.activation, linear)
        self.scores = Requant(f"{edge}.scores", 1, SCORE_BITS)
        widths = formats.probabilities.get(edge.removesuffix(".attn"), (PROBABILITY_BITS, FRACTION_BITS, 0))
        self.softmax = Softmax(f"{edge}.probabilities", dims.tokens, widths)
        self.mix = Requant(f"{edge}.mix", 1, bits.activation)
        self.proj = Linear(f"{edge}.proj", dims.embed_dim, dims.embed_dim, bits.residual, linear)
        bound = max(dims.head_dim << (bits.activation - 1), dims.tokens << widths[0]) << (bits.activation - 1)
        if bound > FLOAT32_EXACT:
            raise ValueError(f"attention[{edge}]: accumulators may reach {bound}, expected at most 2**24")

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        q, k, v = self.qkv(x).split(self.dim, dim=-1)
        shape = (x.shape[0], x.shape[1], self.heads, self.dim // self.heads)
        q = _first(q, wanted)
        rows = (x.shape[0], wanted, self.heads, self.dim // self.heads)
        scores = self.scores(q.reshape(rows).permute(0, 2, 1, 3) @ k.reshape(shape).permute(0, 2, 3, 1))
        mixed = self.mix(self.softmax(scores) @ v.reshape(shape).permute(0, 2, 1, 3))
        return self.proj(mixed.permute(0, 2, 1, 3).reshape(q.shape))


class Mlp(nn.Module):
    """fc1, GELU table, fc2 on codes, (B, N, C) -> (B, N, C) in residual codes."""

    def __init__(self, edge: str, dims: ViTDims, bits: BitWidths, linear: LinearFactory, formats: Formats) -> None:
        super().__init__()
        block = edge.removesuffix(".mlp")
        self.fc1 = Linear(f"{edge}.fc1", dims.embed_dim, dims.mlp_dim, bits.activation, linear)
        shift = formats.gelu_shift.get(block, 0)
        self.gelu = Gelu(f"{edge}.gelu", bits.activation, formats.gelu_bits(block, bits), shift)
        self.fc2 = Linear(f"{edge}.fc2", dims.mlp_dim, dims.embed_dim, bits.residual, linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm encoder block on residual codes, (B, N, C) -> (B, wanted, C): the first `wanted` tokens."""

    def __init__(self, edge: str, dims: ViTDims, bits: BitWidths, linear: LinearFactory, formats: Formats) -> None:
        super().__init__()
        self.norm1 = Norm(f"{edge}.norm1", dims.embed_dim, bits.activation)
        self.attn = Attention(f"{edge}.attn", dims, bits, linear, formats)
        self.add1 = Add(f"{edge}.add1", bits.residual)
        self.norm2 = Norm(f"{edge}.norm2", dims.embed_dim, bits.activation)
        self.mlp = Mlp(f"{edge}.mlp", dims, bits, linear, formats)
        self.add2 = Add(f"{edge}.add2", bits.residual)

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        x = self.add1(self.attn(self.norm1(x), wanted), _first(x, wanted))
        return self.add2(self.mlp(self.norm2(x)), x)


class ViTGraph(nn.Module):
    """The integer graph: image codes (B, H, W, channels) -> logits codes (B, classes), float32 holding integers."""

    def __init__(self, dims: ViTDims, bits: BitWidths, linear: LinearFactory, formats: Formats) -> None:
        super().__init__()
        self.dims, self.bits, self.formats = dims, bits, formats
        self.patches = SlidingWindow("patch_embed.patches", dims.patch_size, dims.patch_stride)
        self.patch_embed = Linear("patch_embed.proj", dims.patch_values, dims.embed_dim, bits.residual, linear)
        self.embed = Embed("embed", dims.tokens, dims.embed_dim, bits.residual)
        self.blocks = nn.ModuleList(Block(f"blocks.{i}", dims, bits, linear, formats) for i in range(dims.depth))
        self.norm = Norm("norm", dims.embed_dim, bits.activation)
        self.head = Linear("logits", dims.embed_dim, dims.num_classes, bits.logits, linear)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.embed(self.patch_embed(self.patches(codes)))
        for index, block in enumerate(self.blocks):
            # Only the class token is read behind the last block. Training skips its other tokens; elsewhere every
            # token is there, as in the hardware.
            only_class = self.training and index == len(self.blocks) - 1
            x = block(x, wanted=1 if only_class else self.dims.tokens)
        return self.head(self.norm(x[:, 0]))

    def linears(self) -> dict[str, Linear]:
        """Linear layers by the name of their float parameters, such as blocks.0.mlp.fc1."""
        found = {"patch_embed.proj": self.patch_embed}
        for i, block in enumerate(self.blocks):
            for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                found[f"blocks.{i}.{name}"] = block.get_submodule(name)
        return found | {"head": self.head}

    def requants(self) -> dict[str, Requant]:
        """All requantizations by the name of the edge behind them."""
        return {module.edge: module for module in self.modules() if isinstance(module, Requant)}

    def in_bits(self, name: str) -> int:
        """Width of the codes that enter a linear layer."""
        if name.endswith(".mlp.fc2"):
            return self.formats.gelu_bits(name.removesuffix(".mlp.fc2"), self.bits)
        return IMAGE_BITS if name == "patch_embed.proj" else self.bits.activation

    def weight_bits(self, name: str) -> int:
        """Storage bits of one weight of a linear layer."""
        return self.formats.weight_bits(name, self.bits)


class IntegerViT(ViTGraph):
    """The integer network from its constants. Exported to QONNX and used for every accuracy that is reported.

    Attributes:
        scales: Real value of one code on each edge that has one, for people and reports.
        row_schemes: Linear layer -> scheme ids of its rows.
    """

    def __init__(
        self,
        dims: ViTDims,
        bits: BitWidths,
        constants: Mapping[str, np.ndarray],
        scales: Mapping[str, float],
        formats: Formats = PLAIN,
    ) -> None:
        def linear(edge: str, columns: int, rows: int) -> CodeLinear:
            name = "head" if edge == "logits" else edge
            schemes = np.asarray(constants[f"{name}.scheme"])
            storage = formats.weight_bits(name, bits)
            return CodeLinear(edge, columns, rows, IntegerWeightQuant, bit_width=integer_bits(schemes, storage))

        super().__init__(dims, bits, linear, formats)
        self.scales = dict(scales)
        self.row_schemes = {name: np.asarray(constants[f"{name}.scheme"]) for name in self.linears()}
        for name, layer in self.linears().items():
            weight = np.asarray(constants[f"{name}.weight"])
            with torch.no_grad():
                layer.matrix.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
            layer.matrix.set_bound(int(np.abs(weight.astype(np.int64)).sum(axis=1).max()), self.in_bits(name))
        for edge, requant in self.requants().items():
            mult, bias = constants[f"{edge}.mult"], constants[f"{edge}.bias"]
            requant.set_integers(np.asarray(mult), np.asarray(bias), int(constants[f"{edge}.shift"]))
        self.embed.content = _float(constants["embed.content"])
        for i, block in enumerate(self.blocks):
            block.attn.softmax.table = _float(constants[f"blocks.{i}.attn.probabilities.table"])
            block.mlp.gelu.content = _float(constants[f"blocks.{i}.mlp.gelu.table"])
        self.requires_grad_(False).eval()


class QuantViT(ViTGraph):
    """The trained network: float weights behind Brevitas quantizers and real scales behind the integer constants.

    Attributes:
        log_scales: Natural logarithms of the real values of one code, one for each of scale_names.
        mix_offsets: Block -> real values added to attn.mix before it is rounded, of Formats.mix_offset_shape.
    """

    def __init__(self, dims: ViTDims, bits: BitWidths, recipe: Recipe, formats: Formats = PLAIN) -> None:
        def linear(edge: str, columns: int, rows: int) -> CodeLinear:
            storage = formats.weight_bits(edge, bits)
            mixed = recipe.mixed_layers == "all" or (recipe.mixed_layers == "mlp" and ".mlp." in edge)
            mixed = mixed and edge.startswith("blocks.")
            keys = {
                "bits": storage,
                "scheme": recipe.scheme if mixed else SCHEMES[0],
                "row_group": recipe.row_group,
                "shift_add_rows": recipe.shift_add_rows if mixed else 0,
                "unit_scale": True,
            }
            return CodeLinear(edge, columns, rows, RowSchemeWeightQuant, **keys)

        super().__init__(dims, bits, linear, formats)
        self.recipe = recipe
        self.scale_names = scale_names(dims)
        self.log_scales = nn.Parameter(torch.zeros(len(self.scale_names)))
        self.position = nn.Parameter(torch.zeros(dims.tokens, dims.embed_dim))
        blocks = [f"blocks.{i}" for i in range(dims.depth)]
        self.mix_offsets = {block: torch.zeros(formats.mix_offset_shape(block, dims)) for block in blocks}
        for name, layer in self.linears().items():
            layer.bias = nn.Parameter(torch.zeros(layer.matrix.out_features))
            top = largest(int(self.quantizer(name).scheme), self.weight_bits(name))
            layer.matrix.set_bound(
                max(top, 2 ** (self.weight_bits(name) - 1)) * layer.matrix.in_features, self.in_bits(name)
            )
        for norm in self.norms().values():
            norm.gamma = nn.Parameter(torch.ones(dims.embed_dim))
            norm.beta = nn.Parameter(torch.zeros(dims.embed_dim))

    @staticmethod
    def from_float(
        tensors: Mapping[str, Tensor],
        dims: ViTDims,
        bits: BitWidths,
        recipe: Recipe,
        images: Tensor,
        search_steps: int | None = None,
        formats: Formats = PLAIN,
    ) -> QuantViT:
        """Quantize a float network: row schemes, row scales and activation scales of least squared error.

        Args:
            tensors: Parameters of models.vit.ViT.
            dims: Its sizes.
            bits: Widths.
            recipe: Recipe.
            images: Calibration images, codes (B, H, W, channels).
            search_steps: Candidates for each scale; None takes those of the recipe.
            formats: Departures from the widths.
        """
        network = QuantViT(dims, bits, recipe, formats)
        steps = recipe.scale_search_steps if search_steps is None else search_steps
        costs: dict[str, np.ndarray] = {}
        if recipe.assignment == "sensitivity":
            costs = row_costs(tensors, dims, images, network.mixed_layers(), steps)
        with torch.no_grad():
            for name, layer in network.linears().items():
                layer.matrix.weight.copy_(tensors[f"{name}.weight"])
                layer.bias.copy_(tensors[f"{name}.bias"])
                network.quantizer(name).fit(layer.matrix.weight, steps, costs.get(name))
            for name, norm in network.norms().items():
                norm.gamma.copy_(tensors[f"{name}.weight"])
                norm.beta.copy_(tensors[f"{name}.bias"])
            network.position.copy_(tensors["pos_embed"][0])
            network.position[0] += tensors["cls_token"][0, 0]
            scales = calibrate(tensors, dims, bits, images, steps)
            network.log_scales.copy_(torch.tensor([math.log(scales[name]) for name in network.scale_names]))
        network.refresh()
        return network

    def norms(self) -> dict[str, Norm]:
        """LayerNorms by the name of their parameters and of their edge."""
        found = {}
        for i, block in enumerate(self.blocks):
            found[f"blocks.{i}.norm1"] = block.norm1
            found[f"blocks.{i}.norm2"] = block.norm2
        return found | {"norm": self.norm}

    def quantizer(self, name: str) -> RowSchemeQuant:
        """Weight quantizer of a linear layer."""
        return self.linears()[name].matrix.weight_quant.tensor_quant

    def mixed_layers(self) -> dict[str, tuple[int, int]]:
        """Linear layers with rows of both kinds -> (scheme id of the shift-add rows, weight bits)."""
        quantizers = {name: self.quantizer(name) for name in self.linears()}
        return {
            name: (quantizer.scheme, quantizer.bits)
            for name, quantizer in quantizers.items()
            if quantizer.scheme != FIXED and 0 < quantizer.shift_add_rows < quantizer.row_group
        }

    def scale_parameters(self) -> list[nn.Parameter]:
        """Logarithms of the scales of activations and of weight rows."""
        return [self.log_scales, *(self.quantizer(name).log_scale for name in self.linears())]

    def refresh(self) -> None:
        """Make all integer constants from the real parameters; call it after each change, before forward."""
        scale = dict(zip(self.scale_names, self.log_scales.double().exp().unbind(), strict=True))
        residual = scale["residual"]

        def linear(name: str, in_scale: Tensor | float, out_scale: Tensor) -> None:
            layer = self.linears()[name]
            layer.requant.set_real(
                self.quantizer(name).scale().double() * in_scale / out_scale, layer.bias.double() / out_scale
            )

        for name, norm in self.norms().items():
            out = scale[name]
            norm.requant.set_real(norm.gamma.double() * 2.0**-Z_FRAC / out, norm.beta.double() / out)
        linear("patch_embed.proj", IMAGE_SCALE, residual)
        self.embed.set_real(self.position.double(), residual)
        zero = torch.zeros(1, dtype=torch.float64)
        for i, block in enumerate(self.blocks):
            edge, attn = f"blocks.{i}", block.attn
            q, k, v = (scale[f"{edge}.attn.{part}"] for part in "qkv")
            per_row = torch.stack([q, k, v]).repeat_interleave(self.dims.embed_dim)
            linear(f"{edge}.attn.qkv", scale[f"{edge}.norm1"], per_row)
            scores, mix = scale[f"{edge}.attn.scores"], scale[f"{edge}.attn.mix"]
            attn.scores.set_real((q * k * self.dims.head_dim**-0.5 / scores).reshape(1), zero)
            attn.softmax.set_real(scores)
            _, fraction_bits, _ = attn.softmax.widths
            attn.mix.set_real((v * 2.0**-fraction_bits / mix).reshape(1), self.mix_offsets[edge].double() / mix)
            linear(f"{edge}.attn.proj", mix, residual)
            fc1, gelu = scale[f"{edge}.mlp.fc1"], scale[f"{edge}.mlp.gelu"]
            linear(f"{edge}.mlp.fc1", scale[f"{edge}.norm2"], fc1)
            block.mlp.gelu.set_real(fc1, gelu)
            linear(f"{edge}.mlp.fc2", gelu, residual)
        linear("head", scale["norm"], scale["logits"])

    @torch.no_grad()
    def integer_constants(self) -> Constants:
        """Everything IntegerViT needs: name -> integers.

        `<linear>.weight` (rows, columns), `<linear>.scheme` (rows,), `<edge>.mult` and `<edge>.bias` (channels,),
        `<edge>.shift` (), `embed.content` (tokens, channels), `<block>.attn.probabilities.table` (256,),
        `<block>.mlp.gelu.table` (2**activation bits,), see constant_shapes; the smallest integer type that fits.
        """
        self.refresh()
        found: dict[str, np.ndarray] = {}
        for name, layer in self.linears().items():
            quantizer = self.quantizer(name)
            found[f"{name}.weight"] = quantizer.integers(layer.matrix.weight).numpy()
            found[f"{name}.scheme"] = quantizer.row_scheme.numpy()
        for edge, requant in self.requants().items():
            found[f"{edge}.mult"], found[f"{edge}.bias"] = requant.mult.numpy(), requant.bias.numpy()
            found[f"{edge}.shift"] = np.array(requant.shift)
        found["embed.content"] = self.embed.content.numpy()
        for i, block in enumerate(self.blocks):
            found[f"blocks.{i}.attn.probabilities.table"] = block.attn.softmax.table.numpy()
            found[f"blocks.{i}.mlp.gelu.table"] = block.mlp.gelu.content.numpy()
        return {name: _smallest(values) for name, values in found.items()}

    def real_scales(self) -> dict[str, float]:
        """Real value of one code on each edge that has a scale of its own."""
        values = self.log_scales.detach().double().exp().tolist()
        return {"image": IMAGE_SCALE} | dict(zip(self.scale_names, values, strict=True))

    def integer(self) -> IntegerViT:
        """The integer network of the present parameters."""
        return IntegerViT(self.dims, self.bits, self.integer_constants(), self.real_scales(), self.formats)


def constant_shapes(dims: ViTDims, bits: BitWidths, formats: Formats = PLAIN) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what QuantViT.integer_constants returns."""
    dim, hidden = dims.embed_dim, dims.mlp_dim
    shapes: dict[str, tuple[int, ...]] = {"embed.content": (dims.tokens, dim)}

    def requant(edge: str, channels: int) -> None:
        shapes.update({f"{edge}.mult": (channels,), f"{edge}.bias": (channels,), f"{edge}.shift": ()})

    def linear(name: str, columns: int, rows: int, edge: str = "") -> None:
        shapes.update({f"{name}.weight": (rows, columns), f"{name}.scheme": (rows,)})
        requant(edge or name, rows)

    linear("patch_embed.proj", dims.patch_values, dim)
    for block in (f"blocks.{i}" for i in range(dims.depth)):
        requant(f"{block}.norm1", dim)
        linear(f"{block}.attn.qkv", dim, 3 * dim)
        requant(f"{block}.attn.scores", 1)
        shapes[f"{block}.attn.probabilities.table"] = (256,)
        requant(f"{block}.attn.mix", 1)
        shapes[f"{block}.attn.mix.bias"] = formats.mix_offset_shape(block, dims)
        linear(f"{block}.attn.proj", dim, dim)
        requant(f"{block}.norm2", dim)
        linear(f"{block}.mlp.fc1", dim, hidden)
        shapes[f"{block}.mlp.gelu.table"] = (2**bits.activation,)
        linear(f"{block}.mlp.fc2", hidden, dim)
    requant("norm", dim)
    linear("head", dim, dims.num_classes, "logits")
    return shapes


def scale_names(dims: ViTDims) -> list[str]:
    """Edges with a scale of their own; all residual edges share `residual`."""
    block = ("norm1", "attn.q", "attn.k", "attn.v", "attn.scores", "attn.mix", "norm2", "mlp.fc1", "mlp.gelu")
    return ["residual", *(f"blocks.{i}.{name}" for i in range(dims.depth) for name in block), "norm", "logits"]


@torch.no_grad()
def calibrate(
    tensors: Mapping[str, Tensor], dims: ViTDims, bits: BitWidths, images: Tensor, search_steps: int
) -> dict[str, float]:
    """Scale of every edge in scale_names, of least squared error on the calibration images.

    The residual stream and the logits take the largest magnitude and some room instead: they have bits to spare.

    Args:
        tensors: Parameters of models.vit.ViT.
        dims: Its sizes.
        bits: Widths.
        images: Codes (B, H, W, channels).
        search_steps: Candidates of a scale.
    """
    found: dict[str, float] = {}
    peaks = {"residual": 0.0, "logits": 0.0}  # all residual edges share a scale

    def look(name: str, value: Tensor) -> None:
        peak = float(value.abs().max())
        if not math.isfinite(peak):
            raise ValueError(f"calibration: {name} of the float network reaches {peak}; its weights are not usable")
        if name in peaks:
            peaks[name] = max(peaks[name], peak)
        else:
            width = SCORE_BITS if name.endswith(".scores") else bits.activation
            found[name] = search_scale(value.flatten(), peak or 1.0, int_range(width), search_steps)

    float_forward(tensors, dims, images, keep=look)
    widths = {"residual": bits.residual, "logits": bits.logits}
    return found | {name: 1.25 * (peaks[name] or 1.0) / (2 ** (width - 1) - 1) for name, width in widths.items()}


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values).astype(np.float32))


def _smallest(values: np.ndarray) -> np.ndarray:
    """Integer-valued floats -> the smallest of int8, int16, int32, int64 that holds them."""
    integers = values.astype(np.int64)
    assert np.array_equal(integers, values), "a constant of the integer network is no integer"
    width = signed_bits(integers.min(), integers.max())
    kinds = ((8, np.int8), (16, np.int16), (32, np.int32), (64, np.int64))
    return integers.astype(next(kind for bits, kind in kinds if width <= bits))
