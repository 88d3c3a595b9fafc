# SPDX-License-Identifier: Apache-2.0
"""Export of the integer network to QONNX through Brevitas, with names, shapes and integer types on every edge."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import brevitas.export
import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from torch import nn

from quant.intmath import signed_bits
from quant.layers import DOMAIN, FLOAT32_EXACT

OPSET = 17
IMAGE_BITS = 8
_KEEPS_TYPE = ("Transpose", "Reshape", "Split", "Gather", "Cast")


class IntegerNetwork(Protocol):
    """What export needs of a network: models.quant_vit.IntegerViT."""

    row_schemes: dict[str, np.ndarray]
    scales: dict[str, float]

    def linears(self) -> dict[str, Any]: ...

    def weight_bits(self, name: str) -> int: ...


def export_qonnx(
    network: IntegerNetwork, image_shape: tuple[int, int, int], path: Path, model: str, recipe: str, batch: int = 1
) -> ModelWrapper:
    """Write the integer network as QONNX.

    Args:
        network: The network, in integers.
        image_shape: Height, width, channels.
        path: The .onnx file to write; it appears in one rename.
        model: Model name for the metadata.
        recipe: Recipe name for the metadata.
        batch: Images of one execution; the flow uses 1.

    Returns:
        The exported model.

    Raises:
        ValueError: a tensor's values do not fit its float carrier.
    """
    assert isinstance(network, nn.Module)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = brevitas.export.export_qonnx(
                network,
                args=torch.zeros(batch, *image_shape),
                export_path=str(temporary),
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                do_constant_folding=True,
            )
        wrapper = ModelWrapper(proto)
        _drop_parameter_inputs(wrapper)
        _name_edges(wrapper)
        _name_weights(wrapper, network)
        _set_shapes(wrapper)
        _annotate(wrapper)
        for key, text in {
            "model": model,
            "recipe": recipe,
            "scales": json.dumps(network.scales),
            "producer": "vitrail",
        }.items():
            wrapper.set_metadata_prop(key, text)
        onnx.checker.check_model(wrapper.model)
        wrapper.save(str(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return wrapper


def _drop_parameter_inputs(wrapper: ModelWrapper) -> None:
    """Initializers are constants, not optional inputs."""
    constants = {tensor.name for tensor in wrapper.graph.initializer}
    for value in [value for value in wrapper.graph.input if value.name in constants]:
        wrapper.graph.input.remove(value)


def _rename(wrapper: ModelWrapper, old: str, new: str) -> None:
    if old != new:
        wrapper.rename_tensor(old, new)


def _name_edges(wrapper: ModelWrapper) -> None:
    """Name nodes and tensors after the layers: ours by their `edge` attribute, standard ones by neighbours."""
    graph = wrapper.graph
    for node in graph.node:
        if node.domain == DOMAIN:
            edge = next(attribute for attribute in node.attribute if attribute.name == "edge")
            node.name = edge.s.decode()
            node.attribute.remove(edge)
            _rename(wrapper, node.output[0], node.name)
            for position, role in enumerate(_CONSTANT_ROLES.get(node.op_type, ())):
                if role:
                    _rename(wrapper, node.input[position], f"{node.name}.{role}")
    consumers = {name: node for node in reversed(graph.node) for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul":
            node.name = f"{consumers[node.output[0]].name}.acc"
            _rename(wrapper, node.output[0], node.name)
        elif node.op_type == "Split":
            base = node.input[0].rpartition(".")[0]
            node.name = f"{base}.split"
            _rename_constant(wrapper, node, 1, f"{node.name}.sizes")
            for output, part in zip(list(node.output), "qkv", strict=True):
                _rename(wrapper, output, f"{base}.{part}")
    # what is left are views and casts on the way into a product or behind it: name them after their source
    used: set[str] = {name for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in _KEEPS_TYPE and node.op_type != "Split":
            base = f"{node.input[0]}.{node.op_type.lower()}"
            name, count = base, 1
            while name in used:
                count += 1
                name = f"{base}{count}"
            used.add(name)
            node.name = name
            if node.output[0] != "logits":
                _rename(wrapper, node.output[0], name)
            if len(node.input) > 1:
                _rename_constant(wrapper, node, 1, f"{name}.{'shape' if node.op_type == 'Reshape' else 'index'}")


_CONSTANT_ROLES = {
    "Requant": ("", "mult", "bias"),
    "Softmax": ("", "table"),
    "Table": ("", "content"),
    "Embed": ("", "content"),
}


def _rename_constant(wrapper: ModelWrapper, node: NodeProto, position: int, name: str) -> None:
    """Give a node its own constant under a name of its own (the exporter shares equal ones)."""
    value = wrapper.get_initializer(node.input[position])
    node.input[position] = name
    wrapper.set_initializer(name, value)


def _name_weights(wrapper: ModelWrapper, network: IntegerNetwork) -> None:
    """Name weights after their layers; their Quant nodes get `row_scheme` (id of each row) and `storage_bits`."""
    producers = {name: node for node in wrapper.graph.node for name in node.output}
    layers = {layer.matrix.edge: name for name, layer in network.linears().items()}
    for node in list(wrapper.graph.node):
        edge = node.name.removesuffix(".acc")
        if node.op_type != "MatMul" or edge not in layers:
            continue
        name, view = layers[edge], producers[node.input[1]]
        chain = []
        while view.op_type != "Quant":
            chain.append(view)
            view = producers[view.input[0]]
        view.name = f"{name}.quant"
        view.attribute.append(helper.make_attribute("row_scheme", [int(s) for s in network.row_schemes[name]]))
        view.attribute.append(helper.make_attribute("storage_bits", network.weight_bits(name)))
        _rename(wrapper, view.input[0], f"{name}.weight")
        for position, role in enumerate(("", "weight_scale", "weight_zero", "weight_bits")):
            if role:
                _rename_constant(wrapper, view, position, f"{name}.{role}")
        _rename(wrapper, view.output[0], f"{name}.weight_codes")
        for step in reversed(chain):
            step.name = f"{name}.weight_{step.op_type.lower()}"
            _rename(wrapper, step.output[0], step.name)
    used = {name for node in wrapper.graph.node for name in node.input}
    for tensor in [tensor for tensor in wrapper.graph.initializer if tensor.name not in used]:
        wrapper.graph.initializer.remove(tensor)


def _set_shapes(wrapper: ModelWrapper) -> None:
    """Shape and carrier type of every tensor, node by node (ONNX cannot infer through custom ops)."""
    kinds = {tensor.name: tensor.data_type for tensor in wrapper.graph.initializer}
    kinds["image"] = TensorProto.FLOAT
    for node in wrapper.graph.node:
        shapes = [wrapper.get_tensor_shape(name) for name in node.input]
        kind = kinds[node.input[0]]
        if node.domain == DOMAIN:
            out, kind = getCustomOp(node).out_shape(shapes), TensorProto.FLOAT
        else:
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            zeros = np.broadcast_to(np.zeros(1, np.int8), shapes[0])
            if node.op_type == "Transpose":
                out = zeros.transpose(attributes["perm"]).shape
            elif node.op_type == "Reshape":
                out = zeros.reshape(wrapper.get_initializer(node.input[1])).shape
            elif node.op_type == "MatMul":
                out = (*shapes[0][:-1], shapes[1][-1])
            elif node.op_type == "Split":
                out = (*shapes[0][:-1], shapes[0][-1] // len(node.output))
            elif node.op_type == "Gather":
                out = zeros.take(wrapper.get_initializer(node.input[1]), axis=attributes.get("axis", 0)).shape
            else:
                out = shapes[0]
            kind = attributes["to"] if node.op_type == "Cast" else kind
        for output in node.output:
            wrapper.set_tensor_shape(output, [int(size) for size in out], kind)
            kinds[output] = kind


def _annotate(wrapper: ModelWrapper) -> None:
    """Set the integer type of every tensor from its values or from its node, and check that its carrier holds it."""
    wrapper.set_tensor_datatype("image", DataType[f"INT{IMAGE_BITS}"])
    for tensor in wrapper.graph.initializer:
        values = wrapper.get_initializer(tensor.name)
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
            wrapper.set_tensor_datatype(tensor.name, _type_of(tensor.name, values))
    for node in wrapper.graph.node:
        found: BaseDataType | None = None
        if node.domain == DOMAIN:
            found = getCustomOp(node).out_datatype(wrapper)
        elif node.op_type == "Quant":
            found = DataType[f"INT{int(wrapper.get_initializer(node.input[3]))}"]
        elif node.op_type == "MatMul":
            found = _product_type(wrapper, node)
        elif node.op_type in _KEEPS_TYPE:
            found = wrapper.get_tensor_datatype(node.input[0])
        if found is None:
            raise ValueError(f"export: node {node.name} has op {node.op_type}, which the integer graph does not know")
        for output in node.output:
            wrapper.set_tensor_datatype(output, found)
            info = wrapper.get_tensor_valueinfo(output)
            exact = 2**53 if info.type.tensor_type.elem_type == TensorProto.DOUBLE else FLOAT32_EXACT
            if max(abs(found.min()), abs(found.max()) + 1) > exact:
                raise ValueError(f"export: tensor {output} is {found.name}, its float carrier is exact up to {exact}")


def _type_of(name: str, values: np.ndarray) -> BaseDataType:
    """Smallest integer type of a constant; tables and multipliers take the width that the hardware has."""
    low, high = int(values.min()), int(values.max())
    if name.endswith(".probabilities.table"):
        return DataType["UINT12"]
    if name.endswith(".mult"):
        return DataType["INT17"]
    return DataType[f"INT{max(signed_bits(low, high), 2)}"]


def _product_type(wrapper: ModelWrapper, node: NodeProto) -> BaseDataType:
    """Smallest type of the accumulators: by each row's weights where they are known, by types otherwise."""
    left = wrapper.get_tensor_datatype(node.input[0])
    weight, source = None, node.input[1]
    views = ("Transpose", "Cast", "Quant")
    while (producer := wrapper.find_producer(source)) is not None and producer.op_type in views:
        source = producer.input[0]
        weight = wrapper.get_initializer(source)
    if weight is not None:
        positive = np.maximum(weight, 0).astype(np.int64).sum(axis=1)
        negative = np.minimum(weight, 0).astype(np.int64).sum(axis=1)
        low = int((positive * int(left.min()) + negative * int(left.max())).min())
        high = int((positive * int(left.max()) + negative * int(left.min())).max())
    else:
        right, length = wrapper.get_tensor_datatype(node.input[1]), wrapper.get_tensor_shape(node.input[0])[-1]
        corners = [int(a) * int(b) * length for a in (left.min(), left.max()) for b in (right.min(), right.max())]
        low, high = min(corners), max(corners)
    return DataType[f"INT{signed_bits(low, high)}"]


def execute(wrapper: ModelWrapper, codes: np.ndarray) -> np.ndarray:
    """Run an exported model on image codes (batch, H, W, C) with qonnx; returns int64 logits codes (batch, classes)."""
    from qonnx.core.onnx_exec import execute_onnx

    out = execute_onnx(wrapper, {"image": codes.astype(np.float32)})["logits"]
    return out.astype(np.int64)
