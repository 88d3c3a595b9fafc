# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/mult18x18, dsp48e2_mul, alu54b_mac, dsp48e2_mac: the models, and the primitives (our models in sim/cells).

Both against hand-worked values, corners and random ones, with stalls; so model and primitive agree cycle by cycle.
"""

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
CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("MULT18X18D", "ALU54B", "DSP48E2")]
# unit, TARGET, widths; TARGET 1 and 2 are the primitives, simulated with the models of the cells in sim/cells
UNITS = {
    "mult18x18": ("mult18x18", 0, 18, 18),
    "mult18x18_ecp5": ("mult18x18", 1, 18, 18),
    "dsp48e2_mul": ("dsp48e2_mul", 0, 27, 18),
    "dsp48e2_mul_ultrascale": ("dsp48e2_mul", 2, 27, 18),
}


@pytest.fixture(params=UNITS)
def multiplier(request, tmp_path):
    """(design, width of a, width of b)."""
    unit, target, a_bits, b_bits = UNITS[request.param]
    bench = tmp_path / "bench.sv"
    width = a_bits + b_bits
    bench.write_text(BENCH.format(unit=unit, target=target, a=a_bits, b=b_bits, ab=width, p=width))
    return Design.build("bench", sources=[*unit_sources(unit), *(CELLS if target else []), bench]), a_bits, b_bits


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


ALU_BENCH = """
module bench (
    input clk, input rst,
    input [125:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [53:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  // {pipeline} + 1 registers on the way of the factors, so c waits as long
  reg [{pipeline}:0] valid_q;
  reg [{pipeline}:0][53:0] c_q;
  wire en = !valid_q[{pipeline}] || m_axis_tready;
  assign s_axis_tready = en;
  assign m_axis_tvalid = valid_q[{pipeline}];
  always @(posedge clk) if (rst) valid_q <= 0; else if (en) valid_q <= {{valid_q, s_axis_tvalid}};
  always @(posedge clk) if (en) c_q <= {{c_q, s_axis_tdata[125:72]}};
  alu54b_mac #(.PIPELINE({pipeline}), .TARGET({target})) unit_i (
      .clk, .en, .a0(s_axis_tdata[17:0]), .b0(s_axis_tdata[35:18]), .a1(s_axis_tdata[53:36]),
      .b1(s_axis_tdata[71:54]), .c(c_q[{pipeline}]), .r(m_axis_tdata));
endmodule
"""


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("pipeline", [0, 1])
def test_alu54b_mac_adds_two_products(tmp_path, target, pipeline):
    bench = tmp_path / "bench.sv"
    bench.write_text(ALU_BENCH.format(target=target, pipeline=pipeline))
    design = Design.build("bench", sources=[*unit_sources("alu54b_mac"), *(CELLS if target else []), bench])
    rng = np.random.default_rng(17)
    low, high = int_range(18)
    ends = np.array([low, -1, 0, high])
    corners = np.stack(np.meshgrid(ends, ends, ends, ends), axis=-1).reshape(-1, 4)
    factors = np.concatenate([corners, rng.integers(low, high + 1, (20000, 4))])
    c = rng.integers(-(2**53), 2**53, len(factors))
    c[:3] = -(2**53), 2**53 - 1, 0
    a0, b0, a1, b1 = factors.T
    want = a0 * b0 + a1 * b1 + c  # below 2^55; the unit counts modulo 2^54
    data = fields((a0, 18), (b0, 18), (a1, 18), (b1, 18), (c, 54))
    design.run([Job({"s_axis": data}, {"m_axis": fields((want & (2**54 - 1), 54))})], stall=30, seed=17, reset_at=9)


CASCADE_BENCH = """
module bench (
    input clk, input rst,
    input [{bits}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [47:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  reg [{depth}+1:0] valid_q;
  wire en = !valid_q[{depth}+1] || m_axis_tready;
  assign s_axis_tready = en;
  assign m_axis_tvalid = valid_q[{depth}+1];
  always @(posedge clk) if (rst) valid_q <= 0; else if (en) valid_q <= {{valid_q, s_axis_tvalid}};
  wire [47:0] below;
  wire first = s_axis_tdata[144];
  dsp48e2_mac #(.DEPTH({depth}), .PREG(0), .TARGET({target})) below_i (
      .clk, .en, .valid(s_axis_tvalid), .first, .a(s_axis_tdata[26:0]), .d(s_axis_tdata[53:27]),
      .b(s_axis_tdata[71:54]), .pcin(48'd0), .p(), .pcout(below));
  dsp48e2_mac #(.DEPTH({depth}), .CASCADE(1), .SUM({sum}), .RND(48'h0000_1234_5678), .TARGET({target})) above_i (
      .clk, .en, .valid(s_axis_tvalid), .first, .a(s_axis_tdata[98:72]), .d(s_axis_tdata[125:99]),
      .b(s_axis_tdata[143:126]), .pcin(below), .p(m_axis_tdata), .pcout());
endmodule
"""


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_dsp48e2_mac_sums_along_the_cascade(tmp_path, target, depth, kind):
    """Two of a cascade, nothing, a constant or the sum so far added; bubbles do not count."""
    bench = tmp_path / "bench.sv"
    bench.write_text(CASCADE_BENCH.format(bits=145, depth=depth, target=target, sum=kind))
    design = Design.build("bench", sources=[*unit_sources("dsp48e2_mac"), *(CELLS if target else []), bench])
    rng = np.random.default_rng(23)
    (t_low, t_high), (b_low, b_high) = int_range(26), int_range(18)
    corners = np.array(np.meshgrid([t_low, t_high], [t_low, t_high], [b_low, b_high])).reshape(3, -1)
    a, d = rng.integers(t_low, t_high + 1, (2, 2, 5000))
    b = rng.integers(b_low, b_high + 1, (2, 5000))
    a[:, :8], d[:, :8], b[:, :8] = corners
    first = rng.integers(0, 5, 5000) == 0
    first[0] = True
    sums = ((a + d) * b).sum(axis=0)
    if kind == 1:
        sums = sums + 0x12345678
    if kind == 2:
        begins = np.maximum.accumulate(np.where(first, np.arange(5000), 0))
        total = np.cumsum(sums)
        sums = total - (total - sums)[begins] + 0x12345678
    a, d, b = a & (2**27 - 1), d & (2**27 - 1), b & (2**18 - 1)
    columns = [(a[0], 27), (d[0], 27), (b[0], 18), (a[1], 27), (d[1], 27), (b[1], 18), (first.astype(np.int64), 1)]
    design.run([Job({"s_axis": fields(*columns)}, {"m_axis": fields((sums & (2**48 - 1), 48))})], stall=30, seed=23)
