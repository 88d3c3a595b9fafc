# SPDX-License-Identifier: Apache-2.0
"""Evaluate design points on several processes: Optuna keeps the study, Dask the workers.

One process, the coordinator, asks the study for trials, hands each to a Dask worker and tells the study the outcome, so
that a trial counts once however often its worker died. Nothing but the study's storage has to survive: what has no
finished trial there is evaluated by the next run. Fixed points are enqueued trials, so a search sampler continues the
same study with what they found.
"""

import os
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import dask
import optuna
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

ATTEMPTS = 3  # of one task in one run, when workers die
LEASE_SECONDS = 60.0
RENEW_SECONDS = 5.0
WORKER_SECONDS = 60.0  # that a run waits for a worker when there is none
# Proposals of designs that are known already, before a search draws at random, and before it gives up
SAMPLER_REPEATS, MAX_REPEATS = 5, 100
SAMPLERS = ("nsga2", "tpe")

Direction = Literal["minimize", "maximize"]
Space = dict[str, tuple[Any, ...]]
Evaluate = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """One evaluation.

    Attributes:
        key: Names it in the study; a key with a finished trial is not evaluated again.
        params: A choice for each key of the space.
        job: What the evaluation gets, JSON. It returns {"values": one per direction, "results": JSON}.
    """

    key: str
    params: dict[str, Any]
    job: dict[str, Any]


class InfeasibleError(ValueError):
    """Raised by an evaluation: the design cannot be built. Its key counts as settled and is not tried again."""


@dataclass
class Tally:
    """What a run did: keys finished, and key -> message of what failed and of what is infeasible."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    infeasible: dict[str, str] = field(default_factory=dict)


def open_study(
    storage: str, name: str, directions: Sequence[Direction], space: Space, sampler: str = "nsga2", seed: int = 0
) -> optuna.Study:
    """Create a study or take it up.

    Args:
        storage: URL of a database as SQLAlchemy takes it, such as sqlite:///study.db.
        name: Name of the study in it.
        directions: "maximize" or "minimize" per value.
        space: Key -> choices.
        sampler: "nsga2" or "tpe"; proposes what is not enqueued.
        seed: Of the sampler, which also depends on the number of trials so far.

    Raises:
        ValueError: the storage is unusable, or the study was made with other directions or choices.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if sampler not in SAMPLERS:
        raise ValueError(f"sweep: sampler {sampler!r}, expected one of {', '.join(SAMPLERS)}")
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(storage), study_name=name, directions=directions, load_if_exists=True
        )
        count = len(study.get_trials(deepcopy=False))
    except Exception as error:
        reason = masked(" ".join(str(error).split()))[:200]
        if isinstance(error, ImportError):
            reason = f"its database driver is not installed: {error.__cause__ or reason}"
        raise ValueError(
            f"sweep: storage {masked(storage)} is unusable ({reason}); expected a URL such as "
            "sqlite:///path/study.db, of a database whose Python driver is installed"
        ) from None
    made_with = study.user_attrs.get("space")
    now = {key: list(choices) for key, choices in space.items()}
    if [direction.name.lower() for direction in study.directions] != list(directions) or made_with not in (None, now):
        raise ValueError(
            f"sweep: study {name!r} in {masked(storage)} was made with other directions or choices than the sweep has "
            "now; give this one another name (--study) or restore the choices"
        )
    if made_with is None:
        study.set_user_attr("space", now)
    if sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(seed=seed + count)
    else:
        study.sampler = optuna.samplers.NSGAIISampler(seed=seed + count)
    return study


def masked(text: str) -> str:
    """A text with the passwords of the URLs in it left out."""
    text = re.sub(r"(://[^\s:/@]*):\S*@", r"\1:***@", text)
    return re.sub(r"(password=)[^\s&]*", r"\1***", text)


def origin(study: optuna.Study) -> dict[str, dict[str, Any]]:
    """What the outcomes in a study follow from, by part; empty where nothing was noted."""
    return study.user_attrs.get("origin", {})


def follow(study: optuna.Study, parts: dict[str, dict[str, Any]], source: str) -> None:
    """Note in a study what its outcomes follow from. Parts that it does not know are added.

    Args:
        study: From open_study.
        parts: Part -> key -> value, JSON.
        source: Where they come from, for the error message.

    Raises:
        ValueError: the study holds outcomes that follow from something else.
    """
    settled_any = bool(settled_keys(study))
    known = origin(study) if settled_any else {}
    if settled_any and not known:
        raise ValueError(
            f"sweep: study {study.study_name!r} has trials, but nothing says what they follow from; "
            "start another study (--study NAME)"
        )
    differences = [
        f"{part}: {key} is {parts[part].get(key)!r}, in the study {known[part].get(key)!r}"
        for part in parts
        for key in sorted({*parts[part], *known.get(part, {})})
        if part in known and parts[part].get(key) != known[part].get(key)
    ]
    if differences:
        raise ValueError(
            f"sweep: the trials of study {study.study_name!r} do not go with {source}: {'; '.join(differences)}. "
            "Restore what differs, or start another study (--study NAME)"
        )
    study.set_user_attr("origin", known | parts)


def finished(study: optuna.Study) -> dict[str, FrozenTrial]:
    """Key -> its finished trial, in the order of their numbers."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return {trial.user_attrs["key"]: trial for trial in trials if "key" in trial.user_attrs}


def infeasible(study: optuna.Study) -> dict[str, str]:
    """Key -> why it cannot be built, as the last trial found."""
    trials, done = study.get_trials(deepcopy=False, states=(TrialState.FAIL,)), finished(study)
    found = {t.user_attrs["key"]: t.user_attrs["infeasible"] for t in trials if "infeasible" in t.user_attrs}
    return {key: reason for key, reason in found.items() if key not in done}


def settled_keys(study: optuna.Study) -> set[str]:
    """Keys that are not evaluated again: finished or infeasible."""
    return {*finished(study), *infeasible(study)}


def distributions(study: optuna.Study) -> dict[str, BaseDistribution]:
    """The choices of a study, as Optuna takes them."""
    return {key: CategoricalDistribution(choices) for key, choices in study.user_attrs["space"].items()}


def settled(study: optuna.Study) -> list[dict[str, Any]]:
    """Every finished trial (key, params, values, results) and every infeasible one (key, infeasible), as JSON."""
    done = [
        {"key": key, "params": trial.params, "values": trial.values, "results": trial.user_attrs["results"]}
        for key, trial in finished(study).items()
    ]
    return done + [{"key": key, "infeasible": reason} for key, reason in infeasible(study).items()]


def add_settled(study: optuna.Study, entries: Sequence[dict[str, Any]]) -> int:
    """Put into a study what settled() gave of another one; keys that it has settled itself keep their outcome.

    Returns:
        Number of trials added.

    Raises:
        ValueError: an entry is none of settled(), or does not go with the study's choices and values.
    """
    known = settled_keys(study)
    choices = distributions(study)
    new = []
    for entry in entries:
        try:
            attrs: dict[str, Any] = {k: entry[k] for k in ("key", "results", "infeasible") if k in entry}
            done = "infeasible" not in attrs
            trial = optuna.trial.create_trial(
                state=TrialState.COMPLETE if done else TrialState.FAIL,
                params=entry["params"] if done else None,
                distributions=choices if done else None,
                values=entry["values"] if done else None,
                user_attrs=attrs,
            )
            if done and len(entry["values"]) != len(study.directions):
                raise ValueError(f"{len(entry['values'])} values for {len(study.directions)} directions")
            if attrs["key"] not in known:
                new.append(trial)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"sweep: trial {str(entry)[:80]} does not go with study {study.study_name!r}: {error!r}"
            ) from None
    for trial in new:
        study.add_trial(trial)
    return len(new)


@contextmanager
def workers(count: int, scheduler: str | None = None) -> Iterator[Client]:
    """Dask client: of processes on this machine, one thread each, or of the scheduler at an address.

    Raises:
        RuntimeError: no scheduler answers at the address.
    """
    if scheduler is None:
        with (
            # Dask's own setting has glibc return memory after each large tensor, which doubles the time of a trial
            dask.config.set({"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1}}),
            LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise RuntimeError(
            f"sweep: no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler` from this "
            "repository's environment"
        ) from None
    with client:
        yield client


def run(
    study: optuna.Study,
    tasks: Sequence[Task],
    evaluate: Evaluate,
    client: Client,
    report: Callable[[str], None] = print,
    propose: Callable[[dict[str, Any]], Task] | None = None,
    proposals: int = 0,
    again: bool = False,
) -> Tally:
    """Evaluate the tasks that have no finished trial, then new designs that the sampler proposes.

    Args:
        study: From open_study.
        tasks: Fixed tasks with unique keys; those that are settled are left out.
        evaluate: Runs in a worker; importable there.
        client: From workers.
        report: Told one line per trial.
        propose: Makes a task of the sampler's params; equal designs have equal keys.
        proposals: New designs to evaluate.
        again: Tasks that were infeasible are evaluated again.

    Returns:
        What was finished and what failed. A failed task is tried again by the next run.

    Raises:
        ValueError: another process runs this study.
        RuntimeError: for WORKER_SECONDS there was no worker, or the scheduler is gone.
        KeyboardInterrupt: interrupted; trials that were under way count as failed and are repeated by the next run.
    """
    with _lease(study) as renew:
        _discard_unfinished(study)
        known = set(finished(study)) if again else settled_keys(study)
        todo = deque(task for task in tasks if task.key not in known)
        report(f"sweep: {len(tasks) - len(todo)} of {len(tasks)} fixed trials are finished")
        keys = known | {task.key for task in tasks}
        return _Run(study, evaluate, client, report, propose, proposals, todo, keys, renew).loop()


class _Run:
    """State of one run."""

    def __init__(
        self,
        study: optuna.Study,
        evaluate: Evaluate,
        client: Client,
        report: Callable[[str], None],
        propose: Callable[[dict[str, Any]], Task] | None,
        proposals: int,
        todo: deque[Task],
        known: set[str],
        renew: Callable[[], None],
    ) -> None:
        self.study, self.evaluate, self.client, self.report, self.renew = study, evaluate, client, report, renew
        self.propose, self.proposals, self.todo, self.known = propose, proposals, todo, known
        self.active: dict[Future, tuple[Trial, Task]] = {}
        self.attempts: dict[str, int] = {}
        self.tally = Tally()
        self.last_worker = time.monotonic()

    def threads(self) -> int:
        """Threads of all workers.

        Raises:
            RuntimeError: there has been none for WORKER_SECONDS, or the scheduler is gone.
        """
        try:
            count = sum(self.client.nthreads().values())
        except OSError as error:
            raise RuntimeError(
                f"sweep: the Dask scheduler is gone ({error}); what is finished is kept, start the scheduler and the "
                "same command again"
            ) from None
        if count:
            self.last_worker = time.monotonic()
        elif time.monotonic() - self.last_worker > WORKER_SECONDS:
            address = self.client.scheduler.address
            raise RuntimeError(
                f"sweep: the Dask scheduler at {address} has had no worker for {WORKER_SECONDS:g} s; start one with "
                f"`dask worker {address}` from this repository's environment, at the paths that it has here"
            )
        return count

    def loop(self) -> Tally:
        try:
            while self.active or self.todo or (self.propose is not None and self.proposals):
                threads = self.threads()
                while len(self.active) < threads and (task := self.next()):
                    self.submit(*task)
                if threads and not self.active:
                    return self.tally
                time.sleep(0.05)
                self.renew()
                for future in [future for future in self.active if future.done()]:
                    self.settle(future)
            return self.tally
        except BaseException:
            for future, (trial, _) in self.active.items():
                future.cancel()
                self.fail(trial, "interrupted")
            raise

    def next(self) -> tuple[Trial, Task] | None:
        """A new running trial and its task."""
        if self.todo:
            task = self.todo.popleft()
            self.study.enqueue_trial(task.params, user_attrs={"key": task.key})
            trial = self.study.ask(fixed_distributions=distributions(self.study))
            if trial.user_attrs.get("key") != task.key or trial.params != task.params:
                raise RuntimeError(f"sweep: asked for {task.key} {task.params}, the study gave {trial.params}")
            return trial, task
        if self.propose is None:
            return None
        sampler = self.study.sampler
        for repeats in range(MAX_REPEATS):
            if self.proposals == 0:
                return None
            if repeats >= SAMPLER_REPEATS:
                self.study.sampler = optuna.samplers.RandomSampler(seed=len(self.study.get_trials(deepcopy=False)))
            trial = self.study.ask(fixed_distributions=distributions(self.study))
            self.study.sampler = sampler
            task = self.propose(trial.params)
            if task.key not in self.known:
                self.known.add(task.key)
                self.proposals -= 1
                trial.set_user_attr("key", task.key)
                return trial, task
            self.fail(trial, f"repeats {task.key}")
        self.report(f"sweep: the sampler repeats itself; {self.proposals} proposals are left undone")
        self.proposals = 0
        return None

    def submit(self, trial: Trial, task: Task) -> None:
        self.attempts[task.key] = self.attempts.get(task.key, 0) + 1
        future = self.client.submit(self.evaluate, task.job, key=f"{task.key}-{uuid.uuid4().hex}", pure=False)
        self.active[future] = (trial, task)

    def settle(self, future: Future) -> None:
        """Tell the study what became of a trial."""
        trial, task = self.active.pop(future)
        if future.status == "finished":
            outcome = future.result()
            trial.set_user_attr("results", outcome["results"])
            self.study.tell(trial, outcome["values"])
            self.tally.finished.append(task.key)
            self.report(f"sweep: {task.key}: {', '.join(f'{value:,.6g}' for value in outcome['values'])}")
            return
        error = future.exception() if future.status == "error" else RuntimeError(f"the task was {future.status}")
        if isinstance(error, InfeasibleError):
            trial.set_user_attr("infeasible", str(error))
            self.fail(trial, str(error))
            self.tally.infeasible[task.key] = str(error)
            self.report(f"sweep: {task.key} cannot be built: {error}")
            return
        again = isinstance(error, KilledWorker) or future.status != "error"
        reason = " ".join(str(error).split())
        self.fail(trial, f"{type(error).__name__}: {reason}")
        if again and self.attempts[task.key] < ATTEMPTS:
            self.todo.append(task)
            return
        self.tally.failed[task.key] = reason
        self.report(f"sweep: {task.key} failed: {reason}")

    def fail(self, trial: Trial, reason: str) -> None:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process took the study over
            trial.set_user_attr("error", reason)
            self.study.tell(trial, state=TrialState.FAIL)


def _discard_unfinished(study: optuna.Study) -> None:
    """Mark as failed what a run that ended without telling left behind."""
    while any(trial.state == TrialState.WAITING for trial in study.get_trials(deepcopy=False)):
        study.tell(study.ask(), state=TrialState.FAIL)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


@contextmanager
def _lease(study: optuna.Study) -> Iterator[Callable[[], None]]:
    """Be the only coordinator of a study; yields a function that renews the claim.

    Raises:
        ValueError: another one is at work.
    """
    own = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
    held = study.user_attrs.get("coordinator") or {}
    if held and _alive(held):
        raise ValueError(
            f"sweep: study {study.study_name!r} is being run by process {held['pid']} on {held['host']}; wait for it"
        )
    last = -RENEW_SECONDS

    def renew(first: bool = False) -> None:
        nonlocal last
        if time.monotonic() - last >= RENEW_SECONDS:
            if not first and study.user_attrs["coordinator"].get("id") != own["id"]:
                raise RuntimeError(f"sweep: study {study.study_name!r} was taken over by another process")
            study.set_user_attr("coordinator", own | {"time": time.time()})
            last = time.monotonic()

    renew(first=True)
    time.sleep(0.2)  # of two that claim it at once the later one stays
    if study.user_attrs["coordinator"].get("id") != own["id"]:
        raise ValueError(f"sweep: study {study.study_name!r} was just taken up by another process; wait for it")
    try:
        yield renew
    finally:
        if study.user_attrs["coordinator"].get("id") == own["id"]:
            study.set_user_attr("coordinator", {})


def _alive(held: dict[str, Any]) -> bool:
    """True while the holder of a lease may still be at work."""
    if time.time() - held["time"] > LEASE_SECONDS:
        return False
    if held["host"] != socket.gethostname():
        return True
    try:
        os.kill(held["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
