# SPDX-License-Identifier: Apache-2.0
"""The generated design: lints, is bit-exact with every scheme of rows and with token tiles; FIFOs are sized."""

import json
import re

import numpy as np
import pytest
from qonnx.custom_op.registry import getCustomOp

from synthesis import fold
from synthesis.board import load_board
from synthesis.build import ROOT
from synthesis.fifo import size_fifos
from synthesis.generate import generate, generate_finn_unit, identifier, read_description, unique_identifiers
from synthesis.lower import edge_names, execute, lower

from .conftest import export_tiny

SEED = 5


def folded(dataflow, fps=None):
    board = load_board("ulx3s_85f")
    return fold.apply_folding(dataflow, fold.search(dataflow, board, fps).config, board["part"])


def check(model, rtl, images=3):
    """Simulate random images and compare every edge with the golden models; returns the number of values."""
    from sim.compare import compare_edges
    from sim.network import Network

    shape = read_description(rtl)["image_shape"]
    codes = np.random.default_rng(SEED).integers(-128, 128, (images, *shape))
    codes[0] = 127
    edges = execute(model, codes, edge_names(model))
    network = Network(rtl)
    run = network.run_probed(codes)
    assert run.stamps[network.about["input"]][0, 0] == network.about["start_cycles"]
    found = run.edges
    golden = {name: value.reshape(found[name].shape) for name, value in edges.items()}
    comparison = compare_edges(found, golden, network.order, network.units)
    assert comparison.mismatches == 0, f"{comparison.first} (seed {SEED})"
    return comparison.values_compared


def test_identifiers():
    assert identifier("blocks.0.attn._x") == "blocks_0_attn_x"
    assert unique_identifiers(["a.b", "a_b", "1"]) == {"a.b": "a_b", "a_b": "a_b_2", "1": "n_1"}


def test_every_unit_has_its_own_reset(tiny_dataflow, tmp_path):
    """Instances have that of their op, FIFOs that of the op in front; an op that reads from a later one is refused."""
    model = folded(tiny_dataflow)
    about = generate(model, tmp_path / "rtl", 1)
    text = (tmp_path / "rtl" / "vit_top.sv").read_text()
    found = dict(re.findall(r"\) (\w+) \(\n    \.clk\(clk\), \.rst\(([^)]*)\)", text))
    place = {unit["name"]: i for i, unit in enumerate(about["units"])}
    wanted = {name: f"unit_rst[{place[unit['name']]}]" for unit in about["units"] for name in unit["instances"]}
    wanted |= {edge["fifo"]: f"unit_rst[{place[edge['unit']]}]" for edge in about["edges"] if edge["fifo"]}
    assert found == {**wanted, "reset_chain_i": "rst"}
    model.graph.node.append(model.graph.node.pop(0))
    with pytest.raises(ValueError, match="reads from a node behind it"):
        generate(model, tmp_path / "rtl", 1)


@pytest.mark.verilator
def test_design_lints(tiny_dataflow, tmp_path):
    """verilator -Wall on the whole design, with and without probes."""
    from sim.toolchain import run_tool, verilator_dir, verilator_env

    rtl = tmp_path / "rtl"
    names = generate(folded(tiny_dataflow), rtl, 1)["sources"]
    waivers = sorted((ROOT / "hw" / "lint").glob("*.vlt"))
    for define in ("VITRAIL_PROBE", "NOTHING"):
        command = [
            verilator_dir() / "bin" / "verilator_bin",
            "--lint-only",
            "-Wall",
            "--top-module",
            "vit_top",
            f"-D{define}",
        ]
        run_tool([*command, *waivers, *(rtl / name for name in names)], "lint", env=verilator_env())


@pytest.mark.verilator
@pytest.mark.parametrize("recipe", ["default", "pot"])
def test_design_is_bit_exact(recipe, tmp_path):
    """Every edge of the tiny ViT, rows fixed, PoT and SP2."""
    model = folded(fold.minimize_accumulators(lower(export_tiny(tmp_path / "m.onnx", recipe))))
    generate(model, tmp_path / "rtl", 1)
    assert check(model, tmp_path / "rtl") > 15_000


@pytest.mark.verilator
def test_token_tiles_are_bit_exact(tiny_dataflow, tmp_path):
    """mvus that hold each weight word for a tile of 4 tokens (the last tile is shorter), reorder units behind them."""
    board = load_board("ulx3s_85f")
    config = fold.search(tiny_dataflow, board).config
    for name, entry in config.items():
        if name.endswith(".mvu"):
            entry["tile"] = 4
    model = fold.apply_folding(tiny_dataflow, config, board["part"])
    description = generate(model, tmp_path / "rtl", 1)
    assert "reorder.sv" in description["sources"]
    assert check(model, tmp_path / "rtl") > 15_000


@pytest.mark.verilator
def test_planted_fault_is_named(tiny_dataflow, tmp_path):
    """A flipped bit in one ROM is reported with the first edge, token and channel that it changes."""
    model = folded(tiny_dataflow)
    rtl = tmp_path / "rtl"
    generate(model, rtl, 1)
    path = rtl / "blocks_0_mlp_fc1_requant_param.hex"
    words = path.read_text().split()
    words[3] = f"{int(words[3], 16) ^ (1 << 14):0{len(words[3])}x}"
    path.write_text("\n".join(words) + "\n")
    with pytest.raises(AssertionError, match=r"blocks\.0\.mlp\.fc1 .*channel 3"):
        check(model, rtl)


@pytest.mark.verilator
def test_fifos_are_sized(tiny_dataflow, tmp_path):
    """Sized FIFOs reach the image time of large ones within 1 % and hold far less."""
    model = folded(tiny_dataflow)
    large = generate(model, tmp_path / "large", 1)
    sizing = size_fifos(model, tmp_path / "large", tmp_path / "rtl", 1)
    assert sizing.cycles <= 1.01 * sizing.large_cycles
    bits = sum(edge["depth"] * edge["element_bits"] * edge["elements"] for edge in large["edges"])
    assert sizing.bits < bits
    found = {
        edge["name"]: edge["depth"] for edge in json.loads((tmp_path / "rtl" / "design.json").read_text())["edges"]
    }
    assert all(found[name] == depth for name, depth in sizing.depths.items())
    slowest = max(getCustomOp(node).get_exp_cycles() for node in model.graph.node)
    assert sizing.cycles <= 1.25 * slowest


@pytest.mark.verilator
def test_units_lint_behind_finn_ports(tiny_dataflow, tmp_path):
    """Each op as a module of its own with ap_clk, ap_rst_n and in0_V, out0_V, as FINN's stitching takes it."""
    from sim.toolchain import run_tool, verilator_dir, verilator_env

    model = folded(tiny_dataflow)
    waivers = sorted((ROOT / "hw" / "lint").glob("*.vlt"))
    seen = set()
    for node in model.graph.node:
        inst = getCustomOp(node)
        if fold.kind(inst) in seen:
            continue
        seen.add(fold.kind(inst))
        top = inst.get_verilog_top_module_name()
        files = generate_finn_unit(model, inst, tmp_path / top)
        names = inst.get_verilog_top_module_intf_names()
        assert names["s_axis"][0][0] == "in0_V" and names["m_axis"][0][0] == "out0_V"
        command = [verilator_dir() / "bin" / "verilator_bin", "--lint-only", "-Wall", "--top-module", top]
        run_tool([*command, *waivers, *files], f"lint {top}", env=verilator_env())
    assert len(seen) == 12
