# SPDX-License-Identifier: Apache-2.0
"""VitrailRequant: requantization as rom + requant, with reorder behind it when tokens come in tiles."""

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import signed_bits
from sim.golden.requant import requant
from synthesis.ops.base import (
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    check_range,
    code_bits,
    hex_words,
    int_type,
    tile_turns,
    vitrail_op,
)

MULT_BITS = 17


@vitrail_op
class VitrailRequant(VitrailOp):
    """y = clip((acc * M + B + 2**(shift-1)) >> shift), one element per cycle.

    Inputs: accumulators (1, tokens, channels), M and B of shape (channels,) or (1,). `lane` holds, for every channel,
    the lane inside its group of PE rows (empty: lane = channel modulo PE).
    """

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "PE": ("i", False, 1),
        "tile": ("i", False, 1),
        "acc_bits": ("i", True, 32),
        "acc_signed": ("i", False, 1),
        "bias_bits": ("i", False, 32),
        # Low zeros that all B have, at most shift - 1: the words hold B without them, bias_bits wide
        "drop_bits": ("i", False, 0),
        "shift": ("i", True, 1),
        "out_bits": ("i", True, 8),
        "out_signed": ("i", False, 1),
        "lane": ("ints", False, []),
        "param_words": ("i", False, 0),
        # Bits of M and of B that are not the same in all rows, and differ from each other in some
        "mult_varies": ("i", False, MULT_BITS),
        "bias_varies": ("i", False, 32),
    }

    def streams_in(self) -> list[Stream]:
        shape = (self.get("tokens"), self.get("channels"))
        return [Stream(int_type(self.get("acc_bits")), shape, self.get("PE"))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("out_bits"), bool(self.get("out_signed"))), self.streams_in()[0].shape)]

    def adopt_input_datatype(self, index: int, found: BaseDataType) -> None:
        if not found.is_integer() or not found.signed():
            super().adopt_input_datatype(index, found)
        self.set_nodeattr("acc_bits", code_bits(found))

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        acc, mult, bias = inputs
        return [requant(acc, mult, bias, self.get("shift"), self.get("out_bits"), bool(self.get("out_signed")))]

    def get_exp_cycles(self) -> int:
        # a tile is written into reorder while the one before it leaves
        turns = tile_turns(self.get("tokens"), self.get("tile"))
        return sum(times * max(count, after) for times, count, after in turns) * self.get("channels")

    @property
    def lane_bits(self) -> int:
        """Width of the lane field."""
        return max(1, (self.get("PE") - 1).bit_length())

    @property
    def param_width(self) -> int:
        """Width of one parameter word {lane, bias, mult}."""
        return self.lane_bits + self.get("bias_bits") + MULT_BITS

    def finish_constants(self, model: ModelWrapper) -> None:
        """Zeros and width of B, number of parameter words (1 when all rows share one word), bits that vary in them."""
        bias = self.constant(model, 2)
        mult = self.constant(model, 1)
        most = min(self.get("shift") - 1, self.get("acc_bits") + MULT_BITS - 2)
        zeros = np.bitwise_or.reduce(np.append(bias, 1 << most))  # of all B, and no more than that
        self.set_nodeattr("drop_bits", int(zeros & -zeros).bit_length() - 1)
        held = bias >> self.get("drop_bits")
        self.set_nodeattr("bias_bits", max(2, signed_bits(int(held.min()), int(held.max()))))
        self.set_nodeattr("param_words", len(self._words(mult, bias)))
        for name, values, bits in (("mult", mult, MULT_BITS), ("bias", held, self.get("bias_bits"))):
            columns = np.unique((values >> np.arange(bits)[:, None]) & 1, axis=0)
            self.set_nodeattr(f"{name}_varies", int((columns != columns[:, :1]).any(axis=1).sum()))

    def _words(self, mult: np.ndarray, bias: np.ndarray) -> list[int]:
        channels, pe, bias_bits = self.get("channels"), self.get("PE"), self.get("bias_bits")
        bias = bias >> self.get("drop_bits")
        check_range(f"{self.onnx_node.name} M", mult, MULT_BITS)
        check_range(f"{self.onnx_node.name} B", bias, bias_bits)
        lane = np.array(self.get("lane") or [c % pe for c in range(channels)], dtype=np.int64)
        mult, bias = np.broadcast_to(mult, channels), np.broadcast_to(bias, channels)
        mult_mask, bias_mask = (1 << MULT_BITS) - 1, (1 << bias_bits) - 1
        words = [
            (int(m) & mult_mask) | ((int(b) & bias_mask) << MULT_BITS) | (int(p) << (MULT_BITS + bias_bits))
            for m, b, p in zip(mult, bias, lane, strict=True)
        ]
        return words[:1] if len(set(words)) == 1 else words

    def structure(self) -> UnitRtl:
        pe, tile, tokens, channels = (self.get(key) for key in ("PE", "tile", "tokens", "channels"))
        depth = self.get("param_words") or channels
        words = {"WIDTH": self.param_width, "DEPTH": depth, "INIT_FILE": "*_param.hex"}
        varies = {"MULT_VARIES": self.get("mult_varies"), "BIAS_VARIES": self.get("bias_varies")}
        constant = MULT_BITS + self.get("bias_bits") - sum(varies.values())
        rom = Instance("rom", "rom", words, {"m_axis": "param"}, figures={"CONSTANT_BITS": constant + (pe == 1)})
        unit = Instance(
            "requant",
            "",
            {
                "PE": pe,
                "ACC_BITS": self.get("acc_bits"),
                "MULT_BITS": MULT_BITS,
                "BIAS_BITS": self.get("bias_bits"),
                "OUT_BITS": self.get("out_bits"),
                "OUT_SIGNED": self.get("out_signed"),
                "DROP_BITS": self.get("drop_bits"),
                "LANE_BITS": self.lane_bits,
                "T_MAX": tile,
                "TARGET": "TARGET",
                "ROWS_MAX": channels,
            },
            {"s_axis": "in0", "s_axis_param": "param", "m_axis": "out0" if tile == 1 else "tiled"},
            {"cfg_shift": self.get("shift"), "cfg_rows": channels, "cfg_tile": tile, "cfg_tokens": tokens},
            figures={**varies, "SHIFT": self.get("shift")},
        )
        instances, wires = [rom, unit], {"param": self.param_width}
        if tile > 1:
            wires["tiled"] = self.get("out_bits")
            params = {"ELEM_BITS": self.get("out_bits"), "PE": pe, "ROWS_MAX": channels, "T_MAX": tile}
            cfg = {"cfg_rows": channels, "cfg_tile": tile, "cfg_tokens": tokens}
            instances.append(Instance("reorder", "reorder", params, {"s_axis": "tiled", "m_axis": "out0"}, cfg))
        return UnitRtl(instances, wires)

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        words = self._words(self.constant(model, 1), self.constant(model, 2))
        assert len(words) == (self.get("param_words") or self.get("channels")), self.onnx_node.name
        return {"*_param.hex": hex_words(words, self.param_width)}
