# SPDX-License-Identifier: Apache-2.0
"""Synthesized ECP5 netlists: RTL, interpreted netlist and Verilator on the cell models give the same codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.netlist import netlist_design, read_netlist
from sim.toolchain import ROOT
from sim.verilate import Design, Job
from sim.words import Words
from synthesis.backends.carry_ends import free_carry_ends

RTL = Path(__file__).with_name("rtl")
CELLS = sorted((ROOT / "sim" / "cells").glob("*.sv"))
MULT = ROOT / "hw" / "rtl" / "mult18x18" / "mult18x18.sv"
RUN = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"
SEED = 17
pytestmark = [pytest.mark.yosys, pytest.mark.verilator]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with mix.hex, mix.json and mix.v, synthesized."""
    from sim.bench.lint import yosys_share

    place = tmp_path_factory.mktemp("mix")
    rng = np.random.default_rng(SEED)
    (place / "mix.hex").write_text("".join(f"{v:05x}\n" for v in rng.integers(0, 1 << 20, 600)))
    lines = [
        f"read_slang -D SYNTHESIS --unroll-limit 20000 --top mix"
        f" -v {yosys_share()}/ecp5/cells_bb.v {MULT} {RTL / 'mix.sv'}",
        "synth_ecp5 -abc9 -top mix",
        "write_json mix.json",
        "write_verilog -noattr mix.v",
    ]
    (place / "mix.ys").write_text("\n".join(lines) + "\n")
    done = subprocess.run([sys.executable, "-c", RUN, "mix.ys"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return place


@pytest.fixture(scope="module")
def stimulus():
    """Beats of 64 random bits, addresses from a small range half of the time so that reads meet writes."""
    rng = np.random.default_rng(SEED)
    words = rng.integers(0, 1 << 32, (20000, 2), dtype=np.uint64)
    near = rng.integers(0, 2, 20000).astype(bool)
    words[near, 0] &= np.uint64(0x00701C07)
    words[near, 1] &= np.uint64(0xFC000FFF)
    return Words(words.astype(np.uint32), 64)


@pytest.fixture(scope="module")
def golden(folder, stimulus):
    text = (RTL / "mix.sv").read_text().replace(".TARGET(1)", ".TARGET(0)")
    (folder / "mix_rtl.sv").write_text(text)
    design = Design.build("mix", [MULT, folder / "mix_rtl.sv"])
    return design.run([Job({"s_axis": stimulus}, {"m_axis": 20000 - 4})], cwd=folder).outputs["m_axis"][0]


def test_netlist_holds_every_kind_of_cell(folder):
    cells = read_netlist(folder / "mix.json", "mix").cells
    assert set(cells) >= {"LUT4", "CCU2C", "TRELLIS_FF", "TRELLIS_DPR16X4", "DP16KD", "MULT18X18D"}
    text = (folder / "mix.v").read_text()
    assert {"32'd36", "32'd18", "32'd9", "32'd4"} <= set(re.findall(r"DATA_WIDTH_[AB]\((32'd\d+)\)", text))
    assert 'SRMODE("ASYNC")' in text and 'CEMUX("CE")' in text


@pytest.mark.parametrize("stall", [0, 40])
def test_interpreted_netlist_equals_rtl(folder, stimulus, golden, stall):
    job = Job({"s_axis": stimulus}, {"m_axis": list(golden)})
    netlist_design(folder / "mix.json", "mix").run([job], stall=stall, seed=SEED)


def test_cell_models_in_verilator_equal_rtl(folder, stimulus, golden):
    netlist = Design.build("mix", [*CELLS, folder / "mix.v"])
    netlist.run([Job({"s_axis": stimulus}, {"m_axis": list(golden)})], stall=20, seed=SEED)


def test_planted_fault_in_one_lut_is_seen(folder, stimulus, golden):
    about = json.loads((folder / "mix.json").read_text())
    cells = about["modules"]["mix"]["cells"]
    carry = next(c for n, c in cells.items() if c["type"] == "CCU2C" and "sum_q" in n)
    carry["parameters"]["INIT0"] = "".join("10"[int(b)] for b in carry["parameters"]["INIT0"])
    (folder / "bad.json").write_text(json.dumps(about))
    with pytest.raises(AssertionError, match="sim: netlist mix m_axis job 0 beat"):
        netlist_design(folder / "bad.json", "mix").run([Job({"s_axis": stimulus}, {"m_axis": list(golden)})])


def test_carry_ends_that_are_needed_are_seen(folder, stimulus, golden):
    """Freed ends change nothing; a constant 0 that a sum needs shows when it is disconnected, too."""
    about = json.loads((folder / "mix.json").read_text())
    netlist = about["modules"]["mix"]
    assert sum(free_carry_ends(netlist)) > 0
    (folder / "free.json").write_text(json.dumps(about))
    job = Job({"s_axis": stimulus}, {"m_axis": list(golden)})
    netlist_design(folder / "free.json", "mix").run([job])
    starts = [c["connections"] for c in netlist["cells"].values() if c["type"] == "CCU2C"]
    starts = [pins for pins in starts if pins["CIN"] == ["0"]]
    assert starts
    for pins in starts:
        pins["CIN"] = ["x"]
    (folder / "cut.json").write_text(json.dumps(about))
    with pytest.raises(AssertionError, match="sim: netlist mix m_axis job 0 beat"):
        netlist_design(folder / "cut.json", "mix").run([job])


def write_netlist(path, cells, ports=None):
    ports = ports or {"clk": {"direction": "input", "bits": [2]}}
    path.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": cells}}}))
    return path


def lut(a, z):
    pins = {"A": [a], "B": ["0"], "C": ["0"], "D": ["0"], "Z": [z]}
    return {"type": "LUT4", "parameters": {"INIT": "0000000000000001"}, "connections": pins}


def test_bad_netlists_are_refused(tmp_path):
    path = tmp_path / "top.json"
    with pytest.raises(ValueError, match=r"top\.json does not exist; it is written by make synth"):
        read_netlist(path, "top")
    write_netlist(path, {})
    with pytest.raises(ValueError, match="has no module board"):
        read_netlist(path, "board")
    write_netlist(path, {"x": {"type": "ALU54B", "parameters": {}, "connections": {}}})
    with pytest.raises(ValueError, match=r"no model of cell type ALU54B \(cell x\)"):
        read_netlist(path, "top")
    write_netlist(path, {"x": {"type": "MULT18X18D", "parameters": {"MULT_BYPASS": "ENABLED"}, "connections": {}}})
    with pytest.raises(ValueError, match="cell x: MULT_BYPASS=ENABLED is not modelled, DISABLED expected"):
        read_netlist(path, "top")
    write_netlist(path, {"x": {"type": "LUT4", "parameters": {"INIT": "1", "MODE": "RAM"}, "connections": {}}})
    with pytest.raises(ValueError, match="cell x: the model of LUT4 has no parameter MODE"):
        read_netlist(path, "top")
    write_netlist(path, {"x": lut(5, 6), "y": lut(6, 5)})
    with pytest.raises(ValueError, match="2 cells lie on or behind a combinational loop"):
        read_netlist(path, "top")
    write_netlist(path, {"x": lut(2, 6), "y": lut(2, 6)})
    with pytest.raises(ValueError, match="a net has two drivers"):
        read_netlist(path, "top")
