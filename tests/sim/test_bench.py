# SPDX-License-Identifier: Apache-2.0
"""The cocotb bench: the same jobs as on the fast path, stalls, reset in mid-stream; failures carry their reason."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from sim.bench.check import check_unit
from sim.bench.lint import elaborate, lint
from sim.bench.runner import bench_params, run_cocotb
from sim.verilate import Job

RTL = Path(__file__).with_name("rtl")


def jobs(elems: int) -> list[Job]:
    made = []
    for i, n in enumerate((5, 1, 60)):
        x = np.random.default_rng(i).integers(-128, 128, (n, elems))
        made.append(Job({"s_axis": x}, {"m_axis": (x + i + 128) % 256 - 128}, {"cfg_offset": i, "cfg_beats": n}))
    return made


@cocotb.test()
@cocotb.parametrize(stall=[0, 30, 90])
async def offset_protocol(dut, stall):
    params = bench_params()
    for hold in (True, False):
        cycles = await check_unit(
            dut, jobs(params["ELEMS"]), stall=stall, seed=3, reset_at=21, cfg_stream="s_axis", cfg_hold=hold
        )
        assert stall or cycles["m_axis"] == list(range(1, 67))


@cocotb.test()
async def pair_protocol(dut):
    x = np.arange(-50, 50)
    writes = [{"wr_en": 1, "wr_addr": a, "wr_data": a + 1} for a in (0, 1)]
    job = Job({"s_axis": x}, {"m_axis[0]": x + 1, "m_axis[1]": 2 - x})
    await check_unit(dut, [job, job], stall={"m_axis[1]": 60}, seed=4, reset_at=30, writes=writes)


@pytest.mark.verilator
@pytest.mark.parametrize("elems", [1, 9])
def test_cocotb_runs_jobs_with_stalls_and_reset(elems):
    params = {"ELEMS": elems}
    assert run_cocotb("offset", __file__, [RTL / "offset.sv"], params, testcase="offset_protocol") == 3


@pytest.mark.verilator
def test_cocotb_drives_packed_ports():
    assert run_cocotb("pair", __file__, [RTL / "pair.sv"], testcase="pair_protocol") == 1


@pytest.mark.verilator
@pytest.mark.parametrize(
    "fault, message",
    [
        (1, "m_axis dropped tvalid while stalled"),
        (2, "m_axis changed tdata while stalled"),
        (3, "m_axis beat 5: got=0x"),
        (4, "m_axis beat 5: got=0x"),
        (5, "m_axis beat 5: got=0x"),
        (6, "no handshake for 5000 cycles"),
        (8, "m_axis beat 0: got=0x"),
    ],
)
def test_cocotb_failure_says_why(fault, message):
    params = {"ELEMS": 9, "FAULT": fault}
    with pytest.raises(AssertionError, match=message):
        run_cocotb("offset", __file__, [RTL / "offset.sv"], params, testcase="offset_protocol")


@pytest.mark.verilator
@pytest.mark.parametrize("top", ["offset", "pair"])
def test_lint_passes_clean_units_and_shows_warnings(top, tmp_path):
    lint(top, [RTL / f"{top}.sv"])
    bad = tmp_path / f"{top}.sv"
    bad.write_text((RTL / f"{top}.sv").read_text().replace("endmodule", "wire logic [3:0] w = 9'd3;\nendmodule"))
    with pytest.raises(RuntimeError, match="WIDTHTRUNC"):
        lint(top, [bad])


@pytest.mark.yosys
@pytest.mark.parametrize("top", ["offset", "pair"])
def test_elaborate_passes_clean_units_and_shows_errors(top, tmp_path):
    elaborate(top, [RTL / f"{top}.sv"])
    bad = tmp_path / f"{top}.sv"
    bad.write_text((RTL / f"{top}.sv").read_text().replace("endmodule", "nothere u_x();\nendmodule"))
    with pytest.raises(RuntimeError, match="nothere"):
        elaborate(top, [bad])
