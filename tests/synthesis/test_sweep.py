# SPDX-License-Identifier: Apache-2.0
"""Sweeps: nothing is lost or doubled when processes die, sweep files are checked, reports say what is noise."""

import importlib
import json
import multiprocessing
import os
import sys
import time
import types
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from distributed import Client
from distributed.scheduler import KilledWorker
from optuna.trial import TrialState

from quant.recipe import parse_recipe
from synthesis import cli
from synthesis import sweep_engine as engine
from synthesis.reports import sweep as reports
from synthesis.sweep import SWEEP_DIR, Jobs, list_sweeps, load_sweep


def load_stand_in():
    """The stand-in evaluation under a name that worker processes can import."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:  # worker processes take over this path
        sys.path.insert(0, folder)
    return importlib.import_module("sweep_stand_in")


stand_in = load_stand_in()
study_in, task, grid = stand_in.study_in, stand_in.task, stand_in.grid
DIRECTIONS, SPACE = stand_in.DIRECTIONS, stand_in.SPACE


def starts(folder):
    """Key -> how often its evaluation began."""
    return Counter(line.split()[0] for line in (folder / "log").read_text().splitlines())


def counts(study):
    """Key -> its finished trials."""
    return Counter(t.user_attrs["key"] for t in study.get_trials(states=(TrialState.COMPLETE,)))


@pytest.fixture(scope="module")
def client():
    """Two threads, for tests in which no process dies."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        yield client


def test_sweep_survives_a_killed_worker(tmp_path):
    study, tasks = study_in(tmp_path), grid(tmp_path, seconds=0.1)
    tasks[4] = replace(tasks[4], job=tasks[4].job | {"kill": True, "once": str(tmp_path / "killed")})
    with engine.workers(2) as client:
        tally = engine.run(study, tasks, stand_in.evaluate, client)
    assert (tmp_path / "killed").exists()
    assert sorted(tally.finished) == sorted(task.key for task in tasks) and not tally.failed
    assert counts(study) == {task.key: 1 for task in tasks}
    for trial in study.get_trials():
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [trial.params["x"] + trial.params["y"], trial.params["x"]]
    assert starts(tmp_path) == {task.key: 1 + (task is tasks[4]) for task in tasks}
    workers = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert len(workers) <= 3  # one may have taken the place of the dead one


class DeadWorkers:
    """A Dask client whose workers die of every task; it is its own futures."""

    status = "error"

    def nthreads(self):
        return {"worker": 1}

    def submit(self, function, job, **options):
        return DeadWorkers()

    def done(self):
        return True

    def exception(self):
        return KilledWorker("task", types.SimpleNamespace(address="tcp://nowhere"), 3)


def test_sweep_task_that_kills_every_worker_fails(tmp_path):
    study = study_in(tmp_path)
    tally = engine.run(study, grid(tmp_path)[:1], stand_in.evaluate, DeadWorkers())
    assert list(tally.failed) == ["0_0"] and not tally.finished
    assert len(study.get_trials(states=(TrialState.FAIL,))) == engine.ATTEMPTS


def test_sweep_resumes_after_the_coordinator_is_killed(tmp_path, client):
    process = multiprocessing.get_context("spawn").Process(target=stand_in.coordinate, args=(tmp_path,))
    process.start()
    try:
        end = time.monotonic() + 400
        while not (tmp_path / "log").exists() or sum(starts(tmp_path).values()) < 5:
            assert time.monotonic() < end and process.is_alive()
            time.sleep(0.02)
    finally:
        process.kill()
        process.join()
    study = study_in(tmp_path)
    before = counts(study)
    assert 0 < len(before) < 12
    begun = starts(tmp_path)
    tally = engine.run(study, grid(tmp_path), stand_in.evaluate, client)
    assert sorted([*before, *tally.finished]) == sorted(task.key for task in grid(tmp_path))
    assert counts(study) == {task.key: 1 for task in grid(tmp_path)}
    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    again = starts(tmp_path) - begun
    assert all(again[key] == 0 for key in before)


def test_sweep_interrupted_repeats_only_what_was_under_way(tmp_path, client):
    study, lines = study_in(tmp_path), []

    def report(text):
        lines.append(text)
        if len(lines) == 4:  # the head line and three trials
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(study, grid(tmp_path, seconds=0.05), stand_in.evaluate, client, report)
    assert len(counts(study)) == 3
    assert not study.get_trials(states=(TrialState.RUNNING,))
    engine.run(study, grid(tmp_path), stand_in.evaluate, client)
    assert counts(study) == {task.key: 1 for task in grid(tmp_path)}


def test_sweep_failed_trial_is_named_and_tried_by_the_next_run(tmp_path, client):
    study = study_in(tmp_path)
    bad = task(tmp_path, {"x": 3, "y": 2}, fault="no luck", once=str(tmp_path / "fixed"))
    tasks = [task(tmp_path, {"x": 1, "y": 2}), bad]
    tally = engine.run(study, tasks, stand_in.evaluate, client)
    assert tally.failed == {"3_2": "no luck"} and tally.finished == ["1_2"]
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.user_attrs["error"] == "ValueError: no luck"
    (tmp_path / "fixed").touch()
    tally = engine.run(study, tasks, stand_in.evaluate, client)
    assert tally.finished == ["3_2"] and not tally.failed
    assert counts(study) == {"1_2": 1, "3_2": 1}


def test_sweep_infeasible_point_is_settled(tmp_path, client):
    study = stand_in.study_in(tmp_path)
    tasks = [
        stand_in.task(tmp_path, {"x": 1, "y": 0}, infeasible="needs 3 of 2"),
        stand_in.task(tmp_path, {"x": 2, "y": 0}),
    ]
    tally = engine.run(study, tasks, stand_in.evaluate, client)
    assert (tally.finished, tally.failed, tally.infeasible) == (["2_0"], {}, {"1_0": "needs 3 of 2"})
    again = engine.run(study, tasks, stand_in.evaluate, client)
    assert again == engine.Tally() and starts(tmp_path) == {"1_0": 1, "2_0": 1}


def test_sweep_takes_up_settled_trials(tmp_path, client):
    study = stand_in.study_in(tmp_path)
    tasks = [
        stand_in.task(tmp_path, {"x": 1, "y": 0}, infeasible="needs 3 of 2"),
        stand_in.task(tmp_path, {"x": 2, "y": 1}),
    ]
    engine.run(study, tasks, stand_in.evaluate, client)
    kept = json.loads(json.dumps(engine.settled(study)))
    (tmp_path / "other").mkdir()
    other = stand_in.study_in(tmp_path / "other")
    assert engine.add_settled(other, kept) == 2
    assert engine.add_settled(other, kept) == 0
    assert engine.settled(other) == kept
    assert kept[0] == {"key": "2_1", "params": {"x": 2, "y": 1}, "values": [3.0, 2.0], "results": {"sum": 3}}
    assert engine.run(other, tasks, stand_in.evaluate, client) == engine.Tally()  # nothing is evaluated again
    (tmp_path / "third").mkdir()
    third = stand_in.study_in(tmp_path / "third")
    for wrong in ({"key": "2_1"}, kept[0] | {"values": [1.0]}, kept[0] | {"params": {"x": 9, "y": 1}}, "text"):
        with pytest.raises(ValueError, match="does not go with study 'test'"):
            engine.add_settled(third, [kept[1], wrong])
    assert engine.settled(third) == []


@pytest.mark.parametrize("sampler", engine.SAMPLERS)
def test_sweep_search_continues_the_study(tmp_path, client, sampler):
    tasks = grid(tmp_path)
    engine.run(study_in(tmp_path), tasks, stand_in.evaluate, client)
    study = study_in(tmp_path, sampler=sampler)
    tally = engine.run(study, tasks, stand_in.evaluate, client, propose=lambda p: task(tmp_path, p), proposals=3)
    assert len(tally.finished) == 3
    assert set(tally.finished) <= {f"{x}_2" for x in range(6)}  # what the grid leaves
    assert all(number == 1 for number in counts(study).values()) and len(counts(study)) == 15
    best = max(trial.values[0] for trial in study.best_trials)
    assert best == max(trial.values[0] for trial in study.get_trials(states=(TrialState.COMPLETE,)))


def test_sweep_search_stops_when_nothing_is_left(tmp_path, client):
    study = study_in(tmp_path)
    whole = [task(tmp_path, {"x": x, "y": y}) for x in SPACE["x"] for y in SPACE["y"]]
    lines = []
    tally = engine.run(study, whole, stand_in.evaluate, client, lines.append, lambda p: task(tmp_path, p), 2)
    assert len(tally.finished) == 18
    assert lines[-1] == "sweep: the sampler repeats itself; 2 proposals are left undone"


def test_sweep_has_one_coordinator(tmp_path, client):
    study = study_in(tmp_path)
    with engine._lease(study):
        with pytest.raises(ValueError, match=f"'test' is being run by process {os.getpid()} on .*; wait for it"):
            engine.run(study, [], stand_in.evaluate, client)
    held = {"id": "x", "host": "elsewhere", "pid": 1, "time": time.time()}
    study.set_user_attr("coordinator", held)
    with pytest.raises(ValueError, match="being run by process 1 on elsewhere"):
        engine.run(study, [], stand_in.evaluate, client)
    study.set_user_attr("coordinator", held | {"time": time.time() - engine.LEASE_SECONDS - 1})
    engine.run(study, [], stand_in.evaluate, client)


def test_sweep_bad_storage_study_and_scheduler(tmp_path):
    with pytest.raises(ValueError, match="sweep: storage nosuch://x is unusable .*expected a URL such as sqlite"):
        engine.open_study("nosuch://x", "test", DIRECTIONS, SPACE)
    study_in(tmp_path)
    with pytest.raises(ValueError, match="study 'test' .* other directions or choices .*another name"):
        engine.open_study(f"sqlite:///{tmp_path / 'study.db'}", "test", DIRECTIONS, {"x": (1,)})
    with pytest.raises(ValueError, match="sampler 'grid', expected one of nsga2, tpe"):
        study_in(tmp_path, sampler="grid")
    with pytest.raises(RuntimeError, match="no Dask scheduler answers at nonsense"), engine.workers(1, "nonsense"):
        pass


# ---------------------------------------------------------------------------------------------------- sweep files


@pytest.mark.parametrize("name", list_sweeps())
def test_sweep_file_holds_enough(name):
    sweep = load_sweep(name)
    assert len(sweep.points) >= 15 and len(sweep.seeds) >= 3
    for point in sweep.points:
        params = sweep.params(point)
        assert all(params[key] in sweep.space[key] for key in sweep.space)
        assert sweep.point_of(params) == point


def test_sweep_recipe_is_the_base_with_the_choices():
    sweep = load_sweep("vit_mini")
    recipe = sweep.recipe(sweep.params("w4a8_sp2_half_all"), 2)
    assert (recipe.scheme, recipe.mixed_layers, recipe.shift_add_rows) == ("sp2", "all", 2)
    assert (recipe.epochs, recipe.warmup_steps, recipe.seed) == (1, 10, 2)
    assert sweep.recipe(sweep.params("w4a8_fixed_calibrated"), 1).epochs == 0


def test_sweep_designs_without_shift_add_rows_are_one():
    sweep = load_sweep("vit_mini")
    params = sweep.params("w4a8_fixed")
    for change in ({"scheme": "pot"}, {"mixed_layers": "mlp", "scheme": "sp2"}, {"shift_add_rows": 3}):
        assert sweep.point_of(params | change) == "w4a8_fixed"
    found = {**params, "scheme": "pot", "mixed_layers": "all", "shift_add_rows": 3}
    assert sweep.point_of(found) == "w4a8_default_pot_all3_qat"


def test_sweep_job_writes_its_recipe(tmp_path):
    sweep = load_sweep("vit_mini")
    job = Jobs(sweep, tmp_path).trial("w3a8_pot_half", sweep.params("w3a8_pot_half"), 3).job
    assert job["model"] == "vit_mini_w3a8_pot_half"
    assert job["recipe"]["seed"] == 3
    written = yaml.safe_load((tmp_path / "recipes" / "pot_half.yaml").read_text())
    assert parse_recipe(written, "written") == parse_recipe(job["recipe"] | {"seed": 1}, "of the job")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"points": ["w4a8_fixed", "w4a8_fixed"]}, "points: one is there twice"),
        ({"points": ["w4a8_fixed", "w4a8_fixt"]}, "point 'w4a8_fixt', expected w<bits>a<bits>_<one of recipes>"),
        ({"points": ["w4a8_fixed", "w9a8_fixed"]}, "point 'w9a8_fixed': its bits are not in the space"),
        ({"seeds": []}, "seeds=[], expected different integers"),
        ({"train_images": "many"}, "train_images='many', expected a number above zero"),
        ({"baseline": "w5a5_fixed"}, "baseline='w5a5_fixed' is none of the points"),
        ({"colour": 1}, "unknown: colour, missing: none"),
        ({"recipes": {"fixed": {"base": "default"}}}, "recipe fixed: expected the keys base, scheme"),
    ],
)
def test_sweep_file_faults(change, text, tmp_path):
    content = yaml.safe_load((SWEEP_DIR / "vit_mini.yaml").read_text()) | change
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError) as error:
        load_sweep("bad", tmp_path)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--model", "vit_mimi"), "unknown sweep 'vit_mimi'; did you mean 'vit_mini'?"),
        (("--stages", "trials,cook"), "--stages trials,cook: expected some of trials, hardware, report"),
        (("--workers", "0"), "--workers 0 --search 0: expected at least 1 and at least 0"),
        (("--colour",), "unrecognized arguments: --colour"),
        (("--stages", "report"), "sweep: no trial of vit_mini is finished; run: make sweep MODEL=vit_mini"),
    ],
)
def test_sweep_command_bad_input_is_one_message(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    assert cli.main(("sweep", *words)) == 1
    error = capsys.readouterr().err
    assert text in error and error.count("error:") == 1 and "Traceback" not in error


# ---------------------------------------------------------------------------------------------------- reports


def test_pareto_front_is_what_nothing_beats():
    assert reports.pareto([(10, 1.0), (20, 2.0), (20, 1.5), (30, 2.0), (None, 9.0), (5, 0.5)]) == {0, 1, 5}
    assert reports.pareto([(1, 1.0), (1, 1.0)]) == {0, 1}


def test_mean_and_error():
    mean, error = reports.mean_and_error([1.0, 2.0, 3.0])
    assert mean == 2.0 and error == pytest.approx(1 / 3**0.5)
    assert reports.mean_and_error([4.0]) == (4.0, None)


@pytest.fixture
def two_studies(tmp_path):
    """A sweep of three points with made-up figures: w3a8 clearly worse than the baseline, w8a8 within noise of it."""
    sweep = load_sweep("vit_mini")
    names = ("w8a8_fixed", "w4a8_fixed", "w3a8_fixed", "w4a8_pot_half")
    sweep = replace(sweep, points=names, reference="w8a8_fixed")
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    trials = engine.open_study(storage, "t", ("maximize", "minimize", "minimize"), sweep.space)
    hardware = engine.open_study(storage, "h", ("minimize",), {})
    tops = {"w8a8_fixed": (90.6, 90.8, 90.7), "w4a8_fixed": (90.7, 90.6, 90.8), "w3a8_fixed": (88.0, 88.1, 88.05)}
    jobs = Jobs(sweep, tmp_path)
    outcomes, designs = {}, {}
    for point, values in tops.items():
        for seed, top in zip(sweep.seeds, values, strict=True):
            errors = dict.fromkeys(("weight_error_calibrated", "weight_error", "logit_error"), 0.01 * seed)
            estimate = {"lut_estimate": 90, "dsp_estimate": 4, "bram_estimate": 3}
            results = {"integer_top1": top, "float_top1": 91.0, "images": 10_000, **errors, **estimate}
            outcomes[f"{point}#{seed}"] = {"values": [top, 90, 4], "results": results}
    for point, lut in (("w8a8_fixed", 200), ("w3a8_fixed", 100)):
        used = {"lut": lut, "ff": 10, "dsp": 4, "bram": 2}
        rates = {"params_flops": 0.1, "bits_size": 9.0, "all": 4.5}
        results = {"resources": used, "eer": rates, "simulated": {"cycles_per_image": 50, "latency_cycles": 80}}
        designs[point] = {"values": [lut], "results": results}
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        tasks = [jobs.trial(p, sweep.params(p), seed) for p in tops for seed in sweep.seeds]
        tasks = [replace(t, job=outcomes[t.key]) for t in tasks]
        engine.run(trials, tasks, stand_in.give, client)
        tasks = [replace(jobs.hardware(p, sweep.params(p)), job=designs[p]) for p in designs]
        engine.run(hardware, tasks, stand_in.give, client)
    engine.add_settled(hardware, [{"key": "w4a8_fixed", "infeasible": "needs 9 of 8"}])
    return sweep, trials, hardware


def test_sweep_report_says_what_is_noise_and_what_is_missing(two_studies, tmp_path):
    report = reports.collect(*two_studies)
    points = {point["name"]: point for point in report["points"]}
    assert list(points) == ["w8a8_fixed", "w4a8_fixed", "w3a8_fixed"]
    assert points["w4a8_fixed"]["verdict"] == "baseline"
    assert points["w8a8_fixed"]["verdict"] == "not told apart"
    assert points["w3a8_fixed"]["verdict"] == "below"
    assert points["w3a8_fixed"]["top1"]["standard_error"] == pytest.approx(0.05 / 3**0.5)
    # {LUT, DSP, BRAM, latency}: half the LUT of the reference, the rest equal
    assert points["w3a8_fixed"]["eer"]["hardware"] == pytest.approx(100 * 3.5 / 4)
    assert points["w4a8_fixed"]["resources"]["lut"] is None
    assert points["w4a8_fixed"]["not_measured"]["resources"] == "needs 9 of 8"
    assert points["w3a8_fixed"]["energy_mj_per_image"] is None
    assert points["w3a8_fixed"]["not_measured"]["energy_mj_per_image"] == reports.ENERGY
    assert [name for name, point in points.items() if point["pareto"]] == ["w8a8_fixed", "w3a8_fixed"]
    assert report["missing"] == {
        **{f"seed {seed}": ["w4a8_pot_half"] for seed in (1, 2, 3)},
        "hardware": ["w4a8_pot_half"],
    }
    assert report["infeasible"] == {"w4a8_fixed": "needs 9 of 8"}


def test_sweep_report_files_are_self_contained(two_studies, tmp_path):
    path = reports.make_sweep_report(*two_studies, tmp_path)
    page = path.read_text()
    assert page.count("<svg") == 6
    assert "src=" not in page and "@import" not in page
    assert "Not told apart from it by these seeds: w8a8_fixed" in page
    text = (tmp_path / "results.md").read_text()
    assert "    make sweep MODEL=vit_mini\n" in text
    assert "| w3a8_fixed (front) | 3 | 88.05 ± 0.03 | below (p=0.00" in text
    assert "| w4a8_fixed | 3 | 90.70 ± 0.06 | baseline |" in text
    assert "\nNot finished, hardware of 1 points: w4a8_pot_half.\n" in text
    assert "\nw4a8_fixed has no hardware: it needs 9 of 8.\n" in text and "w4a8_fixed has no hardware" in page


def test_sweep_published_trials_make_a_report(capsys, tmp_path, monkeypatch):
    """docs/results/sweep_vit_mini.json goes with the sweep as it is: all points, three seeds, hardware or why not."""
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    published = Path(__file__).parents[2] / "docs" / "results" / "sweep_vit_mini.json"
    assert cli.main(("sweep", "--from", str(published), "--stages", "report")) == 0
    found = json.loads((tmp_path / "sweep" / "vit_mini" / "sweep.json").read_text())
    assert [point["name"] for point in found["points"]] == list(load_sweep("vit_mini").points)
    assert found["missing"] == {} and list(found["infeasible"]) == ["w8a8_fixed"]
    kept = json.loads((tmp_path / "sweep" / "vit_mini" / "trials.json").read_text())
    assert kept == json.loads(published.read_text())
    (tmp_path / "broken.json").write_text('{"trials": []}')
    assert cli.main(("sweep", "--from", str(tmp_path / "broken.json"), "--stages", "report")) == 1
    assert "expected a trials.json, which a sweep's report writes" in capsys.readouterr().err
