# SPDX-License-Identifier: Apache-2.0
"""synthesis/bench_lanes: every lane has its streams, a planted fault is found, the table's form, refused input."""

import json
import re

import pytest

from synthesis import bench_lanes
from synthesis.bench_lanes import LUTRAM, Lane, finn_sources, lane_table, lanes, main, markdown, verify

COSTS = {"lut": 10, "lutram": 2, "ff": 7, "dsp": 1, "alu54b": 0, "bram": 0.5}


def table() -> dict:
    per_mac = {key: value / 8 for key, value in COSTS.items()}
    size = {"rows": 2, "macs": 8, "beats": 1234, "total": COSTS, "per_mac": per_mac}
    row = {"target": "xcup", "lane": "lut_da", "scheme": "pot", "simd": 4, "tile": 9, "sizes": [size]}
    return {"lanes": [row | {"marginal": size["per_mac"]}], "finn_mvu": {"reason": "absent"}}


def test_bench_lanes_covers_both_targets():
    names = [(lane.name, lane.scheme) for lane in lanes() if lane.target == "ecp5"]
    assert names == [(lane.name, lane.scheme) for lane in lanes() if lane.target == "xcup"]
    assert len(set(names)) == len(names) == 9
    assert {name for name, _ in names} == {"product", "lut_stream", "lut_da", "dsp_pair", "dsp_sums"}


@pytest.mark.verilator
def test_bench_lanes_verifies_and_finds_a_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_lanes, "FOLDER", tmp_path)
    lane = Lane("ecp5", "product", "fixed")
    assert verify(lane, 1) > 100
    assert bench_lanes.PRODUCT_LANE.count("a_q * w_q") == 1
    monkeypatch.setattr(bench_lanes, "PRODUCT_LANE", bench_lanes.PRODUCT_LANE.replace("a_q * w_q", "a_q * w_q + 1"))
    with pytest.raises(AssertionError, match="m_axis"):
        verify(lane, 1)


@pytest.mark.nextpnr
def test_a_lut_ram_has_six_sites_after_packing(tmp_path):
    """As many as Yosys' netlist is counted with (synthesis.backends.yosys)."""
    pins = {"DI": range(3, 7), "WAD": range(7, 11), "RAD": range(11, 15), "WRE": [15], "WCK": [2], "DO": range(16, 20)}
    pins = {name: list(bits) for name, bits in pins.items()}
    directions = {name: "output" if name == "DO" else "input" for name in pins}
    cell = {"type": "TRELLIS_DPR16X4", "parameters": {}, "attributes": {}, "connections": pins}
    ports = {name: {"direction": directions[name], "bits": bits} for name, bits in pins.items()}
    module = {"attributes": {"top": "1"}, "ports": ports, "netnames": {}}
    module["cells"] = {"ram": cell | {"port_directions": directions}}
    netlist = tmp_path / "ram.json"
    netlist.write_text(json.dumps({"creator": "test", "modules": {"top": module}}))
    assert bench_lanes.trellis_comb(netlist, tmp_path / "pack.log") == LUTRAM["TRELLIS_DPR16X4"] == 6


def test_bench_lanes_table_is_read_back(tmp_path):
    path = tmp_path / "lanes.json"
    path.write_text(json.dumps(table()))
    assert lane_table(path)[0]["marginal"]["lut"] == 1.25
    text = markdown(table())
    assert "| xcup | lut_da | pot | 2 x 4 | 1.2 | 0.2 | 0.9 | 0.12 | 0.062 | 1.2 |  | 1,234 |" in text
    assert "FINN+'s mvu: not measured. absent" in text
    finn = {"per_mac": {"lut": 25.02, "ff": 24.0, "dsp": 1 / 3, "bram": 0}}
    assert "25.0 LUT, 24.0 FF and 0.33 DSP48E2 a MAC" in markdown(table() | {"finn_mvu": finn})
    columns = [len(re.findall(r"\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert len(set(columns)) == 1


def test_bench_lanes_refuses_bad_input(tmp_path, capsys):
    with pytest.raises(ValueError, match="does not exist; expected the table of the lanes. Run: make bench-lanes"):
        lane_table(tmp_path / "none.json")
    assert main(["--only", "ecp6"]) == 1
    assert "--only 'ecp6' names no lane, known are ecp5/product/fixed" in capsys.readouterr().err
    assert main(["--markdown", str(tmp_path / "none" / "lanes.md")]) == 1
    assert "none/lanes.md: its folder does not exist" in capsys.readouterr().err


ADD_MULTI = """module add_multi;
	uwire [SUM_WIDTH-1:0]  sum0;
	if(L < 1) begin : genTree
		typedef int unsigned  leaf_load_t[2*N-1];
		function leaf_load_t init_leaf_loads();
		endfunction : init_leaf_loads
		localparam leaf_load_t   LEAF_LOAD = init_leaf_loads();
	end
endmodule
"""


def test_bench_lanes_moves_a_function_of_finn(tmp_path):
    for name, text in (("add_multi.sv", ADD_MULTI), ("mvu.sv", "if(1) begin : blkRecoveryWatch\n"), ("mvu_pkg.sv", "")):
        (tmp_path / name).write_text(text)
    *_, adder, mvu = finn_sources(tmp_path, tmp_path / "out")
    lines = adder.read_text().splitlines()
    assert sorted(lines) == sorted(ADD_MULTI.splitlines())
    assert [lines[1].split()[0], lines[4].strip(), lines[5]] == [
        "typedef", "uwire [SUM_WIDTH-1:0]  sum0;", "\tif(L < 1) begin : genTree",
    ]  # fmt: skip
    assert mvu.read_text() == "if(0) begin : blkRecoveryWatch\n"
    (tmp_path / "add_multi.sv").write_text("module add_multi; endmodule")
    with pytest.raises(ValueError, match="expected init_leaf_loads and blkRecoveryWatch once"):
        finn_sources(tmp_path, tmp_path / "out")
