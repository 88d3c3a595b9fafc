# SPDX-License-Identifier: Apache-2.0
"""Report of a sweep: sweep.json, report.html and results.md in the sweep's folder, from its two studies."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import optuna
from scipy import stats

from synthesis.build import write_json, write_text
from synthesis.reports.eer import HARDWARE_SET, SETS, eer
from synthesis.reports.report import _plot
from synthesis.reports.survey import Row, checks, disagreements, survey_rows
from synthesis.sweep import Sweep, front_proposals, pareto
from synthesis.sweep_engine import finished, infeasible, origin

TEMPLATE = Path(__file__).with_name("sweep.html.j2")
MARKDOWN = Path(__file__).with_name("sweep.md.j2")
COLOURS = {"fixed": "#3b6ea5", "pot": "#b8433f", "sp2": "#5d8a3a"}
LEVEL = 0.05  # of all comparisons together
NOT_APART = "not told apart"
ENERGY = "nothing in this flow measures power"
NOT_YET = "hardware has not been measured yet"
OFF_FRONT = "proposed by the search and not on the estimated front, which alone is built"
KINDS = ("lut", "ff", "dsp", "bram")
# The survey's choice in each category, its table 8; its figures show them in orange.
BEST = {"Castling-MViTv2-T", "DynamicViT-LV-S/07", "TinyViT-21M", "NoisyQuant-PTQ4ViT-Swin-B W6A6"}
PANELS = (
    ("CA", "params_flops", "params_m", "compact architectures (Fig. 5), area: parameters"),
    ("P", "params_flops", "flops_g", "pruning (Fig. 6), area: FLOPs"),
    ("KD", "params_flops", "params_m", "knowledge distillation (Fig. 7), area: parameters"),
    ("Q", "bits_size", "size_mb", "quantization (tables 6 and 7), area: size"),
)


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and its standard error; None for a single value."""
    spread = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return float(np.mean(values)), spread


def collect(sweep: Sweep, trials: optuna.Study, hardware: optuna.Study) -> dict[str, Any]:
    """Everything a report says, as JSON.

    Args:
        sweep: The points and what they refer to.
        trials: Study of the trials, keys `<point>#<seed>`.
        hardware: Study of the hardware, keys `<point>`.

    Returns:
        "points": one entry per point that has a trial; a figure that was not measured is None and its reason is under
        "not_measured". "proposed": designs of the search among them. "comparisons": one entry per pair of points that
        is tested. "missing": seed, or "hardware", -> fixed points, and for hardware proposals on the estimated front,
        for which it is not there yet. "infeasible": fixed point -> why its hardware cannot be built.
    """
    by_point: dict[str, dict[int, Any]] = {}
    params: dict[str, dict[str, Any]] = {}
    for key, trial in finished(trials).items():
        point, _, seed = key.partition("#")
        by_point.setdefault(point, {})[int(seed)] = trial
        params[point] = trial.params
    follows = origin(trials).get("sweep", {})
    built = {key: trial.user_attrs["results"] for key, trial in finished(hardware).items()}
    impossible = infeasible(hardware)
    order = [*(point for point in sweep.points if point in by_point), *sorted(set(by_point) - set(sweep.points))]
    wanted = {*sweep.points, *front_proposals(sweep, trials)}
    reasons = {p: impossible.get(p, NOT_YET if p in wanted else OFF_FRONT) for p in order}
    points = [_point(p, params[p], by_point[p], built.get(p), reasons[p]) for p in order]
    pairs = [(sweep.baseline, point["name"]) for point in points if point["name"] != sweep.baseline]
    pairs += [(base, member) for base, members in sweep.groups.items() for member in members]
    comparisons = compare(points, pairs)
    against = {entry["point"]: entry for entry in comparisons if entry["baseline"] == sweep.baseline}
    for point in points:
        entry = against.get(point["name"], {})
        point["p"] = entry.get("p")
        point["pooled_only"] = entry.get("verdict") != entry.get("verdict_widest")
        point["verdict"] = (
            "baseline" if point["name"] == sweep.baseline else entry.get("verdict", "not tested: one seed")
        )
    _hardware_eer(points, built.get(sweep.reference))
    missing = {f"seed {s}": [p for p in sweep.points if s not in by_point.get(p, {})] for s in sweep.seeds}
    proposed = [point for point in order if point not in sweep.points]
    missing["hardware"] = [
        p for p in (*sweep.points, *proposed) if p in wanted and p not in built and p not in impossible
    ]
    front = pareto([(p["resources"]["lut"], p["top1"]["mean"]) for p in points])
    for index, point in enumerate(points):
        point["pareto"] = index in front
    scores = [trial.user_attrs["results"]["float_top1"] for seeds in by_point.values() for trial in seeds.values()]
    return {
        "sweep": sweep.name,
        "board": follows.get("board", sweep.board),
        "images_per_second": follows.get("images_per_second", sweep.images_per_second),
        "seeds": list(sweep.seeds),
        "images": points[0]["images"] if points else None,
        "train_images": follows.get("train_images", sweep.train_images),
        "epochs": follows.get("epochs", sweep.epochs),
        "reference": sweep.reference,
        "baseline": sweep.baseline,
        "float_top1": scores[0] if scores else None,
        "points": points,
        "proposed": proposed,
        "comparisons": comparisons,
        "missing": {what: names for what, names in missing.items() if names},
        "infeasible": {point: impossible[point] for point in sweep.points if point in impossible},
        "noise": noise(points, sweep.baseline, comparisons),
        "commits": trials.user_attrs.get("commits", []),
    }


def _point(
    name: str, params: dict[str, Any], trials: dict[int, Any], built: dict[str, Any] | None, reason: str
) -> dict[str, Any]:
    """A point's entry; reason says why nothing is built."""
    results = [trials[seed].user_attrs["results"] for seed in sorted(trials)]

    def over_seeds(key: str) -> dict[str, Any]:
        values = [result[key] for result in results]
        mean, error = mean_and_error(values)
        return {"mean": mean, "standard_error": error, "values": values}

    point: dict[str, Any] = {"name": name, "params": params, "seeds": sorted(trials), "images": results[0]["images"]}
    point["top1"] = over_seeds("integer_top1")
    for key in ("weight_error_calibrated", "weight_error", "logit_error"):
        point[key] = over_seeds(key)
    point["estimate"] = {kind: results[0][f"{kind}_estimate"] for kind in ("lut", "dsp", "bram")}
    point["energy_mj_per_image"] = None
    point["not_measured"] = {"energy_mj_per_image": ENERGY}
    if built is None:
        point["resources"] = dict.fromkeys(KINDS)
        point["throughput"] = dict.fromkeys(("cycles_per_image", "latency_cycles"))
        point["eer"] = dict.fromkeys((*SETS, "hardware"))
        point["not_measured"] |= dict.fromkeys(("resources", "throughput", "eer"), reason)
    else:
        point["resources"] = {kind: built["resources"][kind] for kind in KINDS}
        point["throughput"] = {key: built["simulated"][key] for key in ("cycles_per_image", "latency_cycles")}
        point["eer"] = {name: built["eer"][name] for name in SETS} | {"hardware": None}
    return point


def compare(points: list[dict[str, Any]], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Test each pair (baseline, point) of points with more than one seed: t-test of the difference of their means.

    Its variance is pooled over all points, which three seeds each are too few to estimate alone; that takes the trials
    of all points to be independent and equally spread (noise() checks the spread). Holm's correction over all pairs.

    Returns:
        An entry per pair: baseline, point, difference (point - baseline), p, verdict ("above", "below", "not told
        apart"), verdict_widest: the verdict if every point were as spread as the widest.
    """
    many = {point["name"]: point["top1"] for point in points if len(point["seeds"]) > 1}
    freedom, pooled, deviations = spread(points)
    found = [
        {"baseline": base, "point": name, "difference": many[name]["mean"] - many[base]["mean"]}
        for base, name in pairs
        if base in many and name in many
    ]

    def p_values(deviation: float) -> list[float]:
        values = []
        for entry in found:
            counts = [len(many[entry[end]]["values"]) for end in ("baseline", "point")]
            error = deviation * math.sqrt(sum(1 / count for count in counts))
            size = abs(entry["difference"])
            values.append(2 * float(stats.t.sf(size / error, freedom)) if error else float(size == 0))
        return values

    for key, deviation in (("verdict", pooled), ("verdict_widest", max(deviations.values(), default=0.0))):
        for entry, p, rejected in zip(found, values := p_values(deviation), holm(values), strict=True):
            entry[key] = ("below" if entry["difference"] < 0 else "above") if rejected else NOT_APART
            if key == "verdict":
                entry["p"] = p
    return found


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which hypotheses Holm's correction rejects, all together at LEVEL."""
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        if p_values[index] > LEVEL / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def spread(points: list[dict[str, Any]]) -> tuple[int, float, dict[str, float]]:
    """Degrees of freedom, standard deviation pooled over the points with several seeds, and each one's own."""
    many = [point for point in points if len(point["seeds"]) > 1]
    deviations = {point["name"]: float(np.std(point["top1"]["values"], ddof=1)) for point in many}
    freedom = sum(len(point["seeds"]) - 1 for point in many)
    squares = sum(deviations[point["name"]] ** 2 * (len(point["seeds"]) - 1) for point in many)
    return freedom, math.sqrt(squares / freedom) if freedom else 0.0, deviations


def _hardware_eer(points: list[dict[str, Any]], reference: dict[str, Any] | None) -> None:
    """EER of {LUT, DSP, BRAM, latency} against the reference point, where both are measured."""
    theirs = reference and {**reference["resources"], "latency_cycles": reference["simulated"]["latency_cycles"]}
    for point in points:
        ours = {**point["resources"], "latency_cycles": point["throughput"]["latency_cycles"]}
        if theirs and all(ours[key] is not None and theirs[key] for key in HARDWARE_SET):
            point["eer"]["hardware"] = eer(ours, theirs, HARDWARE_SET)
        else:
            point["not_measured"]["eer.hardware"] = "needs this point's and the reference's hardware"


def noise(points: list[dict[str, Any]], baseline: str, comparisons: list[dict[str, Any]]) -> dict[str, Any]:
    """Spread of a trial over seeds, pooled over all points, a check that it may be pooled, and that of the test set."""
    freedom, pooled, deviations = spread(points)
    ordered = sorted(deviations, key=lambda name: deviations[name])
    values = [point["top1"]["values"] for point in points if point["name"] in deviations]
    testable = len(values) > 1 and min(deviations.values()) > 0
    base = next((point for point in points if point["name"] == baseline), points[0] if points else None)
    share = base["top1"]["mean"] / 100 if base else None
    factor = math.sqrt(2 / len(base["seeds"])) if base else 0.0
    margin = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * pooled * factor if freedom else None
    return {
        "pooled_deviation": pooled if freedom else None,
        "degrees_of_freedom": freedom,
        "extreme_deviations": {name: deviations[name] for name in (*ordered[:1], *ordered[-1:])},
        "bartlett_p": float(stats.bartlett(*values).pvalue) if testable else None,
        "margin": margin,
        "test_set_error": 100 * math.sqrt(share * (1 - share) / base["images"]) if base and share else None,
        "tests": len(comparisons),
        "level": LEVEL,
        "verdicts": {
            verdict: [c["point"] for c in comparisons if c["baseline"] == baseline and c["verdict"] == verdict]
            for verdict in ("above", "below", NOT_APART)
        },
    }


# ---------------------------------------------------------------------------------------------------- plots


def _scatter(axes: Any, points: list[dict[str, Any]], x: str, key: str) -> None:
    """Accuracy with its standard error over point[x][key]; the number beside a mark is that of the table."""
    for number, point in enumerate(points, 1):
        value = point[x][key]
        if value is None:
            continue
        colour, trained = COLOURS[point["params"]["scheme"]], point["params"]["training"] == "qat"
        axes.errorbar(
            value,
            point["top1"]["mean"],
            yerr=point["top1"]["standard_error"],
            fmt="o" if trained else "s",
            color=colour,
            mfc=colour if trained else "white",
            ms=5,
            capsize=2,
            lw=1,
        )
        axes.annotate(str(number), (value, point["top1"]["mean"]), xytext=(4, 3), textcoords="offset points", size=7)
    axes.set_ylabel("Fashion-MNIST integer top-1 [%]")


def _legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=c, marker="o", ls="", label=name) for name, c in COLOURS.items()]
    marks.append(Line2D([], [], color="#777", marker="s", mfc="white", ls="", label="not trained"))
    axes.legend(handles=marks, loc="lower right", fontsize=8)


def _zoomed(points: list[dict[str, Any]], axes: Any) -> None:
    """Limit the y axis to the points within one point of the best."""
    best = max(point["top1"]["mean"] for point in points)
    low = min(point["top1"]["mean"] for point in points if point["top1"]["mean"] >= best - 1.0)
    axes.set_ylim(low - 0.15, best + 0.2)


def accuracy_plot(points: list[dict[str, Any]], x: str, key: str, label: str, front: bool = False) -> str:
    """Accuracy over a figure of the points: all of them, and the best ones larger."""

    def draw(figure: Any, axes: Any) -> None:
        figure.set_size_inches(9.2, 3.9)
        figure.clear()
        panels = figure.subplots(1, 2)
        for panel, title in zip(panels, ("all points", "within one point of the best"), strict=True):
            _scatter(panel, points, x, key)
            if front:
                line = sorted((p[x][key], p["top1"]["mean"]) for p in points if p["pareto"])
                panel.step(*zip(*line, strict=True), where="post", color="#d98c1f", lw=1.2, zorder=0)
            panel.set_xlabel(label)
            panel.set_title(title, size=9)
        _zoomed([point for point in points if point[x][key] is not None], panels[1])
        _legend(panels[0])
        figure.tight_layout()

    return _plot(draw)


def errors_plot(points: list[dict[str, Any]]) -> str:
    """Weight error (as calibration leaves it) and logit error of every point."""

    def draw(figure: Any, axes: Any) -> None:
        figure.set_size_inches(9.2, 0.2 * len(points) + 1.2)
        figure.clear()
        panels = figure.subplots(1, 2, sharey=True)
        names = [f"{number} {point['name']}" for number, point in enumerate(points, 1)]
        for panel, key, label in (
            (panels[0], "weight_error_calibrated", "weight error before training, relative RMS"),
            (panels[1], "logit_error", "logit error, relative RMS"),
        ):
            colours = [COLOURS[point["params"]["scheme"]] for point in points]
            errors = [point[key]["standard_error"] or 0.0 for point in points]
            panel.barh(names, [point[key]["mean"] for point in points], xerr=errors, color=colours, capsize=2)
            panel.set_xlabel(label)
        panels[0].invert_yaxis()
        panels[0].margins(y=0.01)
        figure.tight_layout()

    return _plot(draw)


def survey_plot(rows: Sequence[Row]) -> str:
    """The survey's models on ImageNet, accuracy over EER, one panel per category."""

    def draw(figure: Any, axes: Any) -> None:
        figure.set_size_inches(9.2, 7.0)
        figure.clear()
        for panel, (category, metric_set, area, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
            chosen = [row for row in rows if row.category == category and row.table < 8]
            pairs = [(row, row.eer(metric_set)) for row in chosen if row.top1 is not None]
            shown = [(row, value) for row, value in pairs if value is not None]
            panel.scatter(
                [value for _, value in shown],
                [row.top1 for row, _ in shown],
                s=[2.2 * row.metrics[area] * (5 if area == "flops_g" else 1) for row, _ in shown],
                c=["#e08a1e" if row.model in BEST else "#5b8db8" for row, _ in shown],
                alpha=0.6,
                edgecolors="white",
            )
            for row, value in shown:
                if row.model in BEST:
                    panel.annotate(row.model, (value, row.top1), xytext=(4, -11), textcoords="offset points", size=7)
            if category == "CA":
                panel.set_xscale("log")
            panel.set_title(title, size=9)
            panel.set_xlabel("EER [%]" + (", logarithmic" if category == "CA" else ""))
            panel.set_ylabel("ImageNet-1K top-1 [%]")
        figure.tight_layout()

    return _plot(draw)


# ---------------------------------------------------------------------------------------------------- files


def _resource(point: dict[str, Any], kind: str) -> str:
    """A point's count as measured, or ~ the fold's estimate."""
    if (measured := point["resources"][kind]) is not None:
        return f"{measured:,}"
    return f"~{point['estimate'][kind]:,}" if kind in point["estimate"] else ""


def _environment(html: bool = True) -> jinja2.Environment:
    env = jinja2.Environment(autoescape=html, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters["p"] = lambda v: "p<0.001" if v < 0.001 else f"p={v:.3f}"
    env.filters["num"] = lambda v, digits=0: "" if v is None else f"{v:,.{digits}f}"
    env.filters["signed"] = lambda v: f"{v:+.2f}"
    env.filters["resource"] = _resource
    env.filters["pm"] = lambda v, digits=2: (
        f"{v['mean']:.{digits}f}" + (f" ± {v['standard_error']:.{digits}f}" if v["standard_error"] is not None else "")
    )
    return env


def render(report: dict[str, Any]) -> str:
    """report.html: one self-contained page."""
    points = report["points"]
    built = [point for point in points if point["resources"]["lut"] is not None]
    plots = {"errors": errors_plot(points) if points else "", "survey": survey_plot(survey_rows())}
    if built:
        plots["lut"] = accuracy_plot(points, "resources", "lut", "LUT (Yosys synthesis, whole board)", front=True)
        plots["bits_size"] = accuracy_plot(points, "eer", "bits_size", "EER {#Bit, Size} [%]")
        plots["all"] = accuracy_plot(points, "eer", "all", "EER {#Par, FLOPs, #Bit, Size} [%]")
    if any(point["eer"]["hardware"] is not None for point in points):
        plots["hardware"] = accuracy_plot(
            points, "eer", "hardware", f"EER {{LUT, DSP, BRAM, latency}} against {report['reference']} [%]"
        )
    template = _environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        r=report, plots=plots, checks=checks(), disagreements=disagreements(), command=command(report)
    )


def command(report: dict[str, Any]) -> str:
    """What makes these results."""
    return f"make sweep MODEL={report['sweep']}"


def markdown(report: dict[str, Any]) -> str:
    """results.md: the table with the command that makes it."""
    template = _environment(html=False).from_string(MARKDOWN.read_text(encoding="utf-8"))
    return template.render(r=report, command=command(report))


def noise_text(report: dict[str, Any]) -> str:
    """What is noise, in plain words."""
    found = report["noise"]
    if found["pooled_deviation"] is None:
        return "Noise: unknown, no point has more than one seed yet."
    ends = [f"{value:.3f} ({name})" for name, value in found["extreme_deviations"].items()]
    bartlett = found["bartlett_p"]
    names = {key: ", ".join(values) or "none" for key, values in found["verdicts"].items()}
    level = 100 * found["level"]
    return (
        f"Noise: trials of one point differ by a standard deviation of {found['pooled_deviation']:.3f} points (pooled, "
        f"{found['degrees_of_freedom']} degrees of freedom), which puts the {100 - level:.0f} % interval of the "
        f"difference between two points at ± {found['margin']:.2f}. The {report['points'][0]['images']:,} test images "
        f"add a standard error of {found['test_set_error']:.2f} points to every accuracy, in common, as all points see "
        "the same images. Differences are tested by a t-test with the pooled variance, Holm's correction for all "
        f"{found['tests']} comparisons, {level:.0f} %. It assumes independent, normal trials of equal variance: the "
        f"points' own deviations run from {' to '.join(ends)}"
        + (f", Bartlett's test of equal variances gives p={bartlett:.3f}. " if bartlett is not None else ". ")
        + "A star marks verdicts that need the pooling: with the widest point's deviation in its place they are not "
        f"reached. Against {report['baseline']}, above: {names['above']}. Below: {names['below']}. "
        f"Not told apart from it by these seeds: {names[NOT_APART]}."
    )


def make_sweep_report(sweep: Sweep, trials: optuna.Study, hardware: optuna.Study, folder: Path) -> Path:
    """Write sweep.json, results.md and report.html; returns the path of the last.

    Raises:
        ValueError: no trial is finished.
    """
    report = collect(sweep, trials, hardware)
    if not report["points"]:
        raise ValueError(f"sweep: no trial of {sweep.name} is finished; run: make sweep MODEL={sweep.name}")
    report["noise_text"] = noise_text(report)
    write_json(folder / "sweep.json", report)
    write_text(folder / "results.md", markdown(report))
    write_text(folder / "report.html", render(report))
    return folder / "report.html"
