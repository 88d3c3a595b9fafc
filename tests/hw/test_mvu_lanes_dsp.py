# SPDX-License-Identifier: Apache-2.0
"""Lanes of hw/rtl/mvu that sum inside DSP blocks, on their own and in the mvu.

Against integers, as models and built from the primitives (our models of them, sim/cells); extremes, longest sums,
stalls, planted faults, counts of cells after synthesis.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from quant.schemes import FIXED, SP2, encode, magnitudes
from sim.golden.mvu import mvu
from sim.golden.reader import reader
from sim.golden.reorder import grouped_index
from sim.toolchain import ROOT, RTL, parameter_args, run_tool, unit_sources, verilator_dir, verilator_env
from sim.verilate import Design, Job, fields, pack
from synthesis.backends.yosys import synthesize

CELLS = [ROOT / "sim" / "cells" / f"{name}.sv" for name in ("MULT18X18D", "ALU54B", "DSP48E2", "LUT6_2", "CARRY8")]
BENCH = """
module bench (
    input clk, input rst,
    input [{in_bits}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [63:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  localparam STAGES = 2 + $clog2({simd}) + ({simd} > 8);
  reg [STAGES-1:0] valid_q;
  wire en = !valid_q[STAGES-1] || m_axis_tready;
  assign s_axis_tready = en;
  assign m_axis_tvalid = valid_q[STAGES-1];
  always @(posedge clk) if (rst) valid_q <= 0; else if (en) valid_q <= {{valid_q, s_axis_tvalid}};
  wire signed [{y}-1:0] y0, y1;
  wire carry1;
  assign m_axis_tdata = {{32'(y1) + 32'(carry1), 32'(y0)}};
  {lane} #(.SIMD({simd}), .A_BITS({a}), .W_BITS({w}), .TARGET({target}){params}) lane_i (
      .clk, .en, .a(s_axis_tdata[0+:{simd}*{a}]), .w0(s_axis_tdata[{simd}*{a}+:{simd}*{w}]),
      .w1(s_axis_tdata[{simd}*({a}+{w})+:{simd}*{w}]), .y0, .y1, .carry1{ports});
endmodule
"""


@dataclass(frozen=True)
class Lane:
    """A lane and how it is built; lowest is the least weight that it may hold, less than -(2^(w-1)) + 1 or not."""

    name: str
    target: int
    accumulate: bool = False
    signed: bool = True
    packed: bool = False

    @property
    def cascade(self) -> bool:
        return self.name == "mvu_lane_dsp_cascade"

    def lowest(self, w_bits: int) -> int:
        return -(2 ** (w_bits - 1)) + (0 if self.cascade else 1)

    def a_bits(self) -> int:
        return 8 if self.signed or self.cascade else 7

    def a_range(self) -> tuple[int, int]:
        bits = self.a_bits()
        return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.signed else (0, 2**bits - 1)


ECP5, CASCADE = "mvu_lane_dsp_ecp5", "mvu_lane_dsp_cascade"
LANES = {
    "ecp5_model": Lane(ECP5, 0),
    "ecp5_cells": Lane(ECP5, 1),
    "ecp5_cells_packed": Lane(ECP5, 1, packed=True),
    "ecp5_cells_unsigned": Lane(ECP5, 1, signed=False),
    "cascade_model": Lane(CASCADE, 0),
    "cascade_cells": Lane(CASCADE, 2),
    "cascade_cells_unsigned": Lane(CASCADE, 2, signed=False),
    "cascade_sum_model": Lane(CASCADE, 0, accumulate=True),
    "cascade_sum_cells": Lane(CASCADE, 2, accumulate=True),
    "cascade_sum_cells_unsigned": Lane(CASCADE, 2, accumulate=True, signed=False),
}


def lane_sources(lane: Lane) -> list[Path]:
    wrapper = unit_sources("dsp48e2_mac" if lane.cascade else "alu54b_mac")
    return [
        *wrapper,
        *(unit_sources("add_three") if lane.cascade else []),
        RTL / "mvu" / "mvu_tree.sv",
        RTL / "mvu" / f"{lane.name}.sv",
    ]


def build(lane: Lane, tmp_path: Path, simd: int, w_bits: int = 4, sources: list[Path] | None = None) -> Design:
    a_bits, x_bits = lane.a_bits(), lane.a_bits() + (not lane.signed)
    levels = int(np.ceil(np.log2(simd)))
    chains = -(-simd // (12 if lane.cascade else 8))
    y = x_bits + w_bits - 1 + levels
    params = f", .A_SIGNED({int(lane.signed)})"
    ports = ""
    if lane.cascade:
        y = (22 if lane.accumulate else x_bits + w_bits + int(np.ceil(np.log2(-(-simd // chains))))) + int(
            np.ceil(np.log2(chains))
        )
        params += f", .ACCUMULATE({int(lane.accumulate)})"
        ports = f", .valid(s_axis_tvalid), .first(s_axis_tdata[{simd * (a_bits + 2 * w_bits)}])"
    else:
        params += f", .PACKED({int(lane.packed)})"
    bench = tmp_path / "bench.sv"
    text = BENCH.format(
        lane=lane.name, target=lane.target, simd=simd, a=a_bits, w=w_bits, y=y, params=params, ports=ports,
        in_bits=simd * (a_bits + 2 * w_bits) + 1,
    )  # fmt: skip
    bench.write_text(text)
    return Design.build("bench", sources=[*(sources or lane_sources(lane)), *(CELLS if lane.target else []), bench])


def job_of(lane: Lane, a: np.ndarray, w0: np.ndarray, w1: np.ndarray, first: np.ndarray, w_bits: int = 4) -> Job:
    """a, w0, w1 (beats, simd); first (beats,): where a sum begins."""
    simd, a_bits = a.shape[1], lane.a_bits()
    sums = np.stack([(w0 * a).sum(axis=1), (w1 * a).sum(axis=1)], axis=1)
    if lane.accumulate:
        begins = np.maximum.accumulate(np.where(first, np.arange(len(a)), 0))
        total = np.cumsum(sums, axis=0)
        sums = total - (total - sums)[begins]
    code1 = (w1 - (w0 < 0)) if lane.packed else w1
    mask_a, mask_w = 2**a_bits - 1, 2**w_bits - 1
    elements = [(a & mask_a, a_bits), (w0 & mask_w, w_bits), (code1 & mask_w, w_bits)]
    columns = [(values[:, i], bits) for values, bits in elements for i in range(simd)]
    return Job({"s_axis": fields(*columns, (first, 1))}, {"m_axis": pack(sums, 32)})


def singles(beats: int) -> np.ndarray:
    return np.ones(beats, dtype=np.int64)


def every_product(lane: Lane, simd: int, w_bits: int = 4) -> Job:
    """Every pair of weights with every activation on one input, the others hold the lowest of both or zero."""
    low, high = lane.a_range()
    weights = np.arange(lane.lowest(w_bits), 2 ** (w_bits - 1))
    grid = np.array(list(product(range(low, high + 1), weights, weights)))
    a, w0, w1 = (np.zeros((len(grid), simd), dtype=np.int64) for _ in range(3))
    where = np.arange(len(grid)) % simd
    for values, column in ((a, 0), (w0, 1), (w1, 2)):
        values[np.arange(len(grid)), where] = grid[:, column]
    return job_of(lane, a, w0, w1, singles(len(grid)), w_bits)


def extremes(lane: Lane, simd: int) -> Job:
    """Activations all lowest, all highest, alternating, random ends; rows of weights likewise, and all zero."""
    rng = np.random.default_rng(simd)
    ends_a, ends_w = np.array(lane.a_range()), np.array([lane.lowest(4), 7])
    alternating = np.arange(simd) % 2
    picks = [np.zeros(simd, int), np.ones(simd, int), alternating, 1 - alternating]
    patterns_a = [ends_a[p] for p in picks] + list(ends_a[rng.integers(0, 2, (20, simd))])
    patterns_w = [np.zeros(simd, int), -np.ones(simd, int), *(ends_w[p] for p in picks)]
    combos = list(product(patterns_a, patterns_w, patterns_w))
    a, w0, w1 = (np.array([combo[k] for combo in combos]) for k in range(3))
    return job_of(lane, a, w0, w1, singles(len(combos)))


def random_beats(lane: Lane, simd: int, beats: int, seed: int) -> Job:
    rng = np.random.default_rng(seed)
    low, high = lane.a_range()
    a = rng.integers(low, high + 1, (beats, simd))
    w0, w1 = rng.integers(lane.lowest(4), 8, (2, beats, simd))
    first = rng.integers(0, 4, beats) == 0
    first[0] = True
    return job_of(lane, a, w0, w1, first.astype(np.int64))


@pytest.mark.parametrize("name", LANES)
def test_mvu_lane_dsp_every_product(tmp_path, name):
    simd = 2 if LANES[name].cascade else 1
    build(LANES[name], tmp_path, simd).run([every_product(LANES[name], simd)])


@pytest.mark.parametrize("name", ["ecp5_cells", "cascade_cells"])
@pytest.mark.parametrize("w_bits", [2, 3])
def test_mvu_lane_dsp_narrow_weights(tmp_path, name, w_bits):
    build(LANES[name], tmp_path, 3, w_bits).run([every_product(LANES[name], 3, w_bits)])


@pytest.mark.parametrize("name", LANES)
@pytest.mark.parametrize("simd", [8, 19, 30])
def test_mvu_lane_dsp_extremes_with_stalls(tmp_path, name, simd):
    jobs = [extremes(LANES[name], simd), random_beats(LANES[name], simd, 500, 7)]
    build(LANES[name], tmp_path, simd).run(jobs, stall=30, seed=11)


@pytest.mark.parametrize("name", ["ecp5_cells", "cascade_sum_cells"])
@pytest.mark.parametrize("simd", [2, 3, 4, 5, 7, 9, 12, 13, 16, 17, 27, 36, 50])
def test_mvu_lane_dsp_every_shape_keeps_its_latency(tmp_path, name, simd):
    """Chains of all lengths; the bench counts the cycles of the lane's formula."""
    seed = 100 + simd
    print(f"seed {seed}")
    design = build(LANES[name], tmp_path, simd)
    for stall in (0, 60):
        design.run([random_beats(LANES[name], simd, 2000, seed)], stall=stall, seed=seed)


@pytest.mark.parametrize("name", ["cascade_sum_model", "cascade_sum_cells", "cascade_sum_cells_unsigned"])
def test_mvu_lane_dsp_longest_sums(tmp_path, name):
    """As many products of one extreme as the field holds, 8 a beat: 2047 signed activations, 1028 unsigned ones."""
    lane = LANES[name]
    beats = (2047 if lane.signed else 1028) // 8
    ends = list(product(lane.a_range(), (lane.lowest(4), 7), (lane.lowest(4), 7)))
    a, w0, w1 = (np.repeat(np.array([end[k] for end in ends]), beats)[:, None].repeat(8, axis=1) for k in range(3))
    first = np.arange(len(a)) % beats == 0
    build(lane, tmp_path, 8).run([job_of(lane, a, w0, w1, first.astype(np.int64))], stall=10, seed=3)


FAULTS = [
    ("ecp5_cells", f"{ECP5}.sv", "{~sum[FIELD-1], sum[FIELD-2:0]}", "sum[FIELD-1:0]"),
    ("ecp5_cells", f"{ECP5}.sv", "54'd1 << (FIELD - 1)", "54'd0"),
    ("ecp5_cells", f"{ECP5}.sv", "W_BITS'(low_now[W_BITS-1])", "W_BITS'(0)"),
    ("ecp5_cells", f"{ECP5}.sv", "FIRST + i / 2 - 2", "FIRST + i / 2 - 1"),
    ("ecp5_cells", "alu54b_mac.sv", "11'b0100_011_01_01", "11'b0100_000_01_01"),
    ("cascade_sum_cells", f"{CASCADE}.sv", "{~sum[FIELD-1], sum[FIELD-2:0]}", "sum[FIELD-1:0]"),
    ("cascade_cells", f"{CASCADE}.sv", "DEPTH - (LAST - i / RIPPLE)", "DEPTH"),
    ("cascade_cells", "dsp48e2_mac.sv", "CASCADE ? 3'b001 : 3'b000", "3'b000"),
    ("cascade_sum_cells", "dsp48e2_mac.sv", ".CEP(sum_en)", ".CEP(en)"),
    ("cascade_sum_cells", "dsp48e2_mac.sv", "first_used ? 2'b10 : 2'b01", "first_q[0] ? 2'b10 : 2'b01"),
    ("cascade_sum_model", "dsp48e2_mac.sv", "first_m_q ? RND : p", "first_used ? RND : p"),
]


@pytest.mark.parametrize(("name", "file", "text", "fault"), FAULTS, ids=range(len(FAULTS)))
def test_mvu_lane_dsp_tests_find_a_planted_fault(tmp_path, name, file, text, fault):
    """Start and end of the low field, packing, skew, opcode, cascade, enables, first beats."""
    sources = lane_sources(LANES[name])
    index = [source.name for source in sources].index(file)
    right = sources[index].read_text()
    assert right.count(text) == 1, f"{file} no longer has {text!r} once"
    sources[index] = tmp_path / file
    sources[index].write_text(right.replace(text, fault))
    design = build(LANES[name], tmp_path, 8, sources=sources)
    with pytest.raises(AssertionError, match="m_axis"):
        design.run([extremes(LANES[name], 8), random_beats(LANES[name], 8, 500, 7)], stall=30, seed=11)


REFUSED = [
    (ECP5, {"A_BITS": 9}, "A_BITS=9 at most 8, or 7 with A_SIGNED=1 clear"),
    (ECP5, {"A_BITS": 8, "A_SIGNED": 0}, "A_BITS=8 at most 8, or 7 with A_SIGNED=0 clear"),
    (CASCADE, {"SIMD": 1}, "SIMD=1 must be at least 2"),
    (CASCADE, {"W_BITS": 5}, "W_BITS=5 in 2..4"),
    ("dsp48e2_mac", {"SUM": 2, "PREG": 0}, "SUM=2 at most 2, and 2 only with PREG=0 set"),
]


@pytest.mark.parametrize(("unit", "params", "message"), REFUSED)
def test_mvu_lane_dsp_refuses_parameters(unit, params, message):
    sources = unit_sources(unit) if unit == "dsp48e2_mac" else lane_sources(Lane(unit, 0))
    binary = verilator_dir() / "bin" / "verilator_bin"
    command = [binary, "--lint-only", "-Wno-lint", "--top-module", unit, *parameter_args(params), *sources]
    with pytest.raises(RuntimeError) as error:
        run_tool(command, f"lint [{unit}]", env=verilator_env())
    assert message in str(error.value)


MVUS = {
    "model": {"TARGET": 0},
    "ecp5": {"TARGET": 1},
    "ecp5_packed": {"TARGET": 1, "DSP_PACKED": 1},
    "ecp5_tile": {"TARGET": 1, "T_MAX": 3, "DSP_ROWS": 2, "ROWS_SP2": 1},
    "ultrascale_totals": {"TARGET": 2, "CHUNKS_MAX": 20},
    "ultrascale_wide": {"TARGET": 2, "CHUNKS_MAX": 20, "SIMD": 17, "PE": 2, "DSP_ROWS": 2},
    "ultrascale_three_chains": {"TARGET": 2, "CHUNKS_MAX": 20, "SIMD": 36, "PE": 2, "DSP_ROWS": 2},
    "ultrascale_long": {"TARGET": 2},
    "ultrascale_tile_of_three_chains": {"TARGET": 2, "CHUNKS_MAX": 20, "T_MAX": 3, "SIMD": 25, "PE": 2, "DSP_ROWS": 2},
    "ultrascale_tile": {"TARGET": 2, "CHUNKS_MAX": 20, "T_MAX": 3},
    "ultrascale_single": {"TARGET": 2, "SIMD": 1, "PE": 2, "DSP_ROWS": 2},
}


@pytest.mark.parametrize("name", MVUS)
def test_mvu_with_sums_inside_dsp_blocks(tmp_path, name):
    """The whole mvu: chunks, groups and tiles, jobs back to back, stalls on all sides, a reset in mid-job."""
    params = {"PE": 4, "SIMD": 8, "ACC_BITS": 24, "T_MAX": 1, "DSP_ROWS": 4, "ROWS_SP2": 0, "DSP_SUMS": 1} | MVUS[name]
    pe, simd = params["PE"], params["SIMD"]
    schemes = np.array([FIXED] * (pe - params["ROWS_SP2"]) + [SP2] * params["ROWS_SP2"])
    seed = 31
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    jobs = []
    sizes = [(1, 1, 1), (1, 5, 4), (2, 2, 5), (3, 1, 7), (20, 2, 3), (7, 3, 4)]
    if "CHUNKS_MAX" not in params:
        sizes.append((300, 1, 2))  # 2,400 products: more than a field of the DSP holds
    for chunks, groups, tokens in sizes:
        tile = min(params["T_MAX"], tokens)
        row_schemes = np.tile(schemes, groups)
        x = rng.integers(-128, 128, (tokens, chunks * simd))
        x[-1] = -128
        weight = np.stack(
            [rng.choice(magnitudes(s, 4), x.shape[1]) * rng.choice([-1, 1], x.shape[1]) for s in row_schemes]
        )
        weight[:2] = [[7], [-7]]  # the first pair of rows at its ends
        codes = np.stack([encode(w, s, 4) for w, s in zip(weight, row_schemes, strict=True)])
        if params.get("DSP_PACKED"):
            odd = np.arange(len(weight)) % pe % 2 == 1
            codes[odd] = (weight[odd] - (weight[~odd] < 0)) & 15
        words = codes.reshape(groups, pe, chunks, simd).transpose(0, 2, 1, 3).reshape(groups * chunks, pe * simd)
        acc = mvu(x, weight).ravel()[grouped_index(tokens, len(weight), pe, tile)].reshape(-1, pe)
        inputs = {
            "s_axis": pack(reader(x, simd, groups, tile), 8),
            "s_axis_weight": pack(np.tile(words, (-(-tokens // tile), 1)), 4),
        }
        cfg = {"cfg_chunks": chunks, "cfg_groups": groups, "cfg_tile": tile, "cfg_tokens": tokens}
        jobs.append(Job(inputs, {"m_axis": pack(acc, 24)}, cfg))
    sources = [*unit_sources("mvu"), *(CELLS if params["TARGET"] else [])]
    if params["ROWS_SP2"]:
        sources.append(ROOT / "sim" / "cells" / "CCU2C.sv")
    design = Design.build("mvu", sources=sources, params=params)
    for stall in (0, 40):
        design.run(jobs, stall=stall, seed=seed, reset_at=50)


HARNESS = """
module lanes #(parameter PE = 8, SIMD = 8, ACC = 18, TARGET = 1) (
    input clk, input en, input valid, input first, input [SIMD*8-1:0] a, input [PE*SIMD*4-1:0] w,
    output logic [PE*ACC-1:0] sum
);
  for (genvar r = 0; r < PE; r += 2) begin : g
    logic [Y-1:0] y0, y1;
    LANE
  end
endmodule
"""


@pytest.mark.yosys
@pytest.mark.parametrize(("target", "limit"), [("ecp5", 4.0), ("xcup", 2.0)])
def test_mvu_lane_dsp_cost_of_a_mac(tmp_path, target, limit):
    """Accumulators of 18 bits included: at most 4 LUT + 0.5 MULT18X18D + 0.25 ALU54B, 2 LUT + 0.5 DSP48E2 a MAC."""
    ends = ".a, .w0(w[r*SIMD*4+:SIMD*4]), .w1(w[(r+1)*SIMD*4+:SIMD*4]), .y0, .y1, .carry1());"
    if target == "ecp5":
        y, lane, number = 14, f"{ECP5} #(.SIMD(SIMD), .PACKED(1), .TARGET(TARGET)) i (.clk, .en, {ends}", 1
        # as in the mvu: zero after the last beat of a sum
        after = "sum[k*ACC+:ACC] <= first ? '0 : sum[k*ACC+:ACC] + ACC'($signed(y))"
        accumulate = " ".join(
            "always_ff @(posedge clk) if (en) " + after.replace("[k*", f"[({k})*").replace("(y)", f"({y_name})") + ";"
            for k, y_name in (("r", "y0"), ("r+1", "y1"))
        )
        lane += "\n    " + accumulate
    else:
        y, number = 22, 2
        lane = f"{CASCADE} #(.SIMD(SIMD), .ACCUMULATE(1), .TARGET(TARGET)) i (.clk, .en, .valid, .first, {ends}\n"
        lane += "    assign sum[r*ACC+:2*ACC] = {y1[ACC-1:0], y0[ACC-1:0]};"
    harness = tmp_path / "lanes.sv"
    harness.write_text(HARNESS.replace("[Y-1", f"[{y}-1").replace("LANE", lane))
    sources = [*lane_sources(LANES["ecp5_model" if target == "ecp5" else "cascade_model"]), harness]
    result = synthesize(
        sources, "lanes", tmp_path / "synth", cwd=tmp_path, target=target, parameters={"TARGET": number}
    )
    cells = result.cells
    if target == "ecp5":
        assert (cells["MULT18X18D"], cells["ALU54B"]) == (32, 16)
    else:
        assert cells["DSP48E2"] == 32
    per_mac = result.resources["lut"] / 64
    print(f"{target}: {per_mac:.2f} LUT, {result.resources['ff'] / 64:.2f} FF a MAC; {cells}")
    assert 0 < per_mac <= limit
