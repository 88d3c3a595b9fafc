# SPDX-License-Identifier: Apache-2.0
"""One coroutine that is the whole protocol test of a unit: jobs in, expected beats out, stalls, reset in mid-stream."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from cocotb.triggers import Timer

from sim.bench.axis import Bundle, Sink, Source
from sim.verilate import Job
from sim.words import Beats, as_words, unpack

HALF_PERIOD_NS = 5


def _integers(values: object, bits: int, what: str) -> list[int]:
    words = as_words(values, bits, what)
    return [int(v) for v in unpack(words, 1, False)[:, 0]]


def _width(dut: Any, name: str) -> int:
    prefix = name.split("[")[0]
    return len(getattr(dut, prefix + "_tdata")) // len(getattr(dut, prefix + "_tvalid"))


async def check_unit(
    dut: Any,
    jobs: Sequence[Job],
    stall: int | Mapping[str, int] = 0,
    seed: int = 1,
    reset_at: int | None = None,
    reset_cycles: int = 2,
    writes: Sequence[Mapping[str, int]] = (),
    cfg_stream: str | None = None,
    cfg_hold: bool = True,
    allow_extra: bool = False,
    idle_limit: int = 5000,
    tail: int = 20,
) -> dict[str, list[int]]:
    """Reset `dut`, run the jobs without idle cycles between them, compare every beat. As sim.verilate.Design.run.

    Args:
        stall: Percent of stalled cycles, for all streams or stream -> percent.
        reset_at: Cycle at which rst is raised for reset_cycles, with everything in flight; then the jobs start again.

    Returns:
        Stream -> cycle of each output beat, counted from the end of reset.
    """
    rng, bundle = random.Random(seed), Bundle()
    percent = (lambda n: int(stall.get(n, 0))) if isinstance(stall, Mapping) else (lambda n: int(stall))
    sources: dict[str, Source] = {}
    sinks: dict[str, Sink] = {}
    ends: dict[str, list[int]] = {}
    for name in sorted({n for j in jobs for n in j.inputs}):
        parts = [_integers(j.inputs.get(name, ()), _width(dut, name), name) for j in jobs]
        ends[name] = [sum(len(p) for p in parts[: i + 1]) for i in range(len(jobs))]
        beats_in = [b for p in parts for b in p]
        sources[name] = Source(dut, name, beats_in, percent(name), rng, bundle, ends[name])
    for name in sorted({n for j in jobs for n in j.outputs}):
        beats: list[int | None] = []
        sink_ends: list[int] = []
        for j in jobs:
            want = j.outputs.get(name, 0)
            count = want if isinstance(want, int) else want.count if isinstance(want, Beats) else None
            beats += [None] * count if count is not None else _integers(want, _width(dut, name), name)
            sink_ends.append(len(beats))
        wait_valid = percent(name) > 0 and seed % 2 == 1
        sinks[name] = Sink(dut, name, beats, percent(name), rng, bundle, wait_valid, sink_ends)
    cfg_pins = {n: getattr(dut, n) for j in jobs for n in j.cfg}
    write_pins = {n: getattr(dut, n) for w in writes for n in w}
    shown: tuple[int, bool] | None = None

    async def cycle() -> None:
        bundle.flush()
        await Timer(HALF_PERIOD_NS, "ns")
        dut.clk.value = 1
        await Timer(HALF_PERIOD_NS, "ns")
        dut.clk.value = 0

    def show(job: int, right: bool) -> None:
        nonlocal shown
        if shown != (job, right):
            shown = (job, right)
            for n, pin in cfg_pins.items():
                mask = (1 << len(pin)) - 1
                pin.value = (int(jobs[job].cfg[n]) & mask) ^ (0 if right else mask)

    async def reset(cycles: int) -> None:
        for source in sources.values():
            source.reset()
        for sink in sinks.values():
            sink.reset()
        show(0, True)
        for pin in write_pins.values():
            pin.value = 0
        dut.rst.value = 1
        for _ in range(cycles):
            await cycle()
        dut.rst.value = 0
        for write in writes:
            for n, pin in write_pins.items():
                pin.value = int(write.get(n, 0)) & ((1 << len(pin)) - 1)
            await cycle()
        for pin in write_pins.values():
            pin.value = 0

    def state() -> str:
        lines = [f"{n} (in): {s.done} of {len(s.beats)} beats, offered={s.offered}" for n, s in sources.items()]
        lines += [
            f"{n} (out): {len(s.received)} of {len(s.expected)} beats, accept={s.accept}" for n, s in sinks.items()
        ]
        return "\n  ".join(lines)

    dut.clk.value = 0
    await reset(4)
    now, idle, after, job, pending = 0, 0, 0, 0, reset_at is not None
    while True:
        if pending and now == reset_at:
            await reset(reset_cycles)
            now, idle, job, pending = 0, 0, 0, False
        complete = all(s.done == len(s.beats) for s in sources.values())
        complete = complete and all(len(s.received) >= len(s.expected) for s in sinks.values())
        if complete and not pending:
            after += 1
            if after > tail:
                break
        assert complete or pending or idle < idle_limit, f"no handshake for {idle} cycles (seed {seed}):\n  {state()}"
        if cfg_stream is not None:
            first = sources[cfg_stream]
            while job + 1 < len(jobs) and first.done >= ends[cfg_stream][job]:
                job += 1
            show(job, cfg_hold or first.done <= (ends[cfg_stream][job - 1] if job else 0))
        else:
            while job + 1 < len(jobs) and (
                dict(jobs[job].cfg) == dict(jobs[job + 1].cfg)
                or all(s.done >= ends[n][job] for n, s in sources.items())
            ):
                job += 1
            show(job, True)
        for name, source in sources.items():
            source.drive(ends[name][job])
        for sink in sinks.values():
            sink.drive(allow_extra)
        bundle.flush()
        await Timer(HALF_PERIOD_NS, "ns")
        moved = [s.sample() for s in sources.values()] + [s.sample(now) for s in sinks.values()]
        dut.clk.value = 1
        await Timer(HALF_PERIOD_NS, "ns")
        dut.clk.value = 0
        now += 1
        idle = 0 if any(moved) else idle + 1
    return {n: s.cycles for n, s in sinks.items()}
