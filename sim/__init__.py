# SPDX-License-Identifier: Apache-2.0
"""Simulation: golden models, cocotb benches, the Verilator fast path and code-by-code comparison."""
