# SPDX-License-Identifier: Apache-2.0
"""Give every ECP5 multiplier of a netlist the registers that this device and its open tools serve well.

- Input registers inside the multiplier. The DSP blocks sit in two rows, a long way from the logic, and Yosys infers
  MULT18X18D without registers: register -> multiplier -> register through the fabric is two long routes and the whole
  multiplication in one cycle. Where all bits of both factors come from flip-flops without a reset, these are absorbed.
- Output registers outside. Project Trellis' database has no setting for the clock enable of a multiplier's output
  register (its fuzzer found no bits for REG_OUTPUT_CE), and nextpnr moves enables between CE0 and CE3, so what enables
  such a register in the device is not known. A multiplier that asks for one gets flip-flops instead.
Both keep the function and the latency.
"""

from __future__ import annotations

from typing import Any

from synthesis.backends.ecp5_netlist import plain_register, readers

MULTIPLIER, FLIP_FLOP = "MULT18X18D", "TRELLIS_FF"
FACTORS = {"A": [f"A{bit}" for bit in range(18)], "B": [f"B{bit}" for bit in range(18)]}
PRODUCT = [f"P{bit}" for bit in range(36)]
FLIP_FLOP_PORTS = {"CE": "input", "CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}
FLIP_FLOP_PARAMETERS = {"CLKMUX": "CLK", "GSR": "DISABLED", "LSRMUX": "LSR", "REGSET": "RESET"}
PLAIN = {**{f"CLK{index}_DIV": "DISABLED" for index in range(4)}, "GSR": "DISABLED", "RESETMODE": "SYNC"}


def retime_multipliers(module: dict[str, Any]) -> tuple[int, int]:
    """Rewrite one module of Yosys' JSON netlist in place.

    Args:
        module: {"cells", "ports", "netnames"}, mapped to ECP5 cells.

    Returns:
        How many multipliers got input registers, and how many got flip-flops for their output register.

    Raises:
        RuntimeError: a multiplier's output register has a reset.
    """
    ejected = _eject_output_registers(module)
    return _absorb_input_registers(module), ejected


def _eject_output_registers(module: dict[str, Any]) -> int:
    cells = module["cells"]
    new_net = 1 + max((bit for bits in _all_bits(module) for bit in bits if isinstance(bit, int)), default=0)
    count = 0
    for name, cell in list(cells.items()):
        clock = cell["parameters"].get("REG_OUTPUT_CLK", "NONE")
        if cell["type"] != MULTIPLIER or clock == "NONE":
            continue
        connections = cell["connections"]
        if connections.get(cell["parameters"].get("REG_OUTPUT_RST", "RST0"), ["0"]) != ["0"]:
            raise RuntimeError(f"multiplier {name} has an output register with a reset; reset the register behind it")
        enable = connections.get(cell["parameters"].get("REG_OUTPUT_CE", "CE0"), ["1"])
        for port in PRODUCT:
            if not isinstance(connections.get(port, [None])[0], int):
                continue
            cells[f"{name}.{port}"] = {
                "hide_name": 0,
                "type": FLIP_FLOP,
                "parameters": {**FLIP_FLOP_PARAMETERS, "CEMUX": "1" if enable == ["1"] else "CE"},
                "attributes": {},
                "port_directions": FLIP_FLOP_PORTS,
                "connections": {
                    "CE": enable, "CLK": connections[clock], "DI": [new_net], "LSR": ["0"], "Q": connections[port],
                },
            }  # fmt: skip
            connections[port] = [new_net]
            new_net += 1
        cell["parameters"]["REG_OUTPUT_CLK"] = "NONE"
        count += 1
    return count


def _absorb_input_registers(module: dict[str, Any]) -> int:
    cells = module["cells"]
    driver = {
        cell["connections"]["Q"][0]: name for name, cell in cells.items() if cell["type"] == FLIP_FLOP
    }  # net -> flip-flop
    uses = {bit: len(users) for bit, users in readers(module).items()}
    count = 0
    for cell in cells.values():
        parameters = cell["parameters"]
        if cell["type"] != MULTIPLIER or any(
            parameters.get(f"REG_{stage}_CLK", "NONE") != "NONE" for stage in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")
        ):
            continue
        sides = {side: _factor_registers(cells, driver, cell, ports) for side, ports in FACTORS.items()}
        controls = [found[1] for found in sides.values() if found and found[1]]
        if None in sides.values() or len({clock for clock, _ in controls}) != 1:
            continue
        parameters |= PLAIN
        for index, (side, found) in enumerate(sides.items()):
            assert found is not None
            # a constant factor is loaded together with the other one
            flip_flops, (clock, enable) = found[0], found[1] or controls[0]
            for port, flip_flop in flip_flops.items():
                uses[cell["connections"][port][0]] -= 1
                cell["connections"][port] = cells[flip_flop]["connections"]["DI"]
            cell["connections"] |= {"CLK0": [clock], f"CE{index}": [enable], "RST0": ["0"]}
            cell["port_directions"] |= {"CLK0": "input", f"CE{index}": "input", "RST0": "input"}
            parameters |= {
                f"REG_INPUT{side}_CLK": "CLK0", f"REG_INPUT{side}_CE": f"CE{index}", f"REG_INPUT{side}_RST": "RST0",
            }  # fmt: skip
        count += 1
    for net, name in driver.items():
        if uses.get(net, 0) == 0:
            del cells[name]
    return count


def _factor_registers(
    cells: dict[str, Any], driver: dict[int, str], multiplier: dict[str, Any], ports: list[str]
) -> tuple[dict[str, str], tuple[Any, Any] | None] | None:
    """Return ({port: flip-flop in front of it}, (clock net, enable net or "1")), None unless they can be one register.

    Constant bits need no flip-flop; a factor of constants has no controls of its own.
    """
    found: dict[str, str] = {}
    controls = set()
    for port in ports:
        bit = multiplier["connections"].get(port, ["0"])[0]
        if not isinstance(bit, int):
            continue
        name = driver.get(bit)
        if name is None:
            return None
        pins = plain_register(cells[name])
        if pins is None or pins[1] == "INV" or "DI" not in cells[name]["connections"]:
            return None
        clock, _, enable = pins
        controls.add((clock, enable))
        found[port] = name
    if len(controls) > 1:
        return None
    return found, controls.pop() if controls else None


def _all_bits(module: dict[str, Any]) -> list[list[Any]]:
    """Return the bits of every connection, port and name."""
    bits = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    return bits + [item["bits"] for kind in ("ports", "netnames") for item in module[kind].values()]
