# SPDX-License-Identifier: Apache-2.0
"""Ends of ECP5 carry chains as nextpnr wants them: an end that nothing needs costs no LUT sites.

nextpnr puts a CCU2C (two LUT sites) behind a chain whose last COUT has a net, though nothing reads it, and one in front
of a chain whose first CIN is a constant. The net behind can go always. The constant in front can go where the first
half of the cell makes its carry without CIN: its LUT is 0 for the constants at its inputs, so COUT is its two-input
table.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from synthesis.backends.ecp5_netlist import readers


def free_carry_ends(netlist: dict[str, Any]) -> tuple[int, int]:
    """Disconnect the carry outputs that nothing reads and the constant carry inputs that no sum needs.

    Args:
        netlist: One module of Yosys' JSON netlist, cells of ECP5; changed in place. A disconnected bit becomes "x".

    Returns:
        Number of outputs and of inputs that were disconnected.
    """
    read = set(readers(netlist))
    outputs = inputs = 0
    for cell in netlist["cells"].values():
        if cell["type"] != "CCU2C":
            continue
        pins = cell["connections"]
        if isinstance(pins["COUT"][0], int) and pins["COUT"][0] not in read:
            pins["COUT"] = ["x"]
            outputs += 1
        if pins["CIN"][0] in ("0", "1") and _starts(cell, read):
            pins["CIN"] = ["x"]
            inputs += 1
    return outputs, inputs


def _starts(cell: dict[str, Any], read: set[int | str]) -> bool:
    """Tell whether nothing reads S0 and the LUT of the first half is 0 for every value of its variable inputs."""
    pins = cell["connections"]
    if pins["S0"][0] in read:
        return False
    table = cell["parameters"]["INIT0"][::-1]  # bit 0 first
    choices = ["01" if isinstance(pins[name][0], int) else pins[name][0] for name in ("D0", "C0", "B0", "A0")]
    return all(table[int("".join(bits), 2)] == "0" for bits in product(*choices) if "x" not in bits)
