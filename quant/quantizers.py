# SPDX-License-Identifier: Apache-2.0
"""Brevitas weight quantizers: rows of mixed schemes for training, and integers as they are for the integer network.

Both go into any Brevitas layer with two-dimensional weights:

    QuantLinear(64, 256, bias=False, weight_quant=RowSchemeWeightQuant,
                weight_bits=4, weight_scheme="sp2", weight_row_group=4, weight_shift_add_rows=2)
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
    """Weights over their row scale -> nearest integer of each row's scheme; straight-through where nothing saturates.

    The same rounding as schemes.nearest: ties go to the smaller magnitude.
    """

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, row_scheme: Tensor, bits: int) -> Tensor:
        table, tops, starts = (torch.from_numpy(values) for values in _nearest_tables(bits))
        top, start = tops[row_scheme.long()][:, None], starts[row_scheme.long()][:, None]
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
    """Weight (rows, columns) -> (quantized weight, scale, zero point, bit width), as Brevitas expects.

    Attributes:
        row_scheme: Scheme id of every row, int8, shape (rows,).
        log_scale: Natural logarithm of the row scales, trained, shape (rows,).
    """

    row_scheme: Tensor

    def __init__(
        self, weight: Tensor, bits: int, scheme: str, row_group: int, shift_add_rows: int, unit_scale: bool
    ) -> None:
        super().__init__()
        self.bits = bits
        self.scheme = scheme_id(scheme)
        self.row_group = row_group
        self.shift_add_rows = shift_add_rows
        self.unit_scale = unit_scale
        self.register_buffer("row_scheme", torch.zeros(weight.shape[0], dtype=torch.int8))
        self.log_scale = nn.Parameter(torch.zeros(weight.shape[0]))
        self.fit(weight, steps=1)

    def fit(self, weight: Tensor, steps: int = 48, cost: np.ndarray | None = None) -> None:
        """Choose row schemes by cost (None: variance) and row scales by a search over `steps` candidates."""
        values = weight.detach().flatten(1).numpy()
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
        return NearestInteger.apply(weight / self.scale()[:, None], self.row_scheme, self.bits)

    def integer_bits(self) -> int:
        """Width of the signed type that holds the integers of all rows (8 for 4-bit pot)."""
        return integer_bits(self.row_scheme.numpy(), self.bits)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        integers = self.integers(weight)
        zero, width = torch.tensor(0.0), torch.tensor(float(self.integer_bits()))
        if self.unit_scale:
            return integers, torch.tensor(1.0), zero, width
        scale = self.scale()[:, None]
        return integers * scale, scale, zero, width


class RowSchemeWeightQuant(ExtendedInjector):
    """Weight quantizer with a scale and a scheme per output row.

    Keys: bits 2..8; scheme "fixed", "pot" or "sp2"; shift_add_rows of every row_group rows follow it, the others are
    fixed; unit_scale hands out the integers themselves, for layers that work on integer codes.
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

    @value
    def tensor_quant(
        tracked_parameter_list: list[Tensor],  # noqa: N805, an injector passes what its arguments name
        bits: int,
        scheme: str,
        row_group: int,
        shift_add_rows: int,
        unit_scale: bool,
    ) -> nn.Module:
        return RowSchemeQuant(tracked_parameter_list[0], bits, scheme, row_group, shift_add_rows, unit_scale)


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
