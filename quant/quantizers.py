# SPDX-License-Identifier: Apache-2.0
"""Brevitas weight quantizers: rows of mixed schemes for training, and integers as they are for the integer network.

Both go into any Brevitas layer with weights; a row is what makes one output channel:

    QuantLinear(64, 256, bias=False, weight_quant=RowSchemeWeightQuant,
                weight_bits=4, weight_scheme="sp2", weight_row_group=4, weight_shift_add_rows=2)
    QuantConv2d(16, 32, 3, weight_quant=RowSchemeWeightQuant, weight_bits=3, weight_scheme="pot", ...)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from brevitas.inject import ExtendedInjector, value
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor, nn

from quant.schemes import SCHEMES, assign_rows, integer_bits, largest, nearest, scheme_id, search_scales


@cache
def _nearest_tables(bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One table of the nearest magnitudes of all schemes, and each scheme's largest magnitude and first entry.

    Borders between magnitudes are multiples of 1/2, so ceil(2 * |value|) is all that the nearest one depends on.

    Returns:
        (magnitudes, largest magnitude by scheme id, first entry by scheme id), all float32.
    """
    tops = [largest(scheme, bits) for scheme in range(len(SCHEMES))]
    parts = [nearest(np.arange(2 * top + 1) / 2, scheme, bits) for scheme, top in enumerate(tops)]
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return np.concatenate(parts).astype(np.float32), np.array(tops, dtype=np.float32), starts.astype(np.float32)


class NearestInteger(torch.autograd.Function):
    """Weights over their row scale (rows, ...) -> nearest integer of each row's scheme.

    Straight-through gradients where nothing saturates. The same rounding as schemes.nearest: ties go to the smaller
    magnitude.
    """

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, row_scheme: Tensor, bits: int) -> Tensor:
        table, tops, starts = (torch.from_numpy(values) for values in _nearest_tables(bits))
        shape = (-1, *[1] * (scaled.ndim - 1))
        top, start = tops[row_scheme.long()].view(shape), starts[row_scheme.long()].view(shape)
        magnitude = scaled.abs()
        inside = magnitude <= top
        index = torch.minimum(magnitude, top).mul_(2.0).ceil_().add_(start).to(torch.int32)
        out = torch.copysign(table.index_select(0, index.flatten()).view(index.shape), scaled)
        ctx.save_for_backward(inside)
        return out + 0.0  # no negative zeros

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None


class RowSchemeQuant(nn.Module):
    """Weight -> (quantized weight, scale, zero point, bit width), as Brevitas expects.

    Attributes:
        row_dim: Dimension of the weight that counts its rows.
        row_scheme: Scheme id of every row, int8, shape (rows,).
        log_scale: Natural logarithm of the row scales, trained, shape (rows,).
    """

    row_scheme: Tensor

    def __init__(
        self,
        weight: Tensor,
        bits: int,
        scheme: str,
        row_group: int,
        shift_add_rows: int,
        unit_scale: bool,
        search_steps: int = 1,
        row_dim: int = 0,
    ) -> None:
        super().__init__()
        self.bits = bits
        self.scheme = scheme_id(scheme)
        self.row_group = row_group
        self.shift_add_rows = shift_add_rows
        self.unit_scale = unit_scale
        self.row_dim = row_dim
        rows = weight.shape[row_dim]
        self.register_buffer("row_scheme", torch.zeros(rows, dtype=torch.int8))
        self.log_scale = nn.Parameter(torch.zeros(rows))
        self.fit(weight, search_steps)

    def fit(self, weight: Tensor, steps: int = 48, cost: np.ndarray | None = None) -> None:
        """Choose row schemes by cost (None: variance) and row scales by a search over `steps` candidates."""
        values = weight.detach().movedim(self.row_dim, 0).flatten(1).numpy()
        schemes = assign_rows(values, self.scheme, self.row_group, self.shift_add_rows, cost)
        self.row_scheme.copy_(torch.from_numpy(schemes))
        scales = search_scales(values, schemes, self.bits, steps)
        with torch.no_grad():
            self.log_scale.copy_(torch.from_numpy(np.log(scales)))

    def scale(self) -> Tensor:
        """Real value of one integer step of every row, shape (rows,)."""
        return self.log_scale.exp()

    def integers(self, weight: Tensor) -> Tensor:
        """Integers of every weight as a float tensor, differentiable in weight and scale."""
        scaled = (weight / self._shaped(self.scale(), weight)).movedim(self.row_dim, 0)
        return NearestInteger.apply(scaled, self.row_scheme, self.bits).movedim(0, self.row_dim)

    def _shaped(self, values: Tensor, weight: Tensor) -> Tensor:
        """One value a row, in a shape that broadcasts against the weight."""
        return values.view([-1 if dim == self.row_dim else 1 for dim in range(weight.ndim)])

    def integer_bits(self) -> int:
        """Width of the signed type that holds the integers of all rows (8 for 4-bit pot)."""
        return integer_bits(self.row_scheme.numpy(), self.bits)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        integers = self.integers(weight)
        zero, width = torch.tensor(0.0), torch.tensor(float(self.integer_bits()))
        if self.unit_scale:
            return integers, torch.tensor(1.0), zero, width
        scale = self._shaped(self.scale(), weight)
        return integers * scale, scale, zero, width


class RowSchemeWeightQuant(ExtendedInjector):
    """Weight quantizer with a scale and a scheme per output row.

    Keys: bits 2..8; scheme "fixed", "pot" or "sp2"; shift_add_rows of every row_group rows follow it, the others are
    fixed; unit_scale hands out the integers themselves, for layers that work on integer codes; search_steps scales are
    tried for each row when the layer is made (1: the largest weight meets the largest magnitude). Scales are learned;
    `layer.weight_quant.tensor_quant` has them, and its fit() searches again after float weights were loaded.
    """

    proxy_class = WeightQuantProxyFromInjector
    signed = True
    narrow_range = False
    float_to_int_impl_type = "ROUND"
    bits = 4
    scheme = "fixed"
    row_group = 4
    shift_add_rows = 0
    unit_scale = False
    search_steps = 1

    @value
    def tensor_quant(
        module: Any,  # noqa: N805, an injector passes what its arguments name
        tracked_parameter_list: list[Tensor],
        bits: int,
        scheme: str,
        row_group: int,
        shift_add_rows: int,
        unit_scale: bool,
        search_steps: int,
    ) -> nn.Module:
        layer = module[0] if isinstance(module, tuple) else module  # a tuple where layers share a quantizer
        weight, row_dim = tracked_parameter_list[0], layer.output_channel_dim
        return RowSchemeQuant(
            weight, bits, scheme, row_group, shift_add_rows, unit_scale, search_steps=search_steps, row_dim=row_dim
        )


class IntegerQuant(nn.Module):
    """Weights that are integers already: scale 1, nothing to round."""

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.bit_width = bit_width

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return weight, torch.tensor(1.0), torch.tensor(0.0), torch.tensor(float(self.bit_width))


class IntegerWeightQuant(ExtendedInjector):
    """Weight quantizer of the integer network. Key: bit_width of the signed type that holds the integers."""

    proxy_class = WeightQuantProxyFromInjector
    signed = True
    narrow_range = False
    float_to_int_impl_type = "ROUND"
    bit_width = 8

    @value
    def tensor_quant(bit_width: int) -> nn.Module:  # noqa: N805
        return IntegerQuant(bit_width)
