# SPDX-License-Identifier: Apache-2.0
"""VitrailMvu: a linear layer as reader + rom + mvu, and a FIFO of two sums where the requant behind is no faster."""

import math

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import pack_words, signed_bits
from quant.schemes import FIXED, POT, SP2, encode
from sim.golden.mvu import da_offset, mvu, packed_second
from synthesis.cost import cascades, packs, paired_rows
from synthesis.ops.base import (
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    hex_words,
    int_type,
    tile_turns,
    vitrail_op,
)

# Distributed arithmetic by target: banks of tables (ECP5's LUT RAM has 16 words, one bank), numbers an adder takes
DA_BANKS = {0: 1, 1: 1, 2: 2}
DA_RADIX = {0: 2, 1: 2, 2: 3}
# Cycles that fill the tables of four inputs
DA_LOAD = 16


def da_params(target: int) -> dict[str, int]:
    """Parameters of an mvu that runs by distributed arithmetic on a target."""
    return {"DA": 1, "DA_BANKS": DA_BANKS[target], "DA_RADIX": DA_RADIX[target]}


def da_beats(tokens: int, simd: int, target: int) -> int:
    """Cycles of a weight word with distributed arithmetic: a tile of so many tokens, or loading the next tables.

    Two banks load while the tokens pass, one bank in between; the last entry arrives some cycles later.
    """
    load = DA_LOAD * math.ceil(simd / 4)
    return max(tokens, load + 4) if DA_BANKS[target] == 2 else tokens + load + 3


def used_bits(scheme: str, bits: int) -> int:
    """Bits of a weight's code that are not always zero: PoT has a sign and up to four bits of exponent."""
    return min(bits, 5) if scheme == "pot" else bits


def lane_order(schemes: np.ndarray, pe: int) -> np.ndarray:
    """Rows in the order of the mvu's lanes: inside each group of pe rows fixed first, then pot, then sp2.

    Args:
        schemes: Scheme id of every row, shape (rows,).
        pe: Lanes of the mvu; divides the rows.

    Returns:
        int64, shape (rows,): entry group * pe + lane is the row on that lane.

    Raises:
        ValueError: the groups do not all hold the same number of rows of each scheme.
    """
    groups = np.asarray(schemes, dtype=np.int64).reshape(-1, pe)
    order = np.argsort(groups, axis=1, kind="stable")
    mixes = np.take_along_axis(groups, order, axis=1)
    if (mixes != mixes[0]).any():
        raise ValueError(f"lane_order: PE={pe} groups rows of different scheme mixes; choose a multiple of row_group")
    return (order + np.arange(groups.shape[0])[:, None] * pe).reshape(-1)


def encode_rows(weight: np.ndarray, schemes: np.ndarray, bits: int) -> np.ndarray:
    """Bit codes of weight integers (rows, k), each row in its scheme (rows,); unsigned int64 of the same shape."""
    codes = np.zeros(weight.shape, dtype=np.int64)
    for scheme in np.unique(schemes):
        codes[schemes == scheme] = encode(weight[schemes == scheme], int(scheme), bits)
    return codes


@vitrail_op
class VitrailMvu(VitrailOp):
    """Matrix-vector products of all tokens, weights in a ROM.

    Inputs: activations (1, tokens, k), weight integers (rows, k). Output: accumulators (1, tokens, rows).
    With da all rows run by distributed arithmetic, their weights stay for a tile, and the accumulators come without
    the rows' offsets (sim.golden.mvu.da_offset), which fold.permute_lanes puts into the requant behind.
    With dsp_sums pairs of rows on multiplier blocks are summed inside the blocks.
    """

    attributes = {
        "tokens": ("i", True, 0),
        "k": ("i", True, 0),
        "rows": ("i", True, 0),
        "PE": ("i", False, 1),
        "SIMD": ("i", False, 1),
        "tile": ("i", False, 1),
        "a_bits": ("i", True, 8),
        "w_bits": ("i", True, 4),
        "acc_bits": ("i", False, 32),
        "row_scheme": ("ints", False, []),
        "dsp_rows": ("i", False, 0),
        "da": ("i", False, 0, {0, 1}),
        "dsp_sums": ("i", False, 0, {0, 1}),
        "target": ("i", False, 0, {0, 1, 2}),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("a_bits")), (self.get("tokens"), self.get("k")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("acc_bits")), (self.get("tokens"), self.get("rows")), self.get("PE"))]

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        return int_type(self.get("w_bits")) if ind == 1 else super().get_input_datatype(ind)

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [mvu(*inputs) - (da_offset(inputs[1]) if self.get("da") else 0)]

    def macs(self) -> int:
        return self.get("tokens") * self.get("k") * self.get("rows")

    @property
    def chunks(self) -> int:
        """Beats of one input vector."""
        return math.ceil(self.get("k") / self.get("SIMD"))

    @property
    def quads(self) -> int:
        """Loads of four inputs that fill the tables of a chunk (da)."""
        return math.ceil(self.get("SIMD") / 4)

    @property
    def groups(self) -> int:
        """Groups of PE rows."""
        return self.get("rows") // self.get("PE")

    def get_exp_cycles(self) -> int:
        tokens, tile = self.get("tokens"), self.get("tile")
        words = self.groups * self.chunks
        cycles = 0
        for times, count, after in tile_turns(tokens, tile):
            beats = da_beats(count, self.get("SIMD"), self.get("target")) if self.get("da") else count
            # while a tile is replayed the reader loads the next one
            cycles += times * max(words * beats, after * self.get("k"))
        return cycles

    def schemes(self) -> np.ndarray:
        """Scheme id of every row."""
        return np.array(self.get("row_scheme") or [FIXED] * self.get("rows"), dtype=np.int64)

    def lanes(self) -> dict[str, int]:
        """Number of lanes by scheme, from the first group."""
        first = self.schemes()[: self.get("PE")]
        return {
            "fixed": int((first == FIXED).sum()),
            "pot": int((first == POT).sum()),
            "sp2": int((first == SP2).sum()),
        }

    def permutation(self) -> np.ndarray:
        """Row on each lane position of the output stream."""
        return lane_order(self.schemes(), self.get("PE"))

    def packs(self) -> bool:
        """True when two rows share one multiplier."""
        return packs(self.get("w_bits"), self.get("a_bits"))

    def packed_rows(self) -> int:
        """Rows on multiplier blocks that come in packed pairs (DSP_PACKED): the second as its weight less one where the
        first is negative. The pre-adders of a DSP cascade do that themselves.
        """
        if cascades(self.get("target"), self.get("dsp_sums"), self.get("SIMD")):
            return 0
        return paired_rows(self.get("dsp_rows"), self.get("w_bits"), self.get("a_bits"))

    def accumulator_bits(self, weight: np.ndarray) -> int:
        """Width that holds every accumulator these weights can make, partial sums included."""
        low, high = int(int_type(self.get("a_bits")).min()), int(int_type(self.get("a_bits")).max())
        if self.get("da"):  # without the offset, a negative weight counts like a positive one
            weight = np.abs(weight)
        positive = np.maximum(weight, 0).sum(axis=1)
        negative = np.minimum(weight, 0).sum(axis=1)
        most = int((positive * high + negative * low).max())
        least = int((positive * low + negative * high).min())
        return max(signed_bits(least, most), 2)

    def minimize_accumulator_width(self, model: ModelWrapper, datatype_only: bool = False) -> BaseDataType:
        """Called by FINN's MinimizeAccumulatorWidth: acc_bits from the weights, or from their type alone."""
        weight = self.constant(model, 1)
        if datatype_only:
            weight = np.full_like(weight, -(2 ** (self.get("w_bits") - 1)))
        self.set_nodeattr("acc_bits", self.accumulator_bits(weight))
        return self.get_output_datatype()

    def weight_words(self, weight: np.ndarray) -> list[int]:
        """ROM words in the order (group, chunk); lane l, input s in bits (l * SIMD + s) * w_bits.

        With da in the order (group, chunk, four inputs); lane l, input s of the four in bits (l * 4 + s) * w_bits.
        """
        pe, bits = self.get("PE"), self.get("w_bits")
        order = self.permutation()
        weight = weight[order]
        codes = encode_rows(weight, self.schemes()[order], bits)
        lane = np.arange(len(order)) % pe
        second = (lane % 2 == 1) & (lane < self.packed_rows())
        codes[second] = packed_second(weight[np.roll(second, -1)], weight[second], bits)
        codes = np.pad(codes, ((0, 0), (0, self.chunks * self.get("SIMD") - codes.shape[1])))
        codes = codes.reshape(self.groups, pe, self.chunks, self.get("SIMD"))
        if self.get("da"):
            codes = np.pad(codes, ((0, 0), (0, 0), (0, 0), (0, 4 * self.quads - self.get("SIMD"))))
            codes = codes.reshape(self.groups, pe, self.chunks * self.quads, 4)
        words = codes.transpose(0, 2, 1, 3)
        return pack_words(words.reshape(-1, pe * words.shape[-1]), bits)

    @property
    def word_bits(self) -> int:
        """Width of a weight word."""
        return self.get("PE") * (4 if self.get("da") else self.get("SIMD")) * self.get("w_bits")

    def structure(self) -> UnitRtl:
        simd, tile, tokens = self.get("SIMD"), self.get("tile"), self.get("tokens")
        a_bits = self.get("a_bits")
        lanes, target = self.lanes(), self.get("target")
        reader = Instance(
            "reader",
            "reader",
            {"SIMD": simd, "ELEM_BITS": a_bits, "K_MAX": self.get("k"), "T_MAX": tile, "GROUPS_MAX": self.groups},
            {"s_axis": "in0", "m_axis": "chunk"},
            {"cfg_k": self.get("k"), "cfg_groups": self.groups, "cfg_tile": tile, "cfg_tokens": tokens},
        )
        depth = self.groups * self.chunks * (self.quads if self.get("da") else 1)
        words: dict[str, int | str] = {"WIDTH": self.word_bits, "DEPTH": depth, "INIT_FILE": "*_weight.hex"}
        inputs = min(4, simd) if self.get("da") else simd
        varies = inputs * sum(count * used_bits(name, self.get("w_bits")) for name, count in lanes.items())
        figures = {"CONSTANT_BITS": self.word_bits - varies}
        rom = Instance("rom", "rom", words, {"m_axis": "weight"}, figures=figures)
        params: dict[str, int | str] = {
            "PE": self.get("PE"),
            "SIMD": simd,
            "A_BITS": a_bits,
            "W_BITS": self.get("w_bits"),
            "ACC_BITS": self.get("acc_bits"),
            "T_MAX": tile,
            "ROWS_POT": lanes["pot"],
            "ROWS_SP2": lanes["sp2"],
            "DSP_ROWS": self.get("dsp_rows"),
            "TARGET": "TARGET",
            "CHUNKS_MAX": self.chunks,
            # with it there are no sums in neighbouring cycles
            "STALL_REGISTER": int(tile == 1 and max(self.chunks, self.get("PE")) > 1),
        }
        if self.get("da"):
            params |= da_params(target)
        if self.get("dsp_sums"):
            params |= {"DSP_SUMS": 1}
        if self.packed_rows():
            params |= {"DSP_PACKED": 1}
        # A requant that takes PE cycles for the sums of a group must not wait for an mvu that is no faster
        skid = tile == 1 and self.chunks <= self.get("PE")
        unit = Instance(
            "mvu",
            "",
            params,
            {"s_axis": "chunk", "s_axis_weight": "weight", "m_axis": "sums" if skid else "out0"},
            {"cfg_chunks": self.chunks, "cfg_groups": self.groups, "cfg_tile": tile, "cfg_tokens": tokens},
        )
        instances, wires = [reader, rom, unit], {"chunk": simd * a_bits, "weight": self.word_bits}
        if skid:
            wires["sums"] = self.streams_out()[0].width
            ports: dict[str, str | list[str]] = {"s_axis": "sums", "m_axis": "out0"}
            instances.append(Instance("fifo", "skid", {"WIDTH": wires["sums"], "DEPTH": 2}, ports))
        return UnitRtl(instances, wires)

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        return {"*_weight.hex": hex_words(self.weight_words(self.constant(model, 1)), self.word_bits)}
