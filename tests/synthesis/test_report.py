# SPDX-License-Identifier: Apache-2.0
"""report.json and report.html from step results."""

import json
import re

import pytest

from synthesis.reports.report import collect, make_report
from synthesis.steps.accuracy import percent

BOARD = {"name": "ulx3s_85f", "resources": {"lut": 83640, "ff": 83640, "dsp": 156, "bram": 208}}
RESULTS = {
    "export": {
        "model": {
            "params": 1000,
            "macs": 20000,
            "weight_bits": 4,
            "activation_bits": 8,
            "size_bytes": 2048,
            "trained": True,
        },
        "accuracy": {"float_top1": 90.0, "integer_top1": 89.5, "images": 10000},
        "bit_exact": {"qonnx": {"images": 10, "values_compared": 100, "mismatches": 0}},
    },
    "fold": {"units": [{"name": "fc1", "op": "VitrailMvu", "pe": 4, "simd": 4, "ideal_cycles": 1000}]},
    "sim": {
        "bit_exact": {"rtl": {"images": 100, "values_compared": 1000, "mismatches": 0}},
        "throughput": {"cycles_per_image": 1100, "latency_cycles": 5000},
    },
    "synth": {
        "resources": {"lut": 9000, "ff": 8000, "dsp": 50, "bram": 60},
        "resources_by_unit": {"fc1": {"lut": 700}},
    },
}


def write_results(folder, results):
    (folder / "results").mkdir(parents=True)
    for step, content in results.items():
        (folder / "results" / f"{step}.json").write_text(json.dumps(content))


def test_percent_has_no_digits_of_binary_fractions():
    assert 100 * 0.9082 != 90.82 == percent(0.9082)


def test_report_keeps_every_key_and_says_what_was_not_measured(tmp_path):
    write_results(tmp_path, RESULTS)
    html = make_report(tmp_path, "tiny_w4a8", BOARD)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["accuracy"] == {"float_top1": 90.0, "integer_top1": 89.5, "images": 10000}
    assert report["bit_exact"]["rtl"]["mismatches"] == 0
    assert report["bit_exact"]["netlist"] == {"images": None, "values_compared": None, "mismatches": None}
    assert "netlist" in report["not_measured"]["bit_exact.netlist.mismatches"]
    assert report["throughput"]["fmax_mhz"] is None and "throughput.images_per_second" in report["not_measured"]
    assert report["resources"]["lut_available"] == 83640
    assert report["model"]["size_mb"] == 2048 / 2**20
    assert report["eer"]["hardware"] is None
    text = html.read_text()
    assert "<svg" in text and "not measured" in text
    assert not re.search(r"(src|href)=.http", text), "the page must not load anything"
    assert not list(tmp_path.glob("*.part"))


def test_report_calculates_the_rate_and_hardware_eer(tmp_path):
    results = {
        **RESULTS["export"],
        **RESULTS["fold"],
        **RESULTS["sim"],
        **RESULTS["synth"],
        "timing": {"fmax_mhz": 71.0, "clock_mhz": 66.0},
    }
    report = collect(results, "tiny_w4a8", BOARD)
    assert report["throughput"]["images_per_second"] == 66.0e6 / 1100
    assert collect(results, "tiny_w4a8", BOARD, reference=report)["eer"]["hardware"] == 100.0


def test_report_says_how_many_placements_were_made(tmp_path):
    seeds = {"1": 81.5, "2": None, "3": 86.2}
    pnr = {"timing": {"fmax_mhz": 86.2, "clock_mhz": 85}, "device": {"seed": 3, "fmax_mhz_by_seed": seeds}}
    write_results(tmp_path, RESULTS | {"pnr": pnr})
    assert "not a board; 3 placements" in make_report(tmp_path, "tiny_w4a8", BOARD).read_text()
    assert json.loads((tmp_path / "report.json").read_text())["device"]["fmax_mhz_by_seed"] == seeds
    (tmp_path / "results" / "pnr.json").unlink()
    assert "placements" not in make_report(tmp_path, "tiny_w4a8", BOARD).read_text()


def test_report_refuses_an_empty_build(tmp_path):
    with pytest.raises(ValueError, match="results is empty; run 'make bitstream MODEL=tiny_w4a8 BOARD=ulx3s_85f'"):
        make_report(tmp_path, "tiny_w4a8", BOARD)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "JSONDecodeError: "),
        (b"\xff", "UnicodeDecodeError: "),
        (b"[]", "TypeError: "),
        (b"{}", "KeyError: 'resources'"),
        (
            b'{"resources": {"lut": 3}, "throughput": {"latency_cycles": null}}',
            "no figures for dsp, bram, latency_cycles",
        ),
        (b'{"resources": {"lut": 3, "dsp": 1, "bram": 1}, "throughput": {"latency_cycles": 9}}', "no figures for name"),
    ],
)
def test_report_refuses_a_foreign_reference(tmp_path, content, fault):
    write_results(tmp_path, RESULTS)
    (tmp_path / "other.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"other.json is not the report.json of a finished build \([^;]*{fault}"):
        make_report(tmp_path, "tiny_w4a8", BOARD, tmp_path / "other.json")
    with pytest.raises(ValueError, match="is not the report.json of a finished build .IsADirectoryError"):
        make_report(tmp_path, "tiny_w4a8", BOARD, tmp_path)
