# SPDX-License-Identifier: Apache-2.0
"""Quantizers, losses and choices of post-training quantization: what a calibration searches, and how it judges.

    plain       one uniform range a tensor
    liu         similarity of outputs, ranking of attention scores, bits per layer by nuclear norm and a budget
                (Liu et al., Post-Training Quantization for Vision Transformer, NeurIPS 2021; survey reference 47)
    ptq4vit     twin uniform ranges (survey Eq. 23), losses weighted by squared gradients
                (Yuan et al., PTQ4ViT, ECCV 2022; survey reference 79)
    apqvit      the scale of the probabilities keeps the largest one (survey Eq. 24-25), losses at block outputs without
                their smallest terms (Ding et al., Towards Accurate Post-Training Quantization for Vision Transformer,
                MM 2022; survey reference 15)
    noisyquant  a fixed bias of noise before an activation is rounded, taken off behind the product
                (Liu et al., NoisyQuant, CVPR 2023; survey reference 43)

Quantizers work on numpy arrays and on torch tensors alike: they only use operators and methods that both have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.golden.softmax import MAX_FRACTION_BITS

MAX_OPERAND_BITS = 12  # widest operand of a matrix product that calibration hands to the integer units


class IntegerFormError(ValueError):
    """A quantizer that no integer unit computes."""


@dataclass(frozen=True)
class Uniform:
    """One range of equal steps.

    Attributes:
        scale: Real value of a step.
        bits: Width of a code.
        signed: Codes are -2**(bits-1) .. 2**(bits-1) - 1, otherwise 0 .. 2**bits - 1.
    """

    scale: float
    bits: int
    signed: bool = True

    def codes(self, x: Any) -> Any:
        """Integers (as floats), half_even, saturated."""
        low, high = (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)
        return (x / self.scale).round().clip(low, high)

    def __call__(self, x: Any) -> Any:
        """Real values of the codes."""
        return self.codes(x) * self.scale


@dataclass(frozen=True)
class Twin:
    """Two ranges of 2**(bits-1) codes each (Eq. 23); the steps of the second are 2**shift times those of the first.

    Unsigned (probabilities): the first range holds what its codes reach, the second all that is larger.
    Signed (behind GELU): the first range holds the negative values, the second the others.

    Attributes:
        scale: Real value of a step of the first range.
        bits: Bits of a code, one of which names the range.
        shift: m; both ranges are integers of one scale, the second's are multiples of 2**m.
        signed: Which of the two forms.
    """

    scale: float
    bits: int
    shift: int
    signed: bool = False

    @property
    def value_bits(self) -> int:
        """Width of the integers that codes() returns: what a multiplier takes."""
        return self.bits + self.shift - (0 if self.signed else 1)

    def codes(self, x: Any) -> Any:
        """Integers in steps of the first range."""
        top = 2 ** (self.bits - 1) - 1
        fine, step = (x / self.scale).round(), 2.0**self.shift
        coarse = (x / (self.scale * step)).round().clip(0, top) * step
        second = fine >= 0 if self.signed else fine > top
        return fine.clip(-top, top) * ~second + coarse * second

    def __call__(self, x: Any) -> Any:
        """Real values of the codes."""
        return self.codes(x) * self.scale


@dataclass(frozen=True)
class Noisy:
    """NoisyQuant: q(x + noise) - noise; the part behind the minus goes into the bias of the product that follows.

    Attributes:
        inner: Quantizer.
        noise: Fixed values that broadcast against x, one a channel.
    """

    inner: Any
    noise: Any

    def __call__(self, x: Any) -> Any:
        """Real values that the following product sees in the end."""
        return self.inner(x + self.noise) - self.noise


def uniform_noise(channels: int, amplitude: float, seed: int) -> np.ndarray:
    """Noise of NoisyQuant: uniform in [-amplitude, amplitude), float64, shape (channels,)."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, channels) * amplitude


def matthew_scale(largest: float, bits: int) -> float:
    """Scale at which the largest probability gets the largest code (Eq. 24)."""
    return largest / (2**bits - 1)


def matthew_fraction_bits(largest: float, bits: int) -> int:
    """Fraction bits of the finest power-of-two scale at which the largest probability saturates by at most one step.

    The integer form of Eq. 24: the softmax unit scales by powers of two. 1.0 at 8 bits gives 8 (code 255 for 256).
    """
    return min(max(math.floor(math.log2(2**bits / largest)), bits), MAX_FRACTION_BITS)


def probability_widths(quantizer: Uniform | Twin) -> tuple[int, int, int]:
    """Widths (out_bits, fraction_bits, twin_shift) at which the softmax unit computes this quantizer.

    Raises:
        IntegerFormError: its steps are no power of two, or finer or wider than the unit's.
    """
    fraction = -math.log2(quantizer.scale)
    twin = isinstance(quantizer, Twin)
    out_bits = quantizer.value_bits if isinstance(quantizer, Twin) else quantizer.bits
    shift = quantizer.shift if isinstance(quantizer, Twin) else 0
    if not fraction.is_integer():
        raise IntegerFormError(
            f"probabilities in steps of {quantizer.scale:.6g}: the softmax unit multiplies by a reciprocal and shifts, "
            "so that its steps are powers of two (set integer_forms: true in the recipe)"
        )
    if not out_bits <= fraction <= MAX_FRACTION_BITS:
        raise IntegerFormError(
            f"probabilities of {out_bits} bits in steps of 2**-{int(fraction)}{' (twin ranges)' if twin else ''}: the "
            f"softmax unit has {out_bits}..{MAX_FRACTION_BITS} fraction bits here, its exponential table has no more "
            "(set integer_forms: true in the recipe)"
        )
    return out_bits, int(fraction), shift


# ---------------------------------------------------------------------------------------------------- losses


def correlation(x: Any, reference: Any, axis: int | None = None) -> Any:
    """Pearson's correlation of two arrays, over all elements or along an axis (liu: similarity of outputs)."""
    if axis is None:
        x, reference, axis = x.reshape(-1), reference.reshape(-1), 0
    a, b = x - x.mean(axis, keepdims=True), reference - reference.mean(axis, keepdims=True)
    return (a * b).sum(axis) / ((a * a).sum(axis) * (b * b).sum(axis) + 1e-30) ** 0.5


def ranking_loss(scores: Any, reference: Any, margin: float = 0.0) -> Any:
    """Mean hinge loss over pairs of neighbours in the reference's order that quantization turns round (liu).

    Args:
        scores: Attention scores of the quantized network, shape (..., keys).
        reference: Those of the float network, same shape.
        margin: Difference below which a pair in the right order still counts.
    """
    order = reference.argsort(-1)
    take = getattr(scores, "take_along_dim", None)  # torch has it as a method, numpy as a function
    ordered = take(order, -1) if take else np.take_along_axis(scores, order, -1)
    gap = ordered[..., 1:] - ordered[..., :-1]
    return (margin - gap).clip(0, None).mean()


def keep_largest(error: Any, share: float) -> Any:
    """Sum of the largest `share` of all terms, the smaller ones count nothing (apqvit: bottom elimination)."""
    flat = error.reshape(-1)
    count = max(1, math.ceil(len(flat) * share))
    return flat[flat.argsort()[len(flat) - count :]].sum()


# ---------------------------------------------------------------------------------------------------- mixed precision


def nuclear_norm(matrix: np.ndarray) -> float:
    """Sum of the singular values (liu: how much a layer's output can carry, and so lose)."""
    return float(np.linalg.svd(np.asarray(matrix, dtype=np.float64), compute_uv=False).sum())


def assign_bits(
    losses: Mapping[str, Mapping[int, float]], weights: Mapping[str, int], budget_bits: int
) -> dict[str, int]:
    """Bits of every layer: least sum of losses with at most budget_bits bits of weights in all (exact).

    Args:
        losses: Layer -> candidate bits -> loss.
        weights: Layer -> number of weights.
        budget_bits: Bits of all weights together.

    Raises:
        ValueError: not even the fewest bits everywhere keep to the budget.
    """
    unit = math.gcd(*weights.values())
    limit = budget_bits // unit
    # spent units -> least loss and its choice
    found: dict[int, tuple[float, dict[str, int]]] = {0: (0.0, {})}
    for layer, candidates in losses.items():
        grown: dict[int, tuple[float, dict[str, int]]] = {}
        for spent, (loss, chosen) in found.items():
            for bits, more in candidates.items():
                total = spent + bits * (weights[layer] // unit)
                if total <= limit and (total not in grown or loss + more < grown[total][0]):
                    grown[total] = (loss + more, chosen | {layer: bits})
        found = grown
    if not found:
        raise ValueError(f"assign_bits: {budget_bits} bits do not hold all layers at their fewest bits")
    return min(found.values(), key=lambda item: item[0])[1]
