# SPDX-License-Identifier: Apache-2.0
"""The float network with quantizers on its edges: where calibration compares candidates.

Edges (of a block, behind its name): norm1, attn.q, attn.k, attn.v, attn.scores, attn.probabilities, attn.mix, norm2,
mlp.fc1, mlp.gelu; and norm. An edge without a quantizer stays float, as the residual stream and the logits always do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.float_forward import IMAGE_SCALE
from models.registry import ViTDims
from models.vit import LAYERNORM_EPS, unfold_patches


@dataclass
class FakeQuantViT:
    """Parameters and quantizers.

    Attributes:
        tensors: Parameters of models.vit.ViT; quantized weights and corrected biases replace them by name.
        dims: Sizes.
        quantizers: Edge -> function from real values to real values.
        watch: Called with the name and the value of every edge (behind its quantizer) and of every product in front of
            its bias-free successors: linear layers by their name, attn.scores before its quantizer, attn.mix likewise.
    """

    tensors: dict[str, Tensor]
    dims: ViTDims
    quantizers: dict[str, Any] = field(default_factory=dict)
    watch: Callable[[str, Tensor], None] | None = None

    def copy(self) -> FakeQuantViT:
        """A network of its own with the same tensors and quantizers, unwatched."""
        return FakeQuantViT(dict(self.tensors), self.dims, dict(self.quantizers))

    def see(self, name: str, value: Tensor) -> Tensor:
        """Show a value to the watcher."""
        if self.watch is not None:
            self.watch(name, value)
        return value

    def edge(self, name: str, value: Tensor) -> Tensor:
        """Quantize the value of an edge."""
        quantizer = self.quantizers.get(name)
        return self.see(name, value if quantizer is None else quantizer(value))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Output of a linear layer."""
        return self.see(
            f"{name}.out", functional.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])
        )

    def norm(self, name: str, x: Tensor) -> Tensor:
        """LayerNorm and its edge."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return self.edge(name, functional.layer_norm(x, (self.dims.embed_dim,), weight, bias, LAYERNORM_EPS))

    def embed(self, images: Tensor) -> Tensor:
        """Image codes (B, H, W, channels) -> residual stream (B, N, C)."""
        real = images.permute(0, 3, 1, 2) * IMAGE_SCALE
        x = self.linear("patch_embed.proj", unfold_patches(real, self.dims.patch_size, self.dims.patch_stride))
        return torch.cat([self.tensors["cls_token"].expand(len(x), -1, -1), x], dim=1) + self.tensors["pos_embed"]

    def scores(self, block: str, q: Tensor, k: Tensor) -> Tensor:
        """Scaled products of queries and keys (B, H, N, D), before their quantizer."""
        return self.see(f"{block}.attn.scores.out", q @ k.transpose(2, 3) * self.dims.head_dim**-0.5)

    def block(self, index: int, x: Tensor) -> Tensor:
        """Encoder block on the residual stream (B, N, C)."""
        block, dims = f"blocks.{index}", self.dims
        shape = (len(x), dims.tokens, dims.num_heads, dims.head_dim)
        parts = self.linear(f"{block}.attn.qkv", self.norm(f"{block}.norm1", x)).split(dims.embed_dim, dim=-1)
        q, k, v = (
            self.edge(f"{block}.attn.{part}", value.reshape(shape).transpose(1, 2))
            for part, value in zip("qkv", parts, strict=True)
        )
        scores = self.edge(f"{block}.attn.scores", self.scores(block, q, k))
        p = self.edge(f"{block}.attn.probabilities", scores.softmax(dim=-1))
        mixed = self.see(f"{block}.attn.mix.out", p @ v).transpose(1, 2).reshape(x.shape)
        x = x + self.linear(f"{block}.attn.proj", self.edge(f"{block}.attn.mix", mixed))
        hidden = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x))
        hidden = self.edge(f"{block}.mlp.gelu", functional.gelu(self.edge(f"{block}.mlp.fc1", hidden)))
        return self.see(f"{block}.out", x + self.linear(f"{block}.mlp.fc2", hidden))

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (B, classes), real values, of image codes (B, H, W, channels)."""
        x = self.embed(images)
        for index in range(self.dims.depth):
            x = self.block(index, x)
        return self.linear("head", self.norm("norm", x[:, 0]))


def squared_gradients(tensors: Mapping[str, Tensor], dims: ViTDims, images: Tensor, seed: int) -> dict[str, Tensor]:
    """Diagonal of the Fisher information at every product: squared gradients of the cross-entropy.

    Labels are drawn from the network's own prediction, so that the mean of the squares estimates the diagonal of the
    Hessian of the divergence from the float network.

    Args:
        tensors: Parameters of models.vit.ViT.
        dims: Its sizes.
        images: Codes (B, H, W, channels).
        seed: Seed of the labels.

    Returns:
        Name of a product, such as blocks.0.attn.qkv.out -> tensor of its shape, scaled to mean 1.
    """
    network = FakeQuantViT({name: value.detach().clone().requires_grad_() for name, value in tensors.items()}, dims)
    seen: dict[str, Tensor] = {}
    network.watch = lambda name, value: seen.update({name: value}) if name.endswith(".out") else None
    with torch.enable_grad():
        logits = network(images)
        generator = torch.Generator().manual_seed(seed)
        labels = torch.multinomial(logits.detach().softmax(dim=1), 1, generator=generator)[:, 0]
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        names = list(seen)
        gradients = torch.autograd.grad(loss, [seen[name] for name in names])
    return {
        name: gradient.square() / gradient.square().mean().clamp(min=1e-30)
        for name, gradient in zip(names, gradients, strict=True)
    }
