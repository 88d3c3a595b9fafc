# SPDX-License-Identifier: Apache-2.0
"""Hardware ops: FINN's interface (shapes, widths, ports) and the words that go into the ROMs."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from quant.intmath import unpack_words
from quant.schemes import decode, magnitudes
from synthesis.finn_env import load_finn
from synthesis.ops.base import hex_words

ops = load_finn()


def op(kind, outputs=1, **attributes):
    """An op instance without a graph."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(kind, ["x", "c"], names, "u", domain=ops.DOMAIN, backend="fpgadataflow", **attributes)
    return getCustomOp(node)


def mvu(**more):
    sizes = {"tokens": 3, "k": 6, "rows": 8, "a_bits": 8, "w_bits": 4, "PE": 4, "SIMD": 4, "acc_bits": 14}
    return op("VitrailMvu", **(sizes | {"row_scheme": [2, 0, 0, 2, 0, 2, 2, 0]} | more))


def test_both_forms_are_registered():
    """Each op as abstract op and as its _rtl form, which inherits the golden execution."""
    from finn.custom_op.fpgadataflow import custom_op
    from finn.custom_op.fpgadataflow.rtl import custom_op as rtl_op

    names = [name for name in ops.__all__ if name.startswith("Vitrail") and name != "VitrailOp"]
    assert len(names) == 12
    for name in names:
        assert issubclass(rtl_op[f"{name}_rtl"], custom_op[name])
        assert rtl_op[f"{name}_rtl"].execute_node is custom_op[name].execute_node


def test_mvu_interface():
    inst = mvu()
    assert inst.get_folded_input_shape() == [1, 3, 6, 1]
    assert inst.get_folded_output_shape() == [1, 3, 2, 4]
    assert (inst.get_instream_width(0), inst.get_instream_width(1), inst.get_outstream_width()) == (8, 0, 56)
    assert inst.get_output_datatype() == DataType["INT14"]
    assert inst.get_exp_cycles() == 3 * 6  # loading a token takes longer than two groups of two chunks
    names = inst.get_verilog_top_module_intf_names()
    assert names["s_axis"] == [("in0_V", 8)] and names["m_axis"] == [("out0_V", 56)]


def test_weight_words_are_in_lane_and_chunk_order():
    """Word (group, chunk) holds code [lane, input]; the row is the lane's, the last chunk is padded with zeros."""
    inst = mvu()
    rng = np.random.default_rng(2)
    schemes = inst.schemes()
    values = {0: np.arange(-7, 8), 2: np.array([-8, -6, -5, -4, -2, -1, 0, 1, 2, 4, 5, 6, 8])}
    weight = np.stack([rng.choice(values[int(s)], 6) for s in schemes])
    codes = unpack_words(inst.weight_words(weight), 4, 16, signed=False).reshape(2, 2, 4, 4)
    order = inst.permutation()
    for group in range(2):
        for lane in range(4):
            row = order[group * 4 + lane]
            found = decode(codes[group, :, lane, :].reshape(-1), int(schemes[row]), 4)
            assert found.tolist() == [*weight[row], 0, 0]


def test_weight_words_of_packed_pairs():
    """The second row of a pair is one less where the first is negative, down to -8; not where a pre-adder packs."""
    weight = np.array([[-1, 7, 0, -7], [-7, 2, 0, 7], [-3, -3, 3, 3], [5, -5, 5, -5]] * 2)
    sizes = {"k": 4, "SIMD": 4, "row_scheme": [0] * 8, "target": 1}
    for dsp_sums, rows, second in ((1, 3, [-8, 2, 0, 6]), (0, 3, [-8, 2, 0, 6]), (1, 1, [-7, 2, 0, 7])):
        inst = mvu(dsp_sums=dsp_sums, dsp_rows=rows, **sizes)
        codes = unpack_words(inst.weight_words(weight), 4, 16, signed=True).reshape(2, 4, 4)
        assert codes[1].tolist() == [[-1, 7, 0, -7], second, [-3, -3, 3, 3], [5, -5, 5, -5]]
        params = inst.structure().instances[2].params
        assert params.get("DSP_PACKED", 0) == int(second[0] == -8) and params.get("DSP_SUMS", 0) == dsp_sums
    inst = mvu(dsp_sums=1, dsp_rows=4, **(sizes | {"target": 2}))  # the pre-adder of a DSP48E2 packs
    assert (
        unpack_words(inst.weight_words(weight), 4, 16, signed=True).reshape(2, 4, 4)[0].tolist() == weight[:4].tolist()
    )


@pytest.mark.parametrize(("values", "bits"), [([[7, 7], [0, 0]], 12), ([[1, 0], [0, 0]], 8), ([[-1, 0], [0, 1]], 9)])
def test_accumulator_bits(values, bits):
    """1 * -128 fits in 8 bits, -1 * -128 needs 9, 14 * -128 needs 12."""
    assert mvu(k=2, rows=2, PE=1, SIMD=1, row_scheme=[0, 0]).accumulator_bits(np.array(values)) == bits


def constants(kind, values, **attributes):
    """An op in a graph of its own with its constants, finished."""
    names = [f"c{i}" for i in range(len(values))]
    node = helper.make_node(kind, ["x", *names], ["y"], "u", domain=ops.DOMAIN, backend="fpgadataflow", **attributes)
    held = [numpy_helper.from_array(np.array(v, np.float64), name) for name, v in zip(names, values, strict=True)]
    model = ModelWrapper(helper.make_model(helper.make_graph([node], "g", [], [], held)))
    inst = getCustomOp(model.graph.node[0])
    inst.finish_constants(model)
    return inst


def test_figures_of_constants_by_hand():
    """M 3, 5, 5: bits 1 and 2 vary; B 0, 1, -1: bits 0 and 1; the other bits, and the lane of one row, are constant."""
    sizes = {"tokens": 2, "channels": 3, "acc_bits": 12, "shift": 9, "out_bits": 8}
    rom, unit = constants("VitrailRequant", [[3, 5, 5], [0, 1, -1]], **sizes).structure().instances
    assert unit.figures == {"MULT_VARIES": 2, "BIAS_VARIES": 2, "SHIFT": 9}
    assert rom.params["WIDTH"] == 1 + 2 + 17 and rom.figures == {"CONSTANT_BITS": 1 + 15}
    # B 0, -1, -1: both bits are the same
    rom, unit = constants("VitrailRequant", [[3, 5, 5], [0, -1, -1]], **sizes).structure().instances
    assert unit.figures["BIAS_VARIES"] == 1
    # one word for all rows
    rom, unit = constants("VitrailRequant", [[3], [7]], **sizes).structure().instances
    assert rom.params["DEPTH"] == 1 and unit.figures == {"MULT_VARIES": 0, "BIAS_VARIES": 0, "SHIFT": 9}


@pytest.mark.parametrize(
    ("bias", "shift", "drop", "bits"),
    [
        ([0, 96, -32], 9, 5, 3),  # 0, 3, -1
        ([0, 1024, -512], 9, 8, 4),  # not the bit that rounds: 0, 4, -2
        ([0, 0, 0], 9, 8, 2),
        ([0, 0, 0], 30, 12 + 17 - 2, 2),  # two bits of the product stay
        ([5, 96, 64], 9, 0, 8),
        ([-64, 64, 64], 1, 0, 8),
    ],
)
def test_low_zeros_of_all_biases_are_dropped(bias, shift, drop, bits):
    sizes = {"tokens": 2, "channels": 3, "acc_bits": 12, "out_bits": 8}
    rom, unit = constants("VitrailRequant", [[3, 5, 5], bias], shift=shift, **sizes).structure().instances
    assert (unit.params["DROP_BITS"], unit.params["BIAS_BITS"], rom.params["WIDTH"]) == (drop, bits, 1 + bits + 17)
    assert unit.cfg["cfg_shift"] == shift


def test_functions_of_a_table_by_hand():
    """y = code: its bits are three bits of the upper three of four, and one that is constant for each of them."""
    table = constants("VitrailTable", [range(16)], tokens=1, channels=1, in_bits=4, out_bits=4)
    assert table.structure().instances[0].figures == {"FUNCTIONS3": 3, "FUNCTIONS5": 4}
    # the complement of all bits has the same functions, a constant none
    table = constants("VitrailTable", [range(15, -1, -1)], tokens=1, channels=1, in_bits=4, out_bits=4)
    assert table.structure().instances[0].figures == {"FUNCTIONS3": 3, "FUNCTIONS5": 4}
    table = constants("VitrailTable", [[5] * 16], tokens=1, channels=1, in_bits=4, out_bits=4)
    assert table.structure().instances[0].figures == {"FUNCTIONS3": 0, "FUNCTIONS5": 0}


@pytest.mark.parametrize(
    ("more", "bits"),
    [
        ({}, 0),
        ({"w_bits": 8, "row_scheme": [1, 0] * 4}, 2 * 4 * 3),  # PoT: 5 of 8 bits, two of four lanes, four inputs
        ({"w_bits": 8, "row_scheme": [2, 0] * 4}, 0),
        ({"da": 1, "SIMD": 3, "tile": 3}, 4 * 1 * 4),  # the fourth input of the tables
        ({"da": 1, "SIMD": 6, "tile": 3}, 0),
    ],
)
def test_constant_bits_of_weight_words(more, bits):
    unit = mvu(**more)
    assert unit.structure().instances[1].figures == {"CONSTANT_BITS": bits}
    rng = np.random.default_rng(5)
    schemes = unit.schemes()
    values = {int(s): magnitudes(int(s), unit.get("w_bits")) for s in np.unique(schemes)}
    weight = np.stack([rng.choice(values[int(s)], 300) for s in schemes]) * rng.choice([-1, 1], (8, 300))
    unit.set_nodeattr("k", 300)
    words = unit.weight_words(weight)
    ones, zeros = 0, 0
    for word in words:
        ones, zeros = ones | word, zeros | ~word
    assert unit.word_bits - (ones & zeros & ((1 << unit.word_bits) - 1)).bit_count() == bits


def test_requant_words():
    """{lane, bias, mult}, mult low, negative numbers in two's complement."""
    inst = op("VitrailRequant", tokens=1, channels=2, PE=2, acc_bits=14, bias_bits=5, shift=1, out_bits=8, lane=[1, 0])
    words = inst._words(np.array([-1, 3]), np.array([-2, 7]))
    assert words == [0x1FFFF | (30 << 17) | (1 << 22), 3 | (7 << 17)]
    shared = op("VitrailRequant", tokens=1, channels=3, acc_bits=14, bias_bits=5, shift=1, out_bits=8)
    assert len(shared._words(np.array([5]), np.array([1]))) == 1
    keys = {"acc_bits": 14, "bias_bits": 3, "drop_bits": 2, "shift": 4, "out_bits": 8}
    dropped = op("VitrailRequant", tokens=1, channels=2, PE=2, **keys)
    assert dropped._words(np.array([1, 1]), np.array([-8, 4])) == [1 | (6 << 17), 1 | (1 << 17) | (1 << 20)]
    with pytest.raises(ValueError, match=r"u M: constants 65536..65536 do not fit in 17 bits \(-65536..65535\)"):
        shared._words(np.array([65536]), np.array([1]))


def test_matmul_stores_whole_chunks():
    """The contraction is rounded up to SIMD: channels of a head for scores, keys for the mix."""
    sizes = {"queries": 5, "keys": 10, "heads": 2, "dim": 6, "a_bits": 8, "b_bits": 8, "SIMD": 4}
    scores = op("VitrailMatmul", transpose=0, a_signed=1, **sizes).rtl(None, "u").instances[0].params
    mix = op("VitrailMatmul", transpose=1, a_signed=0, **sizes).rtl(None, "u").instances[0].params
    assert (scores["N_MAX"], scores["C_MAX"]) == (10, 16)
    assert (mix["N_MAX"], mix["C_MAX"]) == (12, 12)


def test_wide_codes_need_integer_arrays():
    """float32 cannot hold codes above 2**24: execution refuses instead of rounding."""
    inst = op("VitrailMvu", tokens=1, k=2, rows=1, a_bits=24, w_bits=8)
    context = {"x": np.array([[[2**23, 2**23]]], np.float32), "c": np.array([[64, 64]], np.float32)}
    with pytest.raises(ValueError, match=r"codes above 2\*\*24 do not fit in float32"):
        inst.execute_node(context, None)
    context = {name: value.astype(np.int64) for name, value in context.items()}
    inst.execute_node(context, None)
    assert context["y0"].tolist() == [[[2**30]]]


def test_hex_words_have_the_digits_of_their_width():
    assert hex_words([10, 255], 9) == ["00a", "0ff"]


def test_cycles_of_uneven_tiles():
    """26 tokens in tiles of 24 and 2: reorder takes 24 tokens while 2 leave, and 2 while 24 leave."""
    sizes = {"tokens": 26, "channels": 336, "acc_bits": 14, "shift": 1}
    assert op("VitrailRequant", **sizes).get_exp_cycles() == 26 * 336
    assert op("VitrailRequant", tile=24, PE=12, **sizes).get_exp_cycles() == 2 * 24 * 336
    # an mvu loads 2 tokens of 6 elements while it works on 24, and 24 while it works on 2: four words each
    assert mvu(tokens=26, tile=24).get_exp_cycles() == 24 * 4 + 24 * 6
