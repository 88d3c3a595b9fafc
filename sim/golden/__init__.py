# SPDX-License-Identifier: Apache-2.0
"""Golden models: a numpy function for every unit under hw/rtl, of the same name. They define what the RTL computes."""
