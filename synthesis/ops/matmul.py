# SPDX-License-Identifier: Apache-2.0
"""VitrailMatmul: the two products of attention, both operands streamed."""

import math

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import signed_bits
from sim.golden.matmul import matmul_pv, matmul_qk
from synthesis.ops.base import (
    Instance,
    Stream,
    UnitRtl,
    VitrailOp,
    int_type,
    vitrail_op,
)


@vitrail_op
class VitrailMatmul(VitrailOp):
    """Scores (transpose=0: queries x keys) or attention output (transpose=1: probabilities x values), head by head.

    Inputs: a (1, queries, heads*dim) or (1, queries, heads*keys); b (1, keys, heads*dim).
    Output: accumulators (1, queries, heads*keys) or (1, queries, heads*dim).
    b is stored twice (ping-pong).
    """

    attributes = {
        "queries": ("i", True, 0),
        "keys": ("i", True, 0),
        "heads": ("i", True, 0),
        "dim": ("i", True, 0),
        "transpose": ("i", True, 0, {0, 1}),
        "SIMD": ("i", False, 1),
        "a_bits": ("i", True, 8),
        "a_signed": ("i", True, 1),
        "b_bits": ("i", True, 8),
        "acc_bits": ("i", False, 32),
    }

    @property
    def channels(self) -> int:
        """Channels of all heads."""
        return self.get("heads") * self.get("dim")

    @property
    def contraction(self) -> int:
        """Products summed into one output."""
        return self.get("keys") if self.get("transpose") else self.get("dim")

    def streams_in(self) -> list[Stream]:
        a_channels = self.get("heads") * self.contraction
        a = Stream(int_type(self.get("a_bits"), bool(self.get("a_signed"))), (self.get("queries"), a_channels))
        return [a, Stream(int_type(self.get("b_bits")), (self.get("keys"), self.channels))]

    def streams_out(self) -> list[Stream]:
        outputs = self.channels if self.get("transpose") else self.get("heads") * self.get("keys")
        return [Stream(int_type(self.get("acc_bits")), (self.get("queries"), outputs))]

    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        product = matmul_pv if self.get("transpose") else matmul_qk
        return [product(inputs[0], inputs[1], self.get("heads"))]

    def macs(self) -> int:
        return self.get("queries") * self.get("keys") * self.channels

    def get_exp_cycles(self) -> int:
        outputs = int(np.prod(self.streams_out()[0].shape))
        loads = max(int(np.prod(stream.shape)) for stream in self.streams_in())
        return max(outputs * math.ceil(self.contraction / self.get("SIMD")), loads)

    def minimize_accumulator_width(self, model: ModelWrapper, datatype_only: bool = False) -> BaseDataType:
        """Called by FINN's MinimizeAccumulatorWidth; both operands are data, so their types decide."""
        a, b = (stream.datatype for stream in self.streams_in())
        products = [int(x * y) for x in (a.min(), a.max()) for y in (b.min(), b.max())]
        count = self.contraction
        self.set_nodeattr("acc_bits", signed_bits(count * min(products), count * max(products)))
        return self.get_output_datatype()

    def structure(self) -> UnitRtl:
        simd, transpose = self.get("SIMD"), self.get("transpose")
        # the contraction is stored in whole chunks
        chunked = math.ceil(self.contraction / simd) * simd
        stored_keys, stored_dim = (chunked, self.get("dim")) if transpose else (self.get("keys"), chunked)
        unit = Instance(
            "matmul",
            "",
            {
                "SIMD": simd,
                "A_BITS": self.get("a_bits"),
                "A_SIGNED": self.get("a_signed"),
                "B_BITS": self.get("b_bits"),
                "ACC_BITS": self.get("acc_bits"),
                "N_MAX": stored_keys,
                "C_MAX": self.get("heads") * stored_dim,
                "TRANSPOSE": transpose,
                "STALL_REGISTER": int(self.contraction > simd),
                "D_MAX": self.get("dim"),
                "H_MAX": self.get("heads"),
                "Q_MAX": self.get("queries"),
                "TARGET": "TARGET",
            },
            {"s_axis_a": "in0", "s_axis_b": "in1", "m_axis": "out0"},
            {
                "cfg_queries": self.get("queries"),
                "cfg_keys": self.get("keys"),
                "cfg_heads": self.get("heads"),
                "cfg_dim": self.get("dim"),
            },
        )
        return UnitRtl([unit])
