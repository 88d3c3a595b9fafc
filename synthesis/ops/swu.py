# SPDX-License-Identifier: Apache-2.0
"""VitrailSwu: image to patches."""

import numpy as np

from sim.golden.swu import swu
from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type, vitrail_op


@vitrail_op
class VitrailSwu(VitrailOp):
    """Input: image (1, height, width, channels); output: patches (1, patches, channels*kernel*kernel)."""

    attributes = {
        "height": ("i", True, 0),
        "width": ("i", True, 0),
        "channels": ("i", True, 0),
        "kernel": ("i", True, 1),
        "stride": ("i", True, 1),
        "elem_bits": ("i", True, 8),
    }

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("elem_bits")), (self.get("height"), self.get("width"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        kernel, stride = self.get("kernel"), self.get("stride")
        patches = ((self.get("height") - kernel) // stride + 1) * ((self.get("width") - kernel) // stride + 1)
        return [Stream(int_type(self.get("elem_bits")), (patches, self.get("channels") * kernel * kernel))]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [swu(inputs[0], self.get("kernel"), self.get("stride"))]

    def get_exp_cycles(self) -> int:
        return max(int(np.prod(s.shape)) for s in (*self.streams_in(), *self.streams_out()))

    def structure(self) -> UnitRtl:
        height, width, channels = self.get("height"), self.get("width"), self.get("channels")
        unit = Instance(
            "swu",
            "",
            {"ELEM_BITS": self.get("elem_bits"), "H_MAX": height, "W_MAX": width, "C_MAX": channels},
            {"s_axis": "in0", "m_axis": "out0"},
            {
                "cfg_height": height,
                "cfg_width": width,
                "cfg_channels": channels,
                "cfg_kernel": self.get("kernel"),
                "cfg_stride": self.get("stride"),
            },
        )
        return UnitRtl([unit])
