# SPDX-License-Identifier: Apache-2.0
"""Lowering: same codes as the QONNX graph on every edge, forks and parts in place, unknown patterns refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.registry import getCustomOp

from synthesis import fold
from synthesis.lower import Lowering, LoweringError, edge_names, execute, lower, metadata

SEED = 11


def test_every_edge_equals_qonnx(tiny_qonnx):
    """All codes of the lowered graph are those of the QONNX graph, layout by layout."""
    lowering = Lowering(tiny_qonnx)
    dataflow = lowering.run()
    rng = np.random.default_rng(SEED)
    shape = tiny_qonnx.get_tensor_shape("image")
    images = rng.integers(-128, 128, (3, *shape[1:]))
    images[0], images[1] = -128, 127
    edges = execute(dataflow, images, edge_names(dataflow))
    compared = 0
    for i in range(len(images)):
        context = execute_onnx(tiny_qonnx, {"image": images[i : i + 1].astype(np.float32)}, True)
        for name, view in lowering.views.items():
            if view.edge.name in edges and name in context:
                expected = context[name].astype(np.int64).reshape(view.index.shape)
                found = edges[view.edge.name][i].reshape(-1)[view.index]
                assert np.array_equal(found, expected), f"{name}, image {i}, seed {SEED}"
                compared += found.size
    assert compared > 10_000


def test_graph_runs_in_qonnx_too(tiny_qonnx, tiny_dataflow):
    """qonnx executes the dataflow graph node by node, before and after specialization, with equal logits."""
    shape = tiny_qonnx.get_tensor_shape("image")
    image = np.random.default_rng(SEED).integers(-128, 128, shape).astype(np.float32)
    expected = execute_onnx(tiny_qonnx, {"image": image})["logits"].reshape(-1)
    context = {"image": image, **{i.name: numpy_helper.to_array(i) for i in tiny_dataflow.graph.initializer}}
    for node in tiny_dataflow.graph.node:
        getCustomOp(node).execute_node(context, tiny_dataflow.graph)
    assert np.array_equal(context[tiny_dataflow.graph.output[0].name].reshape(-1), expected)


def test_metadata_is_kept(tiny_qonnx, tiny_dataflow):
    """Model name, recipe and scales travel with the graph."""
    assert metadata(tiny_dataflow) == metadata(tiny_qonnx)
    assert metadata(tiny_dataflow)["model"] == "tiny_default"


def test_every_edge_has_one_consumer(tiny_qonnx):
    dataflow = lower(tiny_qonnx)
    for name in edge_names(dataflow):
        readers = [node.name for node in dataflow.graph.node if name in node.input]
        assert len(readers) == (0 if name == dataflow.graph.output[0].name else 1), name
    kinds = {node.op_type for node in dataflow.graph.node}
    assert {"VitrailFork", "VitrailSplit", "VitrailSelect", "VitrailMvu", "VitrailMatmul"} <= kinds


def test_accumulator_width_is_minimal(tiny_dataflow):
    """minimize_accumulator_width: the worst input reaches the width, and one bit less does not hold it."""
    for node in tiny_dataflow.graph.node:
        inst = getCustomOp(node)
        if fold.kind(inst) != "VitrailMvu":
            continue
        weight, bits = inst.constant(tiny_dataflow, 1), inst.get_nodeattr("acc_bits")
        low = np.where(weight > 0, -128, 127)
        extremes = np.concatenate([(weight * low).sum(axis=1), (weight * np.where(weight > 0, 127, -128)).sum(axis=1)])
        assert extremes.min() >= -(2 ** (bits - 1)) and extremes.max() < 2 ** (bits - 1)
        assert extremes.min() < -(2 ** (bits - 2)) or extremes.max() >= 2 ** (bits - 2)


def graph(nodes, inputs, outputs, constants=()):
    """A small QONNX model."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("quant.qonnx_ops", 1)]
    model = ModelWrapper(
        helper.make_model(helper.make_graph(nodes, "g", infos, outs, initializers), opset_imports=imports)
    )
    model.set_tensor_datatype("image", DataType["INT8"])
    return model


WINDOW = helper.make_node("SlidingWindow", ["image"], ["patches"], "win", domain="quant.qonnx_ops", kernel=2, stride=2)


@pytest.mark.parametrize(
    ("node", "constants", "reason"),
    [
        (
            helper.make_node("Gelu", ["patches"], ["y"], "act"),
            (),
            "'act' (Gelu) cannot be lowered: there is no hardware op",
        ),
        (
            helper.make_node("Softmax", ["patches"], ["y"], "soft"),
            (),
            "'soft' (Softmax) cannot be lowered: a float Softmax has no hardware op",
        ),
        (
            helper.make_node("MatMul", ["patches", "w"], ["y"], "lin"),
            (("w", np.full((4, 2), 0.5, np.float32)),),
            "'lin' (MatMul) cannot be lowered: its weights are not integers",
        ),
        (
            helper.make_node("MatMul", ["patches", "w"], ["y"], "lin"),
            (("w", np.ones((4, 2), np.float32)),),
            "its weights do not come through a Quant node",
        ),
    ],
)
def test_unknown_pattern_is_refused(node, constants, reason):
    """The message names the node, says why, and what is supported."""
    model = graph([WINDOW, node], [("image", (1, 4, 4, 1))], [("y", None)], constants)
    with pytest.raises(LoweringError) as refused:
        lower(model)
    assert reason in str(refused.value)
    assert "supported are MatMul and Gemm" in str(refused.value)


def test_transposed_operand_is_refused():
    """A product over tokens on the left is neither q k^T nor p v."""
    swap = helper.make_node("Transpose", ["patches"], ["swapped"], "swap", perm=[0, 2, 1])
    product = helper.make_node("MatMul", ["swapped", "patches"], ["y"], "att")
    model = graph([WINDOW, swap, product], [("image", (1, 4, 4, 1))], [("y", None)])
    with pytest.raises(LoweringError, match=r"'att' \(MatMul\) .* its first operand is not 'patches' cut into heads"):
        lower(model)


def test_split_that_leaves_channels_out_is_refused():
    pick = helper.make_node("Gather", ["patches", "i"], ["part"], "pick", axis=2)
    norm = helper.make_node("LayerNorm", ["part"], ["y"], "norm", domain="quant.qonnx_ops")
    model = graph([WINDOW, pick, norm], [("image", (1, 4, 4, 1))], [("y", None)], [("i", np.array([0, 1]))])
    with pytest.raises(LoweringError, match="leave some unused"):
        lower(model)
