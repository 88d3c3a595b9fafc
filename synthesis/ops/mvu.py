# SPDX-License-Identifier: Apache-2.0
"""VitrailMvu: a linear layer as reader + rom + mvu."""

import math

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import pack_words, signed_bits
from quant.schemes import FIXED, POT, SP2, encode
from sim.golden.mvu import mvu
from synthesis.ops.base import (
    Cost,
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    ecp5,
    hex_words,
    int_type,
    memory_blocks,
    memory_luts,
    rom_blocks,
    rom_luts,
    vitrail_op,
)

# LUTs of one multiply-accumulate by lane, adder tree and accumulator included: ECP5 LUT4 and UltraScale+ LUT. The ECP5
# column was fitted to Yosys runs of hw/rtl/mvu, the UltraScale+ column to those of simple lanes.
LANE_LUTS = {"packed": (26, 5), "dsp": (26, 22), "pot": (65, 55), "sp2": (50, 57)}


def packs(w_bits: int, a_bits: int) -> bool:
    """True when two rows share one multiplier."""
    return w_bits <= 4 and a_bits <= 8


def fixed_luts(w_bits: int, column: int) -> int:
    """LUTs of one fixed-point multiply-accumulate without a multiplier block; columns as in LANE_LUTS."""
    return (15 if column == 0 else 20) * w_bits


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
    Estimate: LANE_LUTS per multiply-accumulate, 100 for control of reader and mvu; buffer (two tiles of k elements) and
    ROM in block RAM above 1 kbit.
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
        "target": ("i", False, 0, {0, 1, 2}),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("a_bits")), (self.get("tokens"), self.get("k")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("acc_bits")), (self.get("tokens"), self.get("rows")), self.get("PE"))]

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        return int_type(self.get("w_bits")) if ind == 1 else super().get_input_datatype(ind)

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [mvu(*inputs)]

    def macs(self) -> int:
        return self.get("tokens") * self.get("k") * self.get("rows")

    @property
    def chunks(self) -> int:
        """Beats of one input vector."""
        return math.ceil(self.get("k") / self.get("SIMD"))

    @property
    def groups(self) -> int:
        """Groups of PE rows."""
        return self.get("rows") // self.get("PE")

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * max(self.chunks * self.groups, self.get("k"))

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

    def multipliers(self) -> int:
        """DSP blocks for the products."""
        rows = self.get("dsp_rows")
        return self.get("SIMD") * ((rows + 1) // 2 if self.packs() else rows)

    def cost(self, fpgapart: str) -> Cost:
        pe, simd, dsp_rows = self.get("PE"), self.get("SIMD"), self.get("dsp_rows")
        column = 0 if ecp5(fpgapart) else 1
        lanes = self.lanes()
        on_dsp = LANE_LUTS["packed" if self.packs() else "dsp"][column]
        lut = dsp_rows * on_dsp + (lanes["fixed"] - dsp_rows) * fixed_luts(self.get("w_bits"), column)
        lut += lanes["pot"] * LANE_LUTS["pot"][column] + lanes["sp2"] * LANE_LUTS["sp2"][column]
        buffer = (simd * self.get("a_bits"), 2 * self.get("tile") * self.chunks)
        rom = (pe * simd * self.get("w_bits"), self.groups * self.chunks)
        lut = lut * simd + 100 + memory_luts(*buffer) + rom_luts(*rom)
        bram = memory_blocks(*buffer) + rom_blocks(*rom)
        if self.get("tile") > 1:
            bram += memory_blocks(pe * self.get("acc_bits"), 2 * self.get("tile"))
        return Cost(lut, self.multipliers(), bram)

    def accumulator_bits(self, weight: np.ndarray) -> int:
        """Width that holds every accumulator these weights can make, partial sums included."""
        low, high = int(int_type(self.get("a_bits")).min()), int(int_type(self.get("a_bits")).max())
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
        """ROM words in the order (group, chunk); lane l, input s in bits (l * SIMD + s) * w_bits."""
        pe, simd, bits = self.get("PE"), self.get("SIMD"), self.get("w_bits")
        order = self.permutation()
        codes = encode_rows(weight[order], self.schemes()[order], bits)
        codes = np.pad(codes, ((0, 0), (0, self.chunks * simd - codes.shape[1])))
        words = codes.reshape(self.groups, pe, self.chunks, simd).transpose(0, 2, 1, 3)
        return pack_words(words.reshape(self.groups * self.chunks, pe * simd), bits)

    def rtl(self, model: ModelWrapper, name: str) -> UnitRtl:
        pe, simd, tile = self.get("PE"), self.get("SIMD"), self.get("tile")
        a_bits, w_bits, tokens = self.get("a_bits"), self.get("w_bits"), self.get("tokens")
        lanes = self.lanes()
        words = self.weight_words(self.constant(model, 1))
        width = pe * simd * w_bits
        file = f"{name}_weight.hex"
        reader = Instance(
            "reader",
            "reader",
            {"SIMD": simd, "ELEM_BITS": a_bits, "K_MAX": self.get("k"), "T_MAX": tile, "GROUPS_MAX": self.groups},
            {"s_axis": "in0", "m_axis": "chunk"},
            {"cfg_k": self.get("k"), "cfg_groups": self.groups, "cfg_tile": tile, "cfg_tokens": tokens},
        )
        rom = Instance("rom", "rom", {"WIDTH": width, "DEPTH": len(words), "INIT_FILE": file}, {"m_axis": "weight"})
        unit = Instance(
            "mvu",
            "",
            {
                "PE": pe,
                "SIMD": simd,
                "A_BITS": a_bits,
                "W_BITS": w_bits,
                "ACC_BITS": self.get("acc_bits"),
                "T_MAX": tile,
                "ROWS_POT": lanes["pot"],
                "ROWS_SP2": lanes["sp2"],
                "DSP_ROWS": self.get("dsp_rows"),
                "TARGET": "TARGET",
                "CHUNKS_MAX": self.chunks,
                "STALL_REGISTER": int(tile == 1 and self.chunks > pe),
            },
            {"s_axis": "chunk", "s_axis_weight": "weight", "m_axis": "out0"},
            {"cfg_chunks": self.chunks, "cfg_groups": self.groups, "cfg_tile": tile, "cfg_tokens": tokens},
        )
        return UnitRtl([reader, rom, unit], {"chunk": simd * a_bits, "weight": width}, {file: hex_words(words, width)})
