# SPDX-License-Identifier: Apache-2.0
"""VitrailLayerNorm: integer normalization; gamma and beta live in the requant behind it."""

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from sim.golden.layernorm import Z_BITS, layernorm, rsqrt_table
from synthesis.ops.base import (
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    hex_words,
    int_type,
    vitrail_op,
)

TABLE = "rsqrt.hex"  # the same for all of them


@vitrail_op
class VitrailLayerNorm(VitrailOp):
    """Normalize each token over its channels.

    Input: (1, tokens, channels) of x_bits; output: z of 16 bits.
    A token takes max(channels, 17 + x_bits + clog2(channels)) cycles at most: the second where all its codes are equal.
    """

    attributes = {"tokens": ("i", True, 0), "channels": ("i", True, 0), "x_bits": ("i", True, 12)}

    def streams_in(self) -> list[Stream]:
        return [Stream(int_type(self.get("x_bits")), (self.get("tokens"), self.get("channels")))]

    def streams_out(self) -> list[Stream]:
        return [Stream(int_type(Z_BITS), self.streams_in()[0].shape)]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        return [layernorm(*inputs)]

    def get_exp_cycles(self) -> int:
        channels = self.get("channels")
        return self.get("tokens") * max(channels, 17 + self.get("x_bits") + (channels - 1).bit_length())

    def structure(self) -> UnitRtl:
        params = {"X_BITS": self.get("x_bits"), "C_MAX": self.get("channels"), "C_FIXED": 1, "INIT_FILE": TABLE}
        ports = {"s_axis": "in0", "m_axis": "out0"}
        unit = Instance("layernorm", "", params, ports, {"cfg_channels": self.get("channels")})
        return UnitRtl([unit])

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        return {TABLE: hex_words([int(v) for v in rsqrt_table()], 16)}
