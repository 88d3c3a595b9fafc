# SPDX-License-Identifier: Apache-2.0
"""Run one external tool: output into a log file, elapsed time shown, a failure explained."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sim.toolchain import stop_group

# Called now and then with the elapsed seconds and the last line of the log
Progress = Callable[[float, str], None]


def show_progress(label: str) -> Progress:
    """Return a Progress that keeps one line of a terminal up to date, and is silent elsewhere."""

    def show(seconds: float, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{label}: {seconds:.0f} s  {line[:80]}", end="", file=sys.stderr, flush=True)

    return show


def run_tool(
    command: Sequence[str],
    log: Path,
    cwd: Path,
    what: str,
    progress: Progress | None = None,
    hint: str = "",
    every_seconds: float = 1.0,
) -> float:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        log: File that takes stdout and stderr; overwritten.
        cwd: Working directory.
        what: What is being done, for the error message, e.g. "yosys: synthesis of ulx3s_top".
        progress: Told the elapsed seconds every every_seconds.
        hint: What to do next, appended to the error message.

    Returns:
        Elapsed seconds.

    Raises:
        RuntimeError: the tool is missing or failed; the text has the command, the log's path and its first error line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    progress = progress or show_progress(what)
    with log.open("w") as stream:
        try:
            process = subprocess.Popen(
                command, cwd=cwd, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, process_group=0
            )
        except FileNotFoundError as error:
            raise RuntimeError(
                f"{what}: cannot run '{command[0]}' in {cwd}: {error.strerror}; run: make venv"
            ) from None
        try:
            while True:
                try:
                    code = process.wait(timeout=every_seconds)
                    break
                except subprocess.TimeoutExpired:
                    progress(time.monotonic() - start, _last_line(log))
        finally:
            stop_group(process)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    if code != 0:
        raise RuntimeError(
            f"{what} failed (exit status {code}): {_first_error(log)}\n"
            f"  command: {shlex.join(str(part) for part in command)}\n  in: {cwd}\n  log: {log}"
            + (f"\n  {hint}" if hint else "")
        )
    return time.monotonic() - start


def _last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 2000))
        lines = stream.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _first_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    for line in lines:
        if "error" in line.lower() and not line.lstrip().startswith("Info"):
            return line.strip()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
