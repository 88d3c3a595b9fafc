# SPDX-License-Identifier: Apache-2.0
"""Lower a QONNX graph of a quantized ViT to a FINN dataflow graph of Vitrail's hardware ops.

Layout nodes (Reshape, Transpose, Split, Slice, ...) make no hardware by themselves. Each tensor is followed as a view:
the stream it comes from and, for every element, its position in that stream. A compute node is lowered when the views
it reads are in the order in which its unit takes them; where a view is only a part of a stream (q, k, v; the class
token), a VitrailSplit or VitrailSelect is inserted, and a VitrailFork where a stream has several consumers.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from qonnx.core.datatype import BaseDataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.infer_datatypes import InferDataTypes

from quant.intmath import signed_bits
from quant.schemes import FIXED
from synthesis.finn_env import load_finn

ops = load_finn()

QUANT_DOMAIN = "quant.qonnx_ops"
LAYOUT_OPS = ("Reshape", "Transpose", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast")
SUPPORTED = (
    "MatMul and Gemm with constant integer weights, MatMul of heads (q k^T, p v), SlidingWindow, Requant, LayerNorm, "
    "Softmax, Table, Add, Embed, and the layout nodes " + ", ".join(LAYOUT_OPS)
)

UNIT_KINDS = {"SlidingWindow": "swu"}


class LoweringError(ValueError):
    """A pattern that has no hardware op."""


@dataclass(frozen=True)
class Edge:
    """A stream of codes, token-major."""

    name: str
    tokens: int
    channels: int
    datatype: BaseDataType


@dataclass(frozen=True)
class View:
    """A tensor of the QONNX graph as positions token * channels + channel in the stream of an edge."""

    edge: Edge
    index: np.ndarray


@dataclass(frozen=True)
class Region:
    """The rectangle of a stream that a view covers."""

    first_token: int
    tokens: int
    first_channel: int
    channels: int


def lower(model: ModelWrapper) -> ModelWrapper:
    """Turn a QONNX graph (CONTRACT: integer tensors, batch 1) into a graph of Vitrail hardware ops.

    Raises:
        LoweringError: a node or pattern has no hardware op; names the node, the reason and what is supported.
    """
    return Lowering(model).run()


class Lowering:
    """One pass over a QONNX graph."""

    def __init__(self, model: ModelWrapper) -> None:
        self.source = model
        self.opset = next(i.version for i in model.model.opset_import if i.domain in ("", "ai.onnx"))
        self.constants: dict[str, np.ndarray] = {
            init.name: numpy_helper.to_array(init) for init in model.graph.initializer
        }
        self.views: dict[str, View] = {}
        self.parts: dict[tuple[str, Region], str] = {}
        self.used_parts: dict[str, list[Region]] = defaultdict(list)
        self.edges: dict[str, Edge] = {}
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}

    # ------------------------------------------------------------------------------------------------ the walk

    def run(self) -> ModelWrapper:
        graph = self.source.graph
        inputs = [i for i in graph.input if i.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise LoweringError(
                f"lower: the graph has {len(inputs)} inputs and {len(graph.output)} outputs, expected one image and "
                "one tensor of logits"
            )
        self.image = inputs[0].name
        self.image_shape = tuple(self.source.get_tensor_shape(self.image))
        handlers: dict[str, Callable[[NodeProto], None]] = {
            "MatMul": self.lower_matmul,
            "Gemm": self.lower_matmul,
            "SlidingWindow": self.lower_sliding_window,
            "Requant": self.lower_requant,
            "LayerNorm": self.lower_layernorm,
            "Softmax": self.lower_softmax,
            "Table": self.lower_table,
            "Embed": self.lower_embed,
            "Add": self.lower_add,
        }
        for node in graph.node:
            if all(name in self.constants for name in node.input if name):
                self.fold_constant(node)
            elif node.op_type in LAYOUT_OPS:
                self.move(node)
            elif node.op_type in handlers:
                handlers[node.op_type](node)
            else:
                raise self.refuse(node, "there is no hardware op of this type")
        output = graph.output[0].name
        if output not in self.views:
            raise LoweringError(f"lower: the graph output {output!r} is not computed from the image")
        last = self.views[output]
        self.natural(graph.node[-1], output)
        self.insert_parts()
        self.insert_forks(last.edge.name)
        return self.build(last.edge)

    def refuse(self, node: NodeProto, reason: str) -> LoweringError:
        """The error that names a node, the reason and what would be supported."""
        where = f"node {node.name or node.output[0]!r} ({node.op_type})"
        return LoweringError(f"lower: {where} cannot be lowered: {reason}; supported are {SUPPORTED}")

    def fold_constant(self, node: NodeProto) -> None:
        """Compute a node whose inputs are all constants (weights through Quant, Transpose, ...)."""
        if node.op_type == "Quant":
            self.check_weight_quant(node)
        context = {name: self.constants[name] for name in node.input if name}
        context.update({name: np.zeros(self.source.get_tensor_shape(name) or (), np.float32) for name in node.output})
        execute_node(node, context, self.source.graph, self.opset)
        for name in node.output:
            self.constants[name] = context[name]

    def check_weight_quant(self, node: NodeProto) -> None:
        """Weight Quant nodes must be the identity on integers: scale 1, zero point 0."""
        scale, zero = self.constants[node.input[1]], self.constants[node.input[2]]
        if (scale != 1).any() or (zero != 0).any():
            raise self.refuse(
                node, f"its scale is {scale.flat[0]:g} and its zero point {zero.flat[0]:g}, expected 1 and 0"
            )

    def move(self, node: NodeProto) -> None:
        """Apply a layout node to the positions."""
        view = self.view(node, node.input[0])
        extra = [name for name in node.input[1:] if name]
        if any(name not in self.constants for name in extra):
            raise self.refuse(node, "its shape or index is not constant")
        feeds = {node.input[0]: view.index, **{name: self.constants[name] for name in extra}}
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in feeds.items()
        ]
        outs = [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in node.output]
        imports = [i for i in self.source.model.opset_import if i.domain in ("", "ai.onnx")]
        single = helper.make_model(helper.make_graph([node], "layout", infos, outs), opset_imports=imports)
        for name, index in zip(node.output, ReferenceEvaluator(single).run(None, feeds), strict=True):
            self.set_view(name, View(view.edge, np.asarray(index)))

    # ------------------------------------------------------------------------------------------------ views

    def view(self, node: NodeProto, name: str) -> View:
        if name not in self.views:
            raise self.refuse(node, f"its input {name!r} is not a stream of codes")
        return self.views[name]

    def set_view(self, name: str, view: View) -> None:
        """Remember a view; the first name of a part of a stream becomes the name of that part."""
        self.views[name] = view
        region = self.region(view)
        if region is not None:
            self.parts.setdefault((view.edge.name, region), name)

    @staticmethod
    def region(view: View) -> Region | None:
        """The rectangle a view covers, None when it is no rectangle or a position occurs twice."""
        positions = np.sort(view.index.reshape(-1))
        tokens, channels = np.divmod(positions, view.edge.channels)
        region = Region(
            int(tokens[0]),
            int(tokens[-1] - tokens[0]) + 1,
            int(channels.min()),
            int(channels.max() - channels.min()) + 1,
        )
        expected = _rectangle(region, view.edge.channels).reshape(-1)
        return region if np.array_equal(positions, expected) else None

    def take(self, node: NodeProto, name: str) -> tuple[Edge, np.ndarray]:
        """Edge that carries exactly this view, and the positions inside it (shape of the tensor)."""
        view = self.view(node, name)
        region = self.region(view)
        if region is None:
            raise self.refuse(node, f"its input {name!r} is no block of whole tokens or channels of {view.edge.name!r}")
        edge = view.edge
        token, channel = np.divmod(view.index, edge.channels)
        local = (token - region.first_token) * region.channels + channel - region.first_channel
        if (region.tokens, region.channels) == (edge.tokens, edge.channels):
            return edge, local
        if region not in self.used_parts[edge.name]:
            self.used_parts[edge.name].append(region)
        part = Edge(self.parts[(edge.name, region)], region.tokens, region.channels, edge.datatype)
        self.edges[part.name] = part
        return part, local

    def natural(self, node: NodeProto, name: str) -> tuple[Edge, np.ndarray]:
        """take() for units that need the tensor in the order of the stream."""
        edge, local = self.take(node, name)
        if not np.array_equal(local.reshape(-1), np.arange(local.size)):
            raise self.refuse(
                node, f"its input {name!r} is a transposed view of {edge.name!r}, expected token-major order"
            )
        return edge, local

    def emit(
        self, node: NodeProto, op: str, inputs: list[str], outputs: list[Edge], index: np.ndarray, **attributes: Any
    ) -> None:
        """Add a hardware node; its first output is the QONNX node's output with positions `index`."""
        unit = unit_name(node)
        if op == "VitrailMvu":
            unit = f"{unit.rpartition('.')[0]}.mvu"
        self.add_node(op, unit, inputs, outputs, **attributes)
        self.set_view(node.output[0], View(outputs[0], index))

    def add_node(self, op: str, unit: str, inputs: list[str], outputs: list[Edge], **attributes: Any) -> None:
        for edge in outputs:
            self.edges[edge.name] = edge
        names = [edge.name for edge in outputs]
        self.nodes.append(
            helper.make_node(
                op, inputs, names, name=unit, domain=ops.DOMAIN, backend="fpgadataflow", unit=unit, **attributes
            )
        )

    def add_constant(self, name: str, values: np.ndarray) -> str:
        """Initializer of the lowered graph: float32 while that is exact, int64 beyond."""
        values = np.rint(np.asarray(values, np.float64)).astype(np.int64)
        exact = np.abs(values).max(initial=0) <= 2**24
        self.weights[name] = values.astype(np.float32 if exact else np.int64)
        return name

    # ------------------------------------------------------------------------------------------------ the ops

    def lower_sliding_window(self, node: NodeProto) -> None:
        shape = self.image_shape
        if node.input[0] != self.image or len(shape) != 4 or shape[0] != 1:
            raise self.refuse(node, f"its input must be the image of shape (1, height, width, channels), got {shape}")
        kernel, stride = attribute(node, "kernel"), attribute(node, "stride")
        _, height, width, channels = shape
        datatype = self.source.get_tensor_datatype(self.image)
        self.image_type = datatype
        patches = ((height - kernel) // stride + 1) * ((width - kernel) // stride + 1)
        out = Edge(node.output[0], patches, channels * kernel * kernel, datatype)
        self.emit(
            node,
            "VitrailSwu",
            [self.image],
            [out],
            np.arange(out.tokens * out.channels).reshape(1, out.tokens, out.channels),
            height=height,
            width=width,
            channels=channels,
            kernel=kernel,
            stride=stride,
            elem_bits=int(datatype.bitwidth()),
        )

    def lower_matmul(self, node: NodeProto) -> None:
        if node.input[1] in self.constants:
            self.lower_linear(node)
        elif node.op_type == "MatMul":
            self.lower_heads(node)
        else:
            raise self.refuse(node, "a Gemm needs constant weights")

    def lower_linear(self, node: NodeProto) -> None:
        weight = self.constants[node.input[1]]
        if node.op_type == "Gemm":
            plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
            if not plain or attribute(node, "transA", 0) or (len(node.input) > 2 and node.input[2]):
                raise self.refuse(
                    node, "alpha, beta, transA or a bias is set; a bias belongs into the Requant behind it"
                )
            weight = weight if attribute(node, "transB", 0) else weight.T
        else:
            weight = weight.T
        if weight.ndim != 2:
            raise self.refuse(node, f"its weights have {weight.ndim} dimensions, expected 2")
        if (weight != np.rint(weight)).any():
            raise self.refuse(node, "its weights are not integers")
        edge, local = self.natural(node, node.input[0])
        rows, k = weight.shape
        if edge.channels != k or local.shape[-1] != k:
            raise self.refuse(node, f"its weights take {k} channels, the stream {edge.name!r} has {edge.channels}")
        if not (edge.datatype.is_integer() and edge.datatype.signed()):
            raise self.refuse(node, f"its activations are {edge.datatype.name}, expected signed integers")
        bits, schemes = self.weight_format(node)
        out = Edge(node.output[0], edge.tokens, rows, ops.int_type(32))
        constant = self.add_constant(f"{out.name.removesuffix('.acc')}.weight", weight)
        self.emit(
            node,
            "VitrailMvu",
            [edge.name, constant],
            [out],
            np.arange(edge.tokens * rows).reshape(*local.shape[:-1], rows),
            tokens=edge.tokens,
            k=k,
            rows=rows,
            a_bits=int(edge.datatype.bitwidth()),
            w_bits=bits,
            row_scheme=schemes or [FIXED] * rows,
        )

    def weight_format(self, node: NodeProto) -> tuple[int, list[int]]:
        """Bits and row schemes from the Quant node that the weights come through."""
        name = node.input[1]
        while (producer := self.source.find_producer(name)) is not None:
            if producer.op_type == "Quant":
                schemes = attribute(producer, "row_scheme", [])
                bits = attribute(producer, "storage_bits", None)
                if bits is None:
                    bits = int(np.asarray(self.constants[producer.input[3]]).reshape(-1)[0])
                return int(bits), [int(s) for s in schemes]
            name = producer.input[0]
        raise self.refuse(node, "its weights do not come through a Quant node, so that their width is unknown")

    def lower_heads(self, node: NodeProto) -> None:
        a, ia = self.take(node, node.input[0])
        b, ib = self.take(node, node.input[1])
        ia, ib = (index.reshape(-1, *index.shape[-2:]) for index in (ia, ib))
        heads, queries, inner = ia.shape
        if ib.shape[:2] != (heads, inner):
            raise self.refuse(
                node, f"its operands have shapes {ia.shape} and {ib.shape}, expected one matrix per head in both"
            )
        columns = ib.shape[2]
        h, m, x = np.ogrid[:heads, :queries, :inner]
        rows_of_a = m * heads * inner + h * inner + x
        h, x, n = np.ogrid[:heads, :inner, :columns]
        keys_of_b = n * heads * inner + h * inner + x  # b[key, head * inner + x]
        values_of_b = x * heads * columns + h * columns + n  # b[x, head * columns + column]
        if not np.array_equal(ia, rows_of_a):
            raise self.refuse(node, f"its first operand is not {a.name!r} cut into heads")
        if np.array_equal(ib, keys_of_b):
            transpose, keys, dim = 0, columns, inner
        elif np.array_equal(ib, values_of_b):
            transpose, keys, dim = 1, inner, columns
        else:
            raise self.refuse(node, f"its second operand is neither {b.name!r} cut into heads nor that transposed")
        out = Edge(node.output[0], queries, heads * columns, ops.int_type(32))
        h, m, n = np.ogrid[:heads, :queries, :columns]
        index = m * heads * columns + h * columns + n
        shape = self.views[node.input[0]].index.shape
        self.emit(
            node,
            "VitrailMatmul",
            [a.name, b.name],
            [out],
            index.reshape(*shape[:-1], columns),
            queries=queries,
            keys=keys,
            heads=heads,
            dim=dim,
            transpose=transpose,
            a_bits=int(a.datatype.bitwidth()),
            a_signed=int(a.datatype.signed()),
            b_bits=int(b.datatype.bitwidth()),
        )

    def lower_requant(self, node: NodeProto) -> None:
        edge, local = self.take(node, node.input[0])
        mult, bias = (self.per_channel(node, self.constants[name], local) for name in node.input[1:3])
        bits, signed = attribute(node, "out_bits"), attribute(node, "signed", 1)
        out = Edge(node.output[0], edge.tokens, edge.channels, ops.int_type(bits, bool(signed)))
        self.emit(
            node,
            "VitrailRequant",
            [edge.name, self.add_constant(f"{out.name}.mult", mult), self.add_constant(f"{out.name}.bias", bias)],
            [out],
            local,
            tokens=edge.tokens,
            channels=edge.channels,
            acc_bits=int(edge.datatype.bitwidth()),
            shift=attribute(node, "shift"),
            out_bits=bits,
            out_signed=signed,
        )

    def per_channel(self, node: NodeProto, values: np.ndarray, local: np.ndarray) -> np.ndarray:
        """A constant that broadcasts against the tensor, as one value a channel of the stream (or one for all)."""
        values = np.asarray(values)
        if values.size == 1:
            return values.reshape(1)
        edge, _ = self.take(node, node.input[0])
        stream = np.zeros(local.size, dtype=np.float64 if values.dtype.kind == "f" else np.int64)
        try:
            stream[local.reshape(-1)] = np.broadcast_to(values, local.shape).reshape(-1)
        except ValueError:
            raise self.refuse(node, f"its constants of shape {values.shape} do not fit {local.shape}") from None
        tokens = stream.reshape(edge.tokens, edge.channels)
        if (tokens != tokens[0]).any():
            raise self.refuse(node, "its constants differ between tokens, expected one value a channel")
        return tokens[0]

    def lower_layernorm(self, node: NodeProto) -> None:
        edge, local = self.natural(node, node.input[0])
        if local.shape[-1] != edge.channels:
            raise self.refuse(
                node, f"it normalizes {local.shape[-1]} values, a token of {edge.name!r} has {edge.channels}"
            )
        out = Edge(node.output[0], edge.tokens, edge.channels, ops.int_type(16))
        self.emit(
            node,
            "VitrailLayerNorm",
            [edge.name],
            [out],
            local,
            tokens=edge.tokens,
            channels=edge.channels,
            x_bits=int(edge.datatype.bitwidth()),
        )

    def lower_softmax(self, node: NodeProto) -> None:
        if node.domain != QUANT_DOMAIN:
            raise self.refuse(
                node, f"a float Softmax has no hardware op; expected {QUANT_DOMAIN}.Softmax with its table"
            )
        edge, local = self.take(node, node.input[0])
        length = attribute(node, "length")
        rows = local.reshape(-1, length)
        if (
            edge.channels % length
            or (rows % length != np.arange(length)).any()
            or (rows // length != rows[:, :1] // length).any()
        ):
            raise self.refuse(node, f"rows of {length} scores are not consecutive in {edge.name!r}")
        widths = {"out_bits": 8, "fraction_bits": 8, "twin_shift": 0}
        widths = {name: attribute(node, name, default) for name, default in widths.items()}
        out = Edge(node.output[0], edge.tokens, edge.channels, ops.int_type(widths["out_bits"], signed=False))
        self.emit(
            node,
            "VitrailSoftmax",
            [edge.name, self.add_constant(f"{out.name}.table", self.constants[node.input[1]])],
            [out],
            local,
            tokens=edge.tokens,
            channels=edge.channels,
            length=length,
            **widths,
        )

    def lower_table(self, node: NodeProto) -> None:
        edge, local = self.take(node, node.input[0])
        content = self.constants[node.input[1]]
        bits = int(edge.datatype.bitwidth())
        if content.size != 2**bits:
            raise self.refuse(
                node, f"its table has {content.size} entries, expected {2**bits} for {edge.datatype.name}"
            )
        datatype = self.source.get_tensor_datatype(node.output[0])
        out_bits = int(datatype.bitwidth()) if datatype.is_integer() else signed_bits(content.min(), content.max())
        out = Edge(node.output[0], edge.tokens, edge.channels, ops.int_type(out_bits))
        self.emit(
            node,
            "VitrailTable",
            [edge.name, self.add_constant(f"{out.name}.content", content)],
            [out],
            local,
            tokens=edge.tokens,
            channels=edge.channels,
            in_bits=bits,
            out_bits=out_bits,
        )

    def lower_embed(self, node: NodeProto) -> None:
        edge, local = self.natural(node, node.input[0])
        content = self.constants[node.input[1]].reshape(-1, edge.channels)
        tokens, bits = edge.tokens + 1, attribute(node, "out_bits")
        if len(content) != tokens:
            raise self.refuse(node, f"it has {len(content)} positions for {tokens} tokens (patches and class token)")
        out = Edge(node.output[0], tokens, edge.channels, ops.int_type(bits))
        self.emit(
            node,
            "VitrailEmbed",
            [edge.name, self.add_constant(f"{out.name}.content", content)],
            [out],
            np.arange(tokens * edge.channels).reshape(*local.shape[:-2], tokens, edge.channels),
            tokens=tokens,
            channels=edge.channels,
            x_bits=int(edge.datatype.bitwidth()),
            out_bits=bits,
        )

    def lower_add(self, node: NodeProto) -> None:
        if node.domain != QUANT_DOMAIN:
            raise self.refuse(node, f"a float Add has no hardware op; expected {QUANT_DOMAIN}.Add of two code tensors")
        (a, local), (b, _) = (self.natural(node, name) for name in node.input[:2])
        if (a.tokens, a.channels) != (b.tokens, b.channels):
            raise self.refuse(node, f"{a.name!r} and {b.name!r} differ in size")
        bits = attribute(node, "out_bits")
        out = Edge(node.output[0], a.tokens, a.channels, ops.int_type(bits))
        self.emit(
            node,
            "VitrailAdd",
            [a.name, b.name],
            [out],
            local,
            tokens=a.tokens,
            channels=a.channels,
            a_bits=int(a.datatype.bitwidth()),
            b_bits=int(b.datatype.bitwidth()),
            out_bits=bits,
        )

    # ------------------------------------------------------------------------------------------------ parts, forks

    def insert_parts(self) -> None:
        """VitrailSplit for parts by channel, VitrailSelect for one token."""
        for base, regions in self.used_parts.items():
            edge = self.edges[base]
            by_channel = sorted((r for r in regions if r.tokens == edge.tokens), key=lambda r: r.first_channel)
            kind = {"bits": int(edge.datatype.bitwidth()), "signed": int(edge.datatype.signed())}
            if by_channel:
                ends = [0, *(r.first_channel + r.channels for r in by_channel)]
                if ends[:-1] != [r.first_channel for r in by_channel] or ends[-1] != edge.channels:
                    raise LoweringError(
                        f"lower: {base!r} is split into channels that overlap or leave some unused; supported is a "
                        "split of all channels into consecutive parts"
                    )
                outs = [self.edges[self.parts[(base, r)]] for r in by_channel]
                sizes = [r.channels for r in by_channel]
                self.add_node("VitrailSplit", f"{base}.split", [base], outs, tokens=edge.tokens, sizes=sizes, **kind)
            for region in (r for r in regions if r.tokens != edge.tokens):
                if region.tokens != 1 or region.channels != edge.channels:
                    raise LoweringError(
                        f"lower: {base!r} is cut to {region.tokens} tokens of {region.channels} channels; supported is "
                        "one whole token"
                    )
                out = self.edges[self.parts[(base, region)]]
                size = {"tokens": edge.tokens, "channels": edge.channels, "index": region.first_token}
                self.add_node("VitrailSelect", f"{base}.select", [base], [out], **size, **kind)

    def insert_forks(self, output: str) -> None:
        """VitrailFork where an edge has several consumers; drops nodes that nothing reads."""
        self.drop_unused(output)
        for name, edge in list(self.edges.items()):
            uses = [(node, i) for node in self.nodes for i, used in enumerate(node.input) if used == name]
            if len(uses) < 2:
                continue
            branches = [Edge(f"{name}.{i}", edge.tokens, edge.channels, edge.datatype) for i in range(len(uses))]
            for (node, i), branch in zip(uses, branches, strict=True):
                node.input[i] = branch.name
            self.add_node(
                "VitrailFork",
                f"{name}.fork",
                [name],
                branches,
                tokens=edge.tokens,
                channels=edge.channels,
                bits=int(edge.datatype.bitwidth()),
                signed=int(edge.datatype.signed()),
                branches=len(uses),
            )

    def drop_unused(self, output: str) -> None:
        while True:
            used = {name for node in self.nodes for name in node.input} | {output}
            kept = [node for node in self.nodes if used.intersection(node.output)]
            if len(kept) == len(self.nodes):
                return
            self.nodes = kept

    # ------------------------------------------------------------------------------------------------ result

    def build(self, last: Edge) -> ModelWrapper:
        """The graph with shapes, types and metadata."""
        self.nodes = topological(self.nodes, {self.image, *self.weights})
        _unique_names(self.nodes)
        info = helper.make_tensor_value_info
        image = info(self.image, TensorProto.FLOAT, self.image_shape)
        logits = info(last.name, TensorProto.FLOAT, (1, last.tokens, last.channels))
        graph = helper.make_graph(
            self.nodes,
            self.source.graph.name or "vitrail",
            [image],
            [logits],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        imports = [
            helper.make_opsetid("", 17),
            helper.make_opsetid(ops.DOMAIN, 1),
            helper.make_opsetid(f"{ops.DOMAIN}.rtl", 1),
        ]
        proto = helper.make_model(graph, opset_imports=imports, producer_name="vitrail")
        for prop in self.source.graph.metadata_props:  # qonnx keeps them with the graph
            proto.graph.metadata_props.add(key=prop.key, value=prop.value)
        model = ModelWrapper(proto)
        model.set_tensor_datatype(self.image, self.image_type)
        for node in self.nodes:
            for i, stream in enumerate(getCustomOp(node).streams_out()):
                if node.output[i] != last.name:
                    model.set_tensor_shape(node.output[i], [1, *stream.shape])
                model.set_tensor_datatype(node.output[i], stream.datatype)
        for node in self.nodes:
            if node.op_type == "VitrailMvu":
                model.set_tensor_datatype(
                    node.input[1], ops.int_type(weight_bits(model.get_initializer(node.input[1])))
                )
        return model.transform(InferDataTypes())


def weight_bits(weight: np.ndarray) -> int:
    """Width of the signed type that holds weight integers."""
    return max(2, signed_bits(int(weight.min()), int(weight.max())))


def unit_name(node: NodeProto) -> str:
    """Name of the unit that a QONNX node becomes: its edge with the kind of the unit behind it."""
    kind = UNIT_KINDS.get(node.op_type, node.op_type.lower())
    stem = (node.name or node.output[0]).removesuffix(".acc").removesuffix(".z")
    return stem if stem.rsplit(".", 1)[-1] == kind else f"{stem}.{kind}"


def attribute(node: NodeProto, name: str, default: Any = ...) -> Any:
    """Value of a node's attribute."""
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return list(value) if item.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
    if default is ...:
        raise LoweringError(f"lower: node {unit_name(node)!r} ({node.op_type}) has no attribute {name!r}")
    return default


def topological(nodes: Iterable[NodeProto], known: set[str]) -> list[NodeProto]:
    """Nodes in an order in which every input is known before it is used; stable otherwise."""
    waiting, order, known = list(nodes), [], set(known)
    while waiting:
        ready = next((n for n in waiting if all(i in known for i in n.input)), None)
        if ready is None:
            raise LoweringError(f"lower: {unit_name(waiting[0])!r} reads an edge that nothing writes")
        waiting.remove(ready)
        order.append(ready)
        known.update(ready.output)
    return order


def _unique_names(nodes: list[NodeProto]) -> None:
    seen: set[str] = set()
    for node in nodes:
        name, count = node.name, 2
        while node.name in seen:
            node.name = f"{name}.{count}"
            count += 1
        seen.add(node.name)
        for item in node.attribute:
            if item.name == "unit":
                item.s = node.name.encode()


def _rectangle(region: Region, channels: int) -> np.ndarray:
    tokens = np.arange(region.first_token, region.first_token + region.tokens)
    columns = np.arange(region.first_channel, region.first_channel + region.channels)
    return tokens[:, None] * channels + columns


def execute(
    model: ModelWrapper, images: np.ndarray, keep: Iterable[str] | None = None, batch: int = 256
) -> dict[str, np.ndarray]:
    """Run the golden models of a dataflow graph on many images.

    Args:
        model: Lowered graph, specialized or not.
        images: Pixel codes, int64, shape (images, height, width, channels).
        keep: Edges to return; None returns the output alone.
        batch: Images computed at a time.

    Returns:
        Edge name -> codes, int64, shape (images, tokens, channels).
    """
    graph = model.graph
    wanted = set(keep) if keep is not None else {graph.output[0].name}
    constants = {i.name: np.rint(numpy_helper.to_array(i)).astype(np.int64) for i in graph.initializer}
    last_use = {name: position for position, node in enumerate(graph.node) for name in node.input}
    insts = [getCustomOp(node) for node in graph.node]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, len(images), batch):
        context = dict(constants)
        context[graph.input[0].name] = np.asarray(images[start : start + batch], dtype=np.int64)
        for position, (node, inst) in enumerate(zip(graph.node, insts, strict=True)):
            inst.execute_node(context, graph)
            for name in node.input:
                if last_use[name] == position and name not in wanted and name not in constants:
                    del context[name]
        for name in wanted:
            parts[name].append(context[name])
    return {name: np.concatenate(value) for name, value in parts.items()}


def edge_names(model: ModelWrapper) -> list[str]:
    """Edges of a dataflow graph in topological order: the image, then every node's outputs."""
    return [model.graph.input[0].name, *(name for node in model.graph.node for name in node.output)]


def metadata(model: ModelWrapper) -> dict[str, Any]:
    """Metadata of a graph, JSON values decoded."""
    out: dict[str, Any] = {}
    for prop in model.graph.metadata_props:
        try:
            out[prop.key] = json.loads(prop.value)
        except ValueError:
            out[prop.key] = prop.value
    return out


def save(model: ModelWrapper, path: Path) -> None:
    """Write a graph under a temporary name and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        model.save(str(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
