# SPDX-License-Identifier: Apache-2.0
"""Quantization: integer arithmetic, schemes, Brevitas layers and QONNX export. Importing the package loads nothing."""
