# SPDX-License-Identifier: Apache-2.0
"""Backbone registry: name -> ViTDims. Needs neither torch nor numpy."""

import difflib
import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache

import models.backbones


@dataclass(frozen=True)
class ViTDims:
    """Sizes of a pre-norm Vision Transformer; two equal ViTDims mean the same network.

    Attributes:
        image_size: Side of the square input image, pixels.
        channels: Image channels.
        patch_size: Side of a square patch, pixels.
        patch_stride: Distance between neighbouring patches, pixels; below patch_size they overlap.
        embed_dim: Channels of a token.
        depth: Encoder blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden channels of the MLP over embed_dim.
        num_classes: Outputs of the head.
    """

    image_size: int
    channels: int
    patch_size: int
    patch_stride: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: int
    num_classes: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"ViTDims: {field.name}={value!r}, expected an integer of 1 or more")
        if self.patch_size > self.image_size or (self.image_size - self.patch_size) % self.patch_stride:
            raise ValueError(
                f"ViTDims: patches of {self.patch_size} at stride {self.patch_stride} do not tile an image of "
                f"{self.image_size}; choose (image_size - patch_size) as a multiple of patch_stride"
            )
        if self.embed_dim % self.num_heads:
            raise ValueError(f"ViTDims: embed_dim={self.embed_dim} is not a multiple of num_heads={self.num_heads}")

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return (self.image_size - self.patch_size) // self.patch_stride + 1

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self.grid**2

    @property
    def tokens(self) -> int:
        """Tokens in every block: the patches and the class token, which comes first."""
        return self.patches + 1

    @property
    def patch_values(self) -> int:
        """Values of one flattened patch, in the order (channel, y, x)."""
        return self.channels * self.patch_size**2

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.embed_dim // self.num_heads

    @property
    def mlp_dim(self) -> int:
        """Hidden channels of the MLP."""
        return self.embed_dim * self.mlp_ratio

    @property
    def params(self) -> int:
        """Number of trained values, position embedding and class token included."""
        return sum(math.prod(shape) for shape in parameter_shapes(self).values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image: the linear layers and both attention products, nothing else."""
        dim, tokens = self.embed_dim, self.tokens
        linear = tokens * (4 * dim * dim + 2 * dim * self.mlp_dim)
        attention = 2 * tokens * tokens * dim
        return self.patches * self.patch_values * dim + self.depth * (linear + attention) + dim * self.num_classes


def parameter_shapes(dims: ViTDims) -> dict[str, tuple[int, ...]]:
    """Names (as timm has them) and shapes of the parameters of models.vit.ViT, in the order of its state_dict.

    The patch embedding is a linear layer over flattened patches: (embed_dim, patch_values).
    """
    dim, hidden = dims.embed_dim, dims.mlp_dim
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, dim), "pos_embed": (1, dims.tokens, dim)}

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = (dim,)
        shapes[f"{name}.bias"] = (dim,)

    linear("patch_embed.proj", dim, dims.patch_values)
    for block in range(dims.depth):
        norm(f"blocks.{block}.norm1")
        linear(f"blocks.{block}.attn.qkv", 3 * dim, dim)
        linear(f"blocks.{block}.attn.proj", dim, dim)
        norm(f"blocks.{block}.norm2")
        linear(f"blocks.{block}.mlp.fc1", hidden, dim)
        linear(f"blocks.{block}.mlp.fc2", dim, hidden)
    norm("norm")
    linear("head", dims.num_classes, dim)
    return shapes


_BACKBONES: dict[str, Callable[[], ViTDims]] = {}


def register_backbone(factory: Callable[[], ViTDims]) -> Callable[[], ViTDims]:
    """Register a function that returns ViTDims under the function's own name.

    Raises:
        ValueError: the name is taken.
    """
    name = factory.__name__
    if name in _BACKBONES:
        raise ValueError(
            f"backbone {name!r} is registered twice: in {_BACKBONES[name].__module__} and in {factory.__module__}; "
            "rename one of them"
        )
    _BACKBONES[name] = factory
    return factory


@cache
def _import_backbones() -> None:
    for module in pkgutil.iter_modules(models.backbones.__path__):
        importlib.import_module(f"models.backbones.{module.name}")


def list_backbones() -> list[str]:
    """Names of all backbones, sorted."""
    _import_backbones()
    return sorted(_BACKBONES)


def backbone_dims(name: str, source_name: str | None = None) -> ViTDims:
    """Dimensions of a backbone.

    Args:
        name: Backbone name, such as "deit_s".
        source_name: What the user typed, such as "deit_s_w4a8"; only for the error message.

    Raises:
        ValueError: no backbone has that name.
    """
    known = list_backbones()
    if name not in known:
        where = f" in {source_name!r}" if source_name and source_name != name else ""
        raise ValueError(f"unknown backbone {name!r}{where}; {suggest(name, known)} (make list-models)")
    return _BACKBONES[name]()


def suggest(word: str, known: Sequence[str]) -> str:
    """Second half of an error about an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
