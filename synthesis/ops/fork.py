# SPDX-License-Identifier: Apache-2.0
"""VitrailFork: one stream to several consumers."""

import numpy as np

from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type, vitrail_op


@vitrail_op
class VitrailFork(VitrailOp):
    """Copies of the input stream, each branch on its own."""

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "bits": ("i", True, 8),
        "signed": ("i", False, 1),
        "branches": ("i", True, 2),
    }

    def streams_in(self) -> list[Stream]:
        datatype = int_type(self.get("bits"), bool(self.get("signed")))
        return [Stream(datatype, (self.get("tokens"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return self.streams_in() * self.get("branches")

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [inputs[0]] * self.get("branches")

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * self.get("channels")

    def structure(self) -> UnitRtl:
        ends = [f"out{i}" for i in range(self.get("branches"))]
        params = {"WIDTH": self.get("bits"), "OUTPUTS": self.get("branches")}
        return UnitRtl([Instance("tee", "", params, {"s_axis": "in0", "m_axis": ends})])
