# SPDX-License-Identifier: Apache-2.0
"""uart_rx, uart_tx and cdc: every byte, wrong bit clocks, line noise; words across clocks of any ratio."""

import random

import pytest

from sim import toolchain
from sim.bench.runner import bench_params, run_cocotb

pytestmark = pytest.mark.verilator

RATES = [(25_000_000, 3_000_000), (25_000_000, 115_200), (50_000_000, 3_000_000), (80_000_000, 3_000_000)]


@pytest.mark.parametrize("clock_hz, baud", RATES)
def test_uart_rx_receives(clock_hz: int, baud: int) -> None:
    assert run_cocotb("uart_rx", module=__file__, params={"CLOCK_HZ": clock_hz, "BAUD": baud}) >= 1


@pytest.mark.parametrize("clock_hz, baud", RATES)
def test_uart_tx_sends(clock_hz: int, baud: int) -> None:
    assert run_cocotb("uart_tx", module=__file__, params={"CLOCK_HZ": clock_hz, "BAUD": baud}) >= 1


def test_cdc_crosses() -> None:
    assert run_cocotb("cdc", module=__file__, params={"WIDTH": 8}) >= 1


def refuse(unit: str, params: dict[str, int]) -> None:
    """Elaborate a unit with parameters that it must refuse."""
    binary = toolchain.verilator_dir() / "bin" / "verilator_bin"
    command = [binary, "--lint-only", "--top-module", unit, *toolchain.parameter_args(params)]
    toolchain.run_tool([*command, *toolchain.unit_sources(unit)], f"lint [{unit}]", env=toolchain.verilator_env())


@pytest.mark.parametrize("unit", ["uart_rx", "uart_tx"])
def test_uart_refuses_slow_clock(unit: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{unit}: CLOCK_HZ=10000000 must be at least 6 times BAUD=3000000"):
        refuse(unit, {"CLOCK_HZ": 10_000_000, "BAUD": 3_000_000})


# ---- coroutines: run by the simulation ----
import cocotb  # noqa: E402
from cocotb.clock import Clock  # noqa: E402
from cocotb.triggers import Edge, FallingEdge, RisingEdge, Timer  # noqa: E402


def _ps(seconds: float) -> int:
    """Time steps of 1 ps, even (a clock needs two equal halves)."""
    return max(2, 2 * round(seconds * 1e12 / 2))


async def _start(dut, period_ps: int) -> None:
    cocotb.start_soon(Clock(dut.clk, period_ps, "ps").start())
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(4):
        await RisingEdge(dut.clk)


async def _send_byte(line, value: int, bit_s: float, stop: int = 1) -> None:
    """Drive one frame; edges at the line's own bit times, whatever the clock does."""
    spent = 0
    for index, level in enumerate([0, *((value >> bit) & 1 for bit in range(8)), stop]):
        line.value = level
        until = round((index + 1) * bit_s * 1e12)
        await Timer(until - spent, "ps")
        spent = until
    line.value = 1


async def _collect(dut, into: list[int]) -> None:
    while True:
        await RisingEdge(dut.m_axis_tvalid)
        await FallingEdge(dut.clk)
        into.append(int(dut.m_axis_tdata.value))


def _is(unit: str) -> bool:
    """Tell whether this simulation runs that unit: all cocotb tests of the file are offered to each."""
    return cocotb.top._name == unit


@cocotb.test()
@cocotb.parametrize(percent=[-2.0, 0.0, 2.0])
async def rx_receives_every_byte(dut, percent: float) -> None:
    if not _is("uart_rx"):
        return
    params, rng = bench_params(), random.Random(5)
    dut.rxd.value = 1
    await _start(dut, _ps(1 / params["CLOCK_HZ"]))
    got: list[int] = []
    cocotb.start_soon(_collect(dut, got))
    values = list(range(256))
    rng.shuffle(values)
    values = values if params["CLOCK_HZ"] < 6 * params["BAUD"] * 2 else values[:16]
    bit_s = 1 / params["BAUD"] / (1 + percent / 100)
    for index, value in enumerate(values):
        if index % 3 == 0:  # an arbitrary phase; the others follow back to back
            await Timer(rng.randrange(1, _ps(bit_s)), "ps")
        await _send_byte(dut.rxd, value, bit_s)
    await Timer(_ps(2 * bit_s), "ps")
    assert got == values, f"at {percent} %: {got[:20]} instead of {values[:20]} (seed 5)"


@cocotb.test()
async def rx_ignores_noise(dut) -> None:
    if not _is("uart_rx"):
        return
    params = bench_params()
    bit_s = 1 / params["BAUD"]
    dut.rxd.value = 1
    await _start(dut, _ps(1 / params["CLOCK_HZ"]))
    got: list[int] = []
    cocotb.start_soon(_collect(dut, got))
    dut.rxd.value = 0  # a glitch of a third of a bit is no start bit
    await Timer(_ps(bit_s / 3), "ps")
    dut.rxd.value = 1
    await Timer(_ps(12 * bit_s), "ps")
    await _send_byte(dut.rxd, 0x5A, bit_s, stop=0)  # no stop bit: dropped
    await Timer(_ps(2 * bit_s), "ps")
    dut.rxd.value = 0  # a break of 30 bits is one bad byte, not three
    await Timer(_ps(30 * bit_s), "ps")
    dut.rxd.value = 1
    await Timer(_ps(2 * bit_s), "ps")
    await _send_byte(dut.rxd, 0xA5, bit_s)
    await Timer(_ps(2 * bit_s), "ps")
    assert got == [0xA5], [hex(value) for value in got]


@cocotb.test()
async def tx_edges_lie_within_a_cycle(dut) -> None:
    if not _is("uart_tx"):
        return
    params, rng = bench_params(), random.Random(6)
    period_ps = _ps(1 / params["CLOCK_HZ"])
    bit_ps = 1e12 / params["BAUD"] * (period_ps / (1e12 / params["CLOCK_HZ"]))
    dut.s_axis_tvalid.value = 0
    await _start(dut, period_ps)
    assert dut.txd.value == 1
    values = [0x00, 0xFF, 0x55, 0xAA, *(rng.randrange(256) for _ in range(6))]
    edges: list[tuple[float, int]] = []

    async def watch() -> None:
        while True:
            await Edge(dut.txd)
            edges.append((cocotb.utils.get_sim_time("ps"), int(dut.txd.value)))

    cocotb.start_soon(watch())
    await FallingEdge(dut.clk)
    for index, value in enumerate(values):
        dut.s_axis_tdata.value = value
        dut.s_axis_tvalid.value = 1
        while True:
            await FallingEdge(dut.clk)
            if dut.s_axis_tready.value == 0:  # taken by the edge in between
                break
        dut.s_axis_tvalid.value = 0
        edges_before = len(edges)
        await RisingEdge(dut.s_axis_tready)
        await FallingEdge(dut.clk)
        if index % 2:
            await Timer(3 * period_ps, "ps")
            await FallingEdge(dut.clk)
        # edges_before counts this frame's start edge already
        frame = edges[edges_before - 1 :]
        start = frame[0][0]
        levels = [0, *((value >> bit) & 1 for bit in range(8)), 1]
        want = [(bit, levels[bit]) for bit in range(1, 10) if levels[bit] != levels[bit - 1]]
        assert [level for _, level in frame[1:]] == [level for _, level in want], f"byte {value:02x}"
        for (time_ps, _), (bit, _) in zip(frame[1:], want, strict=True):
            error = time_ps - start - bit * bit_ps
            assert abs(error) <= period_ps, f"byte {value:02x} bit {bit}: edge {error:.0f} ps off"


@cocotb.test()
@cocotb.parametrize(m_period_ps=[3_000, 9_998, 10_000, 33_334], stall=[0, 60])
async def cdc_keeps_order(dut, m_period_ps: int, stall: int) -> None:
    if not _is("cdc"):
        return
    rng = random.Random(m_period_ps + stall)
    dut.s_axis_tvalid.value = 0
    dut.m_axis_tready.value = 0
    dut.s_rst.value = 1
    dut.m_rst.value = 1
    cocotb.start_soon(Clock(dut.s_clk, 10_000, "ps").start())
    cocotb.start_soon(Clock(dut.m_clk, m_period_ps, "ps").start())
    await Timer(400, "ns")
    dut.s_rst.value = 0
    dut.m_rst.value = 0
    await Timer(400, "ns")
    values = [rng.randrange(256) for _ in range(40)]
    got: list[int] = []

    async def drain() -> None:
        while True:
            await FallingEdge(dut.m_clk)
            dut.m_axis_tready.value = int(rng.randrange(100) >= stall)
            await RisingEdge(dut.m_clk)
            if dut.m_axis_tvalid.value == 1 and dut.m_axis_tready.value == 1:
                got.append(int(dut.m_axis_tdata.value))

    cocotb.start_soon(drain())
    for value in values:
        await FallingEdge(dut.s_clk)
        dut.s_axis_tdata.value = value
        dut.s_axis_tvalid.value = 1
        while True:
            await RisingEdge(dut.s_clk)
            if dut.s_axis_tready.value == 1:
                break
        await FallingEdge(dut.s_clk)
        dut.s_axis_tvalid.value = 0
        if rng.randrange(100) < stall:
            await Timer(rng.randrange(1, 200_000), "ps")
    await Timer(20 * m_period_ps, "ps")
    assert got == values, f"{len(got)} of {len(values)} words, seed {m_period_ps + stall}"
