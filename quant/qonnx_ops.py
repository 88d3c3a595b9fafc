# SPDX-License-Identifier: Apache-2.0
"""QONNX custom ops of the integer graph. The domain is this module's name, so that qonnx finds them by itself.

Tensors hold integer codes in float32, as QONNX has it; M and B of Requant are float64, which is exact below 2**53.
Each op executes its golden model. Leading batch dimensions are allowed everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.custom_op.base import CustomOp

from quant.intmath import signed_bits
from sim.golden import add, embed, layernorm, lookup, requant, softmax, swu

__all__ = ["Add", "Embed", "LayerNorm", "Requant", "SlidingWindow", "Softmax", "Table"]


class IntegerOp(CustomOp):
    """Common part: float32 tensors to int64 and back, shape of the first input unless a class says otherwise."""

    attributes: dict[str, tuple[Any, ...]] = {}

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        return self.attributes

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Golden model on int64 inputs."""
        raise NotImplementedError

    def out_shape(self, shapes: list[list[int]]) -> list[int]:
        """Shape of the output from the shapes of the inputs."""
        return shapes[0]

    def out_datatype(self, model: Any) -> BaseDataType:
        """QONNX type of the output codes."""
        return DataType[f"INT{self.get_nodeattr('out_bits')}"]

    def execute_node(self, context: dict[str, np.ndarray], graph: Any) -> None:
        inputs = [np.asarray(context[name]) for name in self.onnx_node.input]
        integers = [values.astype(np.int64) for values in inputs]
        for name, values, codes in zip(self.onnx_node.input, inputs, integers, strict=True):
            if not np.array_equal(values, codes):
                op = f"{self.onnx_node.op_type}[{self.onnx_node.name}]"
                raise ValueError(f"{op}: {name} holds values that are no integers")
        context[self.onnx_node.output[0]] = self.compute(integers).astype(np.float32)

    def make_shape_compatible_op(self, model: Any) -> NodeProto:
        return self.make_const_shape_op(self.out_shape([model.get_tensor_shape(name) for name in self.onnx_node.input]))

    def infer_node_datatype(self, model: Any) -> None:
        model.set_tensor_datatype(self.onnx_node.output[0], self.out_datatype(model))

    def verify_node(self) -> list[str]:
        return []


class SlidingWindow(IntegerOp):
    """Image (B, H, W, C) -> patches (B, patches, C * kernel**2). Attributes: kernel, stride in pixels."""

    attributes = {"kernel": ("i", True, 0), "stride": ("i", True, 0)}

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        return swu.swu(inputs[0], self.get_nodeattr("kernel"), self.get_nodeattr("stride"))

    def out_shape(self, shapes: list[list[int]]) -> list[int]:
        kernel, stride = self.get_nodeattr("kernel"), self.get_nodeattr("stride")
        batch, height, width, channels = shapes[0]
        patches = ((height - kernel) // stride + 1) * ((width - kernel) // stride + 1)
        return [batch, patches, channels * kernel * kernel]

    def out_datatype(self, model: Any) -> BaseDataType:
        return model.get_tensor_datatype(self.onnx_node.input[0])


class Requant(IntegerOp):
    """Inputs acc (..., channels), mult and bias (channels,), (1,) or of a shape that broadcasts against acc.

    Attributes: shift, out_bits, signed.
    """

    attributes = {"shift": ("i", True, 1), "out_bits": ("i", True, 8), "signed": ("i", False, 1, {0, 1})}

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        acc, mult, bias = inputs
        out_bits, signed = self.get_nodeattr("out_bits"), bool(self.get_nodeattr("signed"))
        return requant.requant(acc, mult, bias, self.get_nodeattr("shift"), out_bits, signed)

    def out_datatype(self, model: Any) -> BaseDataType:
        return DataType[f"{'INT' if self.get_nodeattr('signed') else 'UINT'}{self.get_nodeattr('out_bits')}"]


class LayerNorm(IntegerOp):
    """Residual codes (..., C) -> z of 16 bits."""

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        return layernorm.layernorm(inputs[0])

    def out_datatype(self, model: Any) -> BaseDataType:
        return DataType[f"INT{layernorm.Z_BITS}"]


class Softmax(IntegerOp):
    """Inputs scores (..., rows * length), table (256,). Attributes: length of a row; the others as in sim.golden."""

    attributes = {
        "length": ("i", True, 0),
        "out_bits": ("i", False, softmax.OUT_BITS),
        "fraction_bits": ("i", False, softmax.FRACTION_BITS),
        "twin_shift": ("i", False, 0),
    }

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        widths = (self.get_nodeattr(name) for name in ("out_bits", "fraction_bits", "twin_shift"))
        return softmax.softmax(inputs[0], inputs[1], self.get_nodeattr("length"), *widths)

    def out_datatype(self, model: Any) -> BaseDataType:
        return DataType[f"UINT{self.get_nodeattr('out_bits')}"]


class Table(IntegerOp):
    """Inputs codes (...), content (2**bits,) indexed by bit pattern."""

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        return lookup.lookup(inputs[0], inputs[1])

    def out_datatype(self, model: Any) -> BaseDataType:
        annotated = model.get_tensor_datatype(self.onnx_node.input[1])
        if annotated.is_integer():
            return annotated
        content = model.get_initializer(self.onnx_node.input[1])
        return DataType[f"INT{signed_bits(content.min(), content.max())}"]


class Add(IntegerOp):
    """Inputs a, b of one shape and scale. Attribute: out_bits."""

    attributes = {"out_bits": ("i", True, 12)}

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        return add.add(inputs[0], inputs[1], self.get_nodeattr("out_bits"))


class Embed(IntegerOp):
    """Inputs patches (B, tokens - 1, C), content (tokens, C). Attribute: out_bits."""

    attributes = {"out_bits": ("i", True, 12)}

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        return embed.embed(inputs[0], inputs[1], self.get_nodeattr("out_bits"))

    def out_shape(self, shapes: list[list[int]]) -> list[int]:
        batch, patches, channels = shapes[0]
        return [batch, patches + 1, channels]
