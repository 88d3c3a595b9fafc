# SPDX-License-Identifier: Apache-2.0
"""sim/cells against Yosys: ports and parameters against its declarations, outputs against its simulation models.

Not verified here: cells that Yosys declares without a simulation model (NOT_SIMULATED), and of DSP48E2 what a DSP48E1
has not (see rtl/DSP48E2.sv).
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.toolchain import ROOT, run_tool, verilator_dir, verilator_env
from sim.verilate import Design, Job, fields
from synthesis.backends.yosys import RUNNER, data_dir

pytestmark = [pytest.mark.yosys, pytest.mark.verilator]

RTL = Path(__file__).with_name("rtl")
SEED = 41
CYCLES = 3000
MODELS = {path.stem: path for path in sorted((ROOT / "sim" / "cells").glob("*.sv"))}
XCUP = ("CARRY8", "DSP48E2", "LUT6_2", "RAM32M16")
FAMILIES = {"xcup": XCUP, "ecp5": tuple(name for name in MODELS if name not in XCUP)}
# Files that declare the cells, the simulation models first
LIBRARIES = {
    "ecp5": ("ecp5/cells_sim.v", "ecp5/cells_bb.v"),
    "xcup": ("xilinx/cells_sim.v", "xilinx/cells_xtra.v"),
}
NOT_SIMULATED = ("ALU54B", "DP16KD", "EHXPLLL", "MULT18X18D")


def numbered(*names: str, count: int) -> set[str]:
    return {f"{name}{number}" for name in names for number in range(count)}


# Ports and parameters of Yosys' declaration that the model leaves out, as its header says
LEFT_OUT_PORTS = {
    "ALU54B": numbered("CE", "CLK", "RST", count=4)
    | numbered("CFB", "CIN", "CO", count=54)
    | set("EQZ EQZM EQOM EQPAT EQPATB OVER UNDER OVERUNDER SIGNEDR".split()),
    "DSP48E2": set("ACIN BCIN CARRYCASCIN MULTSIGNIN ACOUT BCOUT CARRYCASCOUT CARRYOUT MULTSIGNOUT".split())
    | set("OVERFLOW UNDERFLOW PATTERNDETECT PATTERNBDETECT XOROUT".split()),
}
OPCODES = ("OPCODEIN_0", "OPCODEIN_1", "OPCODEOP0_0", "OPCODEOP0_1")
ALU_REGISTERS = ("INPUTC0", "INPUTC1", "INPUTCFB", "OUTPUT0", "OUTPUT1", "FLAG", *OPCODES)
LEFT_OUT_PARAMETERS = {
    "ALU54B": {f"REG_{name}_{pin}" for name in ALU_REGISTERS for pin in ("CE", "RST")}
    | {"FORCE_ZERO_BARREL_SHIFT", "MASK01", "MASKPAT", "MCPAT", "RNDPAT"},
    "DP16KD": {
        f"{pin}MUX"
        for pin in numbered("DIA", "DIB", "DOA", "DOB", count=18)
        | numbered("ADA", "ADB", count=14)
        | numbered("CSA", "CSB", count=3)
    },
    "DSP48E2": {f"IS_{pin}_INVERTED" for pin in ("ALUMODE", "CARRYIN", "CLK", "INMODE", "OPMODE")}
    | {f"IS_RST{name}_INVERTED" for name in ("ALLCARRYIN", "ALUMODE", "A", "B", "CTRL", "C", "D", "INMODE", "M", "P")}
    | set("AUTORESET_PATDET AUTORESET_PRIORITY MASK PATTERN SEL_MASK SEL_PATTERN USE_WIDEXOR XORSIMD".split()),
    "RAM32M16": {f"INIT_{port}" for port in "ABCDEFGH"} | {"IS_WCLK_INVERTED"},
}


# ---- declarations


@dataclass(frozen=True)
class Declaration:
    """Ports of a cell as name -> (direction, bits), parameters as name -> default; texts as numbers."""

    ports: dict[str, tuple[str, int]]
    parameters: dict[str, int]


@dataclass(frozen=True)
class Library:
    """What Yosys knows about the cells of a family."""

    declared: dict[str, Declaration]
    simulated: frozenset[str]


def declaration_of_yosys(module: Mapping[str, Any]) -> Declaration:
    def number(text: str) -> int:
        return int(text, 2) if set(text) <= {"0", "1"} else int.from_bytes(text.encode(), "big")

    ports = {name: (port["direction"], len(port["bits"])) for name, port in module["ports"].items()}
    return Declaration(ports, {n: number(text) for n, text in module.get("parameter_default_values", {}).items()})


def declaration_of_model(cell: str, folder: Path) -> Declaration:
    """What Verilator reads in sim/cells."""
    out = folder / f"{cell}.json"
    options = ["--json-only", "--json-only-output", out, "--Mdir", folder, "-Wno-fatal", "-Wno-lint", "--no-timing"]
    command = [verilator_dir() / "bin" / "verilator_bin", *options, MODELS[cell]]
    run_tool(command, f"verilator [{cell}]", env=verilator_env())
    tree = json.loads(out.read_text())
    ranges = {kind["addr"]: kind.get("range", "0:0") for kind in tree["miscsp"][0]["typesp"]}
    ports, parameters = {}, {}
    for item in tree["modulesp"][0]["stmtsp"]:
        if item["type"] == "VAR" and item.get("isGParam"):
            digits = item["valuep"][0]["name"].partition("h")[2]  # 48'h12ab, 32'sh1
            parameters[item["origName"]] = int(digits, 16)
        elif item["type"] == "VAR" and item["direction"] != "NONE":
            high, low = map(int, ranges[item["dtypep"]].split(":"))
            ports[item["origName"]] = (item["direction"].lower(), high - low + 1)
    return Declaration(ports, parameters)


def run_yosys(lines: list[str], folder: Path) -> None:
    (folder / "script.ys").write_text("\n".join(lines) + "\n")
    run_tool([sys.executable, "-c", RUNNER, "script.ys"], "yosys [cells]", cwd=folder)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> dict[str, Library]:
    """Every cell that Yosys declares, by family."""
    folder = tmp_path_factory.mktemp("cells")
    lines = []
    for family, files in LIBRARIES.items():
        simulation, declarations = (f'"{data_dir() / name}"' for name in files)
        lines += [
            f"read_verilog -D NO_INCLUDES {simulation}",
            "setattr -mod -set simulated 1 =* =A:blackbox %d",
            f"read_verilog -lib {declarations}",
            "blackbox =*",
            f"write_json {family}.json",
            "design -reset",
        ]
    run_yosys(lines, folder)
    found = {}
    for family in LIBRARIES:
        modules = json.loads((folder / f"{family}.json").read_text())["modules"]
        simulated = frozenset(name for name, module in modules.items() if "simulated" in module["attributes"])
        found[family] = Library({name: declaration_of_yosys(module) for name, module in modules.items()}, simulated)
    return found


@pytest.mark.parametrize(("family", "cell"), [(family, cell) for family, cells in FAMILIES.items() for cell in cells])
def test_cell_has_ports_and_parameters_of_yosys(libraries, tmp_path, family, cell):
    model, yosys = declaration_of_model(cell, tmp_path), libraries[family].declared[cell]
    assert model.ports == {n: port for n, port in yosys.ports.items() if n not in LEFT_OUT_PORTS.get(cell, ())}
    left_out = LEFT_OUT_PARAMETERS.get(cell, set())
    assert model.parameters == {n: value for n, value in yosys.parameters.items() if n not in left_out}
    assert LEFT_OUT_PORTS.get(cell, set()) <= set(yosys.ports) and left_out <= set(yosys.parameters)


def test_cells_that_yosys_does_not_simulate_say_so(libraries):
    without = {c for family, cells in FAMILIES.items() for c in cells if c not in libraries[family].simulated}
    assert without == {*NOT_SIMULATED, "DSP48E2"} and "DSP48E1" in libraries["xcup"].simulated
    for cell in sorted(without):
        assert "// Not verified" in MODELS[cell].read_text(), f"sim/cells/{cell}.sv: its header must say 'Not verified'"


# ---- outputs


@dataclass(frozen=True)
class Case:
    """An instance that is compared.

    Attributes:
        parameters: Texts and numbers; (value, bits) where a number has more than 31 bits.
        pins: Inputs that do not get the clock or their stimulus, the wire <cell>_<port>, as it is.
        outputs: Ports to compare; None: all outputs.
    """

    cell: str
    parameters: Mapping[str, str | int | tuple[int, int]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return f"{self.cell}({', '.join(f'{name}={value}' for name, value in self.parameters.items())})"


@dataclass(frozen=True)
class Output:
    """Bits of the bench's output word."""

    case: Case
    port: str
    low: int
    bits: int


def lut_cases(cell: str, bits: int) -> list[Case]:
    rng = np.random.default_rng(SEED)
    return [Case(cell, {"INIT": (int.from_bytes(rng.bytes(bits // 8), "little"), bits)}) for _ in range(4)]


def ccu2c_cases() -> list[Case]:
    rng = np.random.default_rng(SEED)
    tables = [(0x96AA, 0x96AA), (0x5AAA, 0x0000), *((int(a), int(b)) for a, b in rng.integers(0, 1 << 16, (3, 2)))]
    return [
        Case("CCU2C", {"INIT0": (a, 16), "INIT1": (b, 16), "INJECT1_0": first, "INJECT1_1": second})
        for (a, b), first, second in product(tables, ("NO", "YES"), ("NO", "YES"))
    ]


def trellis_ff_cases() -> list[Case]:
    names = ("CEMUX", "CLKMUX", "LSRMUX", "SRMODE", "REGSET")
    modes = product(("CE", "1", "0", "INV"), ("CLK", "INV"), ("LSR", "INV"), ("LSR_OVER_CE", "ASYNC"), ("RESET", "SET"))
    cases = [dict(zip(names, mode, strict=True)) for mode in modes]
    return [Case("TRELLIS_FF", c, {"CLK": "!clk"} if c["CLKMUX"] == "INV" else {}) for c in cases]


def trellis_ram_cases() -> list[Case]:
    words = int.from_bytes(np.random.default_rng(SEED).bytes(8), "little"), 64
    return [
        Case(
            "TRELLIS_DPR16X4",
            {"INITVAL": words, "WREMUX": enable, "WCKMUX": clock},
            {"WCK": "!clk"} if clock == "INV" else {},
        )
        for enable, clock in product(("WRE", "1", "0", "INV"), ("WCK", "INV"))
    ]


def dsp_case(**modes: str | int) -> Case:
    """A DSP48E2 with the registers given (the others absent) and the stimulus that a DSP48E1 can follow."""
    registers = "A B C D AD M P OPMODE ALUMODE INMODE CARRYIN CARRYINSEL".split()
    parameters: dict[str, Any] = {f"{name}REG": 0 for name in registers}
    parameters |= {"RND": (0x8000_5A5A_1234, 48), **modes}
    parameters |= {f"{p}CASCREG": modes.get(f"{p}CASCREG", parameters[f"{p}REG"]) for p in "AB"}
    inmode = 0b01110 | (parameters["AREG"] > 0) | (parameters["BREG"] > 0) << 4
    pins = {"INMODE": f"DSP48E2_INMODE & 5'd{inmode}"}
    if modes.get("AMULTSEL") == "AD":
        pins["A"] = "30'($signed(DSP48E2_A) >>> 1)"
    if not parameters["PREG"]:
        op = "DSP48E2_OPMODE"
        pins["OPMODE"] = f"{{{op}[8], &{op}[8:7], 1'b0, &{op}[5:4], {op}[4], {op}[3:0]}}"
    pins |= {"ALUMODE": "4'd0", "CARRYIN": "1'b0", "CARRYINSEL": "3'd0"}
    # registers start with any value in our model, with 0 in Yosys'
    pins |= {f"RST{name}": f"DSP48E2_RST{name} || rst" for name in ("A", "B", "C", "D", "M", "P")}
    return Case("DSP48E2", parameters, pins)


def dsp_cases() -> list[Case]:
    """The instance of dsp48e2_mul, four of dsp48e2_mac, then other registers."""
    mac = [
        dsp_case(AMULTSEL="AD", AREG=depth - 1, DREG=depth - 1, ADREG=1, BREG=depth, MREG=1, PREG=p, OPMODEREG=op)
        for depth, p, op in ((1, 0, 0), (1, 1, 1), (2, 1, 0), (2, 1, 1))
    ]
    return [
        dsp_case(AREG=1, BREG=1, PREG=1),
        *mac,
        dsp_case(),
        dsp_case(AREG=2, BREG=2, BCASCREG=1, CREG=1, MREG=1, PREG=1, OPMODEREG=1),
        dsp_case(AMULTSEL="AD", AREG=2, ACASCREG=1, BREG=1, CREG=1, DREG=1, PREG=1),
    ]


CASES = {
    "CARRY8": [Case("CARRY8", {"CARRY_TYPE": "SINGLE_CY8"})],
    "CCU2C": ccu2c_cases(),
    "DSP48E2": dsp_cases(),
    "L6MUX21": [Case("L6MUX21")],
    "LUT4": lut_cases("LUT4", 16),
    "LUT6_2": lut_cases("LUT6_2", 64),
    "PFUMX": [Case("PFUMX")],
    "RAM32M16": [Case("RAM32M16")],
    "TRELLIS_DPR16X4": trellis_ram_cases(),
    "TRELLIS_FF": trellis_ff_cases(),
    # O of an output and an output that T switches off are not modelled
    "TRELLIS_IO": [
        Case("TRELLIS_IO", {"DIR": "INPUT"}),
        Case("TRELLIS_IO", {"DIR": "OUTPUT"}, {"T": "1'b0"}, outputs=("B",)),
    ],
}
CLOCKS = {"DSP48E2": "CLK", "RAM32M16": "WCLK", "TRELLIS_DPR16X4": "WCK", "TRELLIS_FF": "CLK"}
# Cycles that are not compared: the words of our model are random until they are written
POWER_UP = {"RAM32M16": 32}


def stimulus_of(cell: str, ports: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Values of the inputs in every cycle: all of them where they are few, else corners; then random ones."""
    rng = np.random.default_rng([SEED, sum(cell.encode())])
    values = {name: rng.integers(0, 1 << bits, CYCLES) for name, bits in ports.items()}
    if cell == "CARRY8":
        corners = np.array(list(product((0, 1), (0, 1, 0x7F, 0x80, 0xAA, 0xFE, 0xFF), (0, 0x55, 0xAA, 0xFF))))
        for column, name in enumerate(("CI", "S", "DI")):
            values[name][: len(corners)] = corners[:, column]
    elif cell == "RAM32M16":
        values["ADDRH"][:32], values["WE"][:32] = np.arange(32), 1
    elif cell == "DSP48E2":
        values |= dsp_stimulus(rng, values)
    elif sum(ports.values()) <= 10:
        every, low = np.arange(1 << sum(ports.values())), 0
        for name, bits in ports.items():
            values[name][: len(every)] = every >> low & (1 << bits) - 1
            low += bits
    return values


def dsp_stimulus(rng: np.random.Generator, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Extremes, alone and among random values, of the widths of a DSP48E1; three enables of four, few resets."""
    out = {}
    for name, bits in (("A", 25), ("B", 18), ("C", 48), ("D", 24), ("PCIN", 48)):
        top = 1 << (bits - 1)
        extremes = np.array([-top, 1 - top, -1, 0, 1, top - 1])
        some = np.where(rng.integers(0, 4, CYCLES) == 0, rng.choice(extremes, CYCLES), rng.integers(-top, top, CYCLES))
        out[name] = np.where(np.arange(CYCLES) < 400, rng.choice(extremes, CYCLES), some)
    modes = [w << 7 | z << 4 | x for w, z, x in product(range(4), range(4), (0, 5)) if (w, z) != (1, 2)]
    out["OPMODE"] = rng.choice(modes, CYCLES)
    out["OPMODE"][:200], out["INMODE"] = 5, values["INMODE"].copy()
    out["INMODE"][:200] = 0b00100
    for name in values:
        if name.startswith("CE"):
            out[name] = (rng.integers(0, 4, CYCLES) > 0).astype(int)
            out[name][:200] = 1
        elif name.startswith("RST"):
            out[name] = (rng.integers(0, 32, CYCLES) == 0).astype(int)
            out[name][:200] = 0
    return out


def bench_of(cells: tuple[str, ...], library: Library) -> tuple[str, list[Output], list[tuple[np.ndarray, int]]]:
    """Text of a module with all cases of the cells, what its output word holds, and its stimulus."""
    wires, instances, outputs, stimulus = [], [], [], []
    low_in = low_out = 0
    for cell in cells:
        ports = {n: p for n, p in library.declared[cell].ports.items() if n not in LEFT_OUT_PORTS.get(cell, ())}
        inputs = {n: bits for n, (way, bits) in ports.items() if way != "output" and n != CLOCKS.get(cell)}
        values = stimulus_of(cell, inputs)
        for name, bits in inputs.items():
            wires.append(f"wire [{bits - 1}:0] {cell}_{name} = stimulus[{low_in} +: {bits}];")
            stimulus.append((values[name], bits))
            low_in += bits
        for case in CASES[cell]:
            pins = {n: "" if way == "output" else f"{cell}_{n}" for n, (way, _) in ports.items()}
            pins |= {CLOCKS[cell]: "clk"} if cell in CLOCKS else {}
            pins |= case.pins
            for name in case.outputs or [n for n, (way, _) in ports.items() if way == "output"]:
                bits = ports[name][1]
                outputs.append(Output(case, name, low_out, bits))
                pins[name] = f"m_axis_tdata[{low_out} +: {bits}]"
                low_out += bits
            parameters = ", ".join(f".{name}({literal(value)})" for name, value in case.parameters.items())
            connections = ", ".join(f".{name}({text})" for name, text in pins.items())
            instances.append(f"{cell} #({parameters}) {cell}_{len(instances)}_i ({connections});")
    text = f"""
module bench (
    input wire clk, input wire rst,
    input wire [{low_in - 1}:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    output wire [{low_out - 1}:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready
);
  // In reset the cells see zeros
  wire [{low_in - 1}:0] stimulus = s_axis_tvalid ? s_axis_tdata : '0;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  """
    return text + "\n  ".join([*wires, *instances]).replace("#() ", "") + "\nendmodule\n", outputs, stimulus


def literal(value: str | int | tuple[int, int]) -> str:
    if isinstance(value, tuple):
        return f"{value[1]}'h{value[0]:x}"
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class Outcome:
    """Output words of the models and of Yosys' models, one per cycle."""

    outputs: list[Output]
    model: list[int]
    yosys: list[int]


def pads_of_yosys(folder: Path) -> list[Path]:
    """Yosys' TRELLIS_IO, written out without the comparison of T with z, which Verilator refuses; no case needs it."""
    lines = []
    for direction in ("INPUT", "OUTPUT"):
        name = f"pad_{direction.lower()}"
        lines += [
            "design -reset",
            f'read_verilog -D NO_INCLUDES "{data_dir() / LIBRARIES["ecp5"][0]}"',
            f'chparam -set DIR "{direction}" TRELLIS_IO',
            "hierarchy -top TRELLIS_IO",
            "proc",
            "select -assert-count 1 t:$eqx",
            "delete t:$eqx",
            f"rename TRELLIS_IO {name}",
            f"write_verilog -noattr {name}.v",
        ]
    run_yosys(lines, folder)
    return [RTL / "TRELLIS_IO.sv", folder / "pad_input.v", folder / "pad_output.v"]


def simulate(family: str, library: Library, folder: Path) -> Outcome:
    """One run of all cells of a family with our models and one with Yosys', on the same stimulus."""
    compared = tuple(cell for cell in FAMILIES[family] if cell in CASES)
    text, outputs, stimulus = bench_of(compared, library)
    bench = folder / "bench.sv"
    bench.write_text(text)
    job = Job({"s_axis": fields(*stimulus)}, {"m_axis": CYCLES})
    cells = data_dir() / LIBRARIES[family][0]
    adapters = pads_of_yosys(folder) if family == "ecp5" else [RTL / "DSP48E2.sv"]
    options = [f"-I{cells.parent}"]
    if family == "xcup":
        options.append("-fno-inline")  # g++ takes less time where the DSP48E1 are not copied
    designs = [
        Design.build("bench", [*(MODELS[cell] for cell in compared), bench]),
        Design.build("bench", [*adapters, cells, bench], defines=["NO_INCLUDES"], options=options),
    ]
    model, yosys = ([int(w) for w in d.run([job], seed=SEED).outputs["m_axis"][0]] for d in designs)
    return Outcome(outputs, model, yosys)


@pytest.fixture(scope="module")
def outcome_of(libraries, tmp_path_factory) -> Callable[[str], Outcome]:
    """Outcome of a family; each family is simulated once."""
    return cache(lambda family: simulate(family, libraries[family], tmp_path_factory.mktemp(family)))


@pytest.mark.parametrize(
    ("family", "cell"), [(family, cell) for family, cells in FAMILIES.items() for cell in cells if cell in CASES]
)
def test_cell_equals_model_of_yosys(outcome_of, family, cell):
    """Every output in every cycle; and no output bit of the cell stands still in all of its cases."""
    outcome, start = outcome_of(family), POWER_UP.get(cell, 0)
    seen: dict[str, list[int]] = {}
    for output in outcome.outputs:
        if output.case.cell != cell:
            continue
        mask = (1 << output.bits) - 1
        got, want = ([w >> output.low & mask for w in words] for words in (outcome.model, outcome.yosys))
        wrong = next((cycle for cycle in range(start, CYCLES) if got[cycle] != want[cycle]), None)
        assert wrong is None, (
            f"sim: {output.case.name} {output.port} cycle {wrong}: model {got[wrong]:#x}, Yosys {want[wrong]:#x}"
            f" (seed {SEED})"
        )
        ones, zeros = seen.setdefault(output.port, [0, 0])
        for word in want:
            ones, zeros = ones | word, zeros | word ^ mask
        seen[output.port] = [ones, zeros]
    widths = {output.port: output.bits for output in outcome.outputs if output.case.cell == cell}
    assert seen == {port: [(1 << bits) - 1] * 2 for port, bits in widths.items()}
    assert len(outcome.model) == len(outcome.yosys) == CYCLES


def test_every_cell_is_compared_or_named():
    assert sorted([*CASES, *NOT_SIMULATED]) == list(MODELS)
