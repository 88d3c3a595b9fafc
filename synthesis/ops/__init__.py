# SPDX-License-Identifier: Apache-2.0
"""Hardware ops of the dataflow graph, registered with finn-plus. Import through synthesis.finn_env.load_finn()."""

from synthesis.ops.add import VitrailAdd
from synthesis.ops.base import Instance, Stream, UnitRtl, VitrailOp, int_type
from synthesis.ops.embed import VitrailEmbed
from synthesis.ops.fork import VitrailFork
from synthesis.ops.layernorm import VitrailLayerNorm
from synthesis.ops.matmul import VitrailMatmul
from synthesis.ops.mvu import VitrailMvu
from synthesis.ops.requant import VitrailRequant
from synthesis.ops.select import VitrailSelect
from synthesis.ops.softmax import VitrailSoftmax
from synthesis.ops.split import VitrailSplit
from synthesis.ops.swu import VitrailSwu
from synthesis.ops.table import VitrailTable

DOMAIN = "finn.custom_op.fpgadataflow"

__all__ = [
    "DOMAIN",
    "Instance",
    "Stream",
    "UnitRtl",
    "VitrailAdd",
    "VitrailEmbed",
    "VitrailFork",
    "VitrailLayerNorm",
    "VitrailMatmul",
    "VitrailMvu",
    "VitrailOp",
    "VitrailRequant",
    "VitrailSelect",
    "VitrailSoftmax",
    "VitrailSplit",
    "VitrailSwu",
    "VitrailTable",
    "int_type",
]
