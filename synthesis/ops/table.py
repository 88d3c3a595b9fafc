# SPDX-License-Identifier: Apache-2.0
"""VitrailTable: one output code for every input code (GELU)."""

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import pack_words
from sim.golden.lookup import lookup
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
class VitrailTable(VitrailOp):
    """Look every code up.

    Inputs: codes (1, tokens, channels), content (2**in_bits,).
    """

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "in_bits": ("i", True, 8),
        "out_bits": ("i", True, 8),
        # Different functions of the upper 3 and 5 bits of a code that the output bits are made of
        "functions3": ("i", False, 0),
        "functions5": ("i", False, 0),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("in_bits")), (self.get("tokens"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("out_bits")), self.streams_in()[0].shape)]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [lookup(*inputs)]

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * self.get("channels")

    def structure(self) -> UnitRtl:
        in_bits, out_bits = self.get("in_bits"), self.get("out_bits")
        unit = Instance(
            "lookup",
            "",
            {"IN_BITS": in_bits, "OUT_BITS": out_bits, "INIT_FILE": "*_table.hex"},
            {"s_axis": "in0", "m_axis": "out0"},
            tie={"wr_en": "1'b0", "wr_addr": f"{in_bits}'d0", "wr_data": f"{out_bits}'d0"},
            figures={"FUNCTIONS3": self.get("functions3"), "FUNCTIONS5": self.get("functions5")},
        )
        return UnitRtl([unit])

    def finish_constants(self, model: ModelWrapper) -> None:
        """Count the functions that synthesis makes LUTs of; constants take none, a function and its complement one."""
        out_bits, content = self.get("out_bits"), self.constant(model, 1)
        planes = (content >> np.arange(out_bits)[:, None]) & 1
        for bits in (3, 5):
            upper = 2 ** min(bits, self.get("in_bits"))
            functions = planes.reshape(out_bits, upper, -1).transpose(0, 2, 1).reshape(-1, upper)
            functions = functions ^ functions[:, :1]
            self.set_nodeattr(f"functions{bits}", len(np.unique(functions[functions.any(axis=1)], axis=0)))

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        bits, content = self.get("out_bits"), self.constant(model, 1)
        check_range(f"{self.onnx_node.name} content", content, bits)
        return {"*_table.hex": hex_words(pack_words(content[:, None], bits), bits)}
