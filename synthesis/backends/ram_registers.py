# SPDX-License-Identifier: Apache-2.0
"""Give ECP5 block RAMs the output register of their own where a register stands behind all they read.

An EBR takes 5.8 ns from clock to output without that register and 0.95 ns with it (nextpnr's timing of speed grade 6),
and Yosys infers none: the flip-flops behind the memory are outside and the wire to them shares its cycle with the read.
Where every bit that is read goes into one flip-flop alone, and these flip-flops have one clock (the port's), one enable
and neither reset nor preset, REGMODE OUTREG takes their place, enabled by OCE. Function and latency stay.

Not tried on silicon: that OCE alone enables this register, whatever CE says, as the vendor's simulation models of the
block RAM and sim/cells/DP16KD.sv have it; and which port's clock and OCE serve the half on A's pins at 36 bits, where
port B reads onto the pins of both. There both ports get one mode, clock and OCE, so either answer gives the same words.
"""

from __future__ import annotations

from typing import Any

from synthesis.backends.ecp5_netlist import plain_register, readers

RAM, FLIP_FLOP = "DP16KD", "TRELLIS_FF"
OUTPUTS = {side: [f"DO{side}{bit}" for bit in range(18)] for side in "AB"}


def absorb_output_registers(module: dict[str, Any]) -> int:
    """Rewrite one module of Yosys' JSON netlist in place.

    Args:
        module: {"cells", "ports", "netnames"}, mapped to ECP5 cells.

    Returns:
        How many flip-flops went into block RAMs.
    """
    cells = module["cells"]
    read_by = readers(module)
    absorbed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == RAM]:
        wide = int(cell["parameters"].get("DATA_WIDTH_B", "10010"), 2) == 36
        for sides in ["BA"] if wide else ["A", "B"]:  # the port that reads, and the other one whose pins it takes along
            found = _registers(cells, read_by, cell, sides)
            if found is None:
                continue
            flip_flops, mux, enable = found
            for pin, flip_flop in flip_flops.items():
                cell["connections"][pin] = cells.pop(flip_flop)["connections"]["Q"]
            for side in sides:
                oce_mux = "INV" if mux == "INV" else f"OCE{side}"
                cell["parameters"] |= {f"REGMODE_{side}": "OUTREG", f"OCE{side}MUX": oce_mux}
                cell["connections"] |= {f"OCE{side}": [enable], f"CLK{side}": cell["connections"][f"CLK{sides[0]}"]}
                cell["port_directions"] |= {f"OCE{side}": "input", f"CLK{side}": "input"}
            absorbed += len(flip_flops)
    return absorbed


def _registers(
    cells: dict[str, Any], read_by: dict[Any, list[tuple[str, str]]], ram: dict[str, Any], sides: str
) -> tuple[dict[str, str], str, Any] | None:
    """Return what can be the port's register: {output pin: flip-flop}, its CEMUX, its enable net or "1"; else None."""
    wires, modes = ram["connections"], ram["parameters"]
    clock = wires.get(f"CLK{sides[0]}")
    for side in sides:
        if wires.get(f"RST{side}", ["0"]) != ["0"] or modes.get(f"REGMODE_{side}", "NOREG") != "NOREG":
            return None
        if any(modes.get(f"{pin}{side}MUX", f"{pin}{side}") != f"{pin}{side}" for pin in ("CLK", "OCE")):
            return None
        # A port without a clock that gets one here must not write
        still = not isinstance(wires.get(f"CLK{side}", ["0"])[0], int) and wires.get(f"CE{side}", ["0"]) == ["0"]
        if wires.get(f"CLK{side}") != clock and not still:
            return None
    found: dict[str, str] = {}
    enables = set()
    for pin in (pin for side in sides for pin in OUTPUTS[side]):
        users = read_by.get(wires[pin][0], []) if pin in wires else []
        if not users:
            continue
        name, port = users[0]
        if len(users) > 1 or not name or port != "DI" or cells[name]["type"] != FLIP_FLOP:
            return None
        controls = plain_register(cells[name])
        if controls is None or [controls[0]] != clock or cells[name]["parameters"].get("REGSET", "RESET") != "RESET":
            return None
        enables.add(controls[1:])
        found[pin] = name
    return (found, *enables.pop()) if len(enables) == 1 else None
