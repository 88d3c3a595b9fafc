# SPDX-License-Identifier: Apache-2.0
"""The fast path of simulation: a SystemVerilog module as a shared library that is fed with numpy arrays in bulk.

Verilator makes C++ of the module, one g++ call makes a library of all of it with sim/harness.cpp, ctypes loads it.
Builds are cached by content. How to use it from a test is told in sim/bench/__init__.py.

A stream is named by the prefix of its ports (`s_axis` for s_axis_tdata, s_axis_tvalid, s_axis_tready). When tvalid is a
vector of n bits (fork, split) it is n streams named `m_axis[0]`.. that share tdata in equal parts. Where there is a
tlast it marks the last beat of every job, on inputs and on outputs.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.toolchain import (
    ROOT,
    cache_dir,
    compiler,
    content_hash,
    cxx_flags,
    new_folder,
    parameter_args,
    publish,
    run_tool,
    runtime,
    tool_version,
    trace_flags,
    trace_kind,
    unit_sources,
    verilator_dir,
    verilator_env,
)
from sim.words import Beats, Expected, Words, as_words, beat_count, compare_words, fields, pack, unpack, unpack_like

__all__ = [
    "ROOT",
    "Beats",
    "DeadlockError",
    "Design",
    "Job",
    "Probe",
    "Result",
    "SimulationError",
    "Words",
    "as_words",
    "fields",
    "pack",
    "unit_sources",
    "unpack",
]  # fmt: skip

HARNESS = Path(__file__).with_name("harness.cpp")


class SimulationError(RuntimeError):
    """The simulated module broke the stream protocol, stopped itself or made no progress."""


class DeadlockError(SimulationError):
    """No handshake at any port for idle_limit cycles."""


@dataclass(frozen=True)
class Port:
    """A port of the module. bits as in the port list, index into the library's table."""

    name: str
    bits: int
    is_input: bool
    index: int


@dataclass(frozen=True)
class Stream:
    """An AXI4-Stream, or one lane of a packed bundle of them."""

    name: str
    is_input: bool
    data: int
    valid: int
    ready: int
    last: int
    lane: int
    lanes: int
    bits: int


def _read_ports(header: str) -> list[Port]:
    """Ports of the model from its C++ class, in order."""
    ports: list[Port] = []
    for kind, name, msb, lsb in re.findall(r"VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),(\d+)", header):
        ports.append(Port(name, int(msb) - int(lsb) + 1, kind == "IN", len(ports)))
    return ports


def _find_streams(ports: Sequence[Port]) -> dict[str, Stream]:
    by_name = {p.name: p for p in ports}
    streams = {}
    for valid in ports:
        if not valid.name.endswith("_tvalid"):
            continue
        prefix = valid.name.removesuffix("_tvalid")
        data, ready = by_name.get(prefix + "_tdata"), by_name.get(prefix + "_tready")
        lanes = valid.bits
        if data is not None and data.bits % lanes:
            raise ValueError(f"sim: {prefix}_tdata has {data.bits} bits, not a multiple of {lanes} tvalid bits")
        last = by_name.get(prefix + "_tlast")
        pins = {n: p.index if p else -1 for n, p in (("data", data), ("ready", ready), ("last", last))}
        for lane in range(lanes):
            name = prefix if lanes == 1 else f"{prefix}[{lane}]"
            streams[name] = Stream(
                name,
                valid.is_input,
                valid=valid.index,
                lane=lane,
                lanes=lanes,
                bits=data.bits // lanes if data else 1,
                **pins,
            )
    return streams


def _build(
    top: str,
    sources: Sequence[Path],
    params: Mapping[str, object],
    defines: Sequence[str],
    trace: str,
    options: Sequence[str],
    level: str,
) -> Path:
    """Folder of the compiled module in the cache: dut.so and design.json (its ports)."""
    for source in sources:
        if not source.is_file():
            raise ValueError(f"sim: source file {source} of {top} does not exist")
    args = ["--cc", "--threads", "1", "--assert", "--x-initial", "unique", "--x-assign", "unique"]
    args += ["-Wno-fatal", "-Wno-lint", "--no-timing", "--prefix", "Vdut", "--top-module", top, *options]
    args += [f"-D{d}" for d in defines] + parameter_args(params)
    args += {"": [], "vcd": ["--trace-vcd"], "fst": ["--trace-fst"]}[trace]
    headers = sorted({f for s in sources for f in s.parent.glob("*.*vh")})
    key = content_hash(HARNESS, *sources, *headers, args, level, cxx_flags(trace), tool_version())
    final = cache_dir() / f"{top}_{key}"
    if (final / "dut.so").is_file():
        return final
    library = runtime(trace)
    with new_folder(final) as made:
        obj = made / "obj"
        command = [verilator_dir() / "bin" / "verilator_bin", *args, "--Mdir", obj, *[s.resolve() for s in sources]]
        run_tool(command, f"verilator [{top}]", env=verilator_env())
        ports = _read_ports((obj / "Vdut.h").read_text())
        if "clk" not in {p.name for p in ports}:
            names = ", ".join(p.name for p in ports)
            raise ValueError(f"sim: module {top} has no input clk; its ports are {names}")
        (obj / "all.cpp").write_text(_main_text(sorted(obj.glob("*.cpp")), ports, trace))
        flags = [*cxx_flags(trace), f"-I{obj}"]
        header = library / level[1:] / "prefix.h"
        prefix = ["-include", header] if header.is_file() else []
        run_tool([compiler(), level, *prefix, *flags, "-c", obj / "all.cpp", "-o", made / "all.o"], f"g++ [{top}]")
        objects = [made / "all.o", *sorted(library.glob("*.o"))]
        link = ["-shared", "-Wl,-Bsymbolic", *objects, *(trace_flags()[1] if trace == "fst" else []), "-lpthread"]
        run_tool([compiler(), *link, "-o", made / "dut.so"], f"g++ [{top}]")
        (made / "all.o").unlink()
        shutil.rmtree(obj)
        about = {"top": top, "ports": [[p.name, p.bits, p.is_input] for p in ports]}
        (made / "design.json").write_text(json.dumps(about, indent=1))
        return publish(made, final)


def _main_text(generated: Sequence[Path], ports: Sequence[Port], trace: str) -> str:
    """The one file that g++ compiles: Verilator's files, the table of ports, the harness."""
    index = {p.name: p.index for p in ports}
    lines = ['#include "Vdut.h"', *[f'#include "{f.name}"' for f in generated]]
    if trace:
        name = {"vcd": "VerilatedVcdC", "fst": "VerilatedFstC"}[trace]
        lines += ["#define VT_TRACE 1", f"#define VT_TRACE_CLASS {name}", f'#include "verilated_{trace}_c.h"']
    lines += [f"#define VT_CLK {index['clk']}", f"#define VT_RST {index.get('rst', -1)}", f'#include "{HARNESS}"']
    lines += ["namespace {", "void vt_bind(Vdut* m, std::vector<Signal>& ports) {"]
    lines += [f"    ports.push_back({{reinterpret_cast<uint8_t*>(&m->{n}), sizeof(m->{n})}});" for n in index]
    return "\n".join([*lines, "}", "}  // namespace", ""])


@dataclass
class Job:
    """What one job (image, frame) feeds and expects.

    Attributes:
        inputs: stream -> 1-D integers (one element per beat), 2-D (beats, elements), list of Python ints, or Words.
        outputs: stream -> expected values in the same forms (compared bit by bit), a number of beats, or Beats.
        cfg: port -> value, on the inputs while this job's first beat passes.
    """

    inputs: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, object] = field(default_factory=dict)
    cfg: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """What a run gave. Every list has one item per job.

    Attributes:
        outputs: stream -> arrays, in the form in which they were expected (a number of beats: 1-D unsigned integers).
        cycles: From the end of reset to the last handshake.
        first, last: stream -> cycle of the first and last output beat of each job (-1: no beat).
        probes: name -> Words captured; stamps: name -> cycle of each of these beats; probe_beats: beats seen in all.
        peaks: scope -> value of the variables named `peak` at the end of the run.
    """

    outputs: dict[str, list[np.ndarray]] = field(default_factory=dict)
    cycles: int = 0
    first: dict[str, list[int]] = field(default_factory=dict)
    last: dict[str, list[int]] = field(default_factory=dict)
    probes: dict[str, Words] = field(default_factory=dict)
    stamps: dict[str, np.ndarray] = field(default_factory=dict)
    probe_beats: dict[str, int] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """Internal stream to record: the public variables <wire>_tdata, _tvalid, _tready in `scope`.

    scope is spelt as Design.public_variables() gives it (TOP.vit_top.instance).
    """

    name: str
    scope: str
    wire: str
    bits: int
    capacity: int


_P32 = ctypes.POINTER(ctypes.c_uint32)
_P64 = ctypes.POINTER(ctypes.c_int64)
_PI32 = ctypes.POINTER(ctypes.c_int32)
MESSAGE_BYTES = 4096


class _VtStream(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p)]
    _fields_ += [(n, ctypes.c_int32) for n in ("data", "valid", "ready", "last_port")]
    _fields_ += [(n, ctypes.c_uint32) for n in ("lane", "lanes", "bits", "stall")]
    _fields_ += [("beats", _P32), ("job_end", _P64), ("first", _P64), ("last", _P64), ("done", ctypes.c_int64)]


class _VtProbe(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("scope", "data", "valid", "ready")]
    _fields_ += [("bits", ctypes.c_uint32), ("capacity", ctypes.c_uint32)]
    _fields_ += [("beats", _P32), ("stamps", _P32), ("done", ctypes.c_int64)]


class _VtRun(ctypes.Structure):
    _fields_ = [("in_", ctypes.POINTER(_VtStream)), ("out", ctypes.POINTER(_VtStream))]
    _fields_ += [("probes", ctypes.POINTER(_VtProbe))]
    _fields_ += [("cfg_ports", _PI32), ("cfg", _P32), ("other", _P32), ("write_ports", _PI32), ("writes", _P32)]
    _fields_ += [(n, ctypes.c_int64) for n in ("reset_at", "max_cycles", "idle_limit", "tail")]
    _fields_ += [(n, ctypes.c_int64) for n in ("trace_from", "trace_to")]
    _fields_ += [("seed", ctypes.c_uint64)]
    _fields_ += [(n, ctypes.c_int32) for n in ("n_in", "n_out", "n_probes", "n_jobs", "n_cfg", "cfg_words")]
    _fields_ += [(n, ctypes.c_int32) for n in ("n_writes", "n_write_ports", "cfg_stream", "cfg_hold", "allow_extra")]
    _fields_ += [
        ("trace_path", ctypes.c_char_p),
        ("cycles", ctypes.c_int64),
        ("message", ctypes.c_char * MESSAGE_BYTES),
    ]


def _p32(array: np.ndarray) -> Any:
    return array.ctypes.data_as(_P32)


def _p64(array: np.ndarray) -> Any:
    return array.ctypes.data_as(_P64)


def _pi32(array: np.ndarray) -> Any:
    return array.ctypes.data_as(_PI32)


class _Plan:
    """The C structures of one run, and the arrays that they point at."""

    def __init__(self, design: Design, jobs: Sequence[Job], stall: int | Mapping[str, int]):
        self.design, self.jobs, self.stall = design, jobs, stall
        self.run = _VtRun()
        self.keep: list[Any] = []
        self.inputs = sorted({n for j in jobs for n in j.inputs})
        self.outputs = sorted({n for j in jobs for n in j.outputs})
        self.wanted: dict[str, list[Any]] = {}
        self.room: dict[str, np.ndarray] = {}
        self.ends: dict[str, np.ndarray] = {}
        self.times: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.run.n_jobs = len(jobs)
        self._add_inputs()
        self._add_outputs()

    def _stream(self, struct: _VtStream, s: Stream, beats: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        ends = np.cumsum([0, *counts], dtype=np.int64)
        percent = self.stall.get(s.name, 0) if isinstance(self.stall, Mapping) else self.stall
        if not 0 <= int(percent) < 100:
            raise ValueError(f"sim: stall of {s.name} is {percent}, 0..99 percent expected")
        beats, job_end = np.ascontiguousarray(beats, np.uint32), ends[1:].copy()
        self.keep += [beats, job_end]
        struct.name, struct.data, struct.valid, struct.ready = s.name.encode(), s.data, s.valid, s.ready
        struct.last_port, struct.lane, struct.lanes, struct.bits, struct.stall = (
            s.last,
            s.lane,
            s.lanes,
            s.bits,
            percent,
        )
        struct.beats, struct.job_end = _p32(beats), _p64(job_end)
        return ends

    def _add_inputs(self) -> None:
        structs = (_VtStream * max(1, len(self.inputs)))()
        for struct, name in zip(structs, self.inputs, strict=False):
            s = self.design.stream(name, True)
            where = f"sim: {self.design.name} {name} job"
            parts = [as_words(j.inputs.get(name, ()), s.bits, f"{where} {i}").data for i, j in enumerate(self.jobs)]
            self._stream(struct, s, parts[0] if len(parts) == 1 else np.concatenate(parts), [len(p) for p in parts])
        self.keep.append(structs)
        self.run.in_, self.run.n_in = structs, len(self.inputs)

    def _add_outputs(self) -> None:
        # streams that no job mentions are drained and must stay silent
        silent = [s.name for s in self.design.streams.values() if not s.is_input and s.name not in self.outputs]
        names = [*self.outputs, *silent]
        structs = (_VtStream * max(1, len(names)))()
        for struct, name in zip(structs, names, strict=False):
            s = self.design.stream(name, False)
            where = f"sim: {self.design.name} {name} job"
            wanted = [_expect(j.outputs.get(name, 0), s.bits, f"{where} {i}") for i, j in enumerate(self.jobs)]
            counts = [beat_count(w) for w in wanted]
            room = np.zeros((sum(counts), -(-s.bits // 32)), np.uint32)
            self.times[name] = (np.full(len(self.jobs), -1, np.int64), np.full(len(self.jobs), -1, np.int64))
            self.wanted[name], self.room[name] = wanted, room
            self.ends[name] = self._stream(struct, s, room, counts)
            struct.first, struct.last = _p64(self.times[name][0]), _p64(self.times[name][1])
        self.keep.append(structs)
        self.run.out, self.run.n_out = structs, len(names)

    def add_cfg(self, cfg_stream: str | None, cfg_hold: bool) -> None:
        jobs, ports, what = self.jobs, self.design.ports, f"sim: {self.design.name}"
        names = sorted({n for j in jobs for n in j.cfg})
        self.design.check_inputs(names)
        words = max([1] + [-(-ports[n].bits // 32) for n in names])
        shape = (len(jobs), max(1, len(names)), words)
        shown, other = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
        for i, job in enumerate(jobs):
            for k, n in enumerate(names):
                if n not in job.cfg:
                    raise ValueError(f"{what}: job {i} lacks cfg value {n!r}")
                bits, value = ports[n].bits, int(job.cfg[n])
                full = (1 << bits) - 1
                if not -(1 << (bits - 1)) <= value <= full:
                    raise ValueError(f"{what}: {n}={value} of job {i} does not fit {bits} bits")
                for w in range(words):
                    shown[i, k, w] = ((value & full) >> (32 * w)) & 0xFFFFFFFF
                    other[i, k, w] = ((~value & full) >> (32 * w)) & 0xFFFFFFFF
        index = np.array([ports[n].index for n in names] or [0], np.int32)
        self.keep += [shown, other, index]
        run = self.run
        run.cfg_ports, run.cfg, run.other, run.n_cfg, run.cfg_words = (
            _pi32(index),
            _p32(shown),
            _p32(other),
            len(names),
            words,
        )
        run.cfg_hold, run.cfg_stream = int(cfg_hold), -1
        if cfg_stream is not None:
            self.design.stream(cfg_stream, True)
            run.cfg_stream = self.inputs.index(cfg_stream)

    def add_writes(self, writes: Sequence[Mapping[str, int]]) -> None:
        names = sorted({n for w in writes for n in w})
        self.design.check_inputs(names)
        table = np.zeros((max(1, len(writes)), max(1, len(names))), np.uint32)
        for i, write in enumerate(writes):
            for k, n in enumerate(names):
                table[i, k] = int(write.get(n, 0)) & ((1 << self.design.ports[n].bits) - 1) & 0xFFFFFFFF
        index = np.array([self.design.ports[n].index for n in names] or [0], np.int32)
        self.keep += [table, index]
        self.run.write_ports, self.run.writes = _pi32(index), _p32(table)
        self.run.n_writes, self.run.n_write_ports = len(writes), len(names)

    def add_probes(self, probes: Sequence[Probe]) -> list[tuple[Probe, _VtProbe, np.ndarray, np.ndarray]]:
        structs = (_VtProbe * max(1, len(probes)))()
        rows = []
        for struct, probe in zip(structs, probes, strict=False):
            beats, stamps = (
                np.zeros((probe.capacity, -(-probe.bits // 32)), np.uint32),
                np.zeros(probe.capacity, np.uint32),
            )
            struct.scope = probe.scope.encode()
            struct.data, struct.valid, struct.ready = (
                f"{probe.wire}_{p}".encode() for p in ("tdata", "tvalid", "tready")
            )
            struct.bits, struct.capacity, struct.beats, struct.stamps = (
                probe.bits,
                probe.capacity,
                _p32(beats),
                _p32(stamps),
            )
            rows.append((probe, struct, beats, stamps))
        self.keep.append(structs)
        self.run.probes, self.run.n_probes = structs, len(probes)
        return rows


def _expect(wanted: Any, bits: int, what: str) -> Beats | Words | Expected:
    if isinstance(wanted, (int, np.integer)):
        return Beats(int(wanted))
    if isinstance(wanted, (Beats, Words)):
        return wanted
    values = np.array(wanted, object) if bits > 63 and isinstance(wanted, (list, tuple)) else np.asarray(wanted)
    return Expected(as_words(wanted, bits, what), values)


_WORKING_FOLDER = threading.Lock()


class Design:
    """A compiled module. `streams` and `ports` say what was found in it."""

    def __init__(self, folder: Path, name: str):
        about = json.loads((folder / "design.json").read_text())
        self.folder, self.name = folder, name
        self.ports = {n: Port(n, bits, is_input, i) for i, (n, bits, is_input) in enumerate(about["ports"])}
        self.streams = _find_streams(list(self.ports.values()))
        lib = ctypes.CDLL(str(folder / "dut.so"), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        text, number, handle = ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p
        lib.vt_new.restype, lib.vt_new.argtypes = handle, [ctypes.c_uint64]
        lib.vt_delete.argtypes = [handle]
        lib.vt_start.argtypes = [handle, text, number]
        lib.vt_run.argtypes = [handle, ctypes.POINTER(_VtRun)]
        lib.vt_list.restype, lib.vt_list.argtypes = number, [handle, text, number]
        lib.vt_peek.restype, lib.vt_peek.argtypes = number, [handle, text, text]
        self._lib = lib

    @classmethod
    def build(
        cls,
        top: str,
        sources: Sequence[str | os.PathLike] | None = None,
        params: Mapping[str, object] | None = None,
        defines: Sequence[str] = (),
        trace: bool = False,
        options: Sequence[str] = (),
        level: str = "-O1",
    ) -> Design:
        """Compile `top`, or take it from the cache.

        Args:
            top: Module name.
            sources: Files in order; None takes hw/rtl/<top>/<top>.f.
            params: Parameters of the top (integers or strings).
            defines: Preprocessor definitions, NAME or NAME=VALUE.
            trace: Build with waveforms (slower).
            options: Further Verilator options.
            level: g++ optimization: -O1 compiles fast, -O2 runs faster on large designs.

        Raises:
            ValueError: a file is missing or the module has no clock.
            RuntimeError: Verilator or g++ failed; the text holds their messages.
        """
        paths = unit_sources(top) if sources is None else [Path(s) for s in sources]
        folder = _build(top, paths, dict(params or {}), list(defines), trace_kind() if trace else "", options, level)
        text = ", ".join(f"{k}={v}" for k, v in (params or {}).items() if not isinstance(v, str))
        return cls(folder, f"{top}({text})" if text else top)

    def stream(self, name: str, is_input: bool | None = None) -> Stream:
        """The stream of that name; ValueError naming the ones that exist."""
        found = self.streams.get(name)
        if found is None or (is_input is not None and found.is_input != is_input):
            names = [s.name for s in self.streams.values() if is_input is None or s.is_input == is_input]
            kind = {True: "input ", False: "output ", None: ""}[is_input]
            raise ValueError(f"sim: {self.name} has no {kind}stream {name!r}; it has {', '.join(names)}")
        return found

    def check_inputs(self, names: Sequence[str]) -> None:
        """ValueError when one of the names is no input port."""
        for n in names:
            if n not in self.ports or not self.ports[n].is_input:
                inputs = ", ".join(p.name for p in self.ports.values() if p.is_input)
                raise ValueError(f"sim: {self.name} has no input {n!r}; it has {inputs}")

    def public_variables(self) -> list[tuple[str, str, int]]:
        """(scope, name, bits) of every variable marked public_flat_rd."""
        handle = self._lib.vt_new(1)
        try:
            return self._variables(handle)
        finally:
            self._lib.vt_delete(handle)

    def _variables(self, handle: int) -> list[tuple[str, str, int]]:
        need = self._lib.vt_list(handle, None, 0)
        buffer = ctypes.create_string_buffer(int(need) + 1)
        self._lib.vt_list(handle, buffer, need + 1)
        rows = [line.rsplit(" ", 2) for line in buffer.value.decode().splitlines()]
        return [(scope, name, int(bits)) for scope, name, bits in rows]

    def _start(self, handle: int, cwd: str | os.PathLike | None) -> None:
        message = ctypes.create_string_buffer(MESSAGE_BYTES)
        with _WORKING_FOLDER:
            here = os.getcwd()
            try:
                if cwd is not None:
                    os.chdir(cwd)
                if self._lib.vt_start(handle, message, MESSAGE_BYTES):
                    text = message.value.decode(errors="replace")
                    raise SimulationError(f"sim: {self.name}: {text} (working directory {cwd or here})")
            finally:
                os.chdir(here)

    def run(
        self,
        jobs: Sequence[Job],
        stall: int | Mapping[str, int] = 0,
        seed: int = 1,
        reset_at: int | None = None,
        max_cycles: int = 0,
        idle_limit: int = 200000,
        cfg_stream: str | None = None,
        cfg_hold: bool = True,
        writes: Sequence[Mapping[str, int]] = (),
        allow_extra: bool = False,
        tail: int = 64,
        cwd: str | os.PathLike | None = None,
        probes: Sequence[Probe] = (),
        trace_path: str | os.PathLike | None = None,
        trace_window: tuple[int, int] = (0, 1 << 62),
        compare: bool = True,
    ) -> Result:
        """Reset the module, run the jobs one after another without idle cycles, compare what is expected.

        The simulation itself holds no Python lock, so several threads may run the same design at once.

        Args:
            jobs: The jobs. A job's cfg is applied when all input beats of the job before it were accepted; jobs whose
                cfg is equal to the one before are not held back at all.
            stall: Percent of cycles in which a stream stalls, one number for all or stream -> percent.
            seed: Seed of the stalls and of the uninitialized registers. With an odd seed every stalled output waits
                for tvalid before it raises tready.
            reset_at: Cycle at which rst is raised for two cycles; then everything starts again from the first job.
            max_cycles: Give up after so many cycles (0: never).
            idle_limit: Cycles without any handshake that count as deadlock.
            cfg_stream: Input stream whose first beat samples cfg: job n+1's cfg appears when this stream has had job
                n's beats, whatever the other streams still have to send.
            cfg_hold: With cfg_stream: False shows wrong values as soon as the job's first beat passed.
            writes: Write-port traffic after every reset, one dict port -> value per cycle; the ports are zero then.
            allow_extra: Outputs may have more beats than expected (endless sources such as rom); they are not taken.
            tail: Cycles to watch for beats too many after the end.
            cwd: Working directory for $readmemh files.
            probes: Internal streams to record; the run goes on until each has had as many beats as it can record.
            trace_path: Waveform file, needs a build with trace=True.
            trace_window: First and last cycle to dump, counted like Result.cycles.
            compare: False returns outputs without comparing them.

        Raises:
            SimulationError: deadlock, broken protocol, assertion in the module.
            AssertionError: a value differs; the text names stream, job, beat and element.
        """
        if not jobs:
            raise ValueError(f"sim: {self.name}: no jobs given")
        plan = _Plan(self, jobs, stall)
        plan.add_cfg(cfg_stream, cfg_hold)
        plan.add_writes(writes)
        rows = plan.add_probes(probes)
        run = plan.run
        run.reset_at = -1 if reset_at is None else reset_at
        run.max_cycles, run.idle_limit, run.tail, run.seed = max_cycles, idle_limit, tail, seed
        run.allow_extra = int(allow_extra)
        run.trace_from, run.trace_to = trace_window
        run.trace_path = None if trace_path is None else str(Path(trace_path).resolve()).encode()
        result = Result()
        handle = self._lib.vt_new(seed)
        try:
            self._start(handle, cwd)
            failed = self._lib.vt_run(handle, ctypes.byref(run))
            for scope, name, _ in self._variables(handle):
                if name == "peak":
                    result.peaks[scope] = int(self._lib.vt_peek(handle, scope.encode(), name.encode()))
        finally:
            self._lib.vt_delete(handle)
        if failed:
            message = run.message.decode(errors="replace")
            kind = DeadlockError if message.startswith("no handshake") else SimulationError
            raise kind(f"sim: {self.name} (seed {seed}): {message}")
        result.cycles = int(run.cycles)
        for name in plan.outputs:
            s, ends = self.streams[name], plan.ends[name]
            result.first[name], result.last[name] = (t.tolist() for t in plan.times[name])
            result.outputs[name] = []
            for i, want in enumerate(plan.wanted[name]):
                got = Words(plan.room[name][ends[i] : ends[i + 1]], s.bits)
                if compare and not isinstance(want, Beats):
                    compare_words(got, want, f"sim: {self.name} {name} job {i}", seed)
                result.outputs[name].append(unpack_like(got, want))
        for probe, struct, beats, stamps in rows:
            seen = int(struct.done)
            result.probe_beats[probe.name], result.stamps[probe.name] = seen, stamps[:seen]
            result.probes[probe.name] = Words(beats[:seen], probe.bits)
        return result

    def run_streams(
        self,
        inputs: Mapping[str, object],
        outputs: Mapping[str, object],
        cfg: Mapping[str, int] | None = None,
        **options: Any,
    ) -> tuple[dict[str, np.ndarray], int]:
        """One job: run([Job(inputs, outputs, cfg)], **options) -> (stream -> array, cycles)."""
        result = self.run([Job(inputs, outputs, cfg or {})], **options)
        return {name: items[0] for name, items in result.outputs.items()}, result.cycles
