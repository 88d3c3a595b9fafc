# SPDX-License-Identifier: Apache-2.0
"""The whole network written with golden models only, as the design describes it."""

import numpy as np
import pytest

from sim.golden.add import add
from sim.golden.embed import embed
from sim.golden.layernorm import layernorm
from sim.golden.lookup import lookup
from sim.golden.matmul import matmul_pv, matmul_qk
from sim.golden.mvu import mvu
from sim.golden.requant import requant
from sim.golden.softmax import softmax
from sim.golden.swu import swu


def _forward(constants, dims, bits, image, probability_widths=None):
    """The integer graph of the design, written with golden models only."""

    def rescale(x, edge, out_bits):
        mult, bias, shift = (constants[f"{edge}.{name}"] for name in ("mult", "bias", "shift"))
        return requant(x, mult, bias.reshape(-1), int(shift), out_bits)  # heads beside each other, if it has any

    def linear(x, name, out_bits, edge=None):
        return rescale(mvu(x, constants[f"{name}.weight"].astype(np.int64)), edge or name, out_bits)

    res, act, heads = bits.residual, bits.activation, dims.num_heads
    x = linear(swu(image, dims.patch_size, dims.patch_stride), "patch_embed.proj", res)
    x = embed(x, constants["embed.content"], res)
    for b in (f"blocks.{i}" for i in range(dims.depth)):
        q, k, v = np.split(linear(rescale(layernorm(x), f"{b}.norm1", act), f"{b}.attn.qkv", act), 3, axis=-1)
        scores = rescale(matmul_qk(q, k, heads), f"{b}.attn.scores", 8)
        widths = (probability_widths or {}).get(b, ())
        p = softmax(scores, constants[f"{b}.attn.probabilities.table"], dims.tokens, *widths)
        mixed = rescale(matmul_pv(p, v, heads), f"{b}.attn.mix", act)
        x = add(linear(mixed, f"{b}.attn.proj", res), x, res)
        hidden = linear(rescale(layernorm(x), f"{b}.norm2", act), f"{b}.mlp.fc1", act)
        hidden = lookup(hidden, constants[f"{b}.mlp.gelu.table"])
        x = add(linear(hidden, f"{b}.mlp.fc2", res), x, res)
    return linear(rescale(layernorm(x[..., 0, :]), "norm", act), "head", bits.logits, "logits")


@pytest.fixture(scope="session")
def golden_forward():
    """Function (constants, dims, bits, image codes (B, H, W, C)[, Formats.probabilities]) -> logits (B, classes)."""
    return _forward
