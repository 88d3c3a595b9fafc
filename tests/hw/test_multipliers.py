# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/mult18x18 and hw/rtl/dsp48e2_mul: models against hand-worked and wide products, enable, latency."""

import numpy as np
import pytest

from quant.intmath import int_range
from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields

BENCH = """
module bench (
    input clk, input rst,
    input [{ab}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{p}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  // two registers inside the multiplier: a product is there two enabled cycles after its factors
  reg [1:0] valid_q;
  wire en = !valid_q[1] || m_axis_tready;
  assign s_axis_tready = en;
  assign m_axis_tvalid = valid_q[1];
  always @(posedge clk) if (rst) valid_q <= 0; else if (en) valid_q <= {{valid_q[0], s_axis_tvalid}};
  {unit} #(.TARGET({target})) unit_i (
      .clk, .en, .a(s_axis_tdata[0+:{a}]), .b(s_axis_tdata[{a}+:{b}]), .p(m_axis_tdata));
endmodule
"""
# unit, TARGET, widths; TARGET 1 is the primitive, simulated with the model of the cell in sim/cells
UNITS = {
    "mult18x18": ("mult18x18", 0, 18, 18),
    "mult18x18_ecp5": ("mult18x18", 1, 18, 18),
    "dsp48e2_mul": ("dsp48e2_mul", 0, 27, 18),
}


@pytest.fixture(params=UNITS)
def multiplier(request, tmp_path):
    """(design, width of a, width of b)."""
    unit, target, a_bits, b_bits = UNITS[request.param]
    bench = tmp_path / "bench.sv"
    width = a_bits + b_bits
    bench.write_text(BENCH.format(unit=unit, target=target, a=a_bits, b=b_bits, ab=width, p=width))
    cells = [ROOT / "sim" / "cells" / "MULT18X18D.sv"] if target == 1 else []
    return Design.build("bench", sources=[*unit_sources(unit), *cells, bench]), a_bits, b_bits


def job_of(multiplier, a: np.ndarray, b: np.ndarray, product: np.ndarray) -> Job:
    _, a_bits, b_bits = multiplier
    return Job({"s_axis": fields((a, a_bits), (b, b_bits))}, {"m_axis": fields((product, a_bits + b_bits))})


@pytest.mark.parametrize("stall", [0, 50])
def test_multiplier_hand_worked_products(multiplier, stall):
    design = multiplier[0]
    a = np.array([0, 1, -1, 7, -7, 131071, -131072, 131071, -131072, 16384 * 7 - 7, -16384 * 8 + 7])
    b = np.array([5, -1, -1, -128, 127, 131071, 131071, -131072, -131072, -128, 127])
    want = [0, -1, 1, -896, -889, 17179607041, -17179738112, -17179738112, 17179869184, -14679168, -16645255]
    design.run([job_of(multiplier, a, b, np.array(want))] * 2, stall=stall, seed=3, reset_at=7)


def test_multiplier_every_small_product(multiplier):
    """Factors of 7 bits, all of them, and the same with all bits above shifted in from the top of the range."""
    design, a_bits, b_bits = multiplier
    a, b = np.meshgrid(np.arange(-64, 64), np.arange(-64, 64))
    jobs = [job_of(multiplier, a.ravel(), b.ravel(), (a * b).ravel())]
    wide_a, wide_b = a << (a_bits - 7), b << (b_bits - 7)
    jobs.append(job_of(multiplier, wide_a.ravel(), wide_b.ravel(), (wide_a * wide_b).ravel()))
    design.run(jobs)


def test_multiplier_corners_and_random_products(multiplier):
    design, a_bits, b_bits = multiplier
    rng = np.random.default_rng(5)
    (a_low, a_high), (b_low, b_high) = int_range(a_bits), int_range(b_bits)
    corners = np.array([[a, b] for a in (a_low, a_low + 1, -1, a_high) for b in (b_low, b_low + 1, -1, b_high)])
    a = np.concatenate([corners[:, 0], rng.integers(a_low, a_high + 1, 20000)])
    b = np.concatenate([corners[:, 1], rng.integers(b_low, b_high + 1, 20000)])
    design.run([job_of(multiplier, a, b, a * b)], stall=20, seed=5)
