# SPDX-License-Identifier: Apache-2.0
"""host_link, crc16 and clock_meter: frames good and broken, two images in flight, stalls, timeout, measured clock."""

import binascii
import random
import struct

import pytest

from sim.bench.runner import bench_params, run_cocotb
from synthesis.host import ERRORS, SYNC, TYPE_ERROR, TYPE_IMAGE, TYPE_INFO, FrameReader, encode

pytestmark = pytest.mark.verilator

MODEL_ID = 0xFEDC_BA98_7654_3210
SHAPES = [(5, 3), (16, 10), (1, 1), (784, 10)]


@pytest.mark.parametrize("image_bytes, classes", SHAPES)
def test_host_link_protocol(image_bytes: int, classes: int) -> None:
    params = {"IMAGE_BYTES": image_bytes, "CLASSES": classes, "MODEL_ID": MODEL_ID, "TIMEOUT_MS": 3}
    assert run_cocotb("host_link", module=__file__, params=params) >= 1


def test_crc16_matches_binascii() -> None:
    assert run_cocotb("crc16", module=__file__) >= 1


def test_clock_meter_measures() -> None:
    assert run_cocotb("clock_meter", module=__file__, params={"REF_HZ": 1_000_000}) >= 1


def test_crc_check_value() -> None:
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


# ---- coroutines: run by the simulation ----
import cocotb  # noqa: E402
from cocotb.clock import Clock  # noqa: E402
from cocotb.triggers import FallingEdge, Timer  # noqa: E402

BAD_CRC, BAD_LENGTH, BAD_TYPE, NO_SLOT = sorted(ERRORS)


def _is(unit: str) -> bool:
    """Tell whether this simulation runs that unit: all cocotb tests of the file are offered to each."""
    return cocotb.top._name == unit


def _network(image: bytes, classes: int) -> list[int]:
    """Logits of the network that the bench plays: the pixel codes' weighted sums, wrapped to 16 bits."""
    codes = [pixel - 128 for pixel in image]
    sums = [sum(code * (index + c + 1) for index, code in enumerate(codes)) for c in range(classes)]
    return [(value + 2**15) % 2**16 - 2**15 for value in sums]


class Bench:
    """Everything around host_link: the byte sender, the network, the byte receiver. One step is one clock cycle."""

    def __init__(self, dut, seed: int, stall: int):
        self.dut, self.stall, self.rng = dut, stall, random.Random(seed)
        self.params = bench_params()
        self.classes, self.image_bytes = self.params["CLASSES"], self.params["IMAGE_BYTES"]
        self.to_send: list[int] = []
        self.reader, self.frames = FrameReader(), []
        self.pixels: list[int] = []
        self.images: list[bytes] = []
        self.logits: list[tuple[int, int]] = []  # value, tlast
        self.indices: list[int] = []
        self.pixel_ready = True  # the network takes pixels at all
        self.gap = 0  # idle cycles between bytes
        self.wait = 0
        self.cycle = 0
        self.first_pixel: list[int] = []
        self.last_logit: list[int] = []

    async def reset(self) -> None:
        dut = self.dut
        for name in ("s_axis_tvalid", "m_axis_tready", "m_axis_pixel_tready", "s_axis_logit_tvalid",
                     "s_axis_class_tvalid", "tick_ms", "s_axis_logit_tlast"):  # fmt: skip
            getattr(dut, name).value = 0
        dut.khz.value = 80_000
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
        for _ in range(4):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    def _go(self) -> bool:
        return self.rng.randrange(100) >= self.stall

    async def step(self, cycles: int = 1, tick: bool = False) -> None:
        dut = self.dut
        for _ in range(cycles):
            # outputs of the cycle before the coming edge decide what happens on it
            send = bool(self.to_send) and self.wait == 0
            dut.s_axis_tvalid.value = int(send)
            if send:
                dut.s_axis_tdata.value = self.to_send[0]
            dut.tick_ms.value = int(tick)
            pixel_ready = self.pixel_ready and self._go()
            dut.m_axis_pixel_tready.value = int(pixel_ready)
            byte_ready = self._go()
            dut.m_axis_tready.value = int(byte_ready)
            # a valid beat stays valid until it is taken
            logit = bool(self.logits) and (dut.s_axis_logit_tvalid.value == 1 or self._go())
            dut.s_axis_logit_tvalid.value = int(logit)
            if logit:
                dut.s_axis_logit_tdata.value = self.logits[0][0] % 2**16
                dut.s_axis_logit_tlast.value = self.logits[0][1]
            index = bool(self.indices) and (dut.s_axis_class_tvalid.value == 1 or self._go())
            dut.s_axis_class_tvalid.value = int(index)
            if index:
                dut.s_axis_class_tdata.value = self.indices[0]
            await Timer(1, "ns")
            if pixel_ready and dut.m_axis_pixel_tvalid.value == 1:
                if not self.pixels:
                    self.first_pixel.append(self.cycle)
                self.pixels.append((int(dut.m_axis_pixel_tdata.value) ^ 0x80) & 0xFF)
                if len(self.pixels) == self.image_bytes:
                    self._answer(bytes(self.pixels))
                    self.pixels = []
            if byte_ready and dut.m_axis_tvalid.value == 1:
                self.frames += self.reader.feed(bytes([int(dut.m_axis_tdata.value)]))
            took_logit = logit and dut.s_axis_logit_tready.value == 1
            took_index = index and dut.s_axis_class_tready.value == 1
            await FallingEdge(dut.clk)
            self.cycle += 1
            if send:
                self.to_send.pop(0)
                self.wait = self.gap
            elif self.wait:
                self.wait -= 1
            if took_logit and self.logits.pop(0)[1]:
                self.last_logit.append(self.cycle - 1)
            if took_index:
                self.indices.pop(0)

    def _answer(self, image: bytes) -> None:
        self.images.append(image)
        logits = _network(image, self.classes)
        self.logits += [(value, int(i == self.classes - 1)) for i, value in enumerate(logits)]
        self.indices.append(max(range(self.classes), key=lambda i: logits[i]))

    async def send(self, data: bytes) -> None:
        self.to_send += data
        while self.to_send:
            await self.step()

    async def expect(self, kind: int, sequence: int) -> bytes:
        """Step until a frame has come and check its kind and number; return its payload."""
        for _ in range(40 * (self.image_bytes + self.classes) + 4000):
            if self.frames:
                frame = self.frames.pop(0)
                assert (frame.kind, frame.sequence) == (kind, sequence), f"{frame}, expected {kind:02x} {sequence}"
                return frame.payload
            await self.step()
        raise AssertionError(f"no frame {kind:02x} {sequence} came")

    async def expect_result(self, sequence: int, image: bytes) -> None:
        payload = await self.expect(TYPE_IMAGE | 0x80, sequence)
        logits = _network(image, self.classes)
        index, cycles, *got = struct.unpack(f"<HI{self.classes}h", payload)
        assert got == logits
        assert index == max(range(self.classes), key=lambda i: logits[i])
        assert cycles == self.last_logit.pop(0) - self.first_pixel.pop(0) + 1

    async def expect_error(self, sequence: int, code: int) -> None:
        assert await self.expect(TYPE_ERROR, sequence) == bytes([code])

    async def expect_silence(self, cycles: int = 300) -> None:
        await self.step(cycles)
        assert not self.frames, self.frames

    def image(self) -> bytes:
        return bytes(self.rng.choice((0, 255, 0xA5, 0x5A, self.rng.randrange(256))) for _ in range(self.image_bytes))


@cocotb.test()
@cocotb.parametrize(stall=[0, 40])
async def link_serves(dut, stall: int) -> None:
    if not _is("host_link"):
        return
    bench = Bench(dut, seed=stall + 1, stall=stall)
    await bench.reset()
    classes, count = bench.classes, bench.image_bytes

    await bench.send(encode(TYPE_INFO, 200))
    info = struct.unpack("<BBHHIQ", await bench.expect(TYPE_INFO | 0x80, 200))
    assert info == (1, 2, count, classes, 80_000, MODEL_ID)

    for sequence in range(3):
        image = bench.image()
        await bench.send(encode(TYPE_IMAGE, sequence, image))
        await bench.expect_result(sequence, image)
        assert bench.images.pop() == image

    # back to back, two at a time
    images = [bench.image() for _ in range(6)]
    bench.to_send += encode(TYPE_IMAGE, 10, images[0]) + encode(TYPE_IMAGE, 11, images[1])
    for index, image in enumerate(images):
        await bench.expect_result(10 + index, image)
        if index + 2 < len(images):
            bench.to_send += encode(TYPE_IMAGE, 12 + index, images[index + 2])
    assert bench.images == images

    # garbage around a frame, sync bytes among it
    await bench.send(bytes(bench.rng.randrange(256) for _ in range(50)).replace(SYNC, b"") + b"\xa5\xa5\xa5")
    await bench.send(encode(TYPE_INFO, 77)[1:])
    await bench.expect(TYPE_INFO | 0x80, 77)
    await bench.expect_silence()

    # every kind of broken frame is refused, the network sees nothing of it, and the next frame works
    bench.images.clear()
    image = bench.image()
    good = encode(TYPE_IMAGE, 33, image)
    for position in {4 + 2, len(good) - 1, len(good) - 2, 6 + count // 2}:
        broken = bytearray(good)
        broken[position] ^= 1 << bench.rng.randrange(8)
        await bench.send(bytes(broken))
        await bench.expect_error(33, BAD_CRC)
    await bench.send(encode(TYPE_IMAGE, 34, bytes(count + 1)))
    await bench.expect_error(34, BAD_LENGTH)
    await bench.expect_silence()
    await bench.send(encode(TYPE_INFO, 35, b"x"))
    await bench.expect_error(35, BAD_LENGTH)
    await bench.expect_silence()
    await bench.send(encode(0x42, 36))
    await bench.expect_error(36, BAD_TYPE)
    await bench.expect_silence()
    assert dut.last_refused.value == 1
    assert not bench.images and not bench.pixels
    await bench.send(good)
    await bench.expect_result(33, image)
    assert dut.last_refused.value == 0

    # a frame that stops is forgotten after TIMEOUT_MS pulses, not before
    for pulses, heard in ((3, True), (4, False)):
        await bench.send(good[:-1])
        for _ in range(pulses):
            await bench.step(tick=True)
            await bench.step(3)
        await bench.send(good[-1:])
        if heard:
            await bench.expect_result(33, image)
        else:
            await bench.expect_silence()
    await bench.send(encode(TYPE_INFO, 37))
    await bench.expect(TYPE_INFO | 0x80, 37)

    # with the network stopped two images fit, the third is refused
    bench.pixel_ready = False
    images = [bench.image() for _ in range(3)]
    if count > 2:  # an image of two pixels vanishes into the output registers
        for index, image in enumerate(images):
            await bench.send(encode(TYPE_IMAGE, 40 + index, image))
        await bench.expect_error(42, NO_SLOT)
        bench.pixel_ready = True
        for index in range(2):
            await bench.expect_result(40 + index, images[index])
        await bench.send(encode(TYPE_IMAGE, 42, images[2]))
        await bench.expect_result(42, images[2])
    await bench.expect_silence()


@cocotb.test()
async def link_survives_reset(dut) -> None:
    if not _is("host_link"):
        return
    bench = Bench(dut, seed=9, stall=20)
    await bench.reset()
    image = bench.image()
    frame = encode(TYPE_IMAGE, 1, image)
    for cut in sorted({3, len(frame) // 2, len(frame)}):
        await bench.send(frame[:cut])
        await bench.step(bench.rng.randrange(1, 8))
        dut.rst.value = 1
        await bench.step(2)
        dut.rst.value = 0
        for queue in (bench.logits, bench.indices, bench.pixels, bench.frames, bench.first_pixel, bench.last_logit):
            queue.clear()
        bench.reader = FrameReader()
        dut.s_axis_logit_tvalid.value = 0
        dut.s_axis_class_tvalid.value = 0
        await bench.send(frame)
        await bench.expect_result(1, image)


@cocotb.test()
async def crc_matches(dut) -> None:
    if not _is("crc16"):
        return
    rng = random.Random(3)
    crc, data = 0xFFFF, b""
    for value in [*b"123456789", *(rng.randrange(256) for _ in range(500))]:
        dut.crc.value = crc
        dut.data.value = value
        await Timer(1, "ns")
        crc, data = int(dut.crc_next.value), data + bytes([value])
        assert crc == binascii.crc_hqx(data, 0xFFFF), f"after {len(data)} bytes (seed 3)"


@cocotb.test()
@cocotb.parametrize(clock_khz=[1_000, 2_500, 3_333])
async def meter_measures(dut, clock_khz: int) -> None:
    if not _is("clock_meter"):
        return
    dut.rst.value = 1
    dut.ref_rst.value = 1
    period_ps = 2 * round(1e9 / clock_khz / 2)
    cocotb.start_soon(Clock(dut.ref_clk, 1_000_000, "ps").start())
    cocotb.start_soon(Clock(dut.clk, period_ps, "ps").start())
    await Timer(20, "us")
    dut.rst.value = 0
    dut.ref_rst.value = 0
    await Timer(100, "us")
    assert dut.khz.value == 0
    await Timer(2_100, "us")
    assert abs(int(dut.khz.value) - 1e9 / period_ps) <= 1.0
    ticks = 0
    for _ in range(3 * clock_khz):
        await FallingEdge(dut.clk)
        ticks += int(dut.tick_ms.value)
    assert 2 <= ticks <= 4
