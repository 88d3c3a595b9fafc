# SPDX-License-Identifier: Apache-2.0
"""synthesis/backends/carry_ends: which ends of a carry chain are disconnected."""

import pytest

from synthesis.backends.carry_ends import free_carry_ends

PORTS = ("A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1", "CIN", "S0", "S1", "COUT")
START, ADD = f"{0x000A:016b}", f"{0x956A:016b}"


def cell(init0: str, s0, cin, cout, c0="1") -> dict:
    pins = {port: ["0"] for port in PORTS} | {
        "A0": [1],
        "C0": [c0],
        "CIN": [cin],
        "S0": [s0],
        "S1": [9],
        "COUT": [cout],
    }
    directions = {port: "output" if port[0] == "S" or port == "COUT" else "input" for port in PORTS}
    parameters = {"INIT0": init0, "INIT1": ADD, "INJECT1_0": "NO", "INJECT1_1": "NO"}
    return {"type": "CCU2C", "parameters": parameters, "port_directions": directions, "connections": pins}


def netlist(*cells: dict) -> dict:
    return {"ports": {"a": {"bits": [1]}, "y": {"bits": [9, 8]}}, "cells": {str(n): c for n, c in enumerate(cells)}}


def test_carry_ends_of_a_chain_that_starts_itself():
    design = netlist(cell(START, 20, "0", 30), cell(ADD, 8, 30, 31))
    assert free_carry_ends(design) == (1, 1)
    assert [c["connections"]["CIN"] for c in design["cells"].values()] == [["x"], [30]]
    assert [c["connections"]["COUT"] for c in design["cells"].values()] == [[30], ["x"]]
    assert free_carry_ends(design) == (0, 0)


@pytest.mark.parametrize(
    "first",
    [
        cell(ADD, 20, "0", 30),  # its LUT passes CIN on
        cell(START, 8, "0", 30),  # its sum is read, which has CIN in it
        cell(START, 20, "0", 30, c0="0"),  # LUT = A0
        cell(START, 20, 7, 30),  # CIN is a signal
    ],
)
def test_carry_ends_keep_a_needed_input(first):
    design = netlist(first, cell(ADD, 8, 30, 9))
    assert free_carry_ends(design) == (0, 0)
