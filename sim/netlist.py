# SPDX-License-Identifier: Apache-2.0
"""Simulate a synthesized ECP5 netlist (Yosys' JSON, the file that nextpnr reads), cell by cell.

Verilator needs minutes for such a netlist, so the cells are put into topological order here and sim/netlist.cpp
interprets them: seconds to build, ten thousand cycles per second. It looks like a Verilator model to
sim/harness.cpp and sim/board_harness.cpp, so netlist_design() gives a Design with streams and netlist_board() a library
for sim.board.BoardModel. The cells behave as their Verilog models in sim/cells; tests/sim compares both with the RTL.
Stricter than the models: what a block RAM port reads of bits that its other port writes at the same edge is not defined
by the device, so it reads as wrong here.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.toolchain import (
    cache_dir,
    compiler,
    content_hash,
    cxx_flags,
    new_folder,
    publish,
    run_tool,
    runtime,
    tool_version,
)
from sim.verilate import HARNESS, Design

SIMULATOR = Path(__file__).with_name("netlist.cpp")
CELLS = Path(__file__).with_name("cells")
BOARD_HARNESS = Path(__file__).with_name("board_harness.cpp")
LUT, MUX, CARRY, RAM_READ, MULTIPLY = range(5)
WRITE_MODES = {"NORMAL": 0, "WRITETHROUGH": 1, "READBEFOREWRITE": 2}


@functools.cache
def _parameters(kind: str) -> frozenset[str]:
    """Parameters that the Verilog model of a cell has; one that it lacks would be ignored here."""
    text = (CELLS / f"{kind}.sv").read_text()
    return frozenset(re.findall(r"^\s*parameter (?:logic )?(?:\[.*?\] )?(\w+)", text, re.MULTILINE))


@dataclass
class _Op:
    kind: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    init: int = 0
    flags: int = 0
    cell: int = 0


@dataclass
class _Flop:
    controls: tuple[int, int, int, int]  # clock, net of the enable, net of LSR, flags
    d: int
    q: int


class Net(int):
    """Number of a net inside a table, to be told from other integers when nets are numbered anew."""


@dataclass
class Program:
    """A netlist as tables for sim/netlist.cpp."""

    ports: list[tuple[str, bool, Sequence[int]]] = field(default_factory=list)  # name, is input, nets
    nets: int = 2
    ops: list[_Op] = field(default_factory=list)  # in topological order, by level and kind
    cone: list[int] = field(default_factory=list)  # those that an input port reaches without a register
    flops: list[_Flop] = field(default_factory=list)  # by their controls
    clocks: list[tuple[int, int]] = field(default_factory=list)  # net, inverted
    lut_rams: list[list] = field(default_factory=list)  # fields of the structures in netlist.cpp; nets are Net
    block_rams: list[list] = field(default_factory=list)
    ram_words: list[int] = field(default_factory=list)
    multipliers: list[list] = field(default_factory=list)
    cells: dict[str, int] = field(default_factory=dict)


class _Reader:
    def __init__(self, module: Mapping[str, Any]):
        self.program = Program()
        self.numbers: dict[int, Net] = {}
        for name, port in module["ports"].items():
            if port["direction"] not in ("input", "output"):
                raise ValueError(f"netlist: port {name} is {port['direction']}, input or output expected")
            nets = [self.net(bit) for bit in port["bits"]]
            self.program.ports.append((name, port["direction"] == "input", nets))
        for name, cell in module["cells"].items():
            kind = cell["type"]
            reader = getattr(self, f"cell_{kind.lower()}", None)
            if reader is None:
                raise ValueError(f"netlist: no model of cell type {kind} (cell {name})")
            self.program.cells[kind] = self.program.cells.get(kind, 0) + 1
            self.name, self.pins = name, cell["connections"]
            unknown = set(cell["parameters"]) - _parameters(kind)
            if unknown:
                names = ", ".join(sorted(unknown))
                raise ValueError(f"netlist: cell {name}: the model of {kind} has no parameter {names}")
            self.parameters = {k: v.strip() if isinstance(v, str) else v for k, v in cell["parameters"].items()}
            reader()
        self.program.flops.sort(key=lambda f: f.controls)
        self.order()

    # ---- pins and parameters

    def net(self, bit: int | str) -> Net:
        if isinstance(bit, str):
            return Net(bit == "1")  # x and z are 0
        if bit not in self.numbers:
            self.numbers[bit] = self.fresh()
        return Net(self.numbers[bit])

    def pin(self, name: str, index: int = 0) -> Net:
        """Net of an input; unconnected inputs are 0."""
        bits = self.pins.get(name, [])
        return self.net(bits[index]) if index < len(bits) else Net(0)

    def output(self, name: str, index: int = 0) -> Net:
        """Net of an output, -1 = unconnected."""
        bits = self.pins.get(name, [])
        return self.net(bits[index]) if index < len(bits) and not isinstance(bits[index], str) else Net(-1)

    def sink(self, name: str, index: int = 0) -> Net:
        """Net of an output of an operation; unconnected ones get a net of their own."""
        found = self.output(name, index)
        return self.fresh() if found < 0 else found

    def fresh(self) -> Net:
        self.program.nets += 1
        return Net(self.program.nets - 1)

    def text(self, name: str, default: str) -> str:
        return str(self.parameters.get(name, default))

    def number(self, name: str, default: int) -> int:
        value = self.parameters.get(name, default)
        return value if isinstance(value, int) else int(value.replace("x", "0") or "0", 2)

    def expect(self, name: str, default: str, *allowed: str) -> None:
        value = self.text(name, default)
        if value not in allowed:
            kind = f"netlist: cell {self.name}: {name}={value} is not modelled"
            raise ValueError(f"{kind}, {' or '.join(allowed)} expected")

    def clock(self, net: int, inverted: bool) -> int:
        key = (net, int(inverted))
        if key not in self.program.clocks:
            self.program.clocks.append(key)
        return self.program.clocks.index(key)

    def op(
        self, kind: int, inputs: Sequence[int], outputs: Sequence[int], init: int = 0, flags: int = 0, cell: int = 0
    ) -> None:
        self.program.ops.append(_Op(kind, inputs, outputs, init, flags, cell))

    # ---- cells

    def cell_lut4(self) -> None:
        self.op(LUT, [self.pin(p) for p in "ABCD"], [self.sink("Z")], self.number("INIT", 0))

    def cell_pfumx(self) -> None:
        self.op(MUX, [self.pin("ALUT"), self.pin("BLUT"), self.pin("C0")], [self.sink("Z")])

    def cell_l6mux21(self) -> None:
        self.op(MUX, [self.pin("D1"), self.pin("D0"), self.pin("SD")], [self.sink("Z")])

    def cell_ccu2c(self) -> None:
        between = self.fresh()
        # carry_ends.py disconnects constants, mostly 0, that no sum needs: a 1 would show in a sum that needs one
        first = Net(1) if self.pins.get("CIN") == ["x"] else self.pin("CIN")
        for half, carry_in, carry_out in (("0", first, between), ("1", between, self.sink("COUT"))):
            inputs = [*(self.pin(p + half) for p in "ABCD"), carry_in]
            flags = int(self.text(f"INJECT1_{half}", "YES") == "YES")
            self.op(CARRY, inputs, [self.sink("S" + half), carry_out], self.number(f"INIT{half}", 0), flags)

    def cell_trellis_ff(self) -> None:
        self.expect("LSRMODE", "LSR", "LSR")
        enable = self.text("CEMUX", "1")
        ce = {"1": Net(1), "0": Net(0)}.get(enable, self.pin("CE"))
        flags = int(enable == "INV") | 2 * (self.text("LSRMUX", "LSR") == "INV")
        flags |= 4 * (self.text("REGSET", "RESET") == "SET") | 8 * (self.text("SRMODE", "LSR_OVER_CE") == "ASYNC")
        clock = self.clock(self.pin("CLK"), self.text("CLKMUX", "CLK") == "INV")
        self.program.flops.append(_Flop((clock, ce, self.pin("LSR"), flags), self.pin("DI"), self.sink("Q")))

    def cell_trellis_dpr16x4(self) -> None:
        enable = self.text("WREMUX", "WRE")
        we = {"1": Net(1), "0": Net(0)}.get(enable, self.pin("WRE"))
        read = [self.pin("RAD", i) for i in range(4)]
        out = [self.output("DO", i) for i in range(4)]
        clock = self.clock(self.pin("WCK"), self.text("WCKMUX", "WCK") == "INV")
        data, write = ([self.pin(p, i) for i in range(4)] for p in ("DI", "WAD"))
        self.op(RAM_READ, read, [n for n in out if n >= 0], cell=len(self.program.lut_rams))
        values = [clock, we, int(enable == "INV"), data, write, read, out]
        self.program.lut_rams.append([*values, f"{self.number('INITVAL', 0)}ull"])

    def cell_dp16kd(self) -> None:
        for side in "AB":
            self.expect(f"WRITEMODE_{side}", "NORMAL", *WRITE_MODES)
        if self.text("RESETMODE", "SYNC") == "ASYNC" and any(self.pin(f"RST{s}") for s in "AB"):
            raise ValueError(f"netlist: cell {self.name}: an asynchronous reset in use is not modelled")
        words = [0] * 1024
        for block in range(64):
            value = self.number(f"INITVAL_{block:02X}", 0)
            for i in range(16 if value else 0):
                words[16 * block + i] = (value >> (20 * i)) & 0x3FFFF
        init = -1
        if any(words):
            init = len(self.program.ram_words)
            self.program.ram_words += words
        self.program.block_rams.append([[self.ram_port("A"), self.ram_port("B")], init])

    def ram_port(self, side: str) -> list:
        clock, width = self.pin(f"CLK{side}"), self.number(f"DATA_WIDTH_{side}", 18)
        if width == 36 and side == "B" and self.pin("WEB") != 0:
            raise ValueError(f"netlist: cell {self.name}: port B of 36 bits writes, which is not modelled")
        inverted = sum(
            int(self.text(f"{p}{side}MUX", "") == "INV") << i for i, p in enumerate(("CE", "OCE", "WE", "RST"))
        )
        select = [self.pin(f"CS{side}{i}") for i in range(3)]
        code = int(self.text(f"CSDECODE_{side}", "0b000").removeprefix("0b"), 2)
        return [
            -1 if clock == 0 else self.clock(clock, self.text(f"CLK{side}MUX", "") == "INV"),
            width,
            WRITE_MODES[self.text(f"WRITEMODE_{side}", "NORMAL")],
            int(self.text(f"REGMODE_{side}", "NOREG") == "OUTREG"),
            *(self.pin(f"{p}{side}") for p in ("CE", "OCE", "WE", "RST")),
            inverted,
            select,
            code,
            [self.pin(f"AD{side}{i}") for i in range(14)],
            [self.pin(f"DI{side}{i}") for i in range(18)],
            [self.output(f"DO{side}{i}") for i in range(18)],
        ]

    def cell_mult18x18d(self) -> None:
        self.expect("MULT_BYPASS", "DISABLED", "DISABLED")
        self.expect("SOURCEB_MODE", "B_SHIFT", "B_SHIFT")
        self.expect("RESETMODE", "SYNC", "SYNC")
        self.expect("CAS_MATCH_REG", "FALSE", "FALSE")
        self.expect("HIGHSPEED_CLK", "NONE", "NONE")
        if self.pin("SOURCEA") or self.pin("SOURCEB"):
            raise ValueError(f"netlist: cell {self.name}: cascaded factors are not modelled")
        if any(self.output(f"{p}{i}") >= 0 for p in ("ROA", "ROB", "ROC", "SROA", "SROB") for i in range(18)):
            raise ValueError(f"netlist: cell {self.name}: the outputs ROx and SROx are not modelled")
        stages = []
        for role in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT"):
            source = self.text(f"REG_{role}_CLK", "NONE")
            clock = -1 if source == "NONE" else self.clock(self.pin(source), False)
            ce, rst = self.pin(self.text(f"REG_{role}_CE", "CE0")), self.pin(self.text(f"REG_{role}_RST", "RST0"))
            stages.append([clock, ce, rst])
        a, b = ([self.pin(f"{p}{i}") for i in range(18)] for p in "AB")
        signs = [self.pin("SIGNEDA"), self.pin("SIGNEDB")]
        out = [self.output(f"P{i}") for i in range(36)]
        if stages[2][0] < 0 and stages[3][0] < 0 and (stages[0][0] < 0 or stages[1][0] < 0):
            inputs = [*(a if stages[0][0] < 0 else []), *(b if stages[1][0] < 0 else []), *signs]
            self.op(MULTIPLY, inputs, [n for n in out if n >= 0], cell=len(self.program.multipliers))
        self.program.multipliers.append([a, b, *signs, out, stages])

    def cell_ehxplll(self) -> None:
        for p in ("CLKOP", "CLKOS", "CLKOS2", "CLKOS3"):
            if self.output(p) >= 0:
                self.op(LUT, [self.pin("CLKI"), 0, 0, 0], [self.output(p)], 0b10)
        for p in ("LOCK", "INTLOCK"):
            if self.output(p) >= 0:
                self.op(LUT, [0, 0, 0, 0], [self.output(p)], 0b1)

    # ---- order

    def order(self) -> None:
        """Put the operations into topological order, number the nets by their makers, find what input ports reach."""
        ops = self.program.ops
        maker = {net: i for i, op in enumerate(ops) for net in op.outputs}
        users: list[list[int]] = [[] for _ in ops]
        waiting = []
        for i, op in enumerate(ops):
            sources = {maker[net] for net in op.inputs if net in maker}
            waiting.append(len(sources))
            for source in sources:
                users[source].append(i)
        level = [0] * len(ops)
        ready = [i for i, n in enumerate(waiting) if n == 0]
        done = 0
        while ready:
            i = ready.pop()
            done += 1
            for user in users[i]:
                level[user] = max(level[user], level[i] + 1)
                waiting[user] -= 1
                if waiting[user] == 0:
                    ready.append(user)
        if done < len(ops):
            raise ValueError(f"netlist: {len(ops) - done} cells lie on or behind a combinational loop")
        self.program.ops = [ops[i] for i in sorted(range(len(ops)), key=lambda i: (level[i], ops[i].kind, i))]
        self.renumber()
        reached = {net for _, is_input, nets in self.program.ports if is_input for net in nets}
        for i, op in enumerate(self.program.ops):
            if any(net in reached for net in op.inputs):
                reached.update(op.outputs)
                self.program.cone.append(i)

    def renumber(self) -> None:
        """Neighbours in the order of evaluation become neighbours in memory: flip-flops, operations, the rest."""
        program = self.program
        made = [f.q for f in program.flops] + [net for op in program.ops for net in op.outputs]
        if len(set(made)) < len(made):
            raise ValueError("netlist: a net has two drivers")
        new = {0: Net(0), 1: Net(1), -1: Net(-1)}
        for net in made:
            new[net] = Net(len(new) - 1)
        for net in range(program.nets):
            if net not in new:
                new[net] = Net(len(new) - 1)

        def moved(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [moved(v) for v in value]
            return new[value] if isinstance(value, Net) else value

        program.ports = [(name, is_input, moved(nets)) for name, is_input, nets in program.ports]
        program.clocks = [(new[net], inverted) for net, inverted in program.clocks]
        for op in program.ops:
            op.inputs, op.outputs = [new[n] for n in op.inputs], [new[n] for n in op.outputs]
        for flop in program.flops:
            clock, ce, lsr, flags = flop.controls
            flop.controls, flop.d, flop.q = (clock, new[ce], new[lsr], flags), new[flop.d], new[flop.q]
        program.lut_rams, program.block_rams = moved(program.lut_rams), moved(program.block_rams)
        program.multipliers = moved(program.multipliers)


def _braces(values: Sequence[Any]) -> str:
    return "{" + ", ".join(_braces(v) if isinstance(v, (list, tuple)) else str(v) for v in values) + "}"


def read_netlist(path: Path, top: str) -> Program:
    """Read a netlist of Yosys (write_json after synth_ecp5).

    Raises:
        ValueError: no such file or module, or a cell or mode without a model.
    """
    if not Path(path).is_file():
        raise ValueError(f"netlist: {path} does not exist; it is written by make synth")
    modules = json.loads(Path(path).read_text())["modules"]
    if top not in modules:
        raise ValueError(f"netlist: {path} has no module {top}")
    return _Reader(modules[top]).program


def _storage(bits: int) -> str:
    for limit, kind in ((8, "CData"), (16, "SData"), (32, "IData"), (64, "QData")):
        if bits <= limit:
            return kind
    return f"VlWide<{-(-bits // 32)}>"


def _model_text(program: Program) -> str:
    """C++: the class Vdut and the tables."""
    declare, load, store = [], [], []
    for name, is_input, nets in program.ports:
        declare.append(f"    {_storage(len(nets))} {name}{{}};")
        for i, net in enumerate(nets):
            byte, bit = f"reinterpret_cast<uint8_t*>(&{name})[{i // 8}]", i % 8
            if is_input:
                load.append(f"        netlist.net[{net}] = ({byte} >> {bit}) & 1;")
            else:
                store.append(f"        {byte} = uint8_t(({byte} & ~{1 << bit}) | netlist.net[{net}] << {bit});")
    rows: list[list[int]] = []
    segments: list[tuple[list[int], set[int]]] = []  # kind, from, to; outputs
    for i, op in enumerate(program.ops):
        plain = op.kind in (LUT, MUX, CARRY)
        inputs = [*(op.inputs if plain else [op.cell]), 0, 0, 0, 0, 0][:5]
        rows.append([*inputs, op.outputs[0] if plain else 0, op.init | op.flags << 16])
        if segments and segments[-1][0][0] == op.kind and segments[-1][1].isdisjoint(op.inputs):
            segments[-1][0][2] = i + 1
            segments[-1][1].update(op.outputs)
        else:
            segments.append(([op.kind, i, i + 1], set(op.outputs)))
    groups: list[list[int]] = []
    for i, flop in enumerate(program.flops):
        if groups and tuple(groups[-1][:4]) == flop.controls:
            groups[-1][5] = i + 1
        else:
            groups.append([*flop.controls, i, i + 1])
    sizes = {
        "NETS": program.nets, "FLOP_NET": 2, "N_SEGMENTS": len(segments), "N_CONE": len(program.cone),
        "N_GROUPS": len(groups), "N_FLOPS": len(program.flops), "N_CLOCKS": len(program.clocks),
        "N_LUT_RAMS": len(program.lut_rams), "N_BLOCK_RAMS": len(program.block_rams),
        "N_MULTIPLIERS": len(program.multipliers),
    }  # fmt: skip
    cone = [value for i in program.cone for value in (program.ops[i].kind, i)]
    tables: list[tuple[str, Sequence[Any]]] = [
        ("Segment SEGMENTS", [s[0] for s in segments]), ("Op OPS", rows), ("int32_t CONE", cone),
        ("Group GROUPS", groups), ("int32_t FLOP_D", [f.d for f in program.flops]), ("Clock CLOCKS", program.clocks),
        ("LutRam LUT_RAMS", program.lut_rams), ("BlockRam BLOCK_RAMS", program.block_rams),
        ("uint32_t RAM_WORDS", program.ram_words), ("Multiplier MULTIPLIERS", program.multipliers),
    ]  # fmt: skip
    lines = ["#include <cstring>", "#include <stdexcept>", "#include <vector>", '#include "verilated.h"']
    lines += [f'#include "{SIMULATOR}"', "namespace {"]
    lines += [f"const int32_t {name} = {value};" for name, value in sizes.items()]
    for name, items in tables:
        entries = [_braces(item) if isinstance(item, (list, tuple)) else str(item) for item in items]
        lines += [f"const {name}[] = {{", ",\n".join(entries or ["{}"]), "};"]
    lines += ["}  // namespace", "class Vdut {", "public:", *declare]
    lines += [
        "    explicit Vdut(VerilatedContext*, const char* = nullptr) {}",
        "    void final() {}",
        "    void eval() {",
    ]
    return "\n".join([*lines, *load, "        netlist.settle();", *store, "    }", "    Netlist netlist;", "};", ""])


def _library(path: Path, top: str, harness: Path, name: str) -> Path:
    """Folder with the compiled netlist and harness, from the cache when it is there."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"netlist: {path} does not exist; it is written by make synth")
    key = content_hash(path, top, SIMULATOR, Path(__file__), harness, cxx_flags(""), tool_version())
    final = cache_dir() / f"netlist_{top}_{key}"
    if (final / name).is_file():
        return final
    program = read_netlist(path, top)
    library = runtime("")
    with new_folder(final) as made:
        lines = [_model_text(program)]
        names = [port[0] for port in program.ports]
        if harness == HARNESS:
            if "clk" not in names:
                raise ValueError(f"netlist: module {top} has no input clk; its ports are {', '.join(names)}")
            lines += [f"#define VT_CLK {names.index('clk')}"]
            lines += [f"#define VT_RST {names.index('rst') if 'rst' in names else -1}"]
        lines += [f'#include "{harness}"']
        if harness == HARNESS:
            lines += ["namespace {", "void vt_bind(Vdut* m, std::vector<Signal>& ports) {"]
            lines += [f"    ports.push_back({{reinterpret_cast<uint8_t*>(&m->{n}), sizeof(m->{n})}});" for n in names]
            lines += ["}", "}  // namespace"]
        (made / "all.cpp").write_text("\n".join(lines) + "\n")
        command = [compiler(), "-O2", *cxx_flags(""), "-c", made / "all.cpp", "-o", made / "all.o"]
        run_tool(command, f"g++ [netlist {top}]")
        objects = [made / "all.o", *sorted(library.glob("*.o"))]
        run_tool(
            [compiler(), "-shared", "-Wl,-Bsymbolic", *objects, "-lpthread", "-o", made / name], f"g++ [netlist {top}]"
        )
        (made / "all.o").unlink()
        (made / "all.cpp").unlink()
        about = {"top": top, "ports": [[n, len(nets), is_input] for n, is_input, nets in program.ports]}
        (made / "design.json").write_text(json.dumps({**about, "cells": program.cells}, indent=1))
        return publish(made, final)


def netlist_design(path: Path, top: str) -> Design:
    """A netlist whose ports are clk, rst and streams.

    Args:
        path: JSON of Yosys.
        top: Module.

    Raises:
        ValueError: see read_netlist.
    """
    return Design(_library(path, top, HARNESS, "dut.so"), f"netlist {top}")


def netlist_board(path: Path, top: str = "top") -> Path:
    """Library of a board's netlist for sim.board.BoardModel."""
    return _library(path, top, BOARD_HARNESS, "board.so") / "board.so"
