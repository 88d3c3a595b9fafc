# SPDX-License-Identifier: Apache-2.0
"""VitrailEmbed: class token in front, position embedding on every token; rom + embed."""

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import pack_words
from sim.golden.embed import embed
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
class VitrailEmbed(VitrailOp):
    """Inputs: patch codes (1, tokens-1, channels), content (tokens, channels). Output: (1, tokens, channels)."""

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

    def structure(self) -> UnitRtl:
        bits, tokens, channels = self.get("out_bits"), self.get("tokens"), self.get("channels")
        words = {"WIDTH": bits, "DEPTH": tokens * channels, "INIT_FILE": "*_content.hex"}
        rom = Instance("rom", "rom", words, {"m_axis": "param"})
        unit = Instance(
            "embed",
            "",
            {"X_BITS": self.get("x_bits"), "OUT_BITS": bits, "T_MAX": tokens, "C_MAX": channels},
            {"s_axis": "in0", "s_axis_param": "param", "m_axis": "out0"},
            {"cfg_tokens": tokens, "cfg_channels": channels},
        )
        return UnitRtl([rom, unit], {"param": bits})

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        bits, content = self.get("out_bits"), self.constant(model, 1).reshape(-1, 1)
        check_range(f"{self.onnx_node.name} content", content, bits)
        return {"*_content.hex": hex_words(pack_words(content, bits), bits)}
