# SPDX-License-Identifier: Apache-2.0
"""VitrailAdd: saturating residual addition."""

import numpy as np

from sim.golden.add import add
from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type, vitrail_op


@vitrail_op
class VitrailAdd(VitrailOp):
    """y = clip(a + b), both sides on one scale."""

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "a_bits": ("i", True, 12),
        "b_bits": ("i", True, 12),
        "out_bits": ("i", True, 12),
    }

    def streams_in(self) -> list[Stream]:
        shape = (self.get("tokens"), self.get("channels"))
        return [Stream(int_type(self.get("a_bits")), shape), Stream(int_type(self.get("b_bits")), shape)]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(self.get("out_bits")), self.streams_in()[0].shape)]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [add(inputs[0], inputs[1], self.get("out_bits"))]

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * self.get("channels")

    def structure(self) -> UnitRtl:
        params = {"A_BITS": self.get("a_bits"), "B_BITS": self.get("b_bits"), "OUT_BITS": self.get("out_bits")}
        return UnitRtl([Instance("add", "", params, {"s_axis_a": "in0", "s_axis_b": "in1", "m_axis": "out0"})])
