# SPDX-License-Identifier: Apache-2.0
"""Driver for a board with a Vitrail bitstream: send images over the serial port, get logits codes back.

hw/rtl/host_link/host_link.sv describes the frames. `python -m synthesis.host --port /dev/ttyUSB0` sends test images.
"""

from __future__ import annotations

import argparse
import binascii
import errno
import hashlib
import struct
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import serial
from serial.tools import list_ports

SYNC = b"\xa5\x5a"
TYPE_INFO, TYPE_IMAGE, TYPE_ERROR = 0x01, 0x03, 0xFF
REPLY = 0x80
ERRORS = {1: "bad CRC", 2: "wrong length", 3: "unknown frame type", 4: "no free image slot"}
PROTOCOL_VERSION = 1
LONGEST_PAYLOAD = 6 + 2 * 1024
HEADER_BYTES = 6
CRC_BYTES = 2


@dataclass(frozen=True)
class Info:
    """What the board says about itself."""

    version: int
    slots: int  # images that may be unanswered at a time
    image_bytes: int
    classes: int
    clock_khz: int  # measured on the board against its oscillator; 0 in the first two milliseconds
    model_id: int


@dataclass(frozen=True)
class Results:
    """Answers to B images."""

    logits: np.ndarray  # (B, classes) int64, signed 16-bit codes
    classes: np.ndarray  # (B,) int64
    cycles: np.ndarray  # (B,) int64, first pixel to last logit, in clock cycles of the network
    seconds: float  # first byte sent to last byte received
    resent: int  # frames that had to be sent again


@dataclass(frozen=True)
class Frame:
    """One frame without sync and CRC."""

    kind: int
    sequence: int
    payload: bytes


def model_id(parts: Iterable[bytes]) -> int:
    """Return the 64-bit identity of a network, from the content that defines it (its RTL files and constants)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return int.from_bytes(digest.digest()[:8], "little")


def encode(kind: int, sequence: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    body = struct.pack("<BBH", kind, sequence, len(payload)) + payload
    return SYNC + body + struct.pack("<H", binascii.crc_hqx(body, 0xFFFF))


class FrameReader:
    """Finds frames in a stream of bytes; anything else is skipped."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.skipped = 0  # bytes that belonged to no good frame

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, return the frames that they complete."""
        self._bytes += data
        frames: list[Frame] = []
        while True:
            start = self._bytes.find(SYNC)
            drop = start if start >= 0 else max(0, len(self._bytes) - 1)
            self.skipped += drop
            del self._bytes[:drop]
            if len(self._bytes) < HEADER_BYTES:
                return frames
            length = int.from_bytes(self._bytes[4:6], "little")
            end = HEADER_BYTES + length + CRC_BYTES
            if length <= LONGEST_PAYLOAD:
                if len(self._bytes) < end:
                    return frames
                body = bytes(self._bytes[2 : end - CRC_BYTES])
                if binascii.crc_hqx(body, 0xFFFF) == int.from_bytes(self._bytes[end - CRC_BYTES : end], "little"):
                    frames.append(Frame(body[0], body[1], body[4:]))
                    del self._bytes[:end]
                    continue
            self.resync()

    def resync(self) -> None:
        """Give up the frame that seemed to begin, and look for the next sync behind it."""
        if self._bytes:
            self.skipped += 1
            del self._bytes[:1]


class Board:
    """A board on a serial port."""

    def __init__(
        self,
        port: str,
        baud: int = 3_000_000,
        timeout_s: float = 1.0,
        retries: int = 3,
        expected_model_id: int | None = None,
    ):
        """Open the port and ask the board what it is.

        Args:
            port: e.g. /dev/ttyUSB0.
            timeout_s: Longest wait for an answer before it is asked for again.
            retries: How often a frame is sent again.
            expected_model_id: Identity that the bitstream must have.

        Raises:
            RuntimeError: the port cannot be opened, nothing answers, or the board holds another model.
        """
        self.port, self.timeout_s, self.retries = port, timeout_s, retries
        self._reader = FrameReader()
        self._sequence = 0
        self._serial = _open(port, baud)
        try:
            self.info = self._ask_info()
            if self.info.version != PROTOCOL_VERSION:
                raise RuntimeError(
                    f"board on {port} speaks protocol {self.info.version}, this program {PROTOCOL_VERSION}; "
                    "build and load a bitstream of this version: make bitstream && make flash"
                )
            if expected_model_id is not None and self.info.model_id != expected_model_id:
                raise RuntimeError(
                    f"board on {port} holds model {self.info.model_id:016x}, expected {expected_model_id:016x}; "
                    "load the right bitstream: make flash MODEL=..."
                )
        except BaseException:
            self._serial.close()
            raise

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        self._serial.close()

    def ping(self) -> float:
        """Ask for INFO once more and return the round-trip time in seconds."""
        start = time.monotonic()
        self.info = self._ask_info()
        return time.monotonic() - start

    def classify(self, images: np.ndarray, progress: Callable[[int], None] | None = None) -> Results:
        """Send images and collect their logits.

        Args:
            images: Pixels 0..255, shape (B, ...) with image_bytes pixels each in raster order.
            progress: Told the number of images answered so far.

        Raises:
            ValueError: images of another size or range.
            RuntimeError: the board stopped answering or refused an image for another reason than a bad line.
        """
        pixels = np.asarray(images)
        if pixels.ndim < 2 or pixels[0].size != self.info.image_bytes:
            raise ValueError(
                f"images of shape {pixels.shape}, expected (B, ...) with {self.info.image_bytes} pixels an image"
            )
        if pixels.dtype != np.uint8:
            if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
                raise ValueError(f"images of type {pixels.dtype}, expected integers 0..255")
            pixels = pixels.astype(np.uint8)
        count = len(pixels)
        logits = np.zeros((count, self.info.classes), dtype=np.int64)
        classes, cycles = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        waiting: dict[int, int] = {}  # sequence number -> image, in the order sent
        attempts = [0] * count
        todo = list(range(count - 1, -1, -1))
        answered, resent, complaint = 0, 0, "no answer"
        start = heard = time.monotonic()
        while answered < count:
            while todo and len(waiting) < self.info.slots:
                image = todo.pop()
                attempts[image] += 1
                if attempts[image] > self.retries + 1:
                    raise RuntimeError(
                        f"board on {self.port}: image {image} failed {self.retries + 1} times, last with: {complaint}. "
                        "Check the cable, try a slower uart_baud in board.yaml, or press the reset button (PWR)"
                    )
                resent += attempts[image] > 1
                waiting[self._send(TYPE_IMAGE, pixels[image].tobytes())] = image
                heard = time.monotonic()
            for frame in self._receive():
                heard = time.monotonic()
                if frame.kind == TYPE_ERROR and len(frame.payload) == 1:
                    complaint = ERRORS.get(frame.payload[0], f"error {frame.payload[0]}")
                    if frame.sequence in waiting:
                        todo.append(waiting.pop(frame.sequence))
                elif frame.kind == TYPE_IMAGE | REPLY and frame.sequence in waiting:
                    image = waiting.pop(frame.sequence)
                    classes[image], cycles[image], logits[image] = self._parse_result(frame.payload)
                    answered += 1
                    if progress:
                        progress(answered)
            if time.monotonic() - heard > self.timeout_s:
                complaint = f"no answer within {self.timeout_s:g} s"
                todo += sorted(waiting.values(), reverse=True)
                waiting.clear()
                self._reader.resync()
        return Results(logits, classes, cycles, time.monotonic() - start, resent)

    def _parse_result(self, payload: bytes) -> tuple[int, int, np.ndarray]:
        if len(payload) != 6 + 2 * self.info.classes:
            raise RuntimeError(
                f"board on {self.port}: a result of {len(payload)} bytes, expected {6 + 2 * self.info.classes}; "
                "load a bitstream of this version: make flash"
            )
        index, cycles = struct.unpack("<HI", payload[:6])
        return index, cycles, np.frombuffer(payload[6:], dtype="<i2").astype(np.int64)

    def _ask_info(self) -> Info:
        complaint = f"no answer within {self.timeout_s:g} s"
        for _ in range(self.retries + 1):
            sequence = self._send(TYPE_INFO)
            deadline = time.monotonic() + self.timeout_s
            while time.monotonic() < deadline:
                for frame in self._receive():
                    if frame.kind == TYPE_INFO | REPLY and frame.sequence == sequence and len(frame.payload) == 18:
                        return Info(*struct.unpack("<BBHHIQ", frame.payload))
                    if frame.kind == TYPE_ERROR:
                        complaint = f"the board refused it: {ERRORS.get(frame.payload[0], 'unknown error')}"
                        deadline = 0
            self._reader.resync()
        raise RuntimeError(
            f"no Vitrail board answers on {self.port} ({self.retries + 1} tries, {complaint}). Check that the "
            "bitstream is loaded (make flash; it is gone after power-off), that PORT is the board's, that no other "
            "program has it open, and press the reset button (PWR)"
        )

    def _send(self, kind: int, payload: bytes = b"") -> int:
        self._sequence = (self._sequence + 1) % 256
        self._write(encode(kind, self._sequence, payload))
        return self._sequence

    def _write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except serial.SerialException as error:
            raise RuntimeError(f"lost the board on {self.port}: {error}; check the cable") from None

    def _receive(self) -> list[Frame]:
        try:
            data = self._serial.read(max(1, self._serial.in_waiting))
        except (serial.SerialException, OSError) as error:
            raise RuntimeError(f"lost the board on {self.port}: {error}; check the cable") from None
        return self._reader.feed(data)


def _open(port: str, baud: int) -> serial.Serial:
    """Open a serial port, or say what is wrong with it."""
    try:
        opened = serial.Serial(port, baud, timeout=0.02, write_timeout=10)
    except serial.SerialException as error:
        code = getattr(error, "errno", None)
        if code in (errno.EACCES, errno.EPERM):
            advice = "no permission; join its group and log in again: sudo usermod -aG dialout $USER"
        elif code == errno.EBUSY:
            advice = "another program has it open; close that one"
        elif code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
            found = ", ".join(sorted(item.device for item in list_ports.comports())) or "none"
            advice = f"there is no such port (found: {found}); plug the board in and pass PORT="
        else:
            advice = str(error)
        raise RuntimeError(f"cannot open serial port {port}: {advice}") from None
    except (OSError, ValueError) as error:
        raise RuntimeError(f"cannot open serial port {port} at {baud} baud: {error}") from None
    opened.reset_input_buffer()
    return opened


def report_run(
    board: Board, images: np.ndarray, labels: np.ndarray, expected: np.ndarray | None = None
) -> tuple[Results, int]:
    """Classify test images on the board and print what came out.

    Args:
        images: (B, H, W) pixels.
        labels: (B,) classes.
        expected: (B, classes) logits codes of the golden model, compared code by code.

    Returns:
        The results, and how many logits codes differ from the expected ones.
    """

    def show(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{len(images)} images", end="", file=sys.stderr, flush=True)

    results = board.classify(images, progress=show)
    board.ping()  # the clock is measured in the first milliseconds after a reset
    info = board.info
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    correct = int((results.classes == labels).sum())
    print(f"board      model {info.model_id:016x}, clock {info.clock_khz / 1000:.3f} MHz measured on the board")
    print(f"accuracy   {100 * correct / len(labels):.2f} % ({correct} of {len(labels)} images)")
    print(
        f"speed      {len(images) / results.seconds:.1f} images/s over the serial link, {results.resent} frames resent"
    )
    cycles = f"latency    {np.median(results.cycles):.0f} cycles (median)"
    if info.clock_khz:
        cycles += f" = {np.median(results.cycles) / info.clock_khz:.3f} ms in the network"
    print(cycles)
    differing = 0
    if expected is not None:
        differing = int((results.logits != expected).sum())
        print(f"bit-exact  {expected.size - differing} of {expected.size} logits codes equal the golden model's")
    return results, differing


def main(argv: list[str] | None = None) -> int:
    """Command line: classify test images on a board."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.host", description="Send test images to a board.")
    parser.add_argument("--port", default="/dev/ttyUSB0", help="serial port of the board (default %(default)s)")
    parser.add_argument("--baud", type=int, default=3_000_000, help="line rate, see board.yaml (default %(default)s)")
    parser.add_argument("--images", type=int, default=1000, help="number of test images (default %(default)s)")
    parser.add_argument("--model-id", type=lambda text: int(text, 16), help="identity the bitstream must have, hex")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds to wait (default %(default)s)")
    parser.add_argument("--expected", type=Path, help="golden model's logits codes to compare with (.npy)")
    options = parser.parse_args(argv)
    from models.data import load_split

    try:
        if options.images < 1:
            raise ValueError(f"--images {options.images}: expected at least 1")
        images, labels = load_split("test")
        expected = None
        if options.expected is not None:
            expected = np.load(options.expected)
            options.images = min(options.images, len(expected))
        with Board(options.port, options.baud, options.timeout, expected_model_id=options.model_id) as board:
            print(f"ping       {1000 * board.ping():.2f} ms round trip on {options.port}")
            wanted = None if expected is None else expected[: options.images]
            _, differing = report_run(board, images[: options.images], labels[: options.images], wanted)
        if differing:
            raise RuntimeError(f"{differing} logits codes differ from the golden model's; load it again: make flash")
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
