# SPDX-License-Identifier: Apache-2.0
"""The float network op by op, for calibration: every inner value can be kept, every linear layer replaced."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from models.registry import ViTDims
from models.vit import LAYERNORM_EPS, unfold_patches

IMAGE_SCALE = 1 / 128  # real value of an image code


def float_forward(
    tensors: Mapping[str, Tensor],
    dims: ViTDims,
    images: Tensor,
    keep: Callable[[str, Tensor], None] | None = None,
    linear: Callable[[str, Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits (B, classes) of the float network, every token of every block computed.

    Args:
        tensors: Parameters of models.vit.ViT.
        dims: Its sizes.
        images: Codes (B, H, W, channels).
        keep: Called with the edge's name and its real value, for every edge of the quantized network that has a scale;
            all residual edges are called `residual`.
        linear: Takes a linear layer's name and input (..., columns) and returns its output (..., rows).
    """

    def kept(name: str, value: Tensor) -> Tensor:
        if keep is not None:
            keep(name, value)
        return value

    def plain(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return kept(name, functional.layer_norm(x, (dims.embed_dim,), weight, bias, LAYERNORM_EPS))

    linear = linear or plain
    real = images.permute(0, 3, 1, 2) * IMAGE_SCALE
    x = kept("residual", linear("patch_embed.proj", unfold_patches(real, dims.patch_size, dims.patch_stride)))
    x = torch.cat([tensors["cls_token"].expand(len(x), -1, -1), x], dim=1) + tensors["pos_embed"]
    kept("residual", x)
    shape = (len(x), dims.tokens, dims.num_heads, dims.head_dim)
    for i in range(dims.depth):
        edge = f"blocks.{i}"
        parts = linear(f"{edge}.attn.qkv", norm(f"{edge}.norm1", x)).split(dims.embed_dim, dim=-1)
        for part, value in zip("qkv", parts, strict=True):
            kept(f"{edge}.attn.{part}", value)
        q, k, v = (value.reshape(shape).transpose(1, 2) for value in parts)
        scores = kept(f"{edge}.attn.scores", q @ k.transpose(2, 3) * dims.head_dim**-0.5)
        mixed = kept(f"{edge}.attn.mix", scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(x.shape)
        x = kept("residual", x + kept("residual", linear(f"{edge}.attn.proj", mixed)))
        hidden = kept(f"{edge}.mlp.fc1", linear(f"{edge}.mlp.fc1", norm(f"{edge}.norm2", x)))
        hidden = kept(f"{edge}.mlp.gelu", functional.gelu(hidden))
        x = kept("residual", x + kept("residual", linear(f"{edge}.mlp.fc2", hidden)))
    return kept("logits", linear("head", norm("norm", x[:, 0])))
