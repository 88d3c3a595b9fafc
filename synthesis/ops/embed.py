# SPDX-License-Identifier: Apache-2.0
"""VitrailEmbed: class token in front, position embedding on every token; rom + embed."""

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import pack_words
from sim.golden.embed import embed
from synthesis.ops.base import (
    Cost,
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    check_range,
    hex_words,
    int_type,
    rom_blocks,
    vitrail_op,
)


@vitrail_op
class VitrailEmbed(VitrailOp):
    """Inputs: patch codes (1, tokens-1, channels), content (tokens, channels). Output: (1, tokens, channels).

    Estimate: 6 LUTs per output bit and 60 for control; the content in block RAM.
    """

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "x_bits": ("i", True, 12),
        "out_bits": ("i", True, 12),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("x_bits")), (self.get("tokens") - 1, self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("out_bits")), (self.get("tokens"), self.get("channels")))]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [embed(inputs[0], inputs[1], self.get("out_bits"))]

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * self.get("channels")

    def cost(self, fpgapart: str) -> Cost:
        out_bits = self.get("out_bits")
        return Cost(6 * out_bits + 60, 0, rom_blocks(out_bits, self.get("tokens") * self.get("channels")))

    def rtl(self, model: ModelWrapper, name: str) -> UnitRtl:
        bits, tokens, channels = self.get("out_bits"), self.get("tokens"), self.get("channels")
        content = self.constant(model, 1).reshape(-1, 1)
        check_range(f"{self.onnx_node.name} content", content, bits)
        file = f"{name}_content.hex"
        rom = Instance("rom", "rom", {"WIDTH": bits, "DEPTH": len(content), "INIT_FILE": file}, {"m_axis": "param"})
        unit = Instance(
            "embed",
            "",
            {"X_BITS": self.get("x_bits"), "OUT_BITS": bits, "T_MAX": tokens, "C_MAX": channels},
            {"s_axis": "in0", "s_axis_param": "param", "m_axis": "out0"},
            {"cfg_tokens": tokens, "cfg_channels": channels},
        )
        return UnitRtl([rom, unit], {"param": bits}, {file: hex_words(pack_words(content, bits), bits)})
