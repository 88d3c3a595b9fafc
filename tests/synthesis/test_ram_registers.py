# SPDX-License-Identifier: Apache-2.0
"""Output registers of block RAMs, taken over from the fabric: the same words at the same time, under stalls."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.netlist import netlist_design
from sim.verilate import Design, Job
from synthesis.backends import yosys
from synthesis.backends.ram_registers import absorb_output_registers
from synthesis.board import ROOT, unit_sources

CELLS = sorted((ROOT / "sim" / "cells").glob("*.sv"))
SEED = 6
BITS = {"wide": 36, "plain": 18, "narrow": 9, "shared": 9}
# Memories of three shapes read at one address, two cycles behind it. The register behind the last one is no match: its
# word is read by the sum, too.
MEMORIES = """
module memories (
    input  logic clk, rst,
    input  logic [8:0] s_axis_tdata, input logic s_axis_tvalid, output logic s_axis_tready,
    output logic [80:0] m_axis_tdata, output logic m_axis_tvalid, input logic m_axis_tready
);
  (* ram_style = "block" *) logic [35:0] wide[512];
  (* ram_style = "block" *) logic [17:0] plain[512];
  (* ram_style = "block" *) logic [8:0] narrow[512], shared[512];
  logic [35:0] wide_word_q, wide_q;
  logic [17:0] plain_word_q, plain_q;
  logic [8:0] narrow_word_q, narrow_q, shared_word_q, shared_q, sum_q;
  logic first_q;
  initial begin
    $readmemh("wide.hex", wide);
    $readmemh("plain.hex", plain);
    $readmemh("narrow.hex", narrow);
    $readmemh("shared.hex", shared);
  end
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  assign m_axis_tdata = {sum_q, shared_q, narrow_q, plain_q, wide_q};
  always_ff @(posedge clk) begin
    if (s_axis_tready) begin
      wide_word_q <= wide[s_axis_tdata];
      plain_word_q <= plain[s_axis_tdata];
      narrow_word_q <= narrow[s_axis_tdata];
      shared_word_q <= shared[s_axis_tdata];
      {wide_q, plain_q, narrow_q, shared_q} <= {wide_word_q, plain_word_q, narrow_word_q, shared_word_q};
      sum_q <= shared_word_q + 9'd5;
      first_q <= s_axis_tvalid;
      m_axis_tvalid <= first_q;
    end
    if (rst) {first_q, m_axis_tvalid} <= '0;
  end
endmodule
"""


@pytest.mark.yosys
@pytest.mark.verilator
def test_words_and_latency_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    contents = {name: rng.integers(0, 1 << bits, 512) for name, bits in BITS.items()}
    for name, words in contents.items():
        (tmp_path / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    source = tmp_path / "memories.sv"
    source.write_text(MEMORIES)
    result = yosys.synthesize([source], "memories", tmp_path, cwd=tmp_path)
    cells = json.loads(result.netlist_json.read_text())["modules"]["memories"]["cells"].values()
    modes = sorted(
        (int(cell["parameters"]["DATA_WIDTH_B"], 2), *(cell["parameters"][f"REGMODE_{side}"] for side in "AB"))
        for cell in cells
        if cell["type"] == "DP16KD"
    )
    assert len(modes) == 4, modes
    assert sum("OUTREG" in sides for _, *sides in modes) == 3, modes
    assert (36, "OUTREG", "OUTREG") in modes
    pins = next(cell["connections"] for cell in cells if cell["parameters"].get("DATA_WIDTH_B", "").endswith("100100"))
    assert pins["CLKA"] == pins["CLKB"] and pins["OCEA"] == pins["OCEB"] and pins["CEA"] == ["0"]
    assert result.resources["ff"] == 2 + 9 + 9  # valid bits, the shared word's register and its sum

    addresses = np.r_[0, 511, 0, rng.integers(0, 512, 600)]
    wanted = []
    for address in addresses:
        wide, plain, narrow, shared = (int(contents[name][address]) for name in BITS)
        wanted.append(wide | plain << 36 | narrow << 54 | shared << 63 | ((shared + 5) % 512) << 72)
    netlists = [
        Design.build("memories", sources=[*CELLS, result.netlist_verilog]),
        netlist_design(result.netlist_json, "memories"),
    ]
    for design in netlists:
        for stall in (0, 60):
            design.run([Job({"s_axis": addresses}, {"m_axis": wanted})], stall=stall, seed=SEED)


def ram_and_register() -> dict[str, Any]:
    """A block RAM whose port B reads two bits, each into a flip-flop with enable 5 and clock 2."""
    directions = {"CE": "input", "CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}
    flip_flops = {
        f"q{bit}": {
            "type": "TRELLIS_FF",
            "parameters": {"CEMUX": "CE", "CLKMUX": "CLK", "REGSET": "RESET"},
            "connections": {"CE": [5], "CLK": [2], "DI": [10 + bit], "LSR": ["0"], "Q": [20 + bit]},
            "port_directions": dict(directions),
        }
        for bit in range(2)
    }
    ram = {
        "type": "DP16KD",
        "parameters": {"DATA_WIDTH_B": "1001", "REGMODE_A": "NOREG", "REGMODE_B": "NOREG", "CLKBMUX": "CLKB"},
        "connections": {"CLKB": [2], "RSTB": ["0"], "DOB0": [10], "DOB1": [11], "DOB2": [12], "OCEB": ["1"]},
        "port_directions": {
            "CLKB": "input", "RSTB": "input", "DOB0": "output", "DOB1": "output", "DOB2": "output", "OCEB": "input",
        },
    }  # fmt: skip
    ports = {"m_axis_tdata": {"direction": "output", "bits": [20, 21]}}
    return {"cells": {"ram": ram, **flip_flops}, "ports": ports, "netnames": {}}


@pytest.mark.parametrize(("mux", "enable", "port_mux"), [("CE", 5, "OCEB"), ("INV", 5, "INV"), ("1", "1", "OCEB")])
def test_register_goes_into_the_port(mux: str, enable: Any, port_mux: str) -> None:
    module = ram_and_register()
    for bit in range(2):
        module["cells"][f"q{bit}"]["parameters"]["CEMUX"] = mux
    assert absorb_output_registers(module) == 2
    assert list(module["cells"]) == ["ram"]
    ram = module["cells"]["ram"]
    assert [ram["parameters"][name] for name in ("REGMODE_A", "REGMODE_B", "OCEBMUX")] == ["NOREG", "OUTREG", port_mux]
    pins = ram["connections"]
    assert (pins["DOB0"], pins["DOB1"], pins["DOB2"], pins["OCEB"]) == ([20], [21], [12], [enable])


@pytest.mark.parametrize(
    ("cell", "kind", "changes"),
    [
        ("q1", "connections", {"LSR": [7]}),
        ("q1", "connections", {"CLK": [3]}),
        ("q1", "connections", {"CE": [6]}),
        ("q1", "connections", {"DI": [9]}),  # a third flip-flop reads the first bit, too
        ("q1", "parameters", {"REGSET": "SET"}),
        ("q1", "parameters", {"CLKMUX": "INV"}),
        ("q1", "parameters", {"CEMUX": "INV"}),  # the other one has CE
        ("q1", "parameters", {"CEMUX": "0"}),
        ("ram", "connections", {"RSTB": [8]}),
        ("ram", "parameters", {"CLKBMUX": "INV"}),
        ("ram", "parameters", {"REGMODE_B": "OUTREG"}),
    ],
)
def test_other_registers_stay_outside(cell: str, kind: str, changes: dict[str, Any]) -> None:
    module = ram_and_register()
    module["cells"][cell][kind] |= changes
    if changes == {"DI": [9]}:
        module["cells"]["twin"] = deepcopy(module["cells"]["q0"])
    before = deepcopy(module)
    assert absorb_output_registers(module) == 0
    assert module == before


def wide_ram_and_register() -> dict[str, Any]:
    """The same at 36 bits: the second bit is on port A's pins, and port A writes nothing."""
    module = ram_and_register()
    ram = module["cells"]["ram"]
    ram["parameters"] |= {"DATA_WIDTH_A": "100100", "DATA_WIDTH_B": "100100"}
    ram["connections"] |= {"DOA0": ram["connections"].pop("DOB1"), "CLKA": ["0"], "CEA": ["0"], "RSTA": ["0"]}
    ram["port_directions"] |= {"DOA0": "output", "CLKA": "input", "CEA": "input", "RSTA": "input"}
    return module


@pytest.mark.parametrize("written", [False, True])
def test_register_of_36_bits_goes_into_both_ports(written: bool) -> None:
    module = wide_ram_and_register()
    pins = module["cells"]["ram"]["connections"]
    if written:
        pins |= {"CLKA": [2], "CEA": [8]}
    assert absorb_output_registers(module) == 2
    modes = module["cells"]["ram"]["parameters"]
    assert (modes["REGMODE_A"], modes["REGMODE_B"]) == ("OUTREG", "OUTREG")
    assert (pins["CLKA"], pins["OCEA"], pins["CLKB"], pins["OCEB"]) == ([2], [5], [2], [5])
    assert (pins["DOA0"], pins["DOB0"], pins["CEA"]) == ([21], [20], [8] if written else ["0"])


@pytest.mark.parametrize("changes", [{"CLKA": [3]}, {"RSTA": [8]}, {"CEA": ["1"]}])
def test_register_of_36_bits_stays_where_port_a_is_in_use(changes: dict[str, Any]) -> None:
    module = wide_ram_and_register()
    module["cells"]["ram"]["connections"] |= changes
    assert absorb_output_registers(module) == 0


@pytest.mark.yosys
@pytest.mark.verilator
@pytest.mark.parametrize("width", [9, 36])
def test_fifo_netlist_keeps_every_beat(tmp_path: Path, width: int) -> None:
    """A RAM that is written, read with one enable and registered with another."""
    params = {"WIDTH": width, "DEPTH": 100}
    result = yosys.synthesize(unit_sources(["fifo"]), "fifo", tmp_path, cwd=tmp_path, parameters=params)
    cells = json.loads(result.netlist_json.read_text())["modules"]["fifo"]["cells"].values()
    rams = [cell["parameters"] for cell in cells if cell["type"] == "DP16KD"]
    assert len(rams) == 1 and "OUTREG" in (rams[0]["REGMODE_A"], rams[0]["REGMODE_B"])
    words = [int(word) for word in np.random.default_rng(SEED).integers(0, 1 << width, 500)]
    netlists = [
        Design.build("fifo", sources=[*CELLS, result.netlist_verilog]),
        netlist_design(result.netlist_json, "fifo"),
    ]
    for design in netlists:
        for stall in (0, {"s_axis": 60}, {"m_axis": 60}, 50):
            design.run([Job({"s_axis": words}, {"m_axis": words})], stall=stall, seed=SEED)


def test_word_that_leaves_the_module_stays() -> None:
    module = ram_and_register()
    module["ports"]["word"] = {"direction": "output", "bits": [11]}
    assert absorb_output_registers(module) == 0
