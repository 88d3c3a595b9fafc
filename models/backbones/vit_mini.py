# SPDX-License-Identifier: Apache-2.0
"""vit_mini: the small ViT for Fashion-MNIST that fits an ECP5-85."""

from models.registry import ViTDims, register_backbone


@register_backbone
def vit_mini() -> ViTDims:
    """28 x 28 grey images, patches 10 x 10 at stride 6: 16 overlapping patches and the class token."""
    return ViTDims(
        image_size=28,
        channels=1,
        patch_size=10,
        patch_stride=6,
        embed_dim=96,
        depth=2,
        num_heads=3,
        mlp_ratio=4,
        num_classes=10,
    )
