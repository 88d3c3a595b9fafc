# SPDX-License-Identifier: Apache-2.0
"""synthesis/cost.py: memories and trees by hand, structure against Yosys, and what estimates are made of."""

import numpy as np
import pytest

from synthesis import cost
from synthesis.backends import yosys
from synthesis.board import ROOT, unit_sources

MVU = {"PE": 4, "SIMD": 8, "A_BITS": 8, "W_BITS": 4, "ACC_BITS": 16, "T_MAX": 1, "CHUNKS_MAX": 12, "DSP_ROWS": 0}
# An mvu whose sizes are constants, as in a dataflow design
FIXED = """
module fixed (
    input logic clk, rst, input logic [{simd} * {A_BITS} - 1:0] s_axis_tdata, input logic s_axis_tvalid,
    output logic s_axis_tready, input logic [{words} * {W_BITS} - 1:0] s_axis_weight_tdata,
    input logic s_axis_weight_tvalid, output logic s_axis_weight_tready,
    output logic [{PE} * {ACC_BITS} - 1:0] m_axis_tdata, output logic m_axis_tvalid, input logic m_axis_tready
);
  mvu #({params}) mvu_i (
      .cfg_chunks(16'd{CHUNKS_MAX}), .cfg_groups(16'd9), .cfg_tile(16'd{tile}), .cfg_tokens(16'd40), .*
  );
endmodule
"""


@pytest.mark.parametrize(
    ("width", "depth", "found"),
    [
        (36, 512, 1),
        (36, 513, 2),
        (8, 2048, 1),
        (1, 16384, 1),
        (40, 512, 2),  # a column of 36 bits and one of 4
        (54, 1024, 3),
        (49, 64, 2),
        # as pyosys 0.70 maps them for ECP5
        (80, 1120, 7),  # two columns of 36 bits, three deep, and one of 8
        (195, 3570, 39),
        (168, 12408, 124),
        (28, 16632, 35),  # 35 blocks of 4 bits, five deep, rather than 33 of 36 bits, 33 deep
        (38, 4476, 12),
        (12, 45360, 36),
        (8, 301056, 148),
    ],
)
def test_blocks_by_hand(width, depth, found):
    assert cost.memory("ecp5", width, depth).blocks == found


def test_blocks_of_a_rom_hold_several_ranges_side_by_side():
    """2,280 words of 14 bits: five ranges of 512 words are 70 bits, two blocks of 36; four multiplexers of 14 bits."""
    assert cost.memory("ecp5", 14, 2280, written=False) == cost.Memory(blocks=2, mux=4 * 14)
    # words that are written are kept in columns of nine bits
    assert cost.memory("ecp5", 14, 2280).blocks == 3


def test_blocks_of_ultrascale_come_in_two_sizes():
    """One of 18 kbit weighs 129, one of 36 kbit 257 and holds 72 bits; narrow and deep ones are cascaded in pairs."""
    assert cost.memory("xcup", 36, 512) == cost.Memory(blocks=1)
    assert cost.memory("xcup", 72, 512) == cost.Memory(blocks=2)
    assert cost.memory("xcup", 1, 65536) == cost.Memory(blocks=4)


def test_columns_of_one_value_take_no_block():
    """365 words of 704 bits are 20 columns of 36; of weights of which 264 bits are never set, 13 are left."""
    rom = {"WIDTH": 704, "DEPTH": 365}
    found = [cost.module_cost("ecp5", "rom", rom | {"CONSTANT_BITS": bits}).bram for bits in (0, 264, 704)]
    assert found == [20, 13, 0]


def test_small_memories_are_lut_ram():
    assert cost.memory("ecp5", 200, 32) == cost.Memory(lutrams=2 * 50)
    assert cost.memory("ecp5", 8, 33) == cost.Memory(blocks=1)
    assert cost.memory("ecp5", 8, 17, 16).blocks == 1
    assert cost.memory("ecp5", 0, 5) == cost.Memory()


def test_adder_tree_by_hand():
    """Five numbers of 4 bits: 2 sums of 5 bits and one number that waits, 1 of 6 and one that waits, 1 of 7."""
    assert cost.adder_tree(5, 4) == (4, 2 * 5 + 6 + 7, 5 + 6)
    assert cost.adder_tree(1, 9) == (0, 0, 0)
    assert cost.adder_tree(5, 4, radix=3) == (3, 6 + 6 + 7, 0)
    assert cost.adder_tree(7, 4, radix=3) == (3, 6 + 6 + 7, 6)


def test_families_of_parts():
    assert cost.family("LFE5U-85F") == "ecp5" and cost.family("xczu9eg-ffvb1156-2-e") == "xcup"


@pytest.mark.parametrize("device", cost.FAMILIES)
def test_every_module_has_coefficients(device):
    found = cost.coefficients(device)
    assert set(found) == set(cost.MODULES)
    assert all(found[module]["lut"] for module in cost.MODULES)


def test_costs_add_up():
    assert sum([cost.Cost(1, 2, 3, 4), cost.Cost(10, 20, 30, 40)], cost.Cost()) == cost.Cost(11, 22, 33, 44)


# LUTs of a MAC that `make bench-lanes` measured on whole mvus of 4 rows (docs/results/lanes.md)
LANES = {
    ("ecp5", "fixed", 0): 44.2, ("ecp5", "pot", 0): 45.9, ("ecp5", "sp2", 0): 47.1,
    ("ecp5", "fixed", 1): 34.4, ("ecp5", "pot", 1): 55.3, ("ecp5", "sp2", 1): 40.3,
    ("xcup", "fixed", 0): 33.1, ("xcup", "pot", 0): 37.7, ("xcup", "sp2", 0): 30.3,
    ("xcup", "fixed", 1): 15.8, ("xcup", "pot", 1): 24.7, ("xcup", "sp2", 1): 17.7,
}  # fmt: skip


@pytest.mark.parametrize(("lane", "luts"), LANES.items())
def test_lanes_of_the_bench_are_estimated(lane, luts):
    from synthesis.ops.mvu import da_params

    device, scheme, da = lane
    simd = {"ecp5": 32, "xcup": 36}[device]
    params = MVU | {"SIMD": simd, "ACC_BITS": 24, "CHUNKS_MAX": 127}
    params |= {"ROWS_POT": 4 * (scheme == "pot"), "ROWS_SP2": 4 * (scheme == "sp2")}
    params |= {"T_MAX": 256} | da_params(cost.TARGETS[device]) if da else {}
    assert cost.module_cost(device, "mvu", params).lut / (4 * simd) == pytest.approx(luts, rel=0.2)


@pytest.mark.parametrize("device", cost.FAMILIES)
def test_more_of_a_lane_costs_more(device):
    for change in ({"PE": 8}, {"SIMD": 16}, {"W_BITS": 6}):
        assert cost.module_cost(device, "mvu", MVU | change).lut > cost.module_cost(device, "mvu", MVU).lut


def test_multiplier_blocks_by_hand():
    blocks = lambda **changes: cost.module_cost("ecp5", "mvu", MVU | changes).dsp  # noqa: E731
    assert [blocks(DSP_ROWS=rows) for rows in (0, 1, 2, 3, 4)] == [0, 8, 8, 16, 16]  # two rows share a block
    assert blocks(DSP_ROWS=4, W_BITS=5) == 32


@pytest.mark.yosys
@pytest.mark.parametrize("device", cost.FAMILIES)
@pytest.mark.parametrize("changes", [{}, {"ROWS_SP2": 2, "DSP_ROWS": 2}, {"DA": 1, "T_MAX": 40, "SIMD": 12}])
def test_estimate_is_near_to_synthesis(device, changes, tmp_path):
    """An mvu that no fit has seen: LUT and FF near, blocks and block RAMs exactly."""
    from synthesis.ops.mvu import da_params

    target = cost.TARGETS[device]
    params = MVU | changes | (da_params(target) if "DA" in changes else {"DSP_SUMS": int(device == "xcup")})
    settings = ", ".join(f".{name}({value})" for name, value in (params | {"TARGET": target}).items())
    words = params["PE"] * (4 if params.get("DA") else params["SIMD"])
    top = tmp_path / "fixed.sv"
    top.write_text(FIXED.format(params=settings, words=words, tile=params["T_MAX"], simd=params["SIMD"], **MVU))
    made = yosys.synthesize([*unit_sources(["mvu"]), top], "fixed", tmp_path, cwd=ROOT, target=device)
    used, estimate = made.resources, cost.module_cost(device, "mvu", params)
    assert estimate.dsp == used["dsp"]
    assert estimate.bram == used["bram"] * (1 if device == "ecp5" else 2)
    assert estimate.lut == pytest.approx(used["lut"], rel={"ecp5": 0.15, "xcup": 0.2}[device])
    assert estimate.ff == pytest.approx(used["ff"], rel=0.2)


@pytest.mark.yosys
@pytest.mark.parametrize("device", cost.FAMILIES)
@pytest.mark.parametrize(("width", "depth"), [(14, 2280), (11, 9000), (37, 700), (5, 40000)])
def test_blocks_of_a_rom_are_those_of_synthesis(device, width, depth, tmp_path):
    rng = np.random.default_rng(depth)
    words = rng.integers(0, 2**width, depth)
    (tmp_path / "words.hex").write_text("\n".join(f"{word:x}" for word in words))
    top = tmp_path / "held.sv"
    ports = "input logic clk, rst, m_axis_tready, output logic m_axis_tvalid, output logic [{0}:0] m_axis_tdata"
    rom = f'rom #(.WIDTH({width}), .DEPTH({depth}), .INIT_FILE("words.hex")) rom_i (.*);'
    top.write_text(f"module held({ports.format(width - 1)}); {rom} endmodule")
    target = cost.TARGETS[device]
    made = yosys.synthesize([*unit_sources(["rom"]), top], "held", tmp_path / "out", cwd=tmp_path, target=device)
    found = cost.module_cost(device, "rom", {"WIDTH": width, "DEPTH": depth})
    assert found.bram == made.resources["bram"] * target
