# SPDX-License-Identifier: Apache-2.0
"""Torch forms of the integer ops. Tensors are float32 and hold integer codes; forward equals sim.golden bit for bit.

Backward is that of the real function an op stands for, straight through rounding and zero where codes saturate. Real
scales enter as factor = real value of an accumulator step over that of an output step, so that gradients with respect
to scales follow from the chain rule. Each Function's `symbolic` writes the op of quant.qonnx_ops when exported; its
last argument but the real ones is `edge`, the name of the output tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantLinear
from torch import Tensor, nn
from torch.nn import functional

from quant.intmath import FLOAT64_EXACT, half_even, int_range, quantize_multiplier
from sim.golden.layernorm import TABLE_LOW, Z_BITS, Z_FRAC, rsqrt_table
from sim.golden.lookup import gelu_table
from sim.golden.softmax import EXP_BITS, FRACTION_BITS, OUT_BITS, RECIP_BITS, check_widths, exp_table

DOMAIN = "quant.qonnx_ops"
FLOAT32_EXACT = 2**24  # float32 holds every integer up to this magnitude
BIAS_FRACTION = 8  # binary places of a requantization's offset in codes, see Requant.set_real
PIECE_VALUES = 2**15  # elementwise passes over pieces of this size stay in the cache: a third of the time


def _op(graph: Any, name: str, inputs: list[Any], shape: list[int] | None = None, **attributes: Any) -> Any:
    """Write one node of our domain; its output has the shape of the first input unless given."""
    out = graph.op(f"{DOMAIN}::{name}", *inputs, **attributes)
    kind = inputs[0].type().with_dtype(torch.float32)
    out.setType(kind if shape is None else kind.with_sizes(shape))
    return out


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """table[index] for an int32 index of any shape, six times as fast."""
    return table.index_select(0, index.flatten()).view(index.shape)


def _pieces(width: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Contiguous tensors of one shape as pieces (rows, width) that fit in the cache; views, so they can be written."""
    rows = max(1, PIECE_VALUES // width)
    return zip(*(tensor.view(-1, width).split(rows) for tensor in tensors), strict=True)


def _saturate(raised: Tensor, limits: tuple[int, int], codes: Tensor, saturated: Tensor) -> None:
    """Write the codes of real values, and where they saturate: half_up_inf, then limits.

    Args:
        raised: Real values in code units plus 1/2, float64; overwritten.
        limits: Smallest and largest code.
        codes: Where the codes go, float32.
        saturated: Where it goes which values were outside the limits, bool.
    """
    rounded = raised.floor_().float()  # exact where it does not saturate
    torch.clamp(rounded, *limits, out=codes)
    torch.ne(rounded, codes, out=saturated)


class SlidingWindowFn(torch.autograd.Function):
    """Pixel codes (B, H, W, C) -> patches (B, patches, C * kernel**2), elements in (channel, ky, kx) order."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: int, stride: int, edge: str) -> Tensor:
        windows = image.permute(0, 3, 1, 2).unfold(2, kernel, stride).unfold(3, kernel, stride)
        # no products of sizes: with kernel 1 they stop the exporter
        return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

    @staticmethod
    def symbolic(g: Any, image: Any, kernel: int, stride: int, edge: str) -> Any:
        batch, height, width, channels = image.type().sizes()
        patches = ((height - kernel) // stride + 1) * ((width - kernel) // stride + 1)
        shape = [batch, patches, channels * kernel * kernel]
        return _op(g, "SlidingWindow", [image], shape, kernel_i=kernel, stride_i=stride, edge_s=edge)


class RequantFn(torch.autograd.Function):
    """y = clip((acc * M + B + 2**(shift-1)) >> shift); backward of clip(acc * factor + offset)."""

    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        mult: Tensor,
        bias: Tensor,
        shift: int,
        out_bits: int,
        signed: bool,
        edge: str,
        factor: Tensor | None,
        offset: Tensor | None,
    ) -> Tensor:
        step = 2.0**-shift  # a power of two: the products below stay exact
        scale, start = mult * step, (bias + 2.0 ** (shift - 1)) * step
        if bias.dim() > 1:
            start = start.expand(acc.shape[-bias.dim() :]).flatten()
        limits = int_range(out_bits, signed)
        acc = acc.contiguous()
        out = torch.empty(acc.shape)
        saturated = torch.empty(acc.shape, dtype=torch.bool)
        for piece, codes, mask in _pieces(start.numel(), acc, out, saturated):
            # a copy also of float64, which backward needs as it is
            _saturate(piece.to(torch.float64, copy=True).mul_(scale).add_(start), limits, codes, mask)
        if factor is not None:
            ctx.save_for_backward(acc, saturated, factor, offset)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        acc, saturated, factor, offset = ctx.saved_tensors
        slope = factor.float()
        grad_acc = torch.empty(acc.shape, dtype=acc.dtype)
        grad_factor, grad_offset = torch.zeros_like(factor), torch.zeros_like(offset)
        for piece, grad, mask, out in _pieces(factor.numel(), acc, grads[0].contiguous(), saturated, grad_acc):
            inside = grad.masked_fill(mask, 0.0)
            torch.mul(inside, slope, out=out)
            if offset.dim() == 1:
                grad_offset += inside.sum(dim=0)
            grad_factor += inside.mul_(piece).sum(dim=0)
        if offset.dim() > 1:
            grad_offset += grads[0].masked_fill(saturated, 0.0).sum_to_size(offset.shape)
        return grad_acc, None, None, None, None, None, None, grad_factor, grad_offset

    @staticmethod
    def symbolic(
        g: Any,
        acc: Any,
        mult: Any,
        bias: Any,
        shift: int,
        out_bits: int,
        signed: bool,
        edge: str,
        factor: Any,
        offset: Any,
    ) -> Any:
        inputs = [acc, mult, bias]
        return _op(g, "Requant", inputs, shift_i=shift, out_bits_i=out_bits, signed_i=int(signed), edge_s=edge)


class CodesFn(torch.autograd.Function):
    """Real activations of any shape -> codes of out_bits: clip(x / scale), ties toward +infinity.

    `scale` is a scalar tensor. Codes have the type of x. Straight-through gradients of x and scale where nothing
    saturates, zero elsewhere.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, out_bits: int, signed: bool) -> Tensor:
        limits = int_range(out_bits, signed)
        x = x.contiguous()
        out = torch.empty(x.shape, device=x.device)
        saturated = torch.empty(x.shape, dtype=torch.bool, device=x.device)
        step = scale.double()
        for piece, codes, mask in _pieces(1, x, out, saturated):
            _saturate(piece.to(torch.float64, copy=True).div_(step).add_(0.5), limits, codes, mask)
        ctx.save_for_backward(x, scale, saturated)
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, saturated = ctx.saved_tensors
        grad = grads[0].masked_fill(saturated, 0.0) / scale
        wide = torch.promote_types(x.dtype, torch.float32)
        grad_scale = -(grad.to(wide) * x.to(wide)).sum() / scale
        return grad, grad_scale.to(scale.dtype), None, None


class LayerNormFn(torch.autograd.Function):
    """Residual codes (..., C) -> normalized z of 16 bits with 10 fraction bits. C * |x| must stay below 2**26."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge: str) -> Tensor:
        wide = x.double()
        channels = x.shape[-1]
        s1 = wide.sum(dim=-1, keepdim=True)
        s2 = wide.square().sum(dim=-1, keepdim=True)
        variance = (channels * s2 - s1.square()).clamp_(min=1.0)
        r, k = _rsqrt(variance)
        step = torch.from_numpy(_POWERS)[15 - Z_FRAC + k]
        z = ((wide * channels - s1) * (r * step)).add_(0.5).floor_().float()
        z = z.clamp_(*int_range(Z_BITS))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(z, (channels / variance.sqrt()).float())
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        z, inverse = ctx.saved_tensors
        grad = grads[0]
        unit = z * 2.0**-Z_FRAC
        inner = (grad * unit).mean(dim=-1, keepdim=True)
        return (grad - grad.mean(dim=-1, keepdim=True) - unit * inner) * (inverse * 2.0**Z_FRAC), None

    @staticmethod
    def symbolic(g: Any, x: Any, edge: str) -> Any:
        return _op(g, "LayerNorm", [x], edge_s=edge)


# numpy, since the exporter's tracer takes no tensor that two calls share; powers, since torch.exp2 need not be exact
_RSQRT_SEEDS = rsqrt_table()
_POWERS = np.array([2.0**-exponent for exponent in range(64)])


def _rsqrt(variance: Tensor) -> tuple[Tensor, Tensor]:
    """sim.golden.layernorm.rsqrt on integers below 2**53 in a float64 tensor; returns r as float64, k as int64."""
    k = (torch.frexp(variance).exponent.long() + 1) // 2  # the exponent of frexp is the bit length
    value = variance.long()
    up = 16 - 2 * k
    mantissa = torch.where(up >= 0, value << up.clamp(min=0), value >> (-up).clamp(min=0))
    r0 = torch.from_numpy(_RSQRT_SEEDS)[(mantissa >> 8) - TABLE_LOW]
    u = (((mantissa * r0) >> 16) * r0) >> 15
    r = ((r0 * (3 * 2**15 - u)) >> 16).clamp(max=2**16 - 1)
    return r.double(), k


class SoftmaxFn(torch.autograd.Function):
    """Score codes (..., rows * length) -> probability codes, unsigned; table of exp(-d * scale).

    widths: out_bits, fraction_bits, twin_shift as in sim.golden.softmax.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, table: Tensor, length: int, edge: str, widths: tuple[int, int, int], scale: Tensor | None
    ) -> Tensor:
        out_bits, fraction_bits, twin_shift = widths
        rows = x.unflatten(-1, (-1, length))
        e = _look_up(table.double(), (rows.amax(dim=-1, keepdim=True) - rows).to(torch.int32))
        r = (2.0**RECIP_BITS / e.sum(dim=-1, keepdim=True)).floor_()
        exact = e * (r * 2.0 ** (fraction_bits - RECIP_BITS))
        if twin_shift:
            top, step = 2.0 ** (out_bits - twin_shift) - 1, 2.0**twin_shift
            p = (exact + 0.5).floor_()
            coarse = exact.div_(step).add_(0.5).floor_().clamp_(max=top).mul_(step)
            p = torch.where(p <= top, p, coarse).float()
        else:
            p = exact.add_(0.5).floor_().clamp_(max=2.0**out_bits - 1).float()
        if scale is not None:
            ctx.save_for_backward(x, p, scale)
            ctx.fraction_bits = fraction_bits
        return p.reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, p, scale = ctx.saved_tensors
        grad = grads[0].reshape(p.shape)
        inner = (grad * p).sum(dim=-1, keepdim=True) * 2.0**-ctx.fraction_bits
        slope = (p * (grad - inner)).reshape(x.shape)
        return slope * scale.float(), None, None, None, None, (slope * x).sum().to(scale.dtype).reshape(scale.shape)

    @staticmethod
    def symbolic(g: Any, x: Any, table: Any, length: int, edge: str, widths: tuple[int, int, int], scale: Any) -> Any:
        keys = {"out_bits_i": widths[0], "fraction_bits_i": widths[1], "twin_shift_i": widths[2]}
        return _op(g, "Softmax", [x, table], None, length_i=length, edge_s=edge, **keys)


class TableFn(torch.autograd.Function):
    """y = content[x]; backward through slope[x], the derivative of the real function in codes (0 where y saturates)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        content: Tensor,
        edge: str,
        slope: Tensor | None,
        in_scale: Tensor | None,
        out_scale: Tensor | None,
    ) -> Tensor:
        index = x.to(torch.int32).bitwise_and_(content.numel() - 1)
        y = _look_up(content, index)
        if slope is not None:
            inner = _look_up(content * (slope != 0.0), index) if (slope == 0.0).any() else y
            ctx.save_for_backward(x, inner, _look_up(slope, index), in_scale, out_scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, slope, in_scale, out_scale = ctx.saved_tensors
        grad_x = grads[0] * slope
        grad_in = torch.dot(grad_x.flatten(), x.flatten()).to(in_scale.dtype) / in_scale
        grad_out = -torch.dot(grads[0].flatten(), inner.flatten()).to(out_scale.dtype) / out_scale
        return grad_x, None, None, None, grad_in, grad_out

    @staticmethod
    def symbolic(g: Any, x: Any, content: Any, edge: str, slope: Any, in_scale: Any, out_scale: Any) -> Any:
        return _op(g, "Table", [x, content], edge_s=edge)


class AddFn(torch.autograd.Function):
    """Saturating sum of two code tensors of one scale and shape."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, out_bits: int, edge: str) -> Tensor:
        total = a + b
        out = total.clamp(*int_range(out_bits))
        ctx.save_for_backward(total != out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].masked_fill(ctx.saved_tensors[0], 0.0)
        return grad, grad, None, None

    @staticmethod
    def symbolic(g: Any, a: Any, b: Any, out_bits: int, edge: str) -> Any:
        return _op(g, "Add", [a, b], out_bits_i=out_bits, edge_s=edge)


class EmbedFn(torch.autograd.Function):
    """Patch codes (B, N - 1, C) and content (N, C): class token in front, then patches plus content, saturating."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, content: Tensor, out_bits: int, edge: str) -> Tensor:
        total = functional.pad(x, (0, 0, 1, 0)) + content
        out = total.clamp(*int_range(out_bits))
        ctx.save_for_backward(total != out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].masked_fill(ctx.saved_tensors[0], 0.0)
        return grad[:, 1:], grad.sum(dim=0), None, None

    @staticmethod
    def symbolic(g: Any, x: Any, content: Any, out_bits: int, edge: str) -> Any:
        batch, patches, channels = x.type().sizes()
        return _op(g, "Embed", [x, content], [batch, patches + 1, channels], out_bits_i=out_bits, edge_s=edge)


class RoundClamp(torch.autograd.Function):
    """Real constants in code units -> codes, half_even, saturated; straight through inside the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, out_bits: int) -> Tensor:
        low, high = int_range(out_bits)
        rounded = x.round()
        ctx.save_for_backward((rounded >= low) & (rounded <= high))
        return rounded.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0] * ctx.saved_tensors[0], None


class SlidingWindow(nn.Module):
    """Module form of SlidingWindowFn."""

    def __init__(self, edge: str, kernel: int, stride: int) -> None:
        super().__init__()
        self.edge, self.kernel, self.stride = edge, kernel, stride

    def forward(self, image: Tensor) -> Tensor:
        return SlidingWindowFn.apply(image, self.kernel, self.stride, self.edge)


class Requant(nn.Module):
    """Accumulators (..., channels) -> codes of out_bits.

    Attributes:
        mult, bias: Integers M and B, float64 (exact below 2**53), shape (channels,), or (1,) for one of all channels.
            Where M is one, B may have a shape that broadcasts against (B, ...), such as (heads, 1, channels).
        shift: Right shift.
        factor, offset: The real values behind them while training, otherwise None.
    """

    mult: Tensor
    bias: Tensor

    def __init__(self, edge: str, channels: int, out_bits: int) -> None:
        super().__init__()
        self.edge, self.out_bits, self.shift = edge, out_bits, 1
        self.register_buffer("mult", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(channels, dtype=torch.float64))
        self.factor: Tensor | None = None
        self.offset: Tensor | None = None

    def set_real(self, factor: Tensor, offset: Tensor) -> None:
        """Take y = acc * factor + offset (in output codes), of the shapes of M and B, and make M, B and shift of it.

        B is the offset in steps of 2**-BIAS_FRACTION of a code. Finer ones would move only codes that are half a step
        from a tie or nearer, and would widen the parameters and sums of the hardware.
        """
        self.factor, self.offset = factor.double(), offset.double()
        mult, self.shift = quantize_multiplier(self.factor.detach().numpy())
        fraction = min(self.shift, BIAS_FRACTION)
        bias = half_even(self.offset.detach().numpy() * 2.0**fraction) << (self.shift - fraction)
        self.set_integers(mult, bias, self.shift)

    def set_integers(self, mult: np.ndarray, bias: np.ndarray, shift: int) -> None:
        """Take M, B (int64) and shift."""
        if np.abs(bias).max() >= FLOAT64_EXACT // 2:
            raise ValueError(f"requant[{self.edge}]: B={int(np.abs(bias).max())} is not below 2**52; calibrate again")
        self.mult = torch.from_numpy(mult.astype(np.float64))
        self.bias = torch.from_numpy(bias.astype(np.float64))
        self.shift = int(shift)

    def forward(self, acc: Tensor) -> Tensor:
        return RequantFn.apply(
            acc, self.mult, self.bias, self.shift, self.out_bits, True, self.edge, self.factor, self.offset
        )


class LayerNorm(nn.Module):
    """Module form of LayerNormFn; gamma and beta live in the requantization behind it."""

    def __init__(self, edge: str) -> None:
        super().__init__()
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        return LayerNormFn.apply(x, self.edge)


class Softmax(nn.Module):
    """Softmax over the last axis of score codes (..., length).

    Attributes:
        table: exp table, float32 holding unsigned 12-bit integers, shape (256,).
        widths: out_bits, fraction_bits and twin_shift as in sim.golden.softmax.
        scale: Real value of a score code while training, otherwise None.
    """

    table: Tensor

    def __init__(self, edge: str, length: int, widths: tuple[int, int, int] = (OUT_BITS, FRACTION_BITS, 0)) -> None:
        super().__init__()
        self.edge, self.length, self.widths = edge, length, widths
        check_widths(*widths)
        self.register_buffer("table", torch.zeros(256))
        self.scale: Tensor | None = None
        if length * 2**EXP_BITS > FLOAT32_EXACT:
            raise ValueError(f"softmax[{edge}]: {length} scores, expected at most {FLOAT32_EXACT >> EXP_BITS}")

    def set_real(self, scale: Tensor) -> None:
        """Take the real value of one score code (scalar tensor)."""
        self.scale = scale
        self.table = torch.from_numpy(exp_table(float(scale.detach()))).float()

    def forward(self, x: Tensor) -> Tensor:
        return SoftmaxFn.apply(x, self.table, self.length, self.edge, self.widths, self.scale)


class Gelu(nn.Module):
    """GELU by table.

    Attributes:
        content: float32 holding signed integers of out_bits, shape (2**in_bits,), indexed by bit pattern.
        twin_shift: As in sim.golden.lookup.gelu_table.
        slope, in_scale, out_scale: Real derivative in codes and real code values while training, otherwise None.
    """

    content: Tensor

    def __init__(self, edge: str, in_bits: int, out_bits: int, twin_shift: int = 0) -> None:
        super().__init__()
        self.edge, self.in_bits, self.out_bits, self.twin_shift = edge, in_bits, out_bits, twin_shift
        self.register_buffer("content", torch.zeros(2**in_bits))
        self.slope: Tensor | None = None
        self.in_scale: Tensor | None = None
        self.out_scale: Tensor | None = None

    def set_real(self, in_scale: Tensor, out_scale: Tensor) -> None:
        """Take the real values of one input and one output code (scalar tensors)."""
        self.in_scale, self.out_scale = in_scale, out_scale
        low, high = float(in_scale.detach()), float(out_scale.detach())
        self.content = torch.from_numpy(gelu_table(low, high, self.in_bits, self.out_bits, self.twin_shift)).float()
        pattern = torch.arange(2**self.in_bits)
        code = torch.where(pattern >= 2 ** (self.in_bits - 1), pattern - 2**self.in_bits, pattern)
        x = code.double() * low
        cumulative = 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))
        density = torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        limits = int_range(self.out_bits)
        inside = (x * cumulative / high).round().clamp(*limits) == (x * cumulative / high).round()
        self.slope = ((cumulative + x * density) * (low / high) * inside).float()

    def forward(self, x: Tensor) -> Tensor:
        return TableFn.apply(x, self.content, self.edge, self.slope, self.in_scale, self.out_scale)


class Add(nn.Module):
    """Module form of AddFn."""

    def __init__(self, edge: str, out_bits: int) -> None:
        super().__init__()
        self.edge, self.out_bits = edge, out_bits

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return AddFn.apply(a, b, self.out_bits, self.edge)


class Embed(nn.Module):
    """Class token and position embedding.

    Attributes:
        content: Codes, float32, shape (tokens, channels); differentiable while training.
    """

    content: Tensor

    def __init__(self, edge: str, tokens: int, channels: int, out_bits: int) -> None:
        super().__init__()
        self.edge, self.out_bits = edge, out_bits
        self.register_buffer("content", torch.zeros(tokens, channels))

    def set_real(self, content: Tensor, scale: Tensor) -> None:
        """Take the real embedding (tokens, channels) and the real value of one residual code."""
        self.content = RoundClamp.apply((content / scale).float(), self.out_bits)

    def forward(self, x: Tensor) -> Tensor:
        return EmbedFn.apply(x, self.content, self.out_bits, self.edge)


class CodeLinear(QuantLinear):
    """Brevitas QuantLinear from integer codes to integer accumulators; its weight quantizer must have scale 1.

    Where accumulators could leave the range in which float32 is exact, the product is taken in float64.
    """

    def __init__(self, edge: str, columns: int, rows: int, weight_quant: Any, **weight_keys: Any) -> None:
        keys = {f"weight_{key}": item for key, item in weight_keys.items()}
        super().__init__(columns, rows, bias=False, weight_quant=weight_quant, **keys)
        self.edge = edge
        self.wide = False

    def set_bound(self, largest_sum: int, in_bits: int) -> None:
        """Choose float32 or float64 from the largest sum of weight magnitudes in a row and the input's width."""
        bound = largest_sum << (in_bits - 1)
        if bound >= FLOAT64_EXACT:
            raise ValueError(f"linear[{self.edge}]: accumulators may reach {bound}, float64 is exact below 2**53")
        self.wide = bound >= FLOAT32_EXACT

    def inner_forward_impl(self, x: Tensor, quant_weight: Any, quant_bias: Tensor | None) -> Tensor:
        weight = quant_weight.value if hasattr(quant_weight, "value") else quant_weight
        if self.wide:
            return functional.linear(x.double(), weight.double())
        return functional.linear(x, weight)
