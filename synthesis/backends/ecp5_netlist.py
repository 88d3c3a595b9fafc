# SPDX-License-Identifier: Apache-2.0
"""What the passes over Yosys' JSON netlist of an ECP5 ask of it."""

from __future__ import annotations

from typing import Any


def readers(module: dict[str, Any]) -> dict[Any, list[tuple[str, str]]]:
    """Return who reads each bit: (cell, port) for an input of a cell, ("", port) for a port of the module."""
    found: dict[Any, list[tuple[str, str]]] = {}
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    found.setdefault(bit, []).append((name, port))
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            found.setdefault(bit, []).append(("", name))
    return found


def plain_register(flip_flop: dict[str, Any]) -> tuple[Any, str, Any] | None:
    """Return clock net, CEMUX and enable net or "1" of a TRELLIS_FF on the rising edge, None where it has a reset."""
    parameters, connections = flip_flop["parameters"], flip_flop["connections"]
    mux = str(parameters.get("CEMUX", "CE")).strip()
    if (
        connections.get("LSR", ["0"]) != ["0"]
        or parameters.get("CLKMUX", "CLK") != "CLK"
        or mux not in ("1", "CE", "INV")
    ):
        return None
    return connections["CLK"][0], mux, "1" if mux == "1" else connections["CE"][0]
