# SPDX-License-Identifier: Apache-2.0
"""Sweeps: design points from synthesis/sweeps/<name>.yaml, evaluated by sweep_engine; `make sweep MODEL=<name>`.

Two studies of one storage: the trials (every point with every seed: accuracy and errors, with the fold's estimates as
further objectives) and then the hardware (every point once: synthesis and simulation). A study keeps what is finished;
the same command goes on where it stopped, while what its trials follow from is the same. `--search N` lets a
multi-objective sampler continue the first study; of what it finds, the designs on the estimated front are built too.
A scheduler (`--scheduler`) and its workers run in this repository's environment; workers on other machines need the
repository and the build folder at the same paths.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from models.names import CHECKPOINT_DIR, build_root, parse_model_name
from models.registry import backbone_dims, suggest
from quant.recipe import Recipe, load_recipe, network_keys, parse_recipe
from synthesis.board import BOARD_KEYS, load_board
from synthesis.build import git_hash, write_json, write_text

SWEEP_DIR = Path(__file__).resolve().parent / "sweeps"
SPACE_KEYS = ("weight_bits", "activation_bits", "base", "scheme", "mixed_layers", "shift_add_rows", "training")
RECIPE_KEYS = SPACE_KEYS[2:]
TRAINING = ("qat", "none")
POINT = re.compile(r"w(?P<weight>[0-9]+)a(?P<activation>[0-9]+)_(?P<recipe>[a-z0-9_]+)")
STUDY = re.compile(r"[A-Za-z0-9_-]+")
STAGES = ("trials", "hardware", "report")
TRIALS = "trials.json"


@dataclass(frozen=True)
class Sweep:
    """Content of synthesis/sweeps/<name>.yaml.

    Attributes:
        backbone: Name in models.registry.
        board: Board that every point is folded for.
        images_per_second: Frame rate that every point is folded for, so that their resources compare.
        seeds: A trial for each: training images, their order, augmentation, calibration images.
        train_images: Training images of an epoch.
        epochs: Passes over them.
        warmup_steps: Steps of linear warm-up.
        reference: Point that the hardware EER refers to.
        baseline: Point that all accuracies are compared with.
        groups: Point -> points that are compared with it too, such as those of its bit widths.
        space: Key -> choices of a search.
        recipes: Recipe name -> a choice for each key of the space but the bits. base: file of quant/recipes that the
            others are put on top of; training: "qat", or "none" for 0 epochs.
        points: Model names without the backbone, such as w4a8_fixed.
        name: File name without .yaml.
    """

    backbone: str
    board: str
    images_per_second: float
    seeds: tuple[int, ...]
    train_images: int
    epochs: int
    warmup_steps: int
    reference: str
    baseline: str
    groups: dict[str, tuple[str, ...]]
    space: dict[str, tuple[Any, ...]]
    recipes: dict[str, dict[str, Any]]
    points: tuple[str, ...]
    name: str

    def params(self, point: str) -> dict[str, Any]:
        """The point's choice for each key of the space."""
        match = POINT.fullmatch(point)
        assert match is not None, point
        bits = {"weight_bits": int(match["weight"]), "activation_bits": int(match["activation"])}
        return bits | self.recipes[match["recipe"]]

    def origin(self) -> dict[str, dict[str, Any]]:
        """What outcomes follow from, by the part it belongs to: sweep, network, board, hardware, base recipes, choices.

        Without the board's LUT limit: at a fixed frame rate it moves no folding, it only says which one is too large;
        such points are tried again when it has changed.
        """
        source = CHECKPOINT_DIR / f"{self.backbone}_float.safetensors"
        keys = ("board", "images_per_second", "train_images", "epochs", "warmup_steps")
        board = load_board(self.board)
        parts = {
            "sweep": {key: getattr(self, key) for key in keys},
            f"backbone {self.backbone}": asdict(backbone_dims(self.backbone, self.name))
            | {"float_sha256": hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else None},
            f"board {self.board}": {key: board[key] for key in sorted(BOARD_KEYS - {"fold_lut_limit"})},
        }
        parts["hardware"] = {"seed": self.seeds[0]}
        parts |= {f"recipe {base}": network_keys(load_recipe(base)) for base in self.space["base"]}
        return parts | {f"choices of {name}": choices for name, choices in self.recipes.items()}

    def recipe(self, params: dict[str, Any], seed: int) -> Recipe:
        """Whole recipe of a design.

        Raises:
            ValueError: the base recipe does not exist, or does not go with the choices.
        """
        content = asdict(load_recipe(params["base"])) | {key: params[key] for key in RECIPE_KEYS[1:-1]}
        content |= {"seed": seed, "epochs": 0, "warmup_steps": self.warmup_steps}
        if params["training"] == "qat" and content["method"] == "qat":
            content["epochs"] = self.epochs
        return parse_recipe(content, f"of sweep {self.name}, {params}")

    def point_of(self, params: dict[str, Any]) -> str:
        """Name of a design: of the equal point, or made of its choices. Designs without shift-add rows are one."""
        params = dict(params)
        if params["scheme"] == "fixed" or params["mixed_layers"] == "none" or params["shift_add_rows"] == 0:
            params |= {"scheme": "fixed", "mixed_layers": "none", "shift_add_rows": 0}
        if params["base"] != "default":  # a method without training
            params["training"] = "none"
        for point in self.points:
            if self.params(point) == params:
                return point
        rows = f"{params['scheme']}_{params['mixed_layers']}{params['shift_add_rows']}"
        recipe = f"{params['base']}_{rows}_{params['training']}"
        return f"w{params['weight_bits']}a{params['activation_bits']}_{recipe}"


def list_sweeps(folder: Path = SWEEP_DIR) -> list[str]:
    """Names of the sweeps."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_sweep(name: str, folder: Path = SWEEP_DIR) -> Sweep:
    """Read and check synthesis/sweeps/<name>.yaml.

    Raises:
        ValueError: no such sweep, no valid YAML, or keys and values that do not fit (all of them at once).
    """
    path, known = folder / f"{name}.yaml", list_sweeps(folder)
    if name not in known:
        raise ValueError(f"unknown sweep {name!r}; {suggest(name, known)} (files of synthesis/sweeps)")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"sweep {path} is no valid YAML: {' '.join(str(error).split())}") from None
    names = [field.name for field in fields(Sweep) if field.name != "name"]
    found = set(content) if isinstance(content, dict) else set()
    if found != set(names):
        raise ValueError(
            f"sweep {path}: expected the keys {', '.join(names)}; "
            f"unknown: {', '.join(sorted(map(str, found - set(names)))) or 'none'}, "
            f"missing: {', '.join(key for key in names if key not in found) or 'none'}"
        )
    if faults := _faults(content):
        raise ValueError(f"sweep {path}: {'; '.join(faults)}; synthesis/sweep.py explains each key")
    backbone_dims(content["backbone"], str(path))
    load_board(content["board"])
    content |= {key: tuple(content[key]) for key in ("seeds", "points")}
    content["groups"] = {key: tuple(members) for key, members in content["groups"].items()}
    content["space"] = {key: tuple(choices) for key, choices in content["space"].items()}
    return Sweep(**content, name=name)


def _faults(content: dict[str, Any]) -> list[str]:
    """What is wrong with the values of a sweep."""
    faults = []
    for key in ("train_images", "epochs", "warmup_steps", "images_per_second"):
        if not isinstance(content[key], int | float) or content[key] < (0 if key == "warmup_steps" else 1):
            faults.append(f"{key}={content[key]!r}, expected a number above zero")
    seeds = content["seeds"]
    if (
        not isinstance(seeds, list)
        or not seeds
        or len(set(seeds)) < len(seeds)
        or not all(type(s) is int for s in seeds)
    ):
        faults.append(f"seeds={seeds!r}, expected different integers")
    space = content["space"]
    if not isinstance(space, dict) or set(space) != set(SPACE_KEYS):
        return [*faults, f"space: expected the keys {', '.join(SPACE_KEYS)}"]
    if not set(space["training"]) <= set(TRAINING):
        faults.append(f"space: training={space['training']}, expected some of {', '.join(TRAINING)}")
    for name, recipe in content["recipes"].items():
        if set(recipe) != set(RECIPE_KEYS):
            faults.append(f"recipe {name}: expected the keys {', '.join(RECIPE_KEYS)}")
            continue
        for key, value in recipe.items():
            if value not in space[key]:
                faults.append(f"recipe {name}: {key}={value!r} is none of the space's {space[key]}")
    points = content["points"]
    if len(set(points)) < len(points):
        faults.append("points: one is there twice")
    for point in points:
        match = POINT.fullmatch(point)
        if match is None or match["recipe"] not in content["recipes"]:
            faults.append(f"point {point!r}, expected w<bits>a<bits>_<one of recipes>")
        elif (
            int(match["weight"]) not in space["weight_bits"] or int(match["activation"]) not in space["activation_bits"]
        ):
            faults.append(f"point {point!r}: its bits are not in the space")
    for key in ("reference", "baseline"):
        if content[key] not in points:
            faults.append(f"{key}={content[key]!r} is none of the points")
    groups = content["groups"]
    if not isinstance(groups, dict) or not all(isinstance(members, list) for members in groups.values()):
        return [*faults, f"groups={groups!r}, expected a list of points for each point that others are compared with"]
    for base, members in groups.items():
        faults += [f"groups: {name!r} is none of the points" for name in (base, *members) if name not in points]
        if base in members or len(set(members)) < len(members):
            faults.append(f"groups: {base!r} is compared with itself, or with a point twice")
        if base == content["baseline"]:
            faults.append(f"groups: {base!r} is the baseline, which every point is compared with")
    return faults


class Jobs:
    """Tasks of a sweep in a folder."""

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self.sweep, self.folder = sweep, folder

    def trial(self, point: str, params: dict[str, Any], seed: int) -> Any:
        """The task of one point and seed."""
        from synthesis.sweep_engine import Task

        return Task(f"{point}#{seed}", params, self.common(point, params, seed))

    def hardware(self, point: str, params: dict[str, Any]) -> Any:
        """The task of one point's hardware: the network of the first seed."""
        from synthesis.sweep_engine import Task

        return Task(point, {}, self.common(point, params, self.sweep.seeds[0]))

    def propose(self, params: dict[str, Any]) -> Any:
        """The task of a design that the sampler chose; first seed only."""
        return self.trial(self.sweep.point_of(params), params, self.sweep.seeds[0])

    def common(self, point: str, params: dict[str, Any], seed: int) -> dict[str, Any]:
        """Everything a worker needs; the recipe is written for the steps that read it from a file."""
        recipe = self.sweep.recipe(params, seed)
        recipes = self.folder / "recipes"
        name = point.partition("_")[2]
        write_text(recipes / f"{name}.yaml", yaml.safe_dump(asdict(recipe) | {"seed": self.sweep.seeds[0]}))
        model = f"{self.sweep.backbone}_{point}"
        parse_model_name(model, recipes)
        return {
            "model": model,
            "recipe": asdict(recipe),
            "recipes": str(recipes),
            "checkpoints": str(self.folder / "checkpoints" / f"seed{seed}"),
            "builds": str(self.folder / "builds"),
            "train_images": self.sweep.train_images,
            "board": self.sweep.board,
            "fps": self.sweep.images_per_second,
        }


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Command line -> options."""
    from synthesis.cli import Parser

    parser = Parser(prog="python -m synthesis sweep", description="Evaluate the design points of a sweep.")
    parser.add_argument("--model", default="vit_mini", help=f"sweep: {', '.join(list_sweeps())}")
    parser.add_argument(
        "--storage", help="URL of a database whose Python driver is installed (default: SQLite in its folder)"
    )
    parser.add_argument("--study", help="name of the study and of its folder in build/sweep (default: the sweep's)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes on this machine")
    parser.add_argument("--scheduler", help="address of a Dask scheduler instead, such as tcp://host:8786")
    parser.add_argument("--search", type=int, default=0, help="new designs for the sampler to propose")
    parser.add_argument("--sampler", default="nsga2", help="nsga2 or tpe")
    parser.add_argument("--points", help="some of the sweep's points, separated by commas (default: all)")
    parser.add_argument(
        "--from", dest="given", metavar="FILE", help="take up the trials of another sweep's trials.json"
    )
    parser.add_argument("--stages", default=",".join(STAGES), help=f"some of {','.join(STAGES)}")
    options = parser.parse_args(list(words))
    options.stages = options.stages.split(",")
    if not set(options.stages) <= set(STAGES):
        raise ValueError(f"--stages {','.join(options.stages)}: expected some of {', '.join(STAGES)}")
    if options.study is not None and not STUDY.fullmatch(options.study):
        raise ValueError(f"--study {options.study!r}: expected letters, digits, _ and -, as it also names a folder")
    if options.workers < 1 or options.search < 0:
        raise ValueError(f"--workers {options.workers} --search {options.search}: expected at least 1 and at least 0")
    return options


def add_commits(study: Any, commits: Sequence[str]) -> None:
    """Note in a study which commits its trials were made with."""
    known = study.user_attrs.get("commits", [])
    study.set_user_attr("commits", [*known, *(commit for commit in commits if commit not in known)])


def take_up(path: Path, trials: Any, hardware: Any) -> None:
    """Add the trials of a trials.json to the two studies.

    Raises:
        ValueError: the file is not there, no trials.json of this sweep, or its trials follow from other settings.
    """
    from synthesis import sweep_engine as engine

    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        parts = [(trials, given["trials"]), (hardware, given["hardware"])]
        commits, origin = list(given["commits"]), dict(given["origin"])
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"--from {path}: {error!r}; expected a trials.json, which a sweep's report writes") from None
    for study, _ in parts:
        engine.follow(study, origin, str(path))
    counts = [engine.add_settled(study, entries) for study, entries in parts]
    add_commits(trials, commits)
    print(f"sweep: took up {counts[0]} trials and {counts[1]} outcomes of hardware from {path}")


def pareto(pairs: Sequence[tuple[float | None, float]]) -> set[int]:
    """Indices of (cost, gain) that no other has at most that cost and at least that gain; None is left out."""
    known = [(index, cost, gain) for index, (cost, gain) in enumerate(pairs) if cost is not None]
    return {
        index
        for index, cost, gain in known
        if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for _, c, g in known)
    }


def front_proposals(sweep: Sweep, trials: Any) -> dict[str, dict[str, Any]]:
    """Params of the designs, by name, that a search proposed and that are on the estimated front.

    The front is of estimated LUT and accuracy over everything that the first seed was tried with, as proposals have
    no other seed.
    """
    from synthesis.sweep_engine import finished

    found = {key.partition("#"): trial for key, trial in finished(trials).items()}
    first = [(point, trial) for (point, _, seed), trial in found.items() if int(seed) == sweep.seeds[0]]
    front = pareto([(trial.values[1], trial.values[0]) for _, trial in first])
    return {first[i][0]: first[i][1].params for i in sorted(front) if first[i][0] not in sweep.points}


def main(words: Sequence[str]) -> int:
    """Run or resume a sweep; 1 when a trial failed."""
    from synthesis import sweep_engine as engine
    from synthesis import sweep_trial
    from synthesis.cli import IncompleteError

    options = parse(words)
    sweep = load_sweep(options.model)
    points = sweep.points if options.points is None else tuple(options.points.split(","))
    if unknown := [point for point in points if point not in sweep.points]:
        raise ValueError(f"--points: unknown point {unknown[0]!r}; {suggest(unknown[0], sweep.points)}")
    name = options.study or sweep.name
    folder = (build_root() / "sweep" / name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    storage = options.storage or f"sqlite:///{folder / 'study.db'}"
    jobs = Jobs(sweep, folder)
    trials = engine.open_study(storage, name, sweep_trial.TRIAL_DIRECTIONS, sweep.space, options.sampler)
    hardware = engine.open_study(storage, f"{name}-hardware", sweep_trial.HARDWARE_DIRECTIONS, {})
    failed: dict[str, str] = {}
    if options.given:
        take_up(Path(options.given), trials, hardware)
    if set(options.stages) != {"report"}:
        for study in (trials, hardware):
            engine.follow(study, sweep.origin(), f"sweep {sweep.name}")
        add_commits(trials, [git_hash() or "unknown"])
        with engine.workers(options.workers, options.scheduler) as client:
            if "trials" in options.stages:
                # seed by seed, so that an unfinished sweep has all points
                tasks = [jobs.trial(point, sweep.params(point), seed) for seed in sweep.seeds for point in points]
                tally = engine.run(
                    trials, tasks, sweep_trial.trial, client, print, jobs.propose, proposals=options.search
                )
                failed |= tally.failed
            if "hardware" in options.stages:
                done = {key.partition("#")[0] for key in engine.finished(trials)}
                designs = {point: sweep.params(point) for point in points if point in done}
                designs |= front_proposals(sweep, trials)
                tasks = [jobs.hardware(point, params) for point, params in designs.items()]
                limit = load_board(sweep.board)["fold_lut_limit"]
                again = hardware.user_attrs.get("fold_lut_limit") != limit
                failed |= engine.run(hardware, tasks, sweep_trial.hardware, client, again=again).failed
                hardware.set_user_attr("fold_lut_limit", limit)
    if "report" in options.stages:
        from synthesis.reports.sweep import make_sweep_report

        print(f"report: {make_sweep_report(sweep, trials, hardware, folder)}")
        kept: dict[str, Any] = {"trials": engine.settled(trials), "hardware": engine.settled(hardware)}
        kept |= {"origin": engine.origin(trials), "commits": trials.user_attrs.get("commits", [])}
        write_json(folder / TRIALS, kept)
    if failed:
        lines = "; ".join(f"{key}: {text}" for key, text in failed.items())
        raise IncompleteError(f"sweep: {len(failed)} trials failed, the same command tries them again: {lines}")
    return 0
