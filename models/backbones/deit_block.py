# SPDX-License-Identifier: Apache-2.0
"""One encoder block of DeiT-S between its patch embedding and its head: full width and tokens, little to simulate."""

from dataclasses import replace

from models.backbones.deit import deit_s
from models.registry import ViTDims, register_backbone


@register_backbone
def deit_s_block() -> ViTDims:
    """DeiT-S with one of its 12 blocks: 197 tokens, 384 channels, 6 heads, 1536 hidden channels."""
    return replace(deit_s(), depth=1)
