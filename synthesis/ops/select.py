# SPDX-License-Identifier: Apache-2.0
"""VitrailSelect: one token of every image, the class token."""

import numpy as np

from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type, vitrail_op


@vitrail_op
class VitrailSelect(VitrailOp):
    """Input: (1, tokens, channels); output: (1, 1, channels), token `index`."""

    attributes = {
        "tokens": ("i", True, 0),
        "channels": ("i", True, 0),
        "index": ("i", False, 0),
        "bits": ("i", True, 8),
        "signed": ("i", False, 1),
    }

    def streams_in(self) -> list[Stream]:
        datatype = int_type(self.get("bits"), bool(self.get("signed")))
        return [Stream(datatype, (self.get("tokens"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(self.streams_in()[0].datatype, (1, self.get("channels")))]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        index = self.get("index")
        return [inputs[0][..., index : index + 1, :]]

    def get_exp_cycles(self) -> int:
        return self.get("tokens") * self.get("channels")

    def structure(self) -> UnitRtl:
        cfg = {"cfg_tokens": self.get("tokens"), "cfg_channels": self.get("channels"), "cfg_index": self.get("index")}
        params = {"WIDTH": self.get("bits"), "T_MAX": self.get("tokens"), "C_MAX": self.get("channels")}
        return UnitRtl([Instance("select", "", params, {"s_axis": "in0", "m_axis": "out0"}, cfg)])
