# SPDX-License-Identifier: Apache-2.0
"""VitrailSoftmax: integer softmax over consecutive rows of `length` scores."""

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from sim.golden.softmax import EXP_BITS, FRACTION_BITS, OUT_BITS, softmax
from synthesis.ops.base import (
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    check_range,
    hex_words,
    int_type,
    vitrail_op,
)


@vitrail_op
class VitrailSoftmax(VitrailOp):
    """Probabilities of every row of scores.

    Inputs: score codes (1, tokens, rows*length), signed 8 bits; exponential table (256,). Output: unsigned out_bits.
    A row takes max(length + 7, 22) cycles.
    """

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "length": ("i", True, 1),
        "out_bits": ("i", False, OUT_BITS),
        "fraction_bits": ("i", False, FRACTION_BITS),
        "twin_shift": ("i", False, 0),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(8), (self.get("tokens"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("out_bits"), signed=False), self.streams_in()[0].shape)]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        widths = (self.get(name) for name in ("out_bits", "fraction_bits", "twin_shift"))
        return [softmax(inputs[0], inputs[1], self.get("length"), *widths)]

    def get_exp_cycles(self) -> int:
        length = self.get("length")
        return self.get("tokens") * self.get("channels") // length * max(length + 7, 22)

    def structure(self) -> UnitRtl:
        unit = Instance(
            "softmax",
            "",
            {
                "L_MAX": self.get("length"),
                "OUT_BITS": self.get("out_bits"),
                "FRACTION_BITS": self.get("fraction_bits"),
                "TWIN_SHIFT": self.get("twin_shift"),
                "INIT_FILE": "*_exp.hex",
            },
            {"s_axis": "in0", "m_axis": "out0"},
            {"cfg_length": self.get("length")},
            tie={"wr_en": "1'b0", "wr_addr": "8'd0", "wr_data": f"{EXP_BITS}'d0"},
        )
        return UnitRtl([unit])

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        table = self.constant(model, 1)
        check_range(f"{self.onnx_node.name} table", table, EXP_BITS, signed=False)
        return {"*_exp.hex": hex_words([int(v) for v in table], EXP_BITS)}
