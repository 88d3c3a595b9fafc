# SPDX-License-Identifier: Apache-2.0
"""VitrailSplit: consecutive channels of every token to different branches."""

import numpy as np

from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type, vitrail_op


@vitrail_op
class VitrailSplit(VitrailOp):
    """Input: (1, tokens, sum of sizes); output i: (1, tokens, sizes[i])."""

    attributes = {
        "tokens": ("i", True, 0),
        "sizes": ("ints", True, []),
        "bits": ("i", True, 8),
        "signed": ("i", False, 1),
    }

    def streams_in(self) -> list[Stream]:
        datatype = int_type(self.get("bits"), bool(self.get("signed")))
        return [Stream(datatype, (self.get("tokens"), sum(self.get("sizes"))))]

    def streams_out(self) -> list[Stream]:
        datatype = self.streams_in()[0].datatype
        return [Stream(datatype, (self.get("tokens"), size)) for size in self.get("sizes")]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return np.split(inputs[0], np.cumsum(self.get("sizes"))[:-1], axis=-1)

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * sum(self.get("sizes"))

    def structure(self) -> UnitRtl:
        sizes = self.get("sizes")
        packed = sum(size << (16 * i) for i, size in enumerate(sizes))
        unit = Instance(
            "split",
            "",
            {"WIDTH": self.get("bits"), "OUTPUTS": len(sizes), "C_MAX": max(sizes)},
            {"s_axis": "in0", "m_axis": [f"out{i}" for i in range(len(sizes))]},
            {"cfg_sizes": packed},
            {"cfg_sizes": 16 * len(sizes)},
        )
        return UnitRtl([unit])
