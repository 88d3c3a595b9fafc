# SPDX-License-Identifier: Apache-2.0
"""Yosys back end: SystemVerilog to a netlist for ECP5, or to cell counts for UltraScale+.

What the counts mean (report keys):
    lut   ECP5: LUT4 + 2 per CCU2C (carry pair) + 6 per TRELLIS_DPR16X4 (distributed RAM): all occupy LUT sites.
          UltraScale+: LUT1..6, LUT6_2 once, SRLs, the sites of LUTRAM, and carry positions without a LUT of their own.
    ff    flip-flops.
    dsp   ECP5: MULT18X18D. UltraScale+: DSP48E2.
    bram  ECP5: DP16KD and PDPW16KD, one EBR each. UltraScale+: RAMB36E2, and half per RAMB18E2.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from synthesis.backends.carry_ends import free_carry_ends
from synthesis.backends.dsp_registers import retime_multipliers
from synthesis.backends.process import Progress, run_tool
from synthesis.backends.ram_registers import absorb_output_registers

# pyosys in a process of its own: it can be killed, and its memory is returned
RUNNER = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"

# Weight of each cell type in each figure
ECP5_CELLS: dict[str, dict[str, float]] = {
    "LUT4": {"lut": 1, "lut4": 1},
    "CCU2C": {"lut": 2, "ccu2c": 1},
    "TRELLIS_DPR16X4": {"lut": 6, "dpr16x4": 1},
    "TRELLIS_FF": {"ff": 1},
    "MULT18X18D": {"dsp": 1},
    "DP16KD": {"bram": 1},
    "PDPW16KD": {"bram": 1},
}
XCUP_CELLS: dict[str, dict[str, float]] = {
    **{f"LUT{inputs}": {"lut": 1} for inputs in range(1, 7)},
    "LUT6_2": {"lut": 1},
    "CARRY_SITE": {"lut": 1},  # a carry position whose S input comes from no LUT: the LUT in front passes it through
    **{name: {"lut": 1} for name in ("SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S")},
    **{name: {"lut": 2} for name in ("RAM32X1D", "RAM64X1D", "RAM128X1S")},
    **{name: {"lut": 4} for name in ("RAM128X1D", "RAM256X1S")},
    **{name: {"lut": 8} for name in ("RAM256X1D", "RAM512X1S", "RAM32M16", "RAM64M8", "RAM32X16DR8", "RAM64X8SW")},
    **{name: {"lut": 4} for name in ("RAM32M", "RAM64M")},
    **{name: {"ff": 1} for name in ("FDRE", "FDSE", "FDCE", "FDPE")},
    "DSP48E2": {"dsp": 1},
    "RAMB36E2": {"bram": 1},
    "RAMB18E2": {"bram": 0.5},
}
# Declarations of the primitives that RTL instantiates, inside Yosys' data folder
PRIMITIVES = {"ecp5": ["ecp5/cells_bb.v"], "xcup": ["xilinx/cells_xtra.v"]}
FLOWS = {"ecp5": "synth_ecp5 -abc9", "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf"}
CELLS = {"ecp5": ECP5_CELLS, "xcup": XCUP_CELLS}


@dataclass(frozen=True)
class Synthesis:
    """What a synthesis run left behind."""

    netlist_json: Path  # for nextpnr
    netlist_verilog: Path  # for simulation, cells of the target
    resources: dict[str, float]
    resources_by_unit: dict[str, dict[str, float]]
    cells: dict[str, int]
    seconds: float
    log: Path


def version() -> str:
    """Return the version of Yosys, for the manifest."""
    return f"pyosys {metadata.version('pyosys')}"


def synthesize(
    sources: Sequence[Path],
    top: str,
    out_dir: Path,
    *,
    cwd: Path,
    target: str = "ecp5",
    parameters: Mapping[str, int | str] | None = None,
    defines: Sequence[str] = (),
    inside: Sequence[str] = (),
    options: Sequence[str] = (),
    progress: Progress | None = None,
) -> Synthesis:
    """Synthesize sources and count what they use.

    Args:
        sources: SystemVerilog files.
        top: Top module.
        out_dir: Takes <top>.json, <top>.v, scripts and logs.
        cwd: Folder against which the design's $readmemh paths are meant.
        target: "ecp5", or "xcup" (UltraScale+, counts only).
        parameters: Values for the top module's parameters.
        defines: Verilog macros, NAME or NAME=VALUE.
        inside: Instances of the top module whose own instances are the units to count, e.g. ["vit_i"].
        options: Further options of the flow, e.g. ["-nodsp"].

    Raises:
        ValueError: unknown target.
        RuntimeError: Yosys failed; the message has its command and log.
    """
    if target not in CELLS:
        raise ValueError(f"unknown synthesis target '{target}', expected one of {sorted(CELLS)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    out_dir, cwd = out_dir.resolve(), cwd.resolve()
    netlist_json, netlist_verilog = out_dir / f"{top}.json", out_dir / f"{top}.v"
    part_json, part_verilog = out_dir / f"{top}.json.part", out_dir / f"{top}.v.part"
    script, log = out_dir / "yosys.ys", out_dir / "yosys.log"

    arguments = [f"--top {top}"]
    arguments += [f"-G {name}={_literal(value)}" for name, value in (parameters or {}).items()]
    arguments += [f"-D {define}" for define in defines]
    arguments += [f"-v {_quote(data_dir() / name, cwd)}" for name in PRIMITIVES[target]]
    arguments += [f"--blackboxed-module {name}" for name in primitives(sources, target)]
    arguments += [_quote(path, cwd) for path in sources]
    what = f"yosys: synthesis of {top} for {target}"
    flow = " ".join([FLOWS[target], *options])
    script.write_text(f"read_slang {' '.join(arguments)}\n{flow} -top {top}\nwrite_json {_quote(part_json, cwd)}\n")
    seconds = run_tool([sys.executable, "-c", RUNNER, os.path.relpath(script, cwd)], log, cwd, what, progress)
    design = json.loads(part_json.read_text())
    netlist = design["modules"][top]
    if target == "ecp5":
        retime_multipliers(netlist)
        absorb_output_registers(netlist)
        free_carry_ends(netlist)
        part_json.write_text(json.dumps(design))
    writer = out_dir / "write_verilog.ys"
    writer.write_text(f"read_json {_quote(part_json, cwd)}\nwrite_verilog -noattr {_quote(part_verilog, cwd)}\n")
    writer_log = out_dir / "write_verilog.log"
    seconds += run_tool([sys.executable, "-c", RUNNER, os.path.relpath(writer, cwd)], writer_log, cwd, what, progress)
    part_json.replace(netlist_json)
    part_verilog.replace(netlist_verilog)
    by_unit = cells_by_unit(netlist, inside)
    cells = sum(by_unit.values(), Counter())
    return Synthesis(
        netlist_json=netlist_json,
        netlist_verilog=netlist_verilog,
        resources=count_resources(cells, target),
        resources_by_unit={unit: count_resources(unit_cells, target) for unit, unit_cells in by_unit.items()},
        cells=dict(sorted(cells.items())),
        seconds=seconds,
        log=log,
    )


def data_dir() -> Path:
    """Return Yosys' data folder (cell libraries)."""
    files = metadata.files("pyosys") or []
    return next(Path(str(path.locate())).parents[1] for path in files if str(path).endswith("ecp5/cells_bb.v"))


def primitives(sources: Sequence[Path], target: str) -> list[str]:
    """Return the device's primitives that sources name: flattening would dissolve their empty declarations."""
    declared = {word for name in PRIMITIVES[target] for word in _modules(data_dir() / name)}
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text())}
    return sorted(declared & words - {word for path in sources for word in _modules(path)})


def _modules(path: Path) -> list[str]:
    """Return the names of the modules that a file declares."""
    return re.findall(r"^\s*(?:\(\*.*\*\)\s*)?module\s+(\w+)", path.read_text(), re.MULTILINE)


def count_resources(cells: Mapping[str, int], target: str = "ecp5") -> dict[str, float]:
    """Return {lut, ff, dsp, bram, ...} of a count of cells by type; the module's docstring defines them."""
    totals: dict[str, float] = dict.fromkeys(("lut", "ff", "dsp", "bram"), 0)
    if target == "ecp5":
        totals |= dict.fromkeys(("lut4", "ccu2c", "dpr16x4"), 0)
    for kind, count in cells.items():
        for key, weight in CELLS[target].get(kind, {}).items():
            totals[key] += weight * count
    return totals


def cells_by_unit(netlist: Mapping[str, Any], inside: Sequence[str] = ()) -> dict[str, Counter[str]]:
    """Attribute every cell of a flattened netlist to an instance of its top module.

    Flattening keeps the instance path in front of the names of registers, memories and their nets. A cell belongs to
    the unit in front of the net it drives or of its own name; an unnamed LUT to the unit of its first reader.
    What then still has no unit belongs to "top". Every cell is counted once, so the units add up to the whole.

    Args:
        netlist: One module of Yosys' JSON netlist.
        inside: Instances to look into: their instances are the units.

    Returns:
        Cells by type, for each unit.
    """
    unit_of_net: dict[int, str] = {}
    for name, net in netlist["netnames"].items():
        unit = unit_of_name(name, inside)
        if unit is None or _is_input_alias(name):
            continue
        for bit in net["bits"]:
            if isinstance(bit, int):
                unit_of_net.setdefault(bit, unit)

    owner: dict[str, str] = {}
    drives: dict[int, str] = {}
    readers: dict[int, list[str]] = {}
    for name, cell in netlist["cells"].items():
        directions = cell.get("port_directions", {})
        for port, bits in cell["connections"].items():
            for bit in bits:
                if isinstance(bit, int):
                    if directions.get(port) == "output":
                        drives[bit] = name
                    else:
                        readers.setdefault(bit, []).append(name)
    for bit, name in drives.items():
        unit = unit_of_net.get(bit)
        if unit is not None:
            owner.setdefault(name, unit)
    for name in netlist["cells"]:
        unit = unit_of_name(name, inside)
        if unit is not None:
            owner.setdefault(name, unit)

    outputs: dict[str, list[int]] = {}
    for bit, name in drives.items():
        outputs.setdefault(name, []).append(bit)
    pending = [name for name in netlist["cells"] if name not in owner]
    while pending:
        found = {}
        for name in pending:
            for bit in outputs.get(name, []):
                reader = next((r for r in readers.get(bit, []) if r in owner), None)
                if reader is not None:
                    found[name] = owner[reader]
                    break
        if not found:
            break
        owner.update(found)
        pending = [name for name in pending if name not in owner]

    units: dict[str, Counter[str]] = {}
    for name, cell in netlist["cells"].items():
        counts = units.setdefault(owner.get(name, "top"), Counter())
        counts[cell["type"]] += 1
        if cell["type"] in ("CARRY4", "CARRY8"):
            drivers = (drives.get(bit) for bit in cell["connections"]["S"] if isinstance(bit, int))
            counts["CARRY_SITE"] += sum(d is None or not netlist["cells"][d]["type"].startswith("LUT") for d in drivers)
    return dict(sorted(units.items()))


def unit_of_name(name: str, inside: Sequence[str]) -> str | None:
    """Return the instance in front of a hierarchical name, None when it has none."""
    parts = re.sub(r"^\$flatten\\?", "", name).replace("\\", "").split(".")
    if parts[0].startswith("$"):  # a pass of Yosys named it
        return None
    if len(parts) > 2 and parts[0] in inside:
        return parts[1]
    if len(parts) > 1:
        return parts[0]
    return None


def _is_input_alias(name: str) -> bool:
    """Tell whether a net's name is that of an input port of a unit: its driver sits in another unit."""
    port = name.rsplit(".", 1)[-1]
    stream = re.match(r"(s_axis|m_axis)\w*_(tdata|tvalid|tlast|tready)$", port)
    if stream:
        return (stream[1] == "s_axis") != (stream[2] == "tready")
    return port in ("clk", "rst") or port.startswith("cfg_")


def _literal(value: int | str) -> str:
    """Return a parameter's value in Verilog: integers beyond 31 bits are sized, texts stay."""
    if isinstance(value, int) and value.bit_length() > 31:
        return f"{max(64, value.bit_length())}'h{value:x}"
    return str(value)


def _quote(path: Path, cwd: Path) -> str:
    """Return a path relative to cwd in the form Yosys scripts take."""
    text = os.path.relpath(path, cwd)
    return f'"{text}"' if " " in text else text
