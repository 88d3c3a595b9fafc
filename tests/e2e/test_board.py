# SPDX-License-Identifier: Apache-2.0
"""The driver against the complete board top at its pins, with a stand-in network, behind a pseudo-terminal."""

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

from sim.bench.lint import lint
from sim.board import BoardModel, PtyBoard
from synthesis import host
from synthesis.board import BOARDS_DIR, board_sources, list_boards, load_board
from tests.e2e.board_fixture import (
    CLASSES,
    IMAGE_BYTES,
    MODEL_ID,
    STAND_IN,
    TIMEOUT_MS,
    board_library,
    random_images,
    stand_in_logits,
)

pytestmark = pytest.mark.verilator

MS_CYCLES = 25_000


@pytest.fixture(scope="module")
def library() -> Path:
    return board_library()


@contextmanager
def connected(library: Path, **options: float) -> Iterator[tuple[host.Board, PtyBoard]]:
    with PtyBoard(BoardModel(library, **options)) as pty, host.Board(pty.port, timeout_s=3) as board:
        yield board, pty


def frames_of(model: BoardModel, cycles: int, send: bytes = b"") -> list[host.Frame]:
    return host.FrameReader().feed(model.run(cycles, send))


def check(results: host.Results, images: np.ndarray) -> None:
    want = stand_in_logits(images)
    np.testing.assert_array_equal(results.logits, want)
    np.testing.assert_array_equal(results.classes, want.argmax(axis=1))


def test_board_answers_images(library: Path) -> None:
    images = random_images(20, seed=1)
    with connected(library) as (board, pty):
        assert board.info.model_id == MODEL_ID
        assert (board.info.image_bytes, board.info.classes, board.info.slots) == (IMAGE_BYTES, CLASSES, 2)
        results = board.classify(images)
        assert board.ping() > 0
        assert abs(board.info.clock_khz - 25_000) <= 1  # measured; the simulated PLL passes the oscillator through
        assert pty.model.framing_errors == 0
    check(results, images)
    assert results.resent == 0
    # 784 pixels, a wait of 500 cycles, 10 logits, and the stand-in's stalls
    assert (results.cycles > IMAGE_BYTES + 500).all() and (results.cycles < 2 * IMAGE_BYTES + 500).all()


def test_board_answers_without_driver(library: Path) -> None:
    images = random_images(3, seed=12)
    model = BoardModel(library)
    logits, classes, cycles = model.classify(images, CLASSES, max_cycles=10_000)
    np.testing.assert_array_equal(logits, stand_in_logits(images))
    np.testing.assert_array_equal(classes, stand_in_logits(images).argmax(axis=1))
    assert (cycles > IMAGE_BYTES + 500).all()
    with pytest.raises(RuntimeError, match=r"image 0: \d+ of 34 bytes within 2000 cycles"):
        model.classify(images[:1], CLASSES, max_cycles=2000)
    model.close()


@pytest.mark.parametrize("send, receive", [(-2, 2), (2, -2), (2, 2), (-2, -2)])
def test_board_stands_wrong_bit_clock(library: Path, send: int, receive: int) -> None:
    images = random_images(4, seed=2)
    options = {"send_error_percent": send, "receive_error_percent": receive, "phase": 0.37, "seed": 7}
    with connected(library, **options) as (board, pty):
        results = board.classify(images)
        assert pty.model.framing_errors == 0
    check(results, images)
    assert results.resent == 0


def test_board_skips_garbage(library: Path) -> None:
    rng = random.Random(4)
    images = random_images(3, seed=4)
    with connected(library) as (board, _):
        board.timeout_s = 1.5  # a busy machine answers late, and each lost frame takes so long
        for _ in range(3):
            board._write(bytes(rng.randrange(256) for _ in range(300)) + host.SYNC + b"\x03\x00")
            check(board.classify(images), images)


def test_board_gets_broken_frames_again(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(6, seed=5)
    count = 0

    def noisy(kind: int, sequence: int, payload: bytes = b"") -> bytes:
        nonlocal count
        count += 1
        frame = bytearray(encode(kind, sequence, payload))
        if count in (2, 3, 6):
            frame[len(frame) // 2] ^= 0x10
        if count == 5:
            del frame[100:110]
        return bytes(frame)

    encode = host.encode
    with connected(library) as (board, _):
        board.timeout_s = 2  # a busy machine answers late: that is no broken frame
        monkeypatch.setattr(host, "encode", noisy)
        results = board.classify(images)
    check(results, images)
    assert results.resent >= 3


def test_board_forgets_truncated_frame(library: Path) -> None:
    model = BoardModel(library, seed=3)
    image = random_images(3, seed=6)[2:]
    frame = host.encode(host.TYPE_IMAGE, 9, image.tobytes())
    bytes_cycles = len(frame) * 84
    assert frames_of(model, bytes_cycles + (TIMEOUT_MS + 2) * MS_CYCLES, frame[:400]) == []
    assert frames_of(model, bytes_cycles, frame[400:]) == []
    (answer,) = frames_of(model, 2 * bytes_cycles, frame)
    assert (answer.kind, answer.sequence) == (host.TYPE_IMAGE | host.REPLY, 9)
    logits = np.frombuffer(answer.payload[6:], dtype="<i2")
    np.testing.assert_array_equal(logits, stand_in_logits(image)[0])
    model.close()


@pytest.mark.parametrize("code, frame", [
    (1, host.encode(host.TYPE_IMAGE, 5, bytes(IMAGE_BYTES))[:-1] + b"\x00"),
    (2, host.encode(host.TYPE_IMAGE, 5, bytes(IMAGE_BYTES - 1))),
    (3, host.encode(0x33, 5)),
])  # fmt: skip
def test_board_refuses_by_code(library: Path, code: int, frame: bytes) -> None:
    model = BoardModel(library)
    (answer,) = frames_of(model, len(frame) * 84 + 4000, frame)
    assert (answer.kind, answer.sequence, answer.payload) == (host.TYPE_ERROR, 5, bytes([code]))
    assert model.led & 0x20
    model.close()


def test_board_recovers_from_reset_in_a_frame(library: Path) -> None:
    model = BoardModel(library)
    image = random_images(3, seed=8)[2:]
    frame = host.encode(host.TYPE_IMAGE, 1, image.tobytes())
    model.run(30_000, frame)
    while model.unsent:
        model.press_reset()
        model.run(10_000)
    (answer,) = frames_of(model, 140_000, frame)
    np.testing.assert_array_equal(np.frombuffer(answer.payload[6:], dtype="<i2"), stand_in_logits(image)[0])
    assert model.led & 0x80
    model.close()


def test_driver_refuses_other_model(library: Path) -> None:
    with PtyBoard(BoardModel(library)) as pty:
        with pytest.raises(
            RuntimeError, match=r"holds model 0123456789abcdef, expected 0000000000000007; .*make flash"
        ):
            host.Board(pty.port, expected_model_id=7)


def test_driver_refuses_wrong_images(library: Path) -> None:
    with connected(library) as (board, _):
        with pytest.raises(ValueError, match=r"images of shape \(2, 27, 28\), expected \(B, \.\.\.\) with 784 pixels"):
            board.classify(np.zeros((2, 27, 28), dtype=np.uint8))
        with pytest.raises(ValueError, match=r"images of type float64, expected integers 0\.\.255"):
            board.classify(np.zeros((1, 784)))


def test_driver_explains_missing_port() -> None:
    with pytest.raises(RuntimeError, match=r"cannot open serial port /dev/no_such_port: there is no such port .*PORT="):
        host.Board("/dev/no_such_port")


@pytest.mark.parametrize("code, advice", [(errno.EACCES, "no permission; .*dialout"), (errno.EBUSY, "another program")])
def test_driver_explains_refused_port(monkeypatch: pytest.MonkeyPatch, code: int, advice: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(code, "refused")  # as pyserial does it; root may open every real port

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(RuntimeError, match=f"cannot open serial port /dev/ttyUSB7: {advice}"):
        host.Board("/dev/ttyUSB7")


def test_driver_explains_silence() -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(RuntimeError, match=r"no Vitrail board answers on .*2 tries.*make flash.*PORT"):
            host.Board(os.ttyname(slave), timeout_s=0.05, retries=1)
    finally:
        os.close(master)
        os.close(slave)


def test_driver_explains_file_as_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("not a port")
    with pytest.raises(RuntimeError, match=f"cannot open serial port {path}"):
        host.Board(str(path))


def test_command_line_classifies(library: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    images = random_images(5, seed=3)
    labels = stand_in_logits(images).argmax(axis=1)
    monkeypatch.setattr("models.data.load_split", lambda split: (images, labels))
    with PtyBoard(BoardModel(library)) as pty:
        assert host.main(["--port", pty.port, "--images", "5", "--timeout", "3"]) == 0
    text = capsys.readouterr().out
    assert "accuracy   100.00 % (5 of 5 images)" in text and "round trip" in text and "images/s" in text


def test_command_line_compares_logits(library: Path, capsys, monkeypatch, tmp_path: Path) -> None:
    images = random_images(4, seed=3)
    monkeypatch.setattr("models.data.load_split", lambda split: (images, np.zeros(4)))
    expected = stand_in_logits(images)
    path = tmp_path / "expected.npy"
    with PtyBoard(BoardModel(library)) as pty:
        np.save(path, expected)
        assert host.main(["--port", pty.port, "--timeout", "3", "--expected", str(path)]) == 0
        assert "bit-exact  40 of 40 logits codes" in capsys.readouterr().out
        expected[2, 7] += 1
        np.save(path, expected)
        assert host.main(["--port", pty.port, "--timeout", "3", "--expected", str(path)]) == 1
        assert "error: 1 logits codes differ" in capsys.readouterr().err


def test_command_line_fails_with_one_line(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("models.data.load_split", lambda split: (np.zeros((1, 28, 28), np.uint8), np.zeros(1)))
    assert host.main(["--port", "/dev/no_such_port"]) == 1
    assert capsys.readouterr().err.startswith("error: cannot open serial port /dev/no_such_port")


def test_frame_reader_finds_frames_in_noise() -> None:
    rng = random.Random(11)
    frames = [host.encode(rng.randrange(256), n, bytes(rng.choices(host.SYNC + b"\x00\xff", k=n))) for n in range(60)]
    stream = b"".join(frame + bytes(rng.choices(b"\xa5\x01\x02", k=rng.randrange(4))) for frame in frames) + bytes(3000)
    reader, found = host.FrameReader(), []
    while stream:
        size = rng.randrange(1, 40)
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert [frame.sequence for frame in found] == list(range(60))


@pytest.mark.parametrize("name", [n for n in list_boards() if (BOARDS_DIR / n / "top.sv").is_file()])
def test_board_top_is_clean(name: str) -> None:
    lint("top", sources=[STAND_IN, *board_sources(load_board(name))])
