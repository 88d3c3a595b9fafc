# SPDX-License-Identifier: Apache-2.0
"""From a QONNX graph to a bitstream: lowering, folding, generation, back ends, reports, command line."""
