# SPDX-License-Identifier: Apache-2.0
"""Sweeps: nothing is lost or doubled when processes die, sweep files are checked, reports say what is noise."""

import importlib
import json
import multiprocessing
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker
from optuna.trial import TrialState

from quant.recipe import parse_recipe
from synthesis import cli, sweep_trial
from synthesis import sweep as sweeps
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


def test_sweep_on_a_scheduler_address_survives_a_killed_worker(tmp_path):
    study, tasks = study_in(tmp_path), grid(tmp_path)
    tasks[4] = replace(tasks[4], job=tasks[4].job | {"kill": True, "once": str(tmp_path / "killed")})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        engine.workers(1, cluster.scheduler_address) as client,
    ):
        tally = engine.run(study, tasks, stand_in.evaluate, client)
    assert sorted(tally.finished) == sorted(task.key for task in tasks) and not tally.failed
    assert counts(study) == {task.key: 1 for task in tasks}
    assert starts(tmp_path)[tasks[4].key] == 2


def test_sweep_scheduler_without_workers_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "WORKER_SECONDS", 1.0)
    study = study_in(tmp_path)
    with (
        LocalCluster(n_workers=0, protocol="tcp", dashboard_address=":0") as cluster,
        engine.workers(1, cluster.scheduler_address) as client,
    ):
        address = cluster.scheduler_address
        with pytest.raises(RuntimeError, match=f"scheduler at {address} has had no worker for 1 s; start .*{address}`"):
            engine.run(study, grid(tmp_path), stand_in.evaluate, client)
        assert engine.run(study, [], stand_in.evaluate, client).finished == []
    assert not study.get_trials(deepcopy=False)


def test_sweep_whose_scheduler_goes_away_keeps_what_is_finished(tmp_path):
    class Gone(Client):
        def nthreads(self):
            if len(counts(study)) == 3:
                raise OSError("Timed out trying to connect")
            return super().nthreads()

    study = study_in(tmp_path)
    with Gone(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        with pytest.raises(
            RuntimeError, match=r"scheduler is gone \(Timed out trying to connect\); what is finished is"
        ):
            engine.run(study, grid(tmp_path), stand_in.evaluate, client)
    assert len(counts(study)) == 3
    assert not study.get_trials(states=(TrialState.RUNNING,))


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


def test_sweep_infeasible_point_is_tried_again_on_request(tmp_path, client):
    """What was infeasible and is finished now is finished alone; what still is has the reason found last."""
    study = stand_in.study_in(tmp_path)
    chosen = [{"x": 1, "y": 0}, {"x": 2, "y": 0}, {"x": 3, "y": 0}]
    engine.run(
        study, [stand_in.task(tmp_path, c, infeasible="needs 3 of 2") for c in chosen[:2]], stand_in.evaluate, client
    )
    tasks = [
        stand_in.task(tmp_path, c, infeasible=reason)
        for c, reason in zip(chosen, ("", "needs 3 of 1", ""), strict=True)
    ]
    assert engine.run(study, tasks[:2], stand_in.evaluate, client) == engine.Tally()
    tally = engine.run(study, tasks, stand_in.evaluate, client, again=True)
    assert sorted(tally.finished) == ["1_0", "3_0"] and tally.infeasible == {"2_0": "needs 3 of 1"}
    assert set(engine.finished(study)) == {"1_0", "3_0"} and engine.infeasible(study) == {"2_0": "needs 3 of 1"}
    assert len(engine.settled(study)) == 3
    engine.run(study, tasks, stand_in.evaluate, client, again=True)
    assert starts(tmp_path) == {"1_0": 2, "2_0": 3, "3_0": 1}


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
    assert "sweep: the sampler repeats itself; 2 proposals are left undone" in lines


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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "postgresql+psycopg://me:s3cret@host:5432/db?sslmode=off",
            "postgresql+psycopg://me:***@host:5432/db?sslmode=off",
        ),
        ("mysql://me:s3:c@ret@host/db is", "mysql://me:***@host/db is"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("sqlite:////tmp/a@b/study.db", "sqlite:////tmp/a@b/study.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_sweep_masks_passwords(text, wanted):
    assert engine.masked(text) == wanted


def redirect_storage(monkeypatch, folder):
    """Have Optuna store in folder/study.db, whatever the URL; returns the list that gets its URLs."""
    urls = []

    class Storage(optuna.storages.RDBStorage):
        def __init__(self, url):
            urls.append(url)
            super().__init__(f"sqlite:///{folder / 'study.db'}")

    monkeypatch.setattr(optuna.storages, "RDBStorage", Storage)
    return urls


def test_sweep_messages_hide_the_password_of_the_storage(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"storage nosuch://me:\*\*\*@host/x is unusable") as error:
        engine.open_study("nosuch://me:s3cret@host/x", "test", DIRECTIONS, SPACE)
    assert "s3cret" not in str(error.value)
    study_in(tmp_path)
    redirect_storage(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match="other directions or choices") as error:
        engine.open_study("postgresql://me:s3cret@host/x", "test", DIRECTIONS, {"x": (1,)})
    assert "s3cret" not in str(error.value)


def test_sweep_hands_the_storage_on_as_it_is(tmp_path, monkeypatch):
    seen = redirect_storage(monkeypatch, tmp_path)
    url = "mysql+pymysql://me:s3cret%40@host:3306/db?charset=utf8mb4"
    engine.open_study(url, "test", DIRECTIONS, SPACE)
    assert seen == [url]


def test_sweep_missing_database_driver_is_one_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # imports as if it were not installed
    with pytest.raises(
        ValueError, match=r"me:\*\*\*@host/db is unusable \(its database driver is not installed: .*psycopg"
    ):
        engine.open_study("postgresql+psycopg://me:s3cret@host/db", "test", DIRECTIONS, SPACE)


@pytest.fixture
def postgres():
    """URL of a PostgreSQL server of this test's own, which listens on a socket in its folder only."""
    pytest.importorskip("psycopg", reason="needs the driver psycopg")
    if missing := [tool for tool in ("initdb", "pg_ctl") if shutil.which(tool) is None]:
        pytest.skip(f"needs PostgreSQL's {', '.join(missing)}")
    folder, account = Path(tempfile.mkdtemp(prefix="pg")), {}
    if os.getuid() == 0:  # PostgreSQL does not run as root
        entry = pwd.getpwnam("nobody")
        account = {"user": entry.pw_uid, "group": entry.pw_gid}
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data, options = str(folder / "data"), f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"

    def call(*words):
        subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, **account)

    call("initdb", "-D", data, "-U", "vitrail", "--auth=trust")
    call("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://vitrail:s3cret@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_sweep_on_postgresql_resumes(postgres, tmp_path, client):
    study = engine.open_study(postgres, "test", DIRECTIONS, SPACE)
    tasks = grid(tmp_path)
    parts = {f"recipe {number}": {"text": 500 * "x"} for number in range(20)}
    engine.follow(study, parts, "the test")
    engine.run(study, tasks[:5], stand_in.evaluate, client)
    again = engine.open_study(postgres, "test", DIRECTIONS, SPACE)
    assert engine.origin(again) == parts
    engine.run(again, tasks, stand_in.evaluate, client)
    assert counts(again) == {task.key: 1 for task in tasks} == starts(tmp_path)


# ---------------------------------------------------------------------------------------------------- origin


def test_sweep_study_keeps_to_what_its_trials_follow_from(tmp_path, client):
    study = study_in(tmp_path)
    engine.follow(study, {"sweep": {"epochs": 9}}, "a draft")
    parts = {"sweep": {"epochs": 1, "images": 5}, "recipe a": {"rate": 0.1}}
    engine.follow(study, parts, "the test")  # nothing is settled yet
    engine.run(study, grid(tmp_path)[:1], stand_in.evaluate, client)
    engine.follow(study, parts, "the test")
    engine.follow(study, {"recipe b": {"rate": 0.2}}, "the test")
    assert engine.origin(study) == parts | {"recipe b": {"rate": 0.2}}
    changed = {"sweep": {"epochs": 2, "images": 5}, "recipe a": {"rate": 0.1, "decay": 1}}
    with pytest.raises(ValueError) as error:
        engine.follow(study, changed, "sweep x")
    assert str(error.value) == (
        "sweep: the trials of study 'test' do not go with sweep x: sweep: epochs is 2, in the study 1; "
        "recipe a: decay is 1, in the study None. Restore what differs, or start another study (--study NAME)"
    )
    assert engine.origin(study) == parts | {"recipe b": {"rate": 0.2}}
    study.set_user_attr("origin", {})
    with pytest.raises(ValueError, match="study 'test' has trials, but nothing says what they follow from"):
        engine.follow(study, parts, "sweep x")


@pytest.mark.parametrize(
    ("change", "part", "keys"),
    [
        ({"epochs": 3}, "sweep", {"epochs"}),
        ({"train_images": 5}, "sweep", {"train_images"}),
        ({"images_per_second": 9}, "sweep", {"images_per_second"}),
        ({"warmup_steps": 0}, "sweep", {"warmup_steps"}),
        ({"board": "zcu104"}, "sweep", {"board"}),
        ({"recipes": {"fixed": {"shift_add_rows": 3}}}, "choices of fixed", None),
    ],
)
def test_sweep_origin_has_what_trials_follow_from(change, part, keys):
    sweep = load_sweep("vit_mini")
    before, after = sweep.origin(), replace(sweep, **change).origin()
    assert before == json.loads(json.dumps(before)) and before[part] != after[part]
    if keys is not None:
        assert {key for key in before[part] if before[part][key] != after[part][key]} == keys


def test_sweep_origin_has_base_recipes_board_and_float_network(tmp_path, monkeypatch):
    sweep = load_sweep("vit_mini")
    before, recipe = sweep.origin(), sweeps.load_recipe("ptq")
    assert before["board ulx3s_85f"]["block_fraction"] == 0.8 and before["backbone vit_mini"]["embed_dim"] > 0
    monkeypatch.setattr(sweeps, "load_recipe", lambda base: replace(recipe, calibration_images=7))
    monkeypatch.setattr(sweeps, "CHECKPOINT_DIR", tmp_path)
    after = sweep.origin()
    assert not any(key.startswith("explore") for key in before["recipe ptq"])  # no network follows from those
    assert before["recipe ptq"]["calibration_images"] == 256 and after["recipe ptq"]["calibration_images"] == 7
    assert len(before["backbone vit_mini"]["float_sha256"]) == 64 and not after["backbone vit_mini"]["float_sha256"]


@pytest.fixture
def small(tmp_path, client, monkeypatch):
    """`sweep` with two points, two seeds and made-up outcomes; a function that runs it with changed settings."""
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    monkeypatch.setattr(sweep_trial, "trial", stand_in.trial)
    monkeypatch.setattr(sweep_trial, "hardware", stand_in.hardware)

    @contextmanager
    def workers(count, scheduler):
        yield client

    monkeypatch.setattr(engine, "workers", workers)
    sweep = load_sweep("vit_mini")
    points = ("w4a8_fixed", "w8a8_fixed")
    sweep = replace(sweep, points=points, groups={}, reference=points[0], baseline=points[0], seeds=(1, 2))

    def run(*words, **change):
        monkeypatch.setattr(sweeps, "load_sweep", lambda name: replace(sweep, **change))
        return cli.main(("sweep", *words))

    return run


def test_sweep_edited_is_refused(small, tmp_path, capsys):
    assert small() == 0
    trials = tmp_path / "sweep" / "vit_mini" / "trials.json"
    kept = json.loads(trials.read_text())
    assert len(kept["trials"]) == 4 and len(kept["hardware"]) == 2
    assert small(epochs=2) == 1
    error = capsys.readouterr().err
    assert "do not go with sweep vit_mini: sweep: epochs is 2, in the study 1. Restore" in error
    # the report of what is there keeps the settings that it was made with
    assert small("--stages", "report", epochs=2) == 0
    assert json.loads((tmp_path / "sweep" / "vit_mini" / "sweep.json").read_text())["epochs"] == 1
    assert json.loads(trials.read_text()) == kept
    # another study has a folder of its own, and does not take up trials of other settings
    assert small("--study", "longer", epochs=2) == 0
    assert json.loads((tmp_path / "sweep" / "longer" / "sweep.json").read_text())["epochs"] == 2
    assert (tmp_path / "sweep" / "longer" / "recipes").is_dir() and json.loads(trials.read_text()) == kept
    capsys.readouterr()
    assert small("--study", "longer", "--from", str(trials), epochs=2) == 1
    assert "trials.json: sweep: epochs is 1, in the study 2" in capsys.readouterr().err
    assert small("--study", "taken", "--from", str(trials), epochs=2) == 1
    assert "sweep vit_mini: sweep: epochs is 2, in the study 1" in capsys.readouterr().err


def test_sweep_builds_proposals_on_the_estimated_front(small, tmp_path):
    assert small("--search", "12") == 0
    folder = tmp_path / "sweep" / "vit_mini"
    kept = json.loads((folder / "trials.json").read_text())
    proposed = {entry["key"].partition("#")[0] for entry in kept["trials"]} - {"w4a8_fixed", "w8a8_fixed"}
    assert len(proposed) == 12
    # by the made-up figures 5 bits cost less than 2, 3 and 4 bits and gain more; 4 bits are built as a point
    built = {entry["key"] for entry in kept["hardware"]}
    assert built - {"w4a8_fixed", "w8a8_fixed"} == {name for name in proposed if name[1] in "5678"}
    report = json.loads((folder / "sweep.json").read_text())
    points = {point["name"]: point for point in report["points"]}
    assert set(report["proposed"]) == proposed and report["missing"] == {}
    off = next(name for name in proposed if name not in built)
    assert points[off]["not_measured"]["resources"] == reports.OFF_FRONT
    text = (folder / "results.md").read_text()
    assert f"| {off} | 1 |" in text and f"| ~{points[off]['estimate']['lut']:,} |" in text
    assert "Proposed by the search: " in text and "Proposed by the search: " in (folder / "report.html").read_text()


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
        ({"groups": {"w3a8_fixed": ["w3a8_fixt"]}}, "groups: 'w3a8_fixt' is none of the points"),
        ({"groups": {"w3a8_fixed": ["w3a8_fixed"]}}, "groups: 'w3a8_fixed' is compared with itself, or with a point"),
        ({"groups": {"w4a8_fixed": ["w3a8_fixed"]}}, "groups: 'w4a8_fixed' is the baseline, which every point is"),
        ({"groups": ["w3a8_fixed"]}, "groups=['w3a8_fixed'], expected a list of points for each point"),
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
        (("--model", "../sweeps/vit_mini"), "unknown sweep '../sweeps/vit_mini'; did you mean 'vit_mini'?"),
        (("--stages", "trials,cook"), "--stages trials,cook: expected some of trials, hardware, report"),
        (("--workers", "0"), "--workers 0 --search 0: expected at least 1 and at least 0"),
        (("--study", "../x"), "--study '../x': expected letters, digits, _ and -, as it also names a folder"),
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
    assert sweeps.pareto([(10, 1.0), (20, 2.0), (20, 1.5), (30, 2.0), (None, 9.0), (5, 0.5)]) == {0, 1, 5}
    assert sweeps.pareto([(1, 1.0), (1, 1.0)]) == {0, 1}


def test_mean_and_error():
    mean, error = reports.mean_and_error([1.0, 2.0, 3.0])
    assert mean == 2.0 and error == pytest.approx(1 / 3**0.5)
    assert reports.mean_and_error([4.0]) == (4.0, None)


def entry(name, *values):
    """A point of a report as far as comparisons read it."""
    return {
        "name": name,
        "seeds": list(range(len(values))),
        "images": 10_000,
        "top1": {"mean": float(np.mean(values)), "values": list(values)},
    }


def test_holm_by_hand():
    # 0.05 / 4 and 0.05 / 3 are not exceeded, 0.05 / 2 is, and what comes after is not looked at
    assert reports.holm([0.026, 0.01, 0.0160, 0.03]) == [False, True, True, False]
    assert reports.holm([]) == []


def test_comparisons_pool_the_variance():
    # a: variance 1, two degrees of freedom; b: 4, two; c: 0.5, one; pooled (2 + 8 + 0.5) / 5 = 2.1
    points = [entry("a", 9.0, 10.0, 11.0), entry("b", 18.0, 20.0, 22.0), entry("c", 10.0, 11.0), entry("d", 5.0)]
    freedom, pooled, deviations = reports.spread(points)
    assert freedom == 5 and pooled == pytest.approx(2.1**0.5)
    assert deviations == pytest.approx({"a": 1.0, "b": 2.0, "c": 0.5**0.5})
    found = reports.compare(points, [("a", "b"), ("a", "c"), ("c", "b"), ("a", "d"), ("a", "nosuch")])
    assert [(c["baseline"], c["point"], c["difference"]) for c in found] == [
        ("a", "b", 10.0),
        ("a", "c", 0.5),
        ("c", "b", 9.5),
    ]
    # t = 10 / sqrt(2.1 * 2 / 3) = 8.452 with 5 degrees of freedom; 0.5 / sqrt(2.1 * 5 / 6) = 0.378
    assert found[0]["p"] == pytest.approx(0.000382, rel=0.01) and found[1]["p"] == pytest.approx(0.721, rel=0.01)
    assert [c["verdict"] for c in found] == ["above", "not told apart", "above"]
    assert reports.compare([entry("a", 1.0, 1.0), entry("b", 1.0, 1.0)], [("a", "b")])[0]["verdict"] == "not told apart"


def test_comparisons_say_what_rests_on_pooling():
    tight = [entry(f"p{i}", 0.0, 0.01, 0.02) for i in range(20)]
    points = [*tight, entry("far", 1.0, 1.01, 1.02), entry("wide", 0.0, 1.0, 2.0)]
    (found,) = reports.compare(points, [("p0", "far")])
    assert found["verdict"] == "above" and found["verdict_widest"] == "not told apart"
    assert reports.noise(points, "p0", [found])["bartlett_p"] < 1e-6


def test_noise_is_told_without_the_baseline():
    points = [entry("a", 80.0, 81.0, 82.0), entry("b", 80.0, 81.0, 82.0)]
    report = {"points": points, "baseline": "c", "noise": reports.noise(points, "c", [])}
    assert "standard deviation of 1.000 points (pooled, 4 degrees" in reports.noise_text(report)


@pytest.fixture
def two_studies(tmp_path):
    """A sweep of three points with made-up figures: w3a8 clearly worse than the baseline, w8a8 within noise of it."""
    sweep = load_sweep("vit_mini")
    names = ("w8a8_fixed", "w4a8_fixed", "w3a8_fixed", "w4a8_pot_half")
    sweep = replace(sweep, points=names, reference="w8a8_fixed", groups={"w8a8_fixed": ("w3a8_fixed",)})
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
    assert report["noise"]["pooled_deviation"] == pytest.approx(((0.01 + 0.01 + 0.0025) / 3) ** 0.5)
    group = [c for c in report["comparisons"] if c["baseline"] == "w8a8_fixed"]
    assert [(c["point"], round(c["difference"], 6), c["verdict"]) for c in group] == [("w3a8_fixed", -2.65, "below")]
    assert report["noise"]["verdicts"]["below"] == ["w3a8_fixed"] and report["noise"]["tests"] == 3
    assert report["infeasible"] == {"w4a8_fixed": "needs 9 of 8"}


def test_sweep_report_files_are_self_contained(two_studies, tmp_path):
    path = reports.make_sweep_report(*two_studies, tmp_path)
    page = path.read_text()
    assert page.count("<svg") == 6
    assert "src=" not in page and "@import" not in page
    assert "Not told apart from it by these seeds: w8a8_fixed" in page
    text = (tmp_path / "results.md").read_text()
    assert "    make sweep MODEL=vit_mini\n" in text
    assert "| w3a8_fixed (front) | 3 | 88.05 ± 0.03 | below (p<0.001)" in text
    assert "| w8a8_fixed | w3a8_fixed | -2.65 | below (p<0.001) |" in text
    assert "deviations run from 0.050 (w3a8_fixed) to 0.100 (w" in text
    assert "| w4a8_fixed | 3 | 90.70 ± 0.06 | baseline |" in text
    assert "\n\nEmpty cells are not measured, ~ is the fold's estimate instead; " in text
    assert "Empty: not measured; ~: the fold's estimate instead." in page
    assert "\nNot finished, hardware of 1 points: w4a8_pot_half.\n" in text
    assert "\nw4a8_fixed has no hardware: it needs 9 of 8.\n" in text and "w4a8_fixed has no hardware" in page


def test_sweep_report_has_the_rows_of_the_survey(two_studies, tmp_path):
    page = reports.make_sweep_report(*two_studies, tmp_path).read_text()
    table = page[page.index("tables 2 to 8, ImageNet-1K</h2>") : page.index("own arithmetic disagrees</h2>")]
    assert table.count("<tr><td>") == 168 + 4
    text = "".join(table.split("\n"))
    row = '<tr><td>3</td><td class="text">PS-LV-ViT-S</td><td>26.0</td><td>4.7</td><td></td><td></td><td>82.4</td>'
    assert (
        row + '<td class="text">params_flops</td><td>32.8</td><td>28.36</td><td class="text bad">differs</td>' in text
    )
    row = (
        '<tr><td>5</td><td class="text">Liu_Q-ViT-B W6A6</td><td></td><td></td><td>6.0</td><td>64.8</td><td>75.2?</td>'
    )
    assert row + '<td class="text">bits_size</td><td></td><td>19.19</td><td class="text"></td>' in text


def test_sweep_report_puts_imagenet_and_fashion_mnist_on_no_common_axis(two_studies, tmp_path):
    page = reports.make_sweep_report(*two_studies, tmp_path).read_text()
    plots = [part.partition("</svg>")[0] for part in page.split("<svg")[1:]]
    ours = [plot for plot in plots if "Fashion-MNIST" in plot]
    theirs = [plot for plot in plots if "ImageNet" in plot]
    assert len(ours) == 4 and len(theirs) == 1 and not set(ours) & set(theirs)
    assert "TinyViT-21M" in theirs[0] and not any("TinyViT-21M" in plot for plot in ours)


def test_sweep_published_trials_make_a_report(capsys, tmp_path, monkeypatch):
    """docs/results/sweep_vit_mini.json goes with the sweep as it is: all points, three seeds, hardware."""
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    published = Path(__file__).parents[2] / "docs" / "results" / "sweep_vit_mini.json"
    assert cli.main(("sweep", "--from", str(published), "--stages", "report")) == 0
    found = json.loads((tmp_path / "sweep" / "vit_mini" / "sweep.json").read_text())
    assert [point["name"] for point in found["points"]] == list(load_sweep("vit_mini").points)
    assert found["missing"] == {} and found["infeasible"] == {}
    assert all(point["resources"]["lut"] and point["throughput"]["cycles_per_image"] for point in found["points"])
    kept = json.loads((tmp_path / "sweep" / "vit_mini" / "trials.json").read_text())
    assert kept == json.loads(published.read_text())
    assert kept["origin"] == load_sweep("vit_mini").origin()  # so it can be gone on with
    groups = {(c["baseline"], c["point"]): c["verdict"] for c in found["comparisons"]}
    for name in ("w4a4_liu", "w4a4_ptq4vit", "w4a4_apqvit"):
        assert groups["w4a8_fixed", name] == "below"
    for name in ("w4a4_liu", "w4a4_noisyquant"):
        assert groups["w4a4_ptq", name] == "not told apart"
    results = (tmp_path / "sweep" / "vit_mini" / "results.md").read_text()
    assert published.with_suffix(".md").read_text().startswith(results) and "Empty cells" not in results
    assert "Empty: not measured" not in (tmp_path / "sweep" / "vit_mini" / "report.html").read_text()
    (tmp_path / "broken.json").write_text('{"trials": []}')
    assert cli.main(("sweep", "--from", str(tmp_path / "broken.json"), "--stages", "report")) == 1
    assert "expected a trials.json, which a sweep's report writes" in capsys.readouterr().err
