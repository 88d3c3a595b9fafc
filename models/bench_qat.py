# SPDX-License-Identifier: Apache-2.0
"""Time of a quantization-aware training step beside that of a plain Brevitas network: `make bench-qat`.

Ours trains with the integer functions of the hardware in the forward pass. The plain network is the same ViT with
standard Brevitas quantizers (integer weights with a scale per row, 8-bit scaled integer operands of every matrix
product) and float LayerNorm, softmax, GELU and residual stream. A step is forward, cross-entropy, backward, clipping
and AdamW, for ours also the making of the integer constants. Both run in one process, by turns.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat
from torch import Tensor, nn
from torch.nn import functional

from models.names import parse_model_name
from models.quant_vit import BitWidths, QuantViT
from models.registry import ViTDims
from models.train import recipe_of
from models.vit import LAYERNORM_EPS, ViT, unfold_patches

SEED = 1
STATISTICS_STEPS = 2  # Brevitas collects activation statistics in its first steps, which are slower; they are not timed
Step = Callable[[], float]


class PlainViT(nn.Module):
    """Standard Brevitas ViT: image codes (B, H, W, channels) -> real logits (B, classes)."""

    def __init__(self, dims: ViTDims, bits: BitWidths) -> None:
        super().__init__()
        self.dims = dims
        act: dict[str, Any] = {"bit_width": bits.activation, "collect_stats_steps": STATISTICS_STEPS}

        def linear(columns: int, rows: int, weight_bits: int) -> nn.Module:
            keys: dict[str, Any] = {f"input_{key}": item for key, item in act.items()}
            return qnn.QuantLinear(
                columns,
                rows,
                bias=True,
                weight_quant=Int8WeightPerChannelFloat,
                weight_bit_width=weight_bits,
                input_quant=Int8ActPerTensorFloat,
                **keys,
            )

        def identity() -> nn.Module:
            return qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, **act)

        dim = dims.embed_dim
        self.patch_embed = linear(dims.patch_values, dim, bits.first)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, dims.tokens, dim))
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(dim, eps=LAYERNORM_EPS),
                    "qkv": linear(dim, 3 * dim, bits.weight),
                    "operands": nn.ModuleList(identity() for _ in range(4)),  # q, k, v, probabilities
                    "proj": linear(dim, dim, bits.weight),
                    "norm2": nn.LayerNorm(dim, eps=LAYERNORM_EPS),
                    "fc1": linear(dim, dims.mlp_dim, bits.weight),
                    "fc2": linear(dims.mlp_dim, dim, bits.weight),
                }
            )
            for _ in range(dims.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=LAYERNORM_EPS)
        self.head = linear(dim, dims.num_classes, bits.last)

    def forward(self, codes: Tensor) -> Tensor:
        images = codes.permute(0, 3, 1, 2) / 128.0
        x = self.patch_embed(unfold_patches(images, self.dims.patch_size, self.dims.patch_stride))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for index, block in enumerate(self.blocks):
            # As in ours, only the class token goes on behind the last block's attention.
            wanted = 1 if index == len(self.blocks) - 1 else self.dims.tokens
            x = x[:, :wanted] + self._attention(block, block["norm1"](x), wanted)
            x = x + block["fc2"](functional.gelu(block["fc1"](block["norm2"](x))))
        return self.head(self.norm(x[:, 0]))

    def _attention(self, block: nn.ModuleDict, x: Tensor, wanted: int) -> Tensor:
        parts = block["qkv"](x).unflatten(2, (3, self.dims.num_heads, -1)).unbind(2)
        quant_q, quant_k, quant_v, quant_p = block["operands"]
        q, k, v = quant_q(parts[0][:, :wanted]), quant_k(parts[1]), quant_v(parts[2])
        scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1) * self.dims.head_dim**-0.5
        mixed = quant_p(scores.softmax(dim=-1)) @ v.transpose(1, 2)
        return block["proj"](mixed.transpose(1, 2).flatten(2))


def make_step(network: nn.Module, logits: Callable[[], Tensor], labels: Tensor) -> Step:
    """One training step of a network as a function that returns the loss."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    network.train()

    def step() -> float:
        loss = functional.cross_entropy(logits(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step


def make_steps(model: str, batch_size: int) -> dict[str, Step]:
    """Training steps "vitrail" and "brevitas" of a model: same sizes, seeded random weights, images and labels.

    Raises:
        ValueError: unknown model.
    """
    config = parse_model_name(model)
    dims, recipe = config.dims, recipe_of(config)
    bits = BitWidths.of(config.weight_bits, config.activation_bits, recipe)
    torch.manual_seed(SEED)
    images = torch.randint(-128, 128, (batch_size, dims.image_size, dims.image_size, dims.channels)).float()
    labels = torch.randint(0, dims.num_classes, (batch_size,))
    tensors = {name: parameter.detach() for name, parameter in ViT(dims).named_parameters()}
    ours = QuantViT.from_float(tensors, dims, bits, recipe, images[:8], search_steps=1)
    plain = PlainViT(dims, bits)
    logits_scale = ours.scale_names.index("logits")

    def our_logits() -> Tensor:
        ours.refresh()
        return ours(images) * ours.log_scales[logits_scale].exp()

    return {
        "vitrail": make_step(ours, our_logits, labels),
        "brevitas": make_step(plain, lambda: plain(images), labels),
    }


def measure(steps: dict[str, Step], repeats: int, warm_up: int = STATISTICS_STEPS + 2) -> dict[str, list[float]]:
    """Milliseconds of every repetition of each step, taken by turns so that a busy machine slows both alike."""
    for step in steps.values():
        for _ in range(warm_up):
            step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats):
        order = list(steps) if repeat % 2 else list(reversed(steps))
        for name in order:
            begin = time.perf_counter()
            steps[name]()
            found[name].append(1e3 * (time.perf_counter() - begin))
    return found


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Median, least and largest milliseconds of each step, and the ratio of the medians, ours over Brevitas."""
    rows = {
        name: {"median_ms": statistics.median(values), "min_ms": min(values), "max_ms": max(values)}
        for name, values in times.items()
    }
    return rows | {"ratio": rows["vitrail"]["median_ms"] / rows["brevitas"]["median_ms"]}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time a training step of ours beside one of plain Brevitas.")
    parser.add_argument("--model", default="vit_mini_w4a8", help="model name (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="images of a step (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=31, help="timed steps of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead")
    options = parser.parse_args(arguments)
    for name in ("batch_size", "repeats", "threads"):
        if getattr(options, name) < 1:
            print(
                f"bench-qat: --{name.replace('_', '-')}={getattr(options, name)}, expected 1 or more", file=sys.stderr
            )
            return 1
    torch.set_num_threads(options.threads)
    try:
        found = summary(measure(make_steps(options.model, options.batch_size), options.repeats))
    except ValueError as error:
        print(f"bench-qat: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"bench-qat: {options.model}, {options.batch_size} images a step, {options.threads} thread(s), seed {SEED}")
    for name in ("vitrail", "brevitas"):
        row = found[name]
        print(f"  {name:9}{row['median_ms']:8.1f} ms a step (median; {row['min_ms']:.1f} to {row['max_ms']:.1f})")
    print(f"  ratio    {found['ratio']:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
