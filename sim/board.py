# SPDX-License-Identifier: Apache-2.0
"""A complete board top in Verilator, reached through its UART pins: from Python, or as a serial port for any program.

The model is the top module that becomes the bitstream (or its synthesized netlist); the harness around it is an
oscillator, a reset button and a serial adapter whose bit clock may be wrong by some percent. PtyBoard puts a
pseudo-terminal in front of it, so that synthesis.host talks to simulated pins exactly as it talks to the board.
"""

from __future__ import annotations

import binascii
import contextlib
import ctypes
import os
import shutil
import struct
import threading
import time
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sim import toolchain

HARNESS = Path(__file__).with_name("board_harness.cpp")
MESSAGE_BYTES = 1000


def build_board(
    sources: Sequence[Path],
    parameters: Mapping[str, object] | None = None,
    top: str = "top",
    defines: Sequence[str] = (),
    level: str = "-O1",
) -> Path:
    """Compile a board top, or take it from the cache.

    Args:
        sources: Files in order; the network's and synthesis.board.board_sources, or a netlist with its cell models.
        parameters: Parameters of the top.
        level: g++ optimization; -O2 pays for long runs.

    Returns:
        The shared library.

    Raises:
        ValueError: a source is missing.
        RuntimeError: Verilator or g++ failed.
    """
    for source in sources:
        if not Path(source).is_file():
            raise ValueError(f"sim.board: source file {source} does not exist")
    args = ["--cc", "--threads", "1", "--assert", "--x-initial", "unique", "--x-assign", "unique"]
    args += ["-Wno-fatal", "-Wno-lint", "--no-timing", "--prefix", "Vdut", "--top-module", top]
    args += [f"-D{define}" for define in defines] + toolchain.parameter_args(parameters or {})
    paths = [Path(source).resolve() for source in sources]
    key = toolchain.content_hash(HARNESS, *paths, args, level, toolchain.cxx_flags(""), toolchain.tool_version())
    final = toolchain.cache_dir() / f"board_{key}"
    if (final / "board.so").is_file():
        return final / "board.so"
    library = toolchain.runtime("")
    with toolchain.new_folder(final) as made:
        obj = made / "obj"
        binary = toolchain.verilator_dir() / "bin" / "verilator_bin"
        command: list[str | os.PathLike] = [binary, *args, "--Mdir", obj, *paths]
        toolchain.run_tool(command, f"verilator [{top}]", env=toolchain.verilator_env())
        generated = ["Vdut.h", *sorted(path.name for path in obj.glob("*.cpp")), str(HARNESS)]
        (obj / "all.cpp").write_text("".join(f'#include "{name}"\n' for name in generated))
        flags: list[str | os.PathLike] = [
            *toolchain.cxx_flags(""),
            f"-I{obj}",
            "-include",
            library / level[1:] / "prefix.h",
        ]
        command = [toolchain.compiler(), level, *flags, "-c", obj / "all.cpp", "-o", made / "all.o"]
        toolchain.run_tool(command, f"g++ [{top}]")
        objects: list[str | os.PathLike] = [made / "all.o", *sorted(library.glob("*.o"))]
        link: list[str | os.PathLike] = ["-shared", "-Wl,-Bsymbolic", *objects, "-lpthread", "-o", made / "board.so"]
        toolchain.run_tool([toolchain.compiler(), *link], f"g++ [{top}]")
        (made / "all.o").unlink()
        shutil.rmtree(obj)
        toolchain.publish(made, final)
    return final / "board.so"


class BoardModel:
    """One simulated board, after a press of its reset button."""

    def __init__(
        self,
        library: Path,
        cwd: Path = toolchain.ROOT,
        oscillator_hz: int = 25_000_000,
        baud: int = 3_000_000,
        send_error_percent: float = 0.0,
        receive_error_percent: float = 0.0,
        seed: int = 1,
        phase: float = 0.0,
    ):
        """Start a board.

        Args:
            library: From build_board.
            cwd: Folder of the design's $readmemh files.
            send_error_percent: How much faster than baud the adapter sends.
            receive_error_percent: How much faster than baud the adapter samples.
            seed: Of the registers' first values.
            phase: Place of the adapter's edges within the oscillator's cycle, 0 to 1.
        """
        self._library = ctypes.CDLL(str(library), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        self._library.board_new.restype = ctypes.c_void_p
        self._library.board_new.argtypes = [ctypes.c_uint64, ctypes.c_double, ctypes.c_char_p, ctypes.c_int64]
        self._library.board_run.restype = ctypes.c_int64
        self._library.board_run.argtypes = [
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_double, ctypes.c_char_p, ctypes.c_int64,
            ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64,
        ]  # fmt: skip
        for name in ("delete", "led", "unsent", "framing_errors", "button"):
            getattr(self._library, f"board_{name}").argtypes = [ctypes.c_void_p]
        self._library.board_button.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._library.board_unsent.restype = ctypes.c_int64
        self._library.board_framing_errors.restype = ctypes.c_int64
        self._send_period = oscillator_hz / baud / (1 + send_error_percent / 100)
        self._receive_period = oscillator_hz / baud / (1 + receive_error_percent / 100)
        message = ctypes.create_string_buffer(MESSAGE_BYTES)
        with contextlib.chdir(cwd):  # $readmemh runs while the model is made
            self._handle = self._library.board_new(seed, phase, message, MESSAGE_BYTES)
        if not self._handle:
            raise RuntimeError(f"sim.board: {message.value.decode()}")
        self.cycles = 0

    def run(self, cycles: int, send: bytes = b"") -> bytes:
        """Queue bytes for the board, run some oscillator cycles, return the bytes it sent meanwhile.

        Raises:
            RuntimeError: an assertion of the model failed.
        """
        room = cycles // 32 + 64
        received = ctypes.create_string_buffer(room)
        message = ctypes.create_string_buffer(MESSAGE_BYTES)
        count = self._library.board_run(
            self._handle, cycles, self._send_period, self._receive_period, send, len(send), received, room,
            message, MESSAGE_BYTES,
        )  # fmt: skip
        if count < 0:
            raise RuntimeError(f"sim.board: {message.value.decode()} (about cycle {self.cycles})")
        self.cycles += cycles
        return received.raw[:count]

    def classify(self, images: np.ndarray, classes: int, max_cycles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Send images one by one through the pins, without a driver program, and collect the answers.

        This is the frame format of hw/rtl/host_link once more, independent of synthesis.host.

        Args:
            images: Pixels 0..255, shape (B, ...).
            classes: Logits of an answer.
            max_cycles: Oscillator cycles to wait for each answer, after the image was sent.

        Returns:
            Logits codes (B, classes), classes (B,), network cycles (B,), all int64.

        Raises:
            RuntimeError: no answer in time, or not the expected one.
        """
        logits = np.zeros((len(images), classes), dtype=np.int64)
        indices, cycles = np.zeros(len(images), dtype=np.int64), np.zeros(len(images), dtype=np.int64)
        for number, image in enumerate(np.asarray(images, dtype=np.uint8)):
            pixels = image.tobytes()
            body = struct.pack("<BBH", 3, number % 256, len(pixels)) + pixels
            send = b"\xa5\x5a" + body + struct.pack("<H", binascii.crc_hqx(body, 0xFFFF))
            answer, waited = b"", 0
            length = 14 + 2 * classes
            while len(answer) < length and waited < max_cycles:
                answer += self.run(2000, send)
                send = b""
                waited += 0 if self.unsent else 2000
            if len(answer) < length:
                raise RuntimeError(
                    f"sim.board: image {number}: {len(answer)} of {length} bytes within {max_cycles} cycles "
                    f"({answer.hex()})"
                )
            body, check = answer[2:-2], answer[-2:]
            header = b"\xa5\x5a" + struct.pack("<BBH", 0x83, number % 256, 6 + 2 * classes)
            if answer[:6] != header or check != struct.pack("<H", binascii.crc_hqx(body, 0xFFFF)):
                raise RuntimeError(f"sim.board: image {number}: unexpected answer {answer.hex()}")
            indices[number], cycles[number] = struct.unpack("<HI", body[4:10])
            logits[number] = np.frombuffer(body[10:], dtype="<i2")
        return logits, indices, cycles

    def press_reset(self, cycles: int = 8) -> None:
        """Press the reset button for some cycles."""
        self._library.board_button(self._handle, 0)
        self.run(cycles)
        self._library.board_button(self._handle, 1)
        self.run(8)

    @property
    def led(self) -> int:
        """The eight LEDs, LED 0 in bit 0."""
        return int(self._library.board_led(self._handle))

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent to the board."""
        return int(self._library.board_unsent(self._handle))

    @property
    def framing_errors(self) -> int:
        """Bytes from the board without a stop bit."""
        return int(self._library.board_framing_errors(self._handle))

    def close(self) -> None:
        """Free the model."""
        if self._handle:
            self._library.board_delete(self._handle)
            self._handle = None


class PtyBoard:
    """A BoardModel behind a pseudo-terminal: open `.port` with any serial program. Use as a context manager."""

    def __init__(self, model: BoardModel, chunk_cycles: int = 5000):
        self.model = model
        self.chunk_cycles = chunk_cycles
        self.error: Exception | None = None
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._bridge, name="board", daemon=True)

    def __enter__(self) -> PtyBoard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)
        self.model.close()
        if self.error is not None:
            raise self.error

    def _bridge(self) -> None:
        """Move bytes between the terminal and the pins; the board's time stands still while this thread waits."""
        to_host = b""
        try:
            while not self._stop.is_set():
                send = b""
                if self.model.unsent < 64:
                    with contextlib.suppress(BlockingIOError):
                        send = os.read(self._master, 4096)
                received = self.model.run(self.chunk_cycles, send)
                to_host += received
                if to_host:
                    with contextlib.suppress(BlockingIOError):
                        to_host = to_host[os.write(self._master, to_host) :]
                if not send and not received and not self.model.unsent:
                    time.sleep(0.0005)  # leave the processor to the program on the other side
        except Exception as error:
            self.error = error
