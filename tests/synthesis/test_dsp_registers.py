# SPDX-License-Identifier: Apache-2.0
"""Registers of multipliers moved in the netlist: the same products at the same time, under stalls."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.verilate import Design, Job
from synthesis.backends import yosys
from synthesis.backends.dsp_registers import retime_multipliers
from synthesis.board import ROOT, unit_sources

CELLS = sorted((ROOT / "sim" / "cells").glob("*.sv"))
SEED = 4
# Three multipliers of a and b, all of latency 2: inferred; inferred, by a constant; the wrapper with all its registers
CHAIN = """
module chain (
    input  logic clk, rst,
    input  logic [35:0] s_axis_tdata, input logic s_axis_tvalid, output logic s_axis_tready,
    output logic [107:0] m_axis_tdata, output logic m_axis_tvalid, input logic m_axis_tready
);
  logic signed [17:0] a_q, b_q;
  logic signed [35:0] product_q, scaled_q;
  logic [35:0] wrapped;
  logic first_q;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  assign m_axis_tdata = {wrapped, scaled_q, product_q};
  always_ff @(posedge clk) begin
    if (s_axis_tready) begin
      {b_q, a_q} <= s_axis_tdata;
      product_q <= a_q * b_q;
      scaled_q <= 36'(a_q) * 36'sd51_331;
      first_q <= s_axis_tvalid;
      m_axis_tvalid <= first_q;
    end
    if (rst) {first_q, m_axis_tvalid} <= '0;
  end
  mult18x18 #(.TARGET(1)) mult_i (
      .clk(clk), .en(s_axis_tready), .a(s_axis_tdata[17:0]), .b(s_axis_tdata[35:18]), .p(wrapped)
  );
endmodule
"""


def multipliers(module: dict[str, Any]) -> list[dict[str, str]]:
    return [cell["parameters"] for cell in module["cells"].values() if cell["type"] == "MULT18X18D"]


@pytest.mark.yosys
@pytest.mark.verilator
def test_moved_registers_keep_products_and_latency(tmp_path: Path) -> None:
    source = tmp_path / "chain.sv"
    source.write_text(CHAIN)
    result = yosys.synthesize([source, *unit_sources(["mult18x18"])], "chain", tmp_path, cwd=tmp_path)
    found = multipliers(json.loads(result.netlist_json.read_text())["modules"]["chain"])
    assert len(found) >= 2
    for parameters in found:
        assert parameters["REG_INPUTA_CLK"] == parameters["REG_INPUTB_CLK"] == "CLK0"
        assert parameters.get("REG_OUTPUT_CLK", "NONE") == "NONE"

    rng = np.random.default_rng(SEED)
    corners = np.array([-(2**17), -(2**17) + 1, -1, 0, 1, 2**17 - 1])
    pairs = np.array(np.meshgrid(corners, corners)).reshape(2, -1).T
    pairs = np.concatenate([pairs, rng.integers(-(2**17), 2**17, (300, 2))])
    a, b = pairs[:, 0], pairs[:, 1]
    words = (a % 2**18) + ((b % 2**18) << 18)
    wanted = np.stack([a * b, a * 51_331, a * b], axis=1)
    design = Design.build("chain", sources=[*CELLS, result.netlist_verilog])
    for stall in (0, 60):
        design.run([Job({"s_axis": words}, {"m_axis": wanted})], stall=stall, seed=SEED)


@pytest.mark.yosys
@pytest.mark.verilator
def test_layernorm_netlist_matches_golden(tmp_path: Path) -> None:
    """The unit with most inferred multipliers, as a netlist."""
    from sim.golden.layernorm import layernorm, rsqrt_table

    (tmp_path / "seeds.hex").write_text("".join(f"{value:04x}\n" for value in rsqrt_table()))

    top = tmp_path / "top.sv"
    top.write_text(
        "module fixed (input logic clk, rst, input logic [15:0] cfg_channels, input logic [11:0] s_axis_tdata,\n"
        "  input logic s_axis_tvalid, output logic s_axis_tready, output logic [15:0] m_axis_tdata,\n"
        "  output logic m_axis_tvalid, input logic m_axis_tready);\n"
        '  layernorm #(.X_BITS(12), .C_MAX(64), .INIT_FILE("seeds.hex")) unit_i (.*);\nendmodule\n'
    )
    result = yosys.synthesize([*unit_sources(["layernorm"]), top], "fixed", tmp_path, cwd=tmp_path)
    found = multipliers(json.loads(result.netlist_json.read_text())["modules"]["fixed"])
    assert any(parameters.get("REG_INPUTA_CLK") == "CLK0" for parameters in found)
    rng = np.random.default_rng(SEED)
    spreads = (0.5, 3, 40, 300, 3000)
    tokens = [np.clip(np.rint(rng.normal(0, s, c)), -2048, 2047).astype(int) for s in spreads for c in (64, 37, 2)]
    jobs = [Job({"s_axis": x}, {"m_axis": layernorm(x)}, {"cfg_channels": x.size}) for x in tokens]
    design = Design.build("fixed", sources=[*CELLS, result.netlist_verilog])
    for stall in (0, 50):
        design.run(jobs, stall=stall, seed=SEED, cfg_stream="s_axis", cfg_hold=False, cwd=tmp_path)


def test_output_register_with_reset_is_refused() -> None:
    cell = {
        "type": "MULT18X18D",
        "parameters": {"REG_OUTPUT_CLK": "CLK0"},
        "connections": {"CLK0": [2], "RST0": [3], "P0": [4]},
        "port_directions": {"CLK0": "input", "RST0": "input", "P0": "output"},
    }
    with pytest.raises(RuntimeError, match="multiplier big has an output register with a reset"):
        retime_multipliers({"cells": {"big": cell}, "ports": {}, "netnames": {}})
