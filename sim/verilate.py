# SPDX-License-Identifier: Apache-2.0
"""The fast path of simulation: a SystemVerilog module as a shared library that is fed with numpy arrays in bulk.

Verilator makes C++ of the module, one g++ call makes a library of all of it with sim/harness.cpp, ctypes loads it.
Builds are cached by content. How to use it from a test is told in sim/bench/__init__.py.

A stream is named by the prefix of its ports (`s_axis` for s_axis_tdata, s_axis_tvalid, s_axis_tready). When tvalid is a
vector of n bits (fork, split) it is n streams named `m_axis[0]`.. that share tdata in equal parts.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
    trace_kind,
    unit_sources,
    verilator_dir,
    verilator_env,
)
from sim.words import Beats, Expected, Words, as_words, beat_count, compare_words, fields, pack, unpack, unpack_like

__all__ = [
    "ROOT",
    "Beats",
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
    lane: int
    lanes: int
    bits: int


def _read_ports(header: str) -> list[Port]:
    """Ports of the model from its C++ class, in order."""
    ports = []
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
        for lane in range(lanes):
            name = prefix if lanes == 1 else f"{prefix}[{lane}]"
            bits = data.bits // lanes if data else 1
            streams[name] = Stream(
                name,
                valid.is_input,
                data.index if data else -1,
                valid.index,
                ready.index if ready else -1,
                lane,
                lanes,
                bits,
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
        prefix = ["-include", library / level[1:] / "prefix.h"]
        run_tool([compiler(), level, *prefix, *flags, "-c", obj / "all.cpp", "-o", made / "all.o"], f"g++ [{top}]")
        objects = [made / "all.o", *sorted(library.glob("*.o"))]
        link = ["-shared", "-Wl,-Bsymbolic", *objects, *(["-lz"] if trace == "fst" else []), "-lpthread"]
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
        probes: name -> Words captured; probe_beats: name -> beats seen, captured or not.
        peaks: scope -> value of the variables named `peak` at the end of the run.
    """

    outputs: dict[str, list[np.ndarray]]
    cycles: int
    first: dict[str, list[int]]
    last: dict[str, list[int]]
    probes: dict[str, Words] = field(default_factory=dict)
    probe_beats: dict[str, int] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """Internal stream to record: names of public variables in `scope` (as Verilator spells it, TOP.top.instance)."""

    name: str
    scope: str
    data: str
    valid: str
    ready: str
    bits: int
    capacity: int


_P32 = ctypes.POINTER(ctypes.c_uint32)
_P64 = ctypes.POINTER(ctypes.c_int64)
_PI32 = ctypes.POINTER(ctypes.c_int32)


class _VtStream(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_int32),
        ("valid", ctypes.c_int32),
        ("ready", ctypes.c_int32),
    ]
    _fields_ += [(n, ctypes.c_uint32) for n in ("lane", "lanes", "bits", "stall")]
    _fields_ += [("beats", _P32), ("job_end", _P64), ("first", _P64), ("last", _P64), ("done", ctypes.c_int64)]


class _VtProbe(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("scope", "data", "valid", "ready")]
    _fields_ += [("bits", ctypes.c_uint32), ("capacity", ctypes.c_uint32), ("beats", _P32), ("done", ctypes.c_int64)]


class _VtRun(ctypes.Structure):
    _fields_ = [
        ("in_", ctypes.POINTER(_VtStream)),
        ("out", ctypes.POINTER(_VtStream)),
        ("probes", ctypes.POINTER(_VtProbe)),
    ]
    _fields_ += [("cfg_ports", _PI32), ("cfg", _P32), ("other", _P32), ("write_ports", _PI32), ("writes", _P32)]
    _fields_ += [
        (n, ctypes.c_int64) for n in ("reset_at", "max_cycles", "idle_limit", "tail", "trace_from", "trace_to")
    ]
    _fields_ += [("seed", ctypes.c_uint64)]
    _fields_ += [(n, ctypes.c_int32) for n in ("n_in", "n_out", "n_probes", "n_jobs", "n_cfg", "cfg_words", "n_writes")]
    _fields_ += [(n, ctypes.c_int32) for n in ("n_write_ports", "cfg_stream", "cfg_hold", "allow_extra")]
    _fields_ += [("trace_path", ctypes.c_char_p), ("cycles", ctypes.c_int64), ("message", ctypes.c_char * 4096)]


def _p32(array: np.ndarray):
    return array.ctypes.data_as(_P32)


def _p64(array: np.ndarray):
    return array.ctypes.data_as(_P64)


def _pi32(array: np.ndarray):
    return array.ctypes.data_as(_PI32)


class Design:
    """A compiled module. `streams` and `ports` say what was found in it."""

    def __init__(self, folder: Path, name: str):
        about = json.loads((folder / "design.json").read_text())
        self.folder, self.name = folder, name
        self.ports = {n: Port(n, bits, is_input, i) for i, (n, bits, is_input) in enumerate(about["ports"])}
        self.streams = _find_streams(list(self.ports.values()))
        self._lib = ctypes.CDLL(str(folder / "dut.so"), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        self._lib.vt_new.restype = ctypes.c_void_p
        self._lib.vt_new.argtypes = [ctypes.c_uint64]
        self._lib.vt_delete.argtypes = [ctypes.c_void_p]
        self._lib.vt_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(_VtRun)]
        self._lib.vt_list.restype = ctypes.c_int64
        self._lib.vt_list.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64]
        self._lib.vt_peek.restype = ctypes.c_int64
        self._lib.vt_peek.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]

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
        cache_dir().mkdir(parents=True, exist_ok=True)
        folder = _build(
            top, paths, dict(params or {}), list(defines), trace_kind() if trace else "", tuple(options), level
        )
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

    def run(
        self,
        jobs: Sequence[Job],
        stall: int | Mapping[str, int] = 0,
        seed: int = 1,
        reset_at: int | None = None,
        max_cycles: int = 0,
        idle_limit: int = 20000,
        cfg_stream: str | None = None,
        cfg_hold: bool = True,
        writes: Sequence[Mapping[str, int]] = (),
        allow_extra: bool = False,
        tail: int = 64,
        cwd: str | os.PathLike | None = None,
        probes: Sequence[Probe] = (),
        trace_path: str | os.PathLike | None = None,
        trace_window: tuple[int, int] = (0, 1 << 62),
    ) -> Result:
        """Reset the module, run the jobs one after another without idle cycles, compare what is expected.

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
            probes: Internal streams to record.
            trace_path: Waveform file, needs a build with trace=True.
            trace_window: First and last cycle (counted from the first reset on) to dump.

        Raises:
            SimulationError: deadlock, broken protocol, assertion in the module.
            AssertionError: a value differs; the text names stream, job, beat and element.
        """
        if not jobs:
            raise ValueError(f"sim: {self.name}: no jobs given")
        what = f"sim: {self.name}"
        names_in = sorted({n for job in jobs for n in job.inputs})
        names_out = sorted({n for job in jobs for n in job.outputs})
        absent = [s.name for s in self.streams.values() if not s.is_input and s.name not in names_out]
        keep: list[object] = []  # everything the C structures point at
        run = _VtRun()
        in_structs = (_VtStream * max(1, len(names_in)))()
        for struct, name in zip(in_structs, names_in, strict=False):
            s = self.stream(name, True)
            parts = [
                as_words(j.inputs.get(name, ()), s.bits, f"{what} {name} job {i}").data for i, j in enumerate(jobs)
            ]
            self._fill(struct, s, parts, stall, keep)
        expected: dict[str, list[object]] = {}
        out_structs = (_VtStream * max(1, len(names_out) + len(absent)))()
        counts: dict[str, np.ndarray] = {}
        for struct, name in zip(out_structs, [*names_out, *absent], strict=False):
            s = self.stream(name, False)
            wanted = [self._expect(j.outputs.get(name, 0), s, f"{what} {name} job {i}") for i, j in enumerate(jobs)]
            expected[name] = wanted
            counts[name] = np.array([0, *np.cumsum([beat_count(w) for w in wanted])], np.int64)
            room = np.zeros((int(counts[name][-1]), -(-s.bits // 32)), np.uint32)
            self._fill(struct, s, [room], stall, keep, counts[name][1:].copy())
            struct.first = _p64(first := np.full(len(jobs), -1, np.int64))
            struct.last = _p64(last := np.full(len(jobs), -1, np.int64))
            expected[name] = [wanted, room, first, last]
        keep += [in_structs, out_structs]
        run.in_, run.out, run.n_in, run.n_out = in_structs, out_structs, len(names_in), len(names_out) + len(absent)
        run.n_jobs = len(jobs)
        self._fill_cfg(run, jobs, names_in, cfg_stream, keep)
        self._fill_writes(run, writes, keep)
        probe_structs = (_VtProbe * max(1, len(probes)))()
        captured = []
        for struct, probe in zip(probe_structs, probes, strict=False):
            room = np.zeros((probe.capacity, -(-probe.bits // 32)), np.uint32)
            captured.append(room)
            struct.scope, struct.data = probe.scope.encode(), probe.data.encode()
            struct.valid, struct.ready = probe.valid.encode(), probe.ready.encode()
            struct.bits, struct.capacity, struct.beats = probe.bits, probe.capacity, _p32(room)
        run.probes, run.n_probes = probe_structs, len(probes)
        run.reset_at = -1 if reset_at is None else reset_at
        run.max_cycles, run.idle_limit, run.tail = max_cycles, idle_limit, tail
        run.trace_from, run.trace_to = trace_window
        run.seed, run.cfg_hold, run.allow_extra = seed, int(cfg_hold), int(allow_extra)
        if trace_path is not None:
            run.trace_path = str(Path(trace_path).resolve()).encode()
        here = os.getcwd()
        handle = self._lib.vt_new(seed)
        try:
            if cwd is not None:
                os.chdir(cwd)
            code = self._lib.vt_run(handle, ctypes.byref(run))
            peaks = {
                s: int(self._lib.vt_peek(handle, s.encode(), n.encode()))
                for s, n, _ in self._variables(handle)
                if n == "peak"
            }
        finally:
            os.chdir(here)
            self._lib.vt_delete(handle)
        if code:
            raise SimulationError(f"{what} (seed {seed}): {run.message.decode(errors='replace')}")
        result = Result({}, int(run.cycles), {}, {}, peaks=peaks)
        for name in names_out:
            wanted, room, first, last = expected[name]
            s, ends = self.streams[name], counts[name]
            result.first[name], result.last[name] = first.tolist(), last.tolist()
            got = [Words(room[ends[i] : ends[i + 1]], s.bits) for i in range(len(jobs))]
            for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
                if not isinstance(w, Beats):
                    compare_words(g, w, f"{what} {name}", i, seed)
            result.outputs[name] = [unpack_like(g, w) for g, w in zip(got, wanted, strict=True)]
        for struct, probe, room in zip(probe_structs, probes, captured, strict=False):
            result.probe_beats[probe.name] = int(struct.done)
            result.probes[probe.name] = Words(room[: min(probe.capacity, int(struct.done))], probe.bits)
        return result

    def run_streams(
        self,
        inputs: Mapping[str, object],
        outputs: Mapping[str, object],
        cfg: Mapping[str, int] | None = None,
        **options,
    ) -> tuple[dict[str, np.ndarray], int]:
        """One job: run([Job(inputs, outputs, cfg)], **options) -> (stream -> array, cycles)."""
        result = self.run([Job(inputs, outputs, cfg or {})], **options)
        return {name: items[0] for name, items in result.outputs.items()}, result.cycles

    def _expect(self, wanted: object, s: Stream, what: str) -> object:
        if isinstance(wanted, (int, np.integer)):
            return Beats(int(wanted))
        if isinstance(wanted, (Beats, Words)):
            return wanted
        return Expected(
            as_words(wanted, s.bits, what),
            np.asarray(wanted, object if s.bits > 63 and isinstance(wanted, (list, tuple)) else None),
        )

    def _fill(
        self, struct: _VtStream, s: Stream, parts: list, stall: object, keep: list, ends: np.ndarray | None = None
    ) -> None:
        beats = (
            np.ascontiguousarray(np.concatenate(parts), np.uint32) if len(parts) > 1 else np.ascontiguousarray(parts[0])
        )
        ends = np.cumsum([len(p) for p in parts], dtype=np.int64) if ends is None else ends
        name = s.name.encode()
        keep += [beats, ends, name]
        struct.name, struct.data, struct.valid, struct.ready = name, s.data, s.valid, s.ready
        struct.lane, struct.lanes, struct.bits = s.lane, s.lanes, s.bits
        percent = stall.get(s.name, 0) if isinstance(stall, Mapping) else stall
        if not 0 <= int(percent) < 100:
            raise ValueError(f"sim: stall of {s.name} is {percent}, 0..99 percent expected")
        struct.stall = int(percent)
        struct.beats, struct.job_end = _p32(beats), _p64(ends)

    def _fill_cfg(
        self, run: _VtRun, jobs: Sequence[Job], names_in: list[str], cfg_stream: str | None, keep: list
    ) -> None:
        names = sorted({n for j in jobs for n in j.cfg})
        for n in names:
            if n not in self.ports or not self.ports[n].is_input:
                raise ValueError(f"sim: {self.name} has no input {n!r}")
        words = max([1] + [-(-self.ports[n].bits // 32) for n in names])
        shown, other = [np.zeros((len(jobs), max(1, len(names)), words), np.uint32) for _ in range(2)]
        for i, job in enumerate(jobs):
            for k, n in enumerate(names):
                if n not in job.cfg:
                    raise ValueError(f"sim: {self.name}: job {i} lacks cfg value {n!r}")
                bits = self.ports[n].bits
                full = (1 << bits) - 1
                value = int(job.cfg[n])
                if not -(1 << (bits - 1)) <= value <= full:
                    raise ValueError(f"sim: {self.name}: {n}={value} of job {i} does not fit {bits} bits")
                for w in range(words):
                    shown[i, k, w] = ((value & full) >> (32 * w)) & 0xFFFFFFFF
                    other[i, k, w] = ((~value & full) >> (32 * w)) & 0xFFFFFFFF
        ports = np.array([self.ports[n].index for n in names] or [0], np.int32)
        keep += [shown, other, ports]
        run.cfg_ports, run.cfg, run.other, run.n_cfg, run.cfg_words = (
            _pi32(ports),
            _p32(shown),
            _p32(other),
            len(names),
            words,
        )
        run.cfg_stream = -1
        if cfg_stream is not None:
            self.stream(cfg_stream, True)
            run.cfg_stream = names_in.index(cfg_stream)

    def _fill_writes(self, run: _VtRun, writes: Sequence[Mapping[str, int]], keep: list) -> None:
        names = sorted({n for w in writes for n in w})
        for n in names:
            if n not in self.ports or not self.ports[n].is_input or self.ports[n].bits > 32:
                raise ValueError(f"sim: {self.name} has no input {n!r} of up to 32 bits to write")
        table = np.zeros((max(1, len(writes)), max(1, len(names))), np.uint32)
        for i, write in enumerate(writes):
            for k, n in enumerate(names):
                table[i, k] = int(write.get(n, 0)) & ((1 << self.ports[n].bits) - 1)
        ports = np.array([self.ports[n].index for n in names] or [0], np.int32)
        keep += [table, ports]
        run.write_ports, run.writes, run.n_writes, run.n_write_ports = (
            _pi32(ports),
            _p32(table),
            len(writes),
            len(names),
        )
