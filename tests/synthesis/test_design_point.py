# SPDX-License-Identifier: Apache-2.0
"""Filling a budget with measured mvus: whole ones, multiplier blocks first."""

from synthesis.design_point import BUDGET, Mvu, fill, main, markdown, rest_rows

ON_DSP = Mvu("dsp_sums", "fixed", 1, 8, 288, 1_000, 1_200, 100, 0)
ON_LUTS = Mvu("lut_da", "fixed", 256, 8, 288, 5_000, 7_000, 0, 6)


def test_dsp_lanes_alone_stop_at_the_blocks():
    point = fill([ON_DSP], None, 130_000, 1_552)
    assert point.counts == (15, 0) and point.macs == 15 * 288
    assert point.used == {"lut": 15_000, "ff": 18_000, "dsp": 1_500, "bram": 0}


def test_lut_lanes_take_what_is_left():
    point = fill([ON_DSP], ON_LUTS, 130_000, 1_552)
    assert point.counts == (15, 23) and point.macs == 38 * 288
    assert point.used["lut"] == 130_000 and point.used["bram"] == 138


def test_report_names_the_budget_that_was_given():
    points = [fill([ON_DSP], lut_lanes, 130_000, 1_552) for lut_lanes in (None, ON_LUTS)]
    text = markdown([ON_DSP, ON_LUTS], points, {"lut": 1_000_000, "dsp": 100}, "today")
    assert "that 1,000,000 LUTs and\n100 DSP48E2 hold.\n" in text and "which leaves 700,000." in text
    text = markdown([ON_DSP, ON_LUTS], points, BUDGET, "today")
    assert "1,552 DSP48E2 hold, the published size of Auto-ViT-Acc's mixed design on this board.\n" in text


def test_lanes_that_are_not_there_are_refused(capsys):
    for only in ("lut_da/fixed,lut_da/bogus", "foo", "lut_da/sp2"):
        assert main(["--only", only]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: --only '{only}': expected some of lut_da/fixed, ") and error.count("\n") == 1


def test_luts_can_be_what_limits_dsp_lanes():
    assert fill([ON_DSP], ON_LUTS, 4_900, 1_552).counts == (4, 0)


def test_fewer_rows_take_the_last_blocks():
    """52 blocks are left: 4 rows of 12.5 blocks each."""
    assert rest_rows(ON_DSP, 1_552) == 4
    rest = Mvu("dsp_sums", "fixed", 1, 4, 144, 500, 600, 50, 0)
    point = fill([ON_DSP, rest], ON_LUTS, 130_000, 1_552)
    assert point.counts == (16, 22) and point.macs == 15 * 288 + 144 + 22 * 288
    assert point.used["dsp"] == 1_550 and point.used["lut"] == 15_500 + 22 * 5_000


def test_an_odd_row_has_no_block():
    assert rest_rows(ON_DSP, 1_540) == 2 and rest_rows(ON_DSP, 1_500) == 0
