# SPDX-License-Identifier: Apache-2.0
"""Brevitas quantizers: weight rows of mixed schemes, activation codes, and the integers of the integer network.

The weight quantizers go into any Brevitas layer with weights; a row is what makes one output channel (of an embedding:
one entry). The activation quantizer goes wherever Brevitas takes one:

    QuantLinear(64, 256, bias=False, weight_quant=RowSchemeWeightQuant,
                weight_bits=4, weight_scheme="sp2", weight_row_group=4, weight_shift_add_rows=2)
    QuantConv2d(16, 32, 3, weight_quant=RowSchemeWeightQuant, weight_bit_width=3, weight_scheme="pot")
    QuantIdentity(act_quant=CodeActQuant, bits=4, return_quant_tensor=True)
    QuantLinear(64, 256, bias=False, input_quant=CodeActQuant, input_bits=8, input_scale=2**-7)

Layers may be float32, float64 or bfloat16, on any device. Row schemes and scales are chosen when a layer is made. Where
its weights come later (loaded from a float network; attention and recurrent layers, which Brevitas initialises at last;
layers made on "meta"), fit_weights(model) chooses them again.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from brevitas.inject import ExtendedInjector, value
from brevitas.proxy import ActQuantProxyFromInjector, WeightQuantProxyFromInjector
from torch import Tensor, nn

from quant.intmath import int_range
from quant.layers import CodesFn
from quant.schemes import (
    FIXED,
    MAX_BITS,
    MIN_BITS,
    SCHEMES,
    assign_rows,
    integer_bits,
    largest,
    magnitudes,
    nearest,
    scheme_id,
    search_scales,
)

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
SEARCH_VALUES = 100_000  # a search for an activation scale looks at no more values than these


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Type in which tensors of this type are computed with: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def _check_dtype(quantizer: str, dtype: torch.dtype) -> None:
    if dtype not in DTYPES:
        raise ValueError(
            f"{quantizer}: {dtype} tensor, expected float32, float64 or bfloat16"
            + (" (scales fall below the range of float16)" if dtype == torch.float16 else "")
        )


def _one_width(quantizer: str, bits: int | None, bit_width: int | None, default: int) -> int:
    """The width that two keywords of one meaning give."""
    if bits is not None and bit_width is not None and bits != bit_width:
        raise ValueError(f"{quantizer}: bits={bits} contradicts bit_width={bit_width}; they mean the same, give one")
    width = bits if bits is not None else bit_width if bit_width is not None else default
    if isinstance(width, bool) or not isinstance(width, int) or not MIN_BITS <= width <= MAX_BITS:
        raise ValueError(f"{quantizer}: bits={width!r}, expected an integer in {MIN_BITS}..{MAX_BITS}")
    return width


@cache
def _holds(dtype: torch.dtype, scheme: int, bits: int) -> bool:
    """True where a floating-point type has all integers of a scheme; of all three only 8-bit sp2 needs over 8 bits."""
    values = torch.from_numpy(magnitudes(scheme, bits).copy())
    return bool((values.to(dtype).long() == values).all())


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
    magnitude. Finite float32 or float64 values.
    """

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, row_scheme: Tensor, bits: int) -> Tensor:
        table, tops, starts = (torch.from_numpy(values).to(scaled.device) for values in _nearest_tables(bits))
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
        groups: Groups of a transposed convolution, otherwise 1. Its weight (inputs, rows / groups, ...) has the rows of
            all groups under one another: those of group g are in the g-th part of the inputs.
        row_scheme: Scheme id of every row, int8, shape (rows,).
        log_scale: Natural logarithm of the row scales, trained, shape (rows,).
    """

    row_scheme: Tensor

    def __init__(
        self,
        weight: Tensor | list[Tensor],
        bits: int,
        scheme: str,
        row_group: int,
        shift_add_rows: int | None,
        unit_scale: bool,
        search_steps: int = 1,
        row_dim: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.bits = bits
        self.scheme = scheme_id(scheme)
        # all rows of a layer need no groups to be counted in
        self.row_group, self.shift_add_rows = (1, 1) if shift_add_rows is None else (row_group, shift_add_rows)
        self.unit_scale = unit_scale
        self.row_dim = row_dim
        self.groups = groups
        first = weight if isinstance(weight, Tensor) else weight[0]
        rows = first.shape[row_dim] * groups
        self.register_buffer("row_scheme", torch.zeros(rows, dtype=torch.int8, device=first.device))
        self.log_scale = nn.Parameter(torch.zeros(rows, device=first.device))
        if not first.is_meta:
            self.fit(weight, search_steps)

    def fit(self, weight: Tensor | list[Tensor], steps: int = 48, cost: np.ndarray | None = None) -> None:
        """Choose row schemes by cost (None: variance) and row scales by a search over `steps` candidates.

        Args:
            weight: Weight of the layer, or weights of all layers that share the quantizer: of as many rows each.
            steps: Candidates for each scale.
            cost: As in schemes.assign_rows.

        Raises:
            ValueError: a weight is NaN or infinite, of a type other than DTYPES, or of another number of rows.
        """
        values = np.concatenate([self._row_values(w) for w in ([weight] if isinstance(weight, Tensor) else weight)], 1)
        schemes = assign_rows(values, self.scheme, self.row_group, self.shift_add_rows, cost)
        self.row_scheme.copy_(torch.from_numpy(schemes))
        scales = search_scales(values, schemes, self.bits, steps)
        with torch.no_grad():
            self.log_scale.copy_(torch.from_numpy(np.log(scales)))

    def _row_values(self, weight: Tensor) -> np.ndarray:
        """Finite weights as (rows, columns)."""
        self._check(weight)
        rows = self.rows(weight.detach())
        if len(rows) != len(self.row_scheme):
            raise ValueError(
                f"RowSchemeQuant: weight {tuple(weight.shape)} of {len(rows)} rows at a quantizer of "
                f"{len(self.row_scheme)}; layers that share a quantizer have as many rows each"
            )
        values = rows.reshape(len(rows), -1).to("cpu", _wide(weight.dtype)).numpy()
        faults = np.count_nonzero(~np.isfinite(values))
        if faults:
            raise ValueError(
                f"RowSchemeQuant: {faults} of {values.size} weights {tuple(weight.shape)} are NaN or infinite; "
                "load finite weights before schemes and scales are chosen"
            )
        return values

    def rows(self, weight: Tensor) -> Tensor:
        """Weight of the layer's shape -> (rows, ...)."""
        if self.groups == 1:
            return weight.movedim(self.row_dim, 0)
        return weight.unflatten(0, (self.groups, -1)).movedim(2, 1).flatten(0, 1)

    def _from_rows(self, rows: Tensor) -> Tensor:
        """Inverse of rows()."""
        if self.groups == 1:
            return rows.movedim(0, self.row_dim)
        return rows.unflatten(0, (self.groups, -1)).movedim(1, 2).flatten(0, 1)

    def scale(self) -> Tensor:
        """Real value of one integer step of every row, shape (rows,)."""
        return self.log_scale.to(_wide(self.log_scale.dtype)).exp()

    def integers(self, weight: Tensor) -> Tensor:
        """Integers of every weight as a tensor of float32 or float64, differentiable in weight and scale.

        Raises:
            ValueError: a weight or a scale is NaN or infinite, or the weight of a type other than DTYPES.
        """
        self._check(weight)
        wide = _wide(weight.dtype)
        scaled = weight.to(wide) / self._shaped(weight).to(wide)
        # the sum first: ten times as fast, and never finite where a term is not
        if not scaled.is_meta and not scaled.sum().isfinite() and not scaled.isfinite().all():
            raise ValueError(
                f"RowSchemeQuant: {int((~scaled.isfinite()).sum())} of {scaled.numel()} weights {tuple(weight.shape)} "
                "over their row scales are NaN or infinite; load finite weights, or train at a lower learning rate"
            )
        return self._from_rows(NearestInteger.apply(self.rows(scaled), self.row_scheme, self.bits))

    def _check(self, weight: Tensor) -> None:
        _check_dtype("RowSchemeQuant", weight.dtype)
        if not _holds(weight.dtype, self.scheme, self.bits):
            raise ValueError(
                f"RowSchemeQuant: {weight.dtype} does not hold the integers of {self.bits}-bit {SCHEMES[self.scheme]} "
                "weights; use float32"
            )

    def _shaped(self, weight: Tensor) -> Tensor:
        """Row scales in the weight's type, in a shape that broadcasts against it."""
        values = self.scale().to(weight.dtype)
        if self.groups == 1:
            return values.view([-1 if dim == self.row_dim else 1 for dim in range(weight.ndim)])
        per_input = values.view(self.groups, 1, -1).expand(-1, len(weight) // self.groups, -1).flatten(0, 1)
        return per_input.reshape(*per_input.shape, *[1] * (weight.ndim - 2))

    def integer_bits(self) -> int:
        """Width of the signed type that holds the integers of all rows (8 for 4-bit pot)."""
        if self.row_scheme.is_meta:
            present = [self.scheme] * (self.shift_add_rows > 0) + [FIXED] * (self.shift_add_rows < self.row_group)
            return integer_bits(np.array(present), self.bits)
        return integer_bits(self.row_scheme.cpu().numpy(), self.bits)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        integers = self.integers(weight)
        zero, width = weight.new_zeros(()), weight.new_tensor(float(self.integer_bits()))
        if self.unit_scale:
            return integers.to(weight.dtype), weight.new_ones(()), zero, width
        scale = self._shaped(weight)
        return (integers * scale).to(weight.dtype), scale, zero, width


class _NotExported:
    """Of a Brevitas proxy that no exporter of Brevitas may write.

    Attributes:
        export_refusal: Why not, and what to do.
    """

    export_refusal = ""
    _export_mode = False

    @property
    def export_mode(self) -> bool:
        return self._export_mode

    @export_mode.setter
    def export_mode(self, enabled: bool) -> None:
        if enabled:
            raise ValueError(self.export_refusal)


class PlainWeightProxy(_NotExported, WeightQuantProxyFromInjector):
    """Brevitas proxy for layers whose row scales Brevitas cannot pass on: the quantized weight is a plain tensor.

    Those layers are embeddings and transposed convolutions with groups. What needs their scales is refused.
    """

    export_refusal = (
        "RowSchemeWeightQuant: Brevitas exports no row scales of an embedding or of a transposed convolution with "
        "groups; set weight_unit_scale=True, or export the layer's quant_weight()"
    )

    def retrieve_attribute(self, attribute: str) -> Any:
        if not self.is_quant_enabled:
            return None
        _, scale, zero_point, bit_width = self.tensor_quant(self.tracked_parameter_list[0])
        return {"scale": scale, "zero_point": zero_point, "bit_width": bit_width}[attribute]

    def create_quant_tensor(self, qt_args: tuple[Any, ...]) -> Tensor:
        layer = self.tracked_module_list[0]
        embedding = isinstance(layer, nn.Embedding)
        name = type(layer).__name__ + ("" if embedding else f"(groups={layer.groups})")
        if layer.return_quant_tensor and (embedding or not layer.output_quant.is_quant_enabled):
            raise ValueError(
                f"{name}: return_quant_tensor=True, but Brevitas has no tensor for its row scales; take plain tensors"
                f"{'' if embedding else ', quantize the output'} or set weight_unit_scale=True"
            )
        if not embedding and layer.bias is not None and layer.bias_quant.requires_input_scale:
            raise ValueError(
                f"{name}: bias_quant takes its scale from the row scales, which Brevitas cannot pass on here; "
                "leave the bias as it is or set weight_unit_scale=True"
            )
        return qt_args[0]


def row_scheme_proxy(layer: Any, injector: Any) -> WeightQuantProxyFromInjector:
    """Proxy of a layer with RowSchemeWeightQuant: Brevitas' own wherever it can pass the row scales on."""
    plain = isinstance(layer, nn.Embedding) or (layer.output_channel_dim and layer.groups > 1)
    return (PlainWeightProxy if plain and not injector.unit_scale else WeightQuantProxyFromInjector)(layer, injector)


class RowSchemeWeightQuant(ExtendedInjector):
    """Weight quantizer with a scale and a scheme per output row.

    Keys: bits 2..8, or Brevitas' bit_width (4 without either); scheme "fixed", "pot" or "sp2"; shift_add_rows of every
    row_group rows follow it, the others are fixed (without shift_add_rows: all rows follow it, of any number);
    unit_scale hands out the integers themselves, for layers that work on integer codes; search_steps scales are
    tried for each row when the layer is made (1: the largest weight meets the largest magnitude). Scales are learned;
    `layer.weight_quant.tensor_quant` has them, and its fit() searches again, as fit_weights() does for a whole model.
    """

    proxy_class = row_scheme_proxy
    signed = True
    narrow_range = False
    float_to_int_impl_type = "ROUND"
    bits = None
    bit_width = None
    scheme = "fixed"
    row_group = 4
    shift_add_rows = None
    unit_scale = False
    search_steps = 1

    @value
    def tensor_quant(
        module: Any,  # noqa: N805, an injector passes what its arguments name
        tracked_parameter_list: list[Tensor],
        bits: int | None,
        bit_width: int | None,
        scheme: str,
        row_group: int,
        shift_add_rows: int | None,
        unit_scale: bool,
        search_steps: int,
    ) -> nn.Module:
        layer = module[0] if isinstance(module, tuple) else module  # a tuple where layers share a quantizer
        row_dim = layer.output_channel_dim
        return RowSchemeQuant(
            tracked_parameter_list,
            _one_width("RowSchemeWeightQuant", bits, bit_width, 4),
            scheme,
            row_group,
            shift_add_rows,
            unit_scale,
            search_steps=search_steps,
            row_dim=row_dim,
            groups=layer.groups if row_dim else 1,
        )


def fit_weights(model: nn.Module, steps: int = 48) -> None:
    """Choose row schemes and scales of all layers with RowSchemeWeightQuant again, by their present weights."""
    for proxy in model.modules():
        if isinstance(proxy, WeightQuantProxyFromInjector) and isinstance(proxy.tensor_quant, RowSchemeQuant):
            proxy.tensor_quant.fit(proxy.tracked_parameter_list, steps)


class IntegerQuant(nn.Module):
    """Weights that are integers already: scale 1, nothing to round."""

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.bit_width = bit_width

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return weight, weight.new_ones(()), weight.new_zeros(()), weight.new_tensor(float(self.bit_width))


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


def search_scale(values: Tensor, peak: float, limits: tuple[int, int], steps: int) -> float:
    """Scale of least squared rounding and clipping error of activations.

    Args:
        values: Real values, shape (values,); at most 100,000 of them are looked at, evenly spaced.
        peak: The first candidate lets this value meet the largest code.
        limits: Smallest and largest code.
        steps: Candidates; 1 takes the first.
    """
    low, top = limits
    values = values[:: max(1, len(values) // SEARCH_VALUES)]
    best, least = peak / top, math.inf
    for factor in np.linspace(1.0, 0.2, steps).tolist() if steps > 1 else []:
        scale = peak * factor / top
        error = float(((values / scale).round().clamp(low, top) * scale - values).square().sum())
        if error < least:
            best, least = scale, error
    return best


class CodeQuant(nn.Module):
    """Real activations -> (codes times scale, scale, zero point 0, bit width), as Brevitas expects.

    Codes are those of the integer graph (docs/integers.md): clip(x / scale), ties toward +infinity, one scale for all.

    Attributes:
        base: Scale as given or found by calibration; 0 as long as there is none.
        batches: Calibration batches seen; -1 once calibration is over.
        log_gain: Natural logarithm of the scale over base: what is learned.
        collect_stats_steps, observer_only, init_scale: What Brevitas' calibration_mode sets and calls: batches of a
            calibration, whether values are passed on as they are, and the end of a calibration.
    """

    base: Tensor
    batches: Tensor

    def __init__(
        self, bits: int, signed: bool, scale: float | None, learn_scale: bool, collect_stats_steps: int, steps: int
    ) -> None:
        super().__init__()
        if scale is not None and not 0.0 < float(scale) < math.inf:
            raise ValueError(f"CodeActQuant: scale={float(scale)}, expected a finite number above zero")
        self.bits, self.signed, self.search_steps = bits, signed, steps
        self.collect_stats_steps = collect_stats_steps
        self.observer_only = False
        self.register_buffer("base", torch.tensor(0.0 if scale is None else float(scale)))
        self.register_buffer("batches", torch.tensor(0 if scale is None else -1))
        self.log_gain = nn.Parameter(torch.tensor(0.0), requires_grad=learn_scale)
        self._seen = 0  # batches, to be read without waiting for a device; -1 is for good

    def scale(self) -> Tensor:
        """Real value of one code, scalar tensor."""
        wide = _wide(self.base.dtype)
        return self.base.to(wide) * self.log_gain.to(wide).exp()

    def fit(self, values: Tensor, steps: int = 48) -> None:
        """Take the scale of least squared error on real values of any shape, out of `steps` candidates."""
        self._set(self._search(values, steps), -1)

    def init_scale(self) -> None:
        """End a calibration that has seen a batch."""
        if self._batches() > 0:
            self._set(float(self.base), -1)

    def codes(self, x: Tensor) -> Tensor:
        """Codes of real values, of their shape and type, differentiable in them and in the scale."""
        return CodesFn.apply(x, self.scale().to(x.device, x.dtype), self.bits, self.signed)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        _check_dtype("CodeActQuant", x.dtype)
        if not x.is_meta and not self.base.is_meta:
            seen = self._batches()
            if self.training and seen >= 0 and x.ndim:  # Brevitas asks for scales with a scalar
                found, seen = self._search(x, self.search_steps), seen + 1
                mean = float(self.base) + (found - float(self.base)) / seen
                self._set(mean, seen if seen < self.collect_stats_steps else -1)
            elif seen == 0:
                raise ValueError(
                    "CodeActQuant: no scale yet; run a batch in training mode or in Brevitas' calibration_mode, "
                    "call fit(values) of the quantizer, or give scale="
                )
        scale = self.scale().to(x.device, x.dtype)
        value = x if self.observer_only else self.codes(x) * scale
        return value, scale, x.new_zeros(()), x.new_tensor(float(self.bits))

    def _search(self, values: Tensor, steps: int) -> float:
        flat = values.detach().flatten().to(_wide(values.dtype))
        if not flat.isfinite().all():
            raise ValueError(
                f"CodeActQuant: {int((~flat.isfinite()).sum())} of {len(flat)} activations are NaN or infinite; "
                "calibrate on finite ones"
            )
        peak = float(flat.abs().max() if self.signed else flat.max()) if len(flat) else 0.0
        return search_scale(flat, peak if peak > 0.0 else 1.0, int_range(self.bits, self.signed), steps)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._seen = 0

    def _batches(self) -> int:
        if self._seen >= 0:
            self._seen = int(self.batches)
        return self._seen

    def _set(self, scale: float, batches: int) -> None:
        self.base.fill_(scale)
        self.batches.fill_(batches)
        with torch.no_grad():
            self.log_gain.zero_()
        self._seen = batches


class CodeActProxy(_NotExported, ActQuantProxyFromInjector):
    """Brevitas proxy of CodeActQuant."""

    export_refusal = (
        "CodeActQuant: ties go toward +infinity, which no rounding mode of a QONNX Quant node does; export the integer "
        "network (quant.export), whose Requant nodes do"
    )


class CodeActQuant(ExtendedInjector):
    """Activation quantizer with the codes of the integer graph: one scale, zero point 0, ties toward +infinity.

    Keys: bits 2..8, or Brevitas' bit_width (8 without either); signed (two's complement, otherwise 0 .. 2**bits - 1);
    scale, or without it the mean of those that a search over search_steps candidates finds on the first
    collect_stats_steps batches in training mode, or on all batches in Brevitas' calibration_mode; learn_scale, whether
    the scale is a trained parameter from then on. `act_quant.fused_activation_quant_proxy.tensor_quant` has it.
    """

    proxy_class = CodeActProxy
    signed = True
    narrow_range = False
    bits = None
    bit_width = None
    scale = None
    learn_scale = True
    collect_stats_steps = 1
    search_steps = 48

    @value
    def tensor_quant(
        bits: int | None,  # noqa: N805
        bit_width: int | None,
        signed: bool,
        narrow_range: bool,
        scale: float | None,
        learn_scale: bool,
        collect_stats_steps: int,
        search_steps: int,
    ) -> nn.Module:
        if narrow_range:
            raise ValueError("CodeActQuant: narrow_range=True, but codes use all of their range; leave it out")
        width = _one_width("CodeActQuant", bits, bit_width, 8)
        return CodeQuant(width, signed, scale, learn_scale, collect_stats_steps, search_steps)
