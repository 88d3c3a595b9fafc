# SPDX-License-Identifier: Apache-2.0
"""The fast path: values, cfg of jobs, stalls, reset; every broken protocol is found and named."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sim.verilate import Beats, DeadlockError, Design, Job, SimulationError

pytestmark = pytest.mark.verilator
RTL = Path(__file__).with_name("rtl")
SEED = 5


def offset_design(**params) -> Design:
    return Design.build("offset", [RTL / "offset.sv"], params)


def offset_jobs(elems=10, bits=8, counts=(7, 1, 40, 1, 1, 300)):
    rng = np.random.default_rng(SEED)
    jobs = []
    for i, n in enumerate(counts):
        x = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (n, elems))
        want = (x + 3 * i + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        jobs.append(Job({"s_axis": x}, {"m_axis": want}, {"cfg_offset": 3 * i, "cfg_beats": n}))
    return jobs


@pytest.mark.parametrize("elems, bits", [(1, 8), (10, 8), (4, 16), (3, 11), (5, 7), (1, 40)])
@pytest.mark.parametrize("stall", [0, 30, 90])
def test_jobs_of_different_size_run_back_to_back(elems, bits, stall):
    design = offset_design(ELEMS=elems, ELEM_BITS=bits)
    jobs = offset_jobs(elems, bits)
    for hold in (True, False):
        result = design.run(jobs, stall=stall, seed=SEED, cfg_stream="s_axis", cfg_hold=hold)
        if stall == 0:
            assert result.cycles == 351
            assert result.last["m_axis"] == np.cumsum([7, 1, 40, 1, 1, 300]).tolist()
    design.run(jobs, stall=stall, seed=SEED, reset_at=33)


def test_outputs_come_back_as_asked():
    design = offset_design()
    x = np.arange(-10, 10).reshape(2, 10)
    out, cycles = design.run_streams({"s_axis": x}, {"m_axis": Beats(2, 10, True)}, {"cfg_offset": 1, "cfg_beats": 2})
    assert np.array_equal(out["m_axis"], x + 1) and cycles == 3
    out, _ = design.run_streams({"s_axis": x}, {"m_axis": 2}, {"cfg_offset": 0, "cfg_beats": 2})
    assert out["m_axis"].dtype == object and out["m_axis"][0] >> 72 == 0xFF
    assert design.run([Job({"s_axis": x}, {"m_axis": x}, {"cfg_offset": 0, "cfg_beats": 2})]).peaks == {"TOP.offset": 2}


def test_packed_ports_are_lanes_and_write_ports_are_written():
    design = Design.build("pair", [RTL / "pair.sv"], {"WIDTH": 13})
    assert sorted(design.streams) == ["m_axis[0]", "m_axis[1]", "s_axis"]
    x = np.random.default_rng(SEED).integers(-1000, 1000, 500)
    writes = [{"wr_en": 1, "wr_addr": 0, "wr_data": 7}, {"wr_en": 1, "wr_addr": 1, "wr_data": -9}, {"wr_data": 5}]
    for stall in (0, 50, {"m_axis[1]": 90}):
        design.run(
            [Job({"s_axis": x}, {"m_axis[0]": x + 7, "m_axis[1]": -9 - x})], stall=stall, seed=SEED, writes=writes
        )


@pytest.mark.parametrize(
    "fault, message",
    [
        (1, "m_axis dropped tvalid while stalled at beat"),
        (2, "m_axis changed tdata while stalled at beat"),
        (3, "m_axis sent a beat more than expected at beat 350"),
        (6, "no handshake for 500 cycles"),
        (7, "the model stopped at"),
    ],
)
def test_broken_protocol_is_named(fault, message):
    # any value will do, so that only the protocol can fail; an odd seed waits for tvalid
    jobs = [Job(j.inputs, {"m_axis": Beats(len(j.outputs["m_axis"]), 10)}, j.cfg) for j in offset_jobs()]
    with pytest.raises(SimulationError, match=rf"sim: offset\(FAULT={fault}\) \(seed {SEED}\): {message}"):
        offset_design(FAULT=fault).run(jobs, stall=30, seed=SEED, idle_limit=500)


def test_deadlock_names_the_state_of_every_port():
    with pytest.raises(DeadlockError) as caught:
        offset_design(FAULT=4).run(offset_jobs(), idle_limit=200)
    assert "no handshake for 200 cycles" in str(caught.value)
    assert "s_axis (in): 350 of 350 beats, tvalid=0 tready=1" in str(caught.value)
    assert "m_axis (out): 349 of 350 beats, tvalid=0 tready=1" in str(caught.value)


def test_wrong_value_is_named():
    with pytest.raises(
        AssertionError, match=r"sim: offset\(FAULT=5\) m_axis job 0 beat 5 element 1: got=-?\d+ want=-?\d+"
    ):
        offset_design(FAULT=5).run(offset_jobs(), stall=30, seed=SEED)


def test_state_left_by_a_reset_is_found():
    with pytest.raises(AssertionError, match="m_axis job"):
        for reset_at in (10, 11, 12):
            offset_design(FAULT=8).run(offset_jobs(), reset_at=reset_at, cfg_stream="s_axis", cfg_hold=False)


def test_bad_requests_are_refused():
    design, x = offset_design(), np.zeros((1, 10), int)
    with pytest.raises(ValueError, match="has no input stream 's_axis_weight'; it has s_axis"):
        design.run([Job({"s_axis_weight": x}, {"m_axis": x})])
    with pytest.raises(ValueError, match="cfg_offset=70000 of job 0 does not fit 16 bits"):
        design.run([Job({"s_axis": x}, {"m_axis": x}, {"cfg_offset": 70000})])
    with pytest.raises(ValueError, match="job 1 lacks cfg value 'cfg_offset'"):
        design.run([Job({"s_axis": x}, {"m_axis": x}, {"cfg_offset": 7}), Job({"s_axis": x}, {"m_axis": x})])
    with pytest.raises(ValueError, match=r"stall of s_axis is 100, 0\.\.99 percent expected"):
        design.run([Job({"s_axis": x}, {"m_axis": x})], stall=100)
    with pytest.raises(ValueError, match=r"nowhere\.sv of offset does not exist"):
        Design.build("offset", [RTL / "nowhere.sv"])
    with pytest.raises(RuntimeError, match=r"verilator \[offsets\] failed"):
        Design.build("offsets", [RTL / "offset.sv"])


def test_builds_are_cached_by_content(tmp_path):
    source, name = tmp_path / "cached.sv", f"offset_{os.getpid()}"
    text = (RTL / "offset.sv").read_text().replace("module offset", f"module {name}")
    source.write_text(text)
    first = Design.build(name, [source]).folder
    assert Design.build(name, [source]).folder == first
    source.write_text(text + "// another\n")
    second = Design.build(name, [source]).folder
    third = Design.build(name, [source], {"ELEMS": 3}).folder
    assert len({first, second, third}) == 3
    source.write_text(text.replace("endmodule", "endmodul"))
    with pytest.raises(RuntimeError, match="endmodul"):
        Design.build(name, [source])
    assert not list(first.parent.glob(f"new_{name}_*"))
    for folder in (first, second, third):
        shutil.rmtree(folder)
