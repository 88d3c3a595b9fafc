# SPDX-License-Identifier: Apache-2.0
"""Float pre-norm Vision Transformer with timm's parameter names. The quantized network has the same names."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.registry import ViTDims

LAYERNORM_EPS = 1e-6


def unfold_patches(images: Tensor, patch_size: int, patch_stride: int) -> Tensor:
    """Cut images into flattened, possibly overlapping patches.

    Args:
        images: Shape (B, channels, side, side).
        patch_size: Side of a patch, pixels.
        patch_stride: Distance between patches, pixels.

    Returns:
        Shape (B, patches, channels * patch_size**2): patches row by row, values in the order (channel, y, x).
    """
    windows = images.unfold(2, patch_size, patch_stride).unfold(3, patch_size, patch_stride)
    batch, channels, rows, columns = windows.shape[:4]
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(batch, rows * columns, channels * patch_size**2)


class PatchEmbed(nn.Module):
    """Unfold and one linear layer: (B, channels, side, side) -> (B, patches, C)."""

    def __init__(self, dims: ViTDims) -> None:
        super().__init__()
        self.patch_size = dims.patch_size
        self.patch_stride = dims.patch_stride
        self.proj = nn.Linear(dims.patch_values, dims.embed_dim)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(unfold_patches(images, self.patch_size, self.patch_stride))


class Attention(nn.Module):
    """Multi-head self-attention, (B, N, C) -> (B, wanted, C); rows of qkv are ordered (q, k, v), head, channel."""

    def __init__(self, dims: ViTDims) -> None:
        super().__init__()
        self.num_heads = dims.num_heads
        self.qkv = nn.Linear(dims.embed_dim, 3 * dims.embed_dim)
        self.proj = nn.Linear(dims.embed_dim, dims.embed_dim)

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        dim = x.shape[2]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = self._heads(functional.linear(x[:, :wanted], weight[:dim], bias[:dim]))
        k, v = (self._heads(part) for part in functional.linear(x, weight[dim:], bias[dim:]).chunk(2, dim=2))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape[0], wanted, dim))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, H, N, D)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """fc1, exact (erf) GELU, fc2: (B, N, C) -> (B, N, C)."""

    def __init__(self, dims: ViTDims) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims.embed_dim, dims.mlp_dim)
        self.fc2 = nn.Linear(dims.mlp_dim, dims.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm encoder block, (B, N, C) -> (B, wanted, C): the first `wanted` tokens of the result."""

    def __init__(self, dims: ViTDims) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims.embed_dim, eps=LAYERNORM_EPS)
        self.attn = Attention(dims)
        self.norm2 = nn.LayerNorm(dims.embed_dim, eps=LAYERNORM_EPS)
        self.mlp = Mlp(dims)

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        x = x[:, :wanted] + self.attn(self.norm1(x), wanted)
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Images in [-1, 127/128], shape (B, channels, side, side) -> logits, shape (B, classes).

    Linear weights start Xavier-uniform (at these widths they train better than from DeiT's standard deviation of
    0.02), biases at 0, class token and position embedding truncated-normal; seed torch first for a known start.
    """

    def __init__(self, dims: ViTDims) -> None:
        super().__init__()
        self.dims = dims
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, dims.tokens, dims.embed_dim))
        self.patch_embed = PatchEmbed(dims)
        self.blocks = nn.ModuleList(Block(dims) for _ in range(dims.depth))
        self.norm = nn.LayerNorm(dims.embed_dim, eps=LAYERNORM_EPS)
        self.head = nn.Linear(dims.embed_dim, dims.num_classes)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for index, block in enumerate(self.blocks):
            # Only the class token is read behind the last block; its other tokens need not be computed.
            x = block(x, wanted=1 if index == len(self.blocks) - 1 else x.shape[1])
        return self.head(self.norm(x[:, 0]))
