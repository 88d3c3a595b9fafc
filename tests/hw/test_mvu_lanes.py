# SPDX-License-Identifier: Apache-2.0
"""Lanes of hw/rtl/mvu on their own: every weight with every activation, all inputs at their extremes, planted faults.

One chunk a sum, so that each beat of the mvu is one result of its lanes.
"""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pyosys
import pytest

from quant.schemes import FIXED, POT, SP2, encode, largest, magnitudes
from sim.golden.mvu import da_offset, mvu
from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, pack

LANES = {
    "dsp_pair": {"PE": 2, "DSP_ROWS": 2},
    "dsp_pair_ultrascale": {"PE": 2, "DSP_ROWS": 2, "TARGET": 2},
    "dsp_packed": {"PE": 2, "DSP_ROWS": 2, "DSP_PACKED": 1},
    "dsp_packed_ultrascale": {"PE": 2, "DSP_ROWS": 2, "DSP_PACKED": 1, "TARGET": 2},
    "dsp_single": {"PE": 1, "DSP_ROWS": 1},
    "fixed_lut": {"PE": 1, "DSP_ROWS": 0},
    "pot": {"PE": 1, "DSP_ROWS": 0, "ROWS_POT": 1},
    "sp2": {"PE": 1, "DSP_ROWS": 0, "ROWS_SP2": 1},
    "da_fixed": {"PE": 1, "DSP_ROWS": 0, "DA": 1},
    "da_pot": {"PE": 1, "DSP_ROWS": 0, "ROWS_POT": 1, "DA": 1, "DA_BANKS": 2},
    "da_sp2": {"PE": 1, "DSP_ROWS": 0, "ROWS_SP2": 1, "DA": 1, "DA_BANKS": 2, "DA_RADIX": 3},
    "da_three": {"PE": 1, "DSP_ROWS": 0, "DA": 1, "DA_BANKS": 2, "DA_RADIX": 3},
}
SCHEME = {"pot": POT, "sp2": SP2, "da_pot": POT, "da_sp2": SP2}


def lane_params(lane: str, simd: int, w_bits: int = 4, a_bits: int = 8) -> dict:
    return {"SIMD": simd, "A_BITS": a_bits, "W_BITS": w_bits, "ACC_BITS": 32, "TARGET": 0} | LANES[lane]


def build(lane: str, tmp_path: Path, simd: int, w_bits: int = 4, a_bits: int = 8) -> Design:
    """The mvu with one lane. For UltraScale+ the multiplier's behavioural model takes the place of the primitive."""
    sources = []
    for source in unit_sources("mvu"):
        if source.name == "dsp48e2_mul.sv":
            text = source.read_text()
            assert text.count("if (TARGET == 2)") == 1
            source = tmp_path / source.name
            source.write_text(text.replace("if (TARGET == 2)", "if (1'b0)"))
        sources.append(source)
    return Design.build("mvu", sources=sources, params=lane_params(lane, simd, w_bits, a_bits))


def weights_of(lane: str, w_bits: int) -> np.ndarray:
    """Every weight that the lane may hold."""
    values = magnitudes(SCHEME.get(lane, FIXED), w_bits)
    return np.unique(np.concatenate([-values, values]))


def job_of(lane: str, w_bits: int, a_bits: int, x: np.ndarray, weight: np.ndarray) -> Job:
    """One result a beat: x (beats, simd), weight (beats, rows, simd)."""
    scheme = SCHEME.get(lane, FIXED)
    acc = (weight * x[:, None, :]).sum(axis=2)
    np.testing.assert_array_equal(acc[0], mvu(x[:1], weight[0])[0])
    codes = encode(weight, scheme, w_bits)
    if "DSP_PACKED" in LANES[lane]:
        codes[:, 1] = (weight[:, 1] - (weight[:, 0] < 0)) % 2**w_bits
    if "DA" in LANES[lane]:  # sums without offset, four inputs a word
        acc -= da_offset(weight.reshape(-1, weight.shape[2])).reshape(acc.shape)
        codes = np.pad(codes, ((0, 0), (0, 0), (0, -codes.shape[2] % 4)))
        codes = codes.reshape(*codes.shape[:2], -1, 4).transpose(0, 2, 1, 3).reshape(-1, codes.shape[1] * 4)
    words = pack(codes.reshape(len(codes), -1), w_bits)
    cfg = {"cfg_chunks": 1, "cfg_groups": 1, "cfg_tile": 1, "cfg_tokens": len(x)}
    return Job({"s_axis": pack(x, a_bits), "s_axis_weight": words}, {"m_axis": pack(acc, 32)}, cfg)


def all_products(lane: str, w_bits: int, a_bits: int) -> Job:
    """Every combination of the rows' weights and the activation, one input."""
    rows = LANES[lane]["PE"]
    weights = weights_of(lane, w_bits)
    codes = np.arange(-(2 ** (a_bits - 1)), 2 ** (a_bits - 1))
    grid = np.array(list(product(*[weights] * rows, codes)))
    return job_of(lane, w_bits, a_bits, grid[:, rows:], grid[:, :rows, None])


def all_extremes(lane: str, simd: int, w_bits: int, a_bits: int) -> Job:
    """Each activation lowest or highest, all 0, all -1; each row's weights lowest, zero, highest or alternating."""
    rows, top = LANES[lane]["PE"], largest(SCHEME.get(lane, FIXED), w_bits)
    rng = np.random.default_rng(simd)
    ends = np.array([-(2 ** (a_bits - 1)), 2 ** (a_bits - 1) - 1])
    patterns = np.array(list(product(range(2), repeat=simd))) if simd <= 8 else rng.integers(0, 2, (256, simd))
    patterns[:2] = np.array([[0], [1]])
    x = np.concatenate([ends[patterns], np.zeros((1, simd), np.int64), np.full((1, simd), -1)])
    signs = np.stack([np.ones(simd), -np.ones(simd), np.zeros(simd), np.resize([1, -1], simd)]).astype(np.int64)
    combos = np.array(list(product(range(4), repeat=rows)))
    weight = np.tile(signs[combos] * top, (len(x), 1, 1))
    return job_of(lane, w_bits, a_bits, np.repeat(x, len(combos), axis=0), weight)


@pytest.mark.parametrize("lane", LANES)
def test_mvu_lane_every_product(tmp_path, lane):
    build(lane, tmp_path, 1).run([all_products(lane, 4, 8)])


@pytest.mark.parametrize(
    ("lane", "w_bits"),
    [*product(("dsp_pair", "dsp_packed"), (2, 3)), *[("fixed_lut", bits) for bits in (2, 3, 5, 6, 7, 8)]],
)
def test_mvu_fixed_lane_other_widths(tmp_path, lane, w_bits):
    build(lane, tmp_path, 1, w_bits).run([all_products(lane, w_bits, 8)])


@pytest.mark.parametrize("lane", ["pot", "sp2", "da_pot", "da_sp2"])
@pytest.mark.parametrize("w_bits", [2, 3, 5, 8])
def test_mvu_shift_lane_every_width(tmp_path, lane, w_bits):
    build(lane, tmp_path, 1, w_bits, 6).run([all_products(lane, w_bits, 6)])


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("simd", [8, 19])
def test_mvu_lane_extremes(tmp_path, lane, simd):
    build(lane, tmp_path, simd).run([all_extremes(lane, simd, 4, 8)], stall=10, seed=simd)


MUTANTS = [
    ("mvu_lane_dsp_pair.sv", "assign carry1 = borrow;", "assign carry1 = 1'b0;", "dsp_pair", 4),
    ("mvu_lane_dsp_pair.sv", "+ PART_BITS'(borrow[g])", "", "dsp_pair", 16),
    ("mvu_lane_dsp_pair.sv", "(SIMD + 7) / 8", "(SIMD + 9) / 10", "dsp_pair", 10),
    ("mvu_lane_planes.sv", ".SUBTRACT(TOP)", ".SUBTRACT(1'b0)", "fixed_lut", 4),
    ("mvu_tree_gated.sv", "gates[i] <= gen_stage[l-1].gates[2*i]", "gates[i] <= 1'b1", "fixed_lut", 3),
    ("mvu_lane_shift.sv", ".carry(differ)", ".carry(1'b0)", "pot", 2),
    ("mvu_lane_da.sv", "!bank_q, entry_q3", "bank_q, entry_q3", "da_sp2", 4),
    ("mvu_lane_da.sv", "entry_q[j] ^ code[W_BITS-1]", "entry_q[j]", "da_fixed", 4),
    ("mvu_join.sv", "SIGNED ? $clog2(IN_MAX) + OWN", "SIGNED ? $clog2(IN_MAX) + OWN - 1", "da_pot", 4),
    ("mvu_join.sv", "TOP = CHILDREN > 1 &&", "TOP = CHILDREN > 2 &&", "da_pot", 4),
    ("mvu_tree_signed.sv", "signs[2*i] ^ gen_level[l-1].signs[2*i+1]", "signs[2*i+1]", "sp2", 4),
]
# Of the trees of three, built from the models of UltraScale+'s cells
MUTANTS_OF_THREE = [
    ("mvu_tree_carry.sv", "assign one = gen_third[l-1].ones[3*i+2]", "assign one = 1'b0", "sp2", 3),
    ("mvu_tree_carry.sv", ".carry(gen_third[l-1].ones[3*i+:2])", ".carry(2'b00)", "pot", 6),
    ("mvu_tree_carry.sv", ".carry(gen_third[l-1].ones[3*i]), .y", ".carry(1'b0), .y", "sp2", 2),
    ("mvu_tree_gated.sv", "!THREES || gen_stage[l-1].gates[2*i]", "1'b1", "fixed_lut", 3),
    ("mvu_lane_planes.sv", "WAIT = $clog2(SIMD) - TREE", "WAIT = $clog2(SIMD) - TREE + 1", "fixed_lut", 8),
    ("mvu_lane_shift.sv", "low[1:0] ^ {2{complement}}", "low[1:0]", "sp2", 2),
    ("mvu_lane_shift.sv", "COMPLEMENT ? complement :", "1'b0 ? complement :", "pot", 2),
]
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("MULT18X18D", "LUT6_2", "CARRY8", "RAM32M16")]


def with_fault(folder: Path, file: str, text: str, fault: str) -> list[Path]:
    """Sources of the mvu, with another text in one of them; blanks count as one."""
    sources = []
    for source in unit_sources("mvu"):
        if source.name == file:
            right = re.sub(r"[ \t]+", " ", source.read_text())
            assert right.count(text) == 1, f"{file} no longer has {text!r} once"
            wrong = right.replace(text, fault)
            if "SIMD + 9" in fault:
                wrong = wrong.replace("SIMD < 8 ? SIMD : 8", "SIMD < 10 ? SIMD : 10")
            source = folder / file
            source.write_text(wrong)
        sources.append(source)
    return sources


@pytest.mark.parametrize(("file", "text", "fault", "lane", "simd"), MUTANTS_OF_THREE)
def test_mvu_lane_tests_find_a_fault_on_ultrascale(tmp_path, file, text, fault, lane, simd):
    """A one that is lost in each kind of node, the gate of a number without partner, a cycle more, signs."""
    sources = with_fault(tmp_path, file, text, fault)
    design = Design.build("mvu", sources=[*sources, *CELLS], params=lane_params(lane, simd) | {"TARGET": 2})
    with pytest.raises(AssertionError, match="m_axis"):
        design.run([all_extremes(lane, simd, 4, 8)])


@pytest.mark.parametrize(("file", "text", "fault", "lane", "simd"), MUTANTS)
def test_mvu_lane_tests_find_a_planted_fault(tmp_path, file, text, fault, lane, simd):
    """No correction of the borrow, before and behind the split; a split after 10 products; a top plane that is added;
    a gate and a carry that are lost; tables loaded where they are read; signs that are lost;
    a sum too narrow by a bit.
    """
    sources = with_fault(tmp_path, file, text, fault)
    design = Design.build("mvu", sources=sources, params=lane_params(lane, simd))
    with pytest.raises(AssertionError, match="m_axis"):
        design.run([all_extremes(lane, simd, 4, 8)])


@pytest.mark.parametrize(
    ("lane", "target", "simd", "w_bits"),
    [
        *product(("dsp_pair", "dsp_packed", "dsp_single"), (1,), (1, 7), (4,)),
        *product(("fixed_lut", "pot", "sp2", "da_fixed", "da_sp2"), (1, 2), (1, 7), (4,)),
        *product(("da_three", "da_sp2"), (2,), (35,), (4,)),  # full adders of three tables
        *product(("fixed_lut", "pot", "sp2"), (2,), (2, 3, 4, 8, 9, 16, 37), (4,)),  # of three sums, and waiting
        *product(("fixed_lut", "pot", "sp2"), (2,), (5,), (2, 3, 5, 8)),
    ],
)
def test_mvu_lane_with_device_cells(tmp_path, lane, target, simd, w_bits):
    """The lanes built from the cells of ECP5 and UltraScale+ (models in sim/cells); CCU2C is Yosys' own model."""
    share = Path(pyosys.__file__).parent / "share" / "ecp5"
    cells = tmp_path / "cells.v"
    text = (share / "common_sim.vh").read_text() + (share / "ccu2c_sim.vh").read_text()
    cells.write_text(re.sub(r"`include.*", "", text))
    params = lane_params(lane, simd, w_bits) | {"TARGET": target}
    design = Design.build("mvu", sources=[*unit_sources("mvu"), cells, *CELLS], params=params)
    design.run([all_products(lane, w_bits, 8) if simd == 1 else all_extremes(lane, simd, w_bits, 8)])
