# SPDX-License-Identifier: Apache-2.0
"""report.json and report.html of one build, merged from the results that its steps left behind."""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jinja2

from synthesis.build import write_text
from synthesis.reports.eer import HARDWARE_SET, SETS, VIT_B_16, eer, model_metrics

TEMPLATE = Path(__file__).with_name("report.html.j2")

# report.json key -> the step that measures it; a key that no result holds becomes null with this reason.
MEASURED_BY = {
    "accuracy": (("float_top1", "integer_top1", "images"), "accuracy"),
    "bit_exact.qonnx": (("images", "values_compared", "mismatches"), "accuracy"),
    "bit_exact.rtl": (("images", "values_compared", "mismatches"), "sim"),
    "bit_exact.netlist": (("images", "values_compared", "mismatches"), "netlist"),
    "resources": (("lut", "ff", "dsp", "bram"), "synth"),
    "throughput": (("cycles_per_image", "latency_cycles"), "sim"),
    "timing": (("fmax_mhz", "clock_mhz"), "pnr"),
    "model": (("params", "macs", "weight_bits", "activation_bits", "size_bytes"), "export"),
}
SHOWN_AS = {"timing": "throughput"}  # report.json keeps the clock beside the cycles
HOW = [
    (
        "Accuracy",
        "the integer graph on the whole test set; float_top1: the float model that it was trained from",
    ),
    ("bit_exact.qonnx", "the exported QONNX graph executed by qonnx against the integer model in torch, logits codes"),
    ("bit_exact.rtl", "the stitched SystemVerilog design in Verilator against the golden models, codes"),
    ("bit_exact.netlist", "the netlist of the whole board, simulated cell by cell at its pins (sim/netlist.py)"),
    (
        "Resources",
        "cells after Yosys synthesis; lut = LUT4 + 2 per CCU2C + 6 per DPR16X4 on ECP5. Not a vendor tool's count",
    ),
    (
        "Cycles",
        "the design with its real FIFOs in Verilator; cycles per image is the distance between last logits of images",
    ),
    ("Fmax, clock", "nextpnr's static timing analysis after routing; not measured on a board"),
    (
        "images_per_second",
        "clock_mhz * 1e6 / cycles_per_image: the compute rate without the host link; calculated from those two",
    ),
    ("flops", "multiply-accumulates of one image, the survey's convention; size in units of 2**20 bytes"),
    (
        "EER",
        "Eq. 26, plain mean, against ViT-B/16 (86.6 M, 17.6 G, 32 bit, 330 MB); #Bit: mean of weights and activations",
    ),
]


def merge(into: dict, other: dict) -> dict:
    """Merge nested dicts; a value of `other` wins."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


def read_results(build_dir: Path, steps: Collection[str] | None = None) -> dict:
    """All results/<step>.json of a build in one dict, or those of some steps."""
    merged: dict[str, Any] = {}
    for path in sorted((build_dir / "results").glob("*.json")):
        if steps is None or path.stem in steps:
            merge(merged, json.loads(path.read_text(encoding="utf-8")))
    return merged


def collect(results: dict, model: str, board: dict, reference: dict | None = None) -> dict:
    """Build the content of report.json.

    Args:
        results: Merged step results, see read_results.
        model: Model name.
        board: Content of board.yaml.
        reference: report.json of the build that hardware EER refers to, or None.

    Returns:
        Every key of a report; a figure that no step measured is None and its reason is under "not_measured".
    """
    report: dict[str, Any] = {"name": model, "board": board["name"], "not_measured": {}}
    missing = report["not_measured"]
    for path, (keys, step) in MEASURED_BY.items():
        node, source = report, results
        for part in path.split("."):
            node = node.setdefault(part, {})
            source = source.get(part) or {}
        for key in keys:
            node[key] = source.get(key)
            if node[key] is None:
                missing[f"{SHOWN_AS.get(path, path)}.{key}"] = results.get("reasons", {}).get(
                    path, f"step '{step}' has not measured it in this build"
                )
        merge(node, {key: value for key, value in source.items() if value is not None})
    for kind in ("lut", "ff", "dsp", "bram"):
        report["resources"][f"{kind}_available"] = board["resources"][kind]
    timing = report.pop("timing")
    rate = report["throughput"]
    rate.update(timing)
    if rate["cycles_per_image"] and rate["clock_mhz"]:
        rate["images_per_second"] = rate["clock_mhz"] * 1e6 / rate["cycles_per_image"]
    else:
        rate["images_per_second"] = None
        missing["throughput.images_per_second"] = "needs cycles_per_image and clock_mhz"
    shape = report["model"]
    shape["flops"] = shape["macs"]
    shape["size_mb"] = shape["size_bytes"] / 2**20 if shape["size_bytes"] else None
    report["units"] = results.get("units", [])
    report["resources_by_unit"] = results.get("resources_by_unit", {})
    report["unit_cycles"] = results.get("unit_cycles", {})
    for key in ("simulation", "fifos", "folding", "device", "bitstream", "seconds"):
        if key in results:
            report[key] = results[key]
    report["eer"] = _eer(report, reference)
    report["how"] = dict(HOW)
    return report


def read_reference(path: Path) -> dict:
    """The report.json of the build that hardware EER refers to.

    Raises:
        ValueError: it cannot be read, or is no report of a build whose latency and resources were measured.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        figures = _hardware(found)
        absent = [key for key in HARDWARE_SET if not figures.get(key)]
        if absent or not {"name", "board"} <= found.keys():
            raise ValueError(f"no figures for {', '.join(absent) or 'name and board'}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"report: reference {path} is not the report.json of a finished build ({type(error).__name__}: {error}); "
            "expected build/<model>/<board>/report.json"
        ) from None
    return found


def _hardware(report: dict) -> dict:
    """The figures of a report that hardware EER takes, and other resources."""
    return {**report["resources"], "latency_cycles": report["throughput"]["latency_cycles"]}


def _eer(report: dict, reference: dict | None) -> dict:
    shape, missing = report["model"], report["not_measured"]
    out: dict[str, Any] = {"reference": "ViT-B/16", "normalisation": "Eq. 26: plain mean over the set"}
    if all(shape[key] for key in ("params", "macs", "weight_bits", "activation_bits", "size_bytes")):
        metrics = model_metrics(*(shape[k] for k in ("params", "macs", "weight_bits", "activation_bits", "size_bytes")))
        out.update({name: eer(metrics, VIT_B_16, keys) for name, keys in SETS.items()})
    else:
        for name in SETS:
            out[name] = None
            missing[f"eer.{name}"] = "needs the model's figures from step 'export'"
    ours, theirs = _hardware(report), _hardware(reference) if reference else {}
    if reference and all(ours.get(k) is not None and theirs.get(k) for k in HARDWARE_SET):
        out["hardware"] = eer(ours, theirs, HARDWARE_SET)
        out["hardware_reference"] = f"{reference['name']} on {reference['board']}"
    else:
        out["hardware"] = None
        missing["eer.hardware"] = (
            "no complete reference build was named: make report ARGS='--reference build/<model>/<board>/report.json'"
        )
    return out


def _plot(draw) -> str:
    """Run draw(axes) on a new figure and return it as an inline SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "vitrail"}):
        figure, axes = plt.subplots(figsize=(9.2, 0.1))
        draw(figure, axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _unit_rows(report: dict) -> list[dict]:
    rows = []
    for unit in report["units"]:
        row = dict(unit)
        row.update(report["resources_by_unit"].get(unit["name"], {}))
        row["cycles"] = report["unit_cycles"].get(unit["name"])
        rows.append(row)
    return rows


def _cycles_plot(rows: list[dict], cycles_per_image: float | None) -> str:
    def draw(figure, axes):
        figure.set_size_inches(9.2, 0.21 * len(rows) + 0.8)
        names = [row["name"] for row in rows]
        axes.barh(
            names, [row.get("ideal_cycles") or 0 for row in rows], color="#5b8db8", label="ideal cycles of the unit"
        )
        if cycles_per_image:
            axes.axvline(cycles_per_image, color="#b8433f", label=f"simulated, whole design: {cycles_per_image:,.0f}")
        axes.invert_yaxis()
        axes.set_xlabel("clock cycles per image")
        axes.margins(y=0.01)
        axes.legend(loc="lower right")

    return _plot(draw)


def _resources_plot(rows: list[dict]) -> str:
    def draw(figure, axes):
        figure.set_size_inches(9.2, 0.21 * len(rows) + 0.8)
        names = [row["name"] for row in rows]
        axes.barh(names, [row.get("lut") or 0 for row in rows], color="#7a9e4b")
        axes.invert_yaxis()
        axes.set_xlabel("LUT (cells after Yosys synthesis)")
        axes.margins(y=0.01)

    return _plot(draw)


def render(report: dict, manifest: dict) -> str:
    """report.html: one self-contained page."""
    rows = _unit_rows(report)
    env = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters["num"] = lambda v, digits=0: "not measured" if v is None else f"{v:,.{digits}f}"
    template = env.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        r=report,
        rows=rows,
        manifest=manifest,
        how=HOW,
        placed=len(report.get("device", {}).get("fmax_mhz_by_seed", {})),
        cycles_svg=_cycles_plot(rows, report["throughput"]["cycles_per_image"]) if rows else "",
        resources_svg=_resources_plot(rows) if any(row.get("lut") for row in rows) else "",
    )


def make_report(
    build_dir: Path,
    model: str,
    board: dict,
    reference_path: Path | None = None,
    steps: Collection[str] | None = None,
) -> Path:
    """Write report.json and report.html of a build from results/*.json and manifest.json.

    Args:
        build_dir: build/<model>/<board>.
        model: Model name.
        board: Content of board.yaml.
        reference_path: report.json of the build that hardware EER refers to.
        steps: Steps whose results belong to this build; None takes all.

    Returns:
        Path of report.html.

    Raises:
        ValueError: the build has no results, or the reference is not a report.
    """
    results = read_results(build_dir, steps)
    if not results:
        raise ValueError(
            f"report: {build_dir}/results is empty; run 'make bitstream MODEL={model} BOARD={board['name']}' first"
        )
    reference = None if reference_path is None else read_reference(reference_path)
    report = collect(results, model, board, reference)
    manifest_path = build_dir / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8")) if manifest_path.exists() else {}
    write_text(build_dir / "report.json", json.dumps(report, indent=2) + "\n")
    write_text(build_dir / "report.html", render(report, manifest))
    return build_dir / "report.html"
