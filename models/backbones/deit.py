# SPDX-License-Identifier: Apache-2.0
"""DeiT (Touvron et al., ICML 2021): 16 x 16 patches of 224 x 224 colour images, 12 blocks, 64 channels a head."""

from models.registry import ViTDims, register_backbone


def _deit(embed_dim: int) -> ViTDims:
    return ViTDims(
        image_size=224,
        channels=3,
        patch_size=16,
        patch_stride=16,
        embed_dim=embed_dim,
        depth=12,
        num_heads=embed_dim // 64,
        mlp_ratio=4,
        num_classes=1000,
    )


@register_backbone
def deit_ti() -> ViTDims:
    """DeiT-Ti: 5.7 M parameters."""
    return _deit(192)


@register_backbone
def deit_s() -> ViTDims:
    """DeiT-S: 22.1 M parameters."""
    return _deit(384)


@register_backbone
def deit_b() -> ViTDims:
    """DeiT-B, the shape of ViT-B/16: 86.6 M parameters."""
    return _deit(768)
