# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream driver and monitor for cocotb, any tdata width, lanes of packed ports included.

The bench changes inputs while clk is low and samples just before the rising edge, so nothing depends on how a
simulator orders events at an edge: drive() sets the pins for the coming edge, sample() reads the settled pins and books
the handshake.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any


class _Pins:
    """The three pins of a stream `prefix` or of its lane `prefix[i]`."""

    def __init__(self, dut: Any, name: str):
        prefix, _, lane = name.rstrip("]").partition("[")
        self.name = name
        self.data, self.valid, self.ready = (getattr(dut, f"{prefix}_{p}") for p in ("tdata", "tvalid", "tready"))
        self.lanes, self.lane = len(self.valid), int(lane or 0)
        self.bits = len(self.data) // self.lanes
        self.last = getattr(dut, f"{prefix}_tlast", None)
        if not lane and self.lanes > 1:
            raise ValueError(f"sim: {name} is a bundle of {self.lanes} streams; name one as {name}[0]")

    def get_bit(self, pin: Any) -> int:
        return (int(pin.value) >> self.lane) & 1

    def get_last(self) -> int | None:
        """Value of tlast, None where the stream has none."""
        return None if self.last is None else self.get_bit(self.last)

    def get_data(self) -> int:
        return (int(self.data.value) >> (self.lane * self.bits)) & ((1 << self.bits) - 1)


class Bundle:
    """Values to write on pins that several lanes share: lanes change their bits, flush() writes each pin once."""

    def __init__(self) -> None:
        self.values: dict[Any, int] = {}
        self.dirty: set[Any] = set()

    def put(self, pin: Any, offset: int, bits: int, value: int) -> None:
        old = self.values.get(pin, 0)
        new = (old & ~(((1 << bits) - 1) << offset)) | (value << offset)
        if new != old or pin not in self.values:
            self.values[pin] = new
            self.dirty.add(pin)

    def flush(self) -> None:
        for pin in self.dirty:
            pin.value = self.values[pin]
        self.dirty.clear()


class Source:
    """Drives a slave stream of the module. A beat once offered stays until it is taken; idle tdata is random.

    Args:
        beats: Unsigned integers.
        stall: Percent of cycles in which no new beat is offered.
        ends: Beats behind which a job ends; where the stream has a tlast, it marks these.
    """

    def __init__(
        self,
        dut: Any,
        name: str,
        beats: Sequence[int],
        stall: int,
        rng: random.Random,
        bundle: Bundle,
        ends: Sequence[int] = (),
    ):
        self.pins, self.beats, self.stall, self.rng, self.bundle = _Pins(dut, name), list(beats), stall, rng, bundle
        self.ends = frozenset(ends)
        self.reset()

    def reset(self) -> None:
        """Start again from the first beat, tvalid low."""
        self.done, self.offered = 0, False
        self._write(False)

    def drive(self, limit: int) -> None:
        """Offer the next beat unless stalled; beats from `limit` on are withheld."""
        if not self.offered and self.done < min(limit, len(self.beats)):
            self.offered = self.rng.randrange(100) >= self.stall
        self._write(self.offered)

    def _write(self, valid: bool) -> None:
        p = self.pins
        data = self.beats[self.done] if valid else self.rng.getrandbits(p.bits)
        self.bundle.put(p.data, p.lane * p.bits, p.bits, data)
        self.bundle.put(p.valid, p.lane, 1, int(valid))
        if p.last is not None:
            self.bundle.put(p.last, p.lane, 1, int(valid and self.done + 1 in self.ends))

    def sample(self) -> bool:
        """True when the coming edge takes a beat."""
        if not (self.offered and self.pins.get_bit(self.pins.ready)):
            return False
        self.done, self.offered = self.done + 1, False
        return True


class Sink:
    """Drains a master stream of the module and checks that a stalled beat stays as it is.

    Args:
        expected: Beats that must come, unsigned integers, or None for each that may be anything.
        stall: Percent of cycles with tready low.
        wait_valid: Raise tready only after tvalid was seen.
        ends: Beats behind which a job ends; where the stream has a tlast, it must mark just these.
    """

    def __init__(
        self,
        dut: Any,
        name: str,
        expected: Sequence[int | None],
        stall: int,
        rng: random.Random,
        bundle: Bundle,
        wait_valid: bool = False,
        ends: Sequence[int] = (),
    ):
        self.pins, self.expected, self.stall, self.rng, self.bundle = (
            _Pins(dut, name),
            list(expected),
            stall,
            rng,
            bundle,
        )
        self.wait_valid, self.ends = wait_valid, frozenset(ends)
        self.reset()

    def reset(self) -> None:
        """Forget everything received, tready low."""
        self.received: list[int] = []
        self.cycles: list[int] = []
        self.held: int | None = None
        self.accept = False
        self.bundle.put(self.pins.ready, self.pins.lane, 1, 0)

    def drive(self, finished_is_closed: bool = False) -> None:
        """Choose tready for the coming edge."""
        self.accept = self.rng.randrange(100) >= self.stall and (not self.wait_valid or self.held is not None)
        if finished_is_closed and len(self.received) >= len(self.expected):
            self.accept = False
        self.bundle.put(self.pins.ready, self.pins.lane, 1, int(self.accept))

    def sample(self, cycle: int) -> bool:
        """True when the coming edge gives a beat."""
        p, beat = self.pins, len(self.received)
        if not p.get_bit(p.valid):
            assert self.held is None, f"{p.name} dropped tvalid while stalled, beat {beat}, cycle {cycle}"
            return False
        data = p.get_data()
        assert self.held in (None, data), f"{p.name} changed tdata while stalled, beat {beat}, cycle {cycle}"
        self.held = None if self.accept else data
        if not self.accept:
            return False
        assert beat < len(self.expected), f"{p.name} sent a beat more than expected ({beat}), cycle {cycle}"
        last = p.get_last()
        assert last is None or last == (beat + 1 in self.ends), f"{p.name} beat {beat}: tlast={last} (cycle {cycle})"
        want = self.expected[beat]
        assert want is None or want == data, f"{p.name} beat {beat}: got=0x{data:x} want=0x{want:x} (cycle {cycle})"
        self.received.append(data)
        self.cycles.append(cycle)
        return True
