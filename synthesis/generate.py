# SPDX-License-Identifier: Apache-2.0
"""Write the stitched design of a folded dataflow graph: vit_top.sv, the units' sources, memory files, a description.

Every edge of the graph is a stream with the wires e_<edge>_tdata, _tvalid, _tready at its producer. A FIFO on the edge
has the wires q_<edge>_* behind it. With the macro VITRAIL_PROBE the e_ wires can be read by the simulator.
"""

import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from synthesis.board import unit_sources
from synthesis.finn_env import load_finn
from synthesis.lower import metadata
from synthesis.ops.base import UnitRtl, identifier

ops = load_finn()

TOP = "vit_top"
DESCRIPTION = "design.json"
LOGITS_BITS = 16
PIXEL_BITS = 8


def start_cycles(units: int) -> int:
    """Cycles from the end of a reset until a design of so many units takes its first pixel (hw/rtl/reset_chain)."""
    return 2 << (units - 1).bit_length()


def unique_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Identifiers of names, made distinct."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        word, count = identifier(name), 2
        while word in taken:
            word, count = f"{identifier(name)}_{count}", count + 1
        taken.add(word)
        out[name] = word
    return out


def fifo_depths(model: ModelWrapper) -> dict[str, int]:
    """FIFO depth of every edge, from the attribute outFIFODepths of its producer; 0 means a plain wire."""
    depths = {}
    for node in model.graph.node:
        values = getCustomOp(node).get_nodeattr("outFIFODepths")
        for i, name in enumerate(node.output):
            depths[name] = int(values[i]) if i < len(values) else 2
    return depths


def generate(model: ModelWrapper, out_dir: Path, target: int = 0) -> dict[str, Any]:
    """Write the design of a folded graph; the folder appears in one rename.

    Args:
        model: Folded dataflow graph (fold.fold), FIFO depths in outFIFODepths.
        out_dir: Folder for vit_top.sv, *.hex, unit sources, sources.f and design.json.
        target: TARGET of the multiplier wrappers outside simulation: 0 behavioural, 1 ECP5, 2 UltraScale+.

    Returns:
        The description that design.json holds.
    """
    temporary = out_dir.with_name(f".{out_dir.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        design = _Design(model)
        files = design.write(temporary, target)
        description = design.describe()
        description["sources"] = files
        (temporary / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        if out_dir.exists():
            old = out_dir.with_name(f".{out_dir.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            out_dir.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        temporary.rename(out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return description


class _Design:
    """The text of one design."""

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.insts = [getCustomOp(node) for node in self.nodes]
        self.image = model.graph.input[0].name
        self.logits = model.graph.output[0].name
        self.depths = fifo_depths(model)
        self.streams = {}
        self.producer: dict[str, int] = {}
        for i, (node, inst) in enumerate(zip(self.nodes, self.insts, strict=True)):
            for stream, name in zip(inst.streams_out(), node.output, strict=True):
                self.streams[name], self.producer[name] = stream, i
        # units leave reset from the last to the first: each must stand in front of those that read from it
        for i, node in enumerate(self.nodes):
            if any(self.producer.get(name, -1) >= i for name in node.input):
                raise ValueError(f"generate: {node.name!r} reads from a node behind it; sort the graph before")
        self.streams[self.image] = self.insts[0].streams_in()[0]
        self.edge_words = unique_identifiers(self.streams)
        self.unit_words = unique_identifiers(node.name for node in self.nodes)
        self.modules: list[str] = []
        self.files: dict[str, list[str]] = {}

    def write(self, folder: Path, target: int) -> list[str]:
        """Write every file; returns the source files in the order of sources.f."""
        text = self.text(target)
        (folder / f"{TOP}.sv").write_text(text)
        for name, lines in self.files.items():
            (folder / name).write_text("\n".join(lines) + "\n")
        names = []
        for source in unit_sources(self.modules):
            shutil.copyfile(source, folder / source.name)
            names.append(source.name)
        names.append(f"{TOP}.sv")
        (folder / "sources.f").write_text("\n".join(names) + "\n")
        return names

    # ------------------------------------------------------------------------------------------------ text

    def text(self, target: int) -> str:
        """vit_top.sv."""
        body = [self.instances(i) for i in range(len(self.nodes))]
        edges = [self.edge_text(name) for name in (self.image, *self.producer)]
        head = [self.header(target), self.resets()]
        return "\n".join([*head, "  // ---- edges", *edges, "", "  // ---- units", *body, self.end()])

    def header(self, target: int) -> str:
        info = metadata(self.model)
        closed = start_cycles(len(self.nodes))
        height, width, channels = self.streams[self.image].shape
        classes = self.streams[self.logits].shape[-1]
        return f"""\
// SPDX-License-Identifier: Apache-2.0
// {TOP}: {info.get("model", "a ViT")} as a dataflow design, generated by synthesis/generate.py; do not edit.
//   s_axis: signed pixel codes of {height} x {width} x {channels} images, raster order, one per beat
//   m_axis: {classes} logit codes of each image, signed, sign-extended to {LOGITS_BITS} bits; tlast with the last class
// Back pressure: full. A reset of one cycle is enough; the ports are closed for {closed} cycles after it.
// Memory files (*.hex) are read relative to the tool's working directory: run it in this folder.
`default_nettype none
`ifdef VITRAIL_PROBE
`define PROBE /* verilator public_flat_rd */
`else
`define PROBE
`endif
module {TOP} (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic [{PIXEL_BITS - 1}:0]          s_axis_tdata,
    input  wire logic                s_axis_tvalid,
    output logic                     s_axis_tready,
    output logic [{LOGITS_BITS - 1}:0]              m_axis_tdata,
    output logic                     m_axis_tvalid,
    input  wire logic                m_axis_tready,
    output logic                     m_axis_tlast
);
{target_text(target)}"""

    def resets(self) -> str:
        """Reset of each op: unit_rst[i] of node i."""
        self.use("reset_chain")
        ports = {"unit_rst": "unit_rst", "open": "open"}
        return f"""\
  // ---- reset, unit by unit; logits and images pass when all have left it
  logic [{len(self.nodes) - 1}:0] unit_rst;
  logic open;
{_instance("reset_chain", "reset_chain_i", {"STAGES": len(self.nodes)}, ports, "rst")}
"""

    def edge_text(self, name: str) -> str:
        """Declaration of an edge, and its FIFO."""
        stream, word = self.streams[name], self.edge_words[name]
        shape = " x ".join(str(v) for v in stream.shape)
        lanes = f", {stream.elements} per beat" if stream.elements > 1 else ""
        lines = [f"  // {name}: {shape} {stream.datatype.name}{lanes}"]
        lines += [f"  logic [{stream.width - 1}:0] e_{word}_tdata `PROBE;"]
        lines += [f"  logic e_{word}_tvalid `PROBE;", f"  logic e_{word}_tready `PROBE;"]
        depth = self.depth(name)
        if depth:
            self.use("fifo")
            lines += [
                f"  logic [{stream.width - 1}:0] q_{word}_tdata;",
                f"  logic q_{word}_tvalid;",
                f"  logic q_{word}_tready;",
            ]
            ports = {**_port("s_axis", [f"e_{word}"]), **_port("m_axis", [f"q_{word}"])}
            params = {"WIDTH": stream.width, "DEPTH": depth}
            lines.append(_instance("fifo", f"fifo_{word}", params, ports, f"unit_rst[{self.producer[name]}]"))
        return "\n".join(lines)

    def depth(self, name: str) -> int:
        """FIFO depth of an edge; image and logits have none."""
        return 0 if name in (self.image, self.logits) else self.depths[name]

    def use(self, module: str) -> None:
        if module not in self.modules:
            self.modules.append(module)

    def instances(self, index: int) -> str:
        """Instances of one op, with the wires between them."""
        node, inst = self.nodes[index], self.insts[index]
        unit = self.unit_words[node.name]
        rtl = inst.rtl(self.model, unit)
        self.files.update(rtl.files)
        lines = [f"  // {node.name}: {summary(inst)}"]
        for wire, width in rtl.wires.items():
            lines += [f"  logic [{width - 1}:0] {unit}_{wire}_tdata;", f"  logic {unit}_{wire}_tvalid;"]
            lines += [f"  logic {unit}_{wire}_tready;"]
        for item in rtl.instances:
            self.use(item.module)
            ports: dict[str, str] = {}
            for port, target in item.cfg.items():
                ports[port] = f"{item.cfg_bits.get(port, 16)}'d{target}"
            ports.update(item.tie)
            for port, ends in item.ports.items():
                ends = [ends] if isinstance(ends, str) else ends
                ports.update(_port(port, [self.signal(node, unit, end) for end in ends]))
            name = f"{unit}_{item.role}" if item.role else unit
            lines.append(_instance(item.module, f"u_{name}", item.params, ports, f"unit_rst[{index}]"))
        return "\n".join(lines)

    def signal(self, node: Any, unit: str, end: str) -> str:
        """Prefix of the signals behind in0, out1 or an inner wire."""
        if match := re.fullmatch(r"in(\d+)", end):
            name = node.input[int(match[1])]
            return f"{'q' if self.depth(name) else 'e'}_{self.edge_words[name]}"
        if match := re.fullmatch(r"out(\d+)", end):
            return f"e_{self.edge_words[node.output[int(match[1])]]}"
        return f"{unit}_{end}"

    def end(self) -> str:
        image, logits = (f"e_{self.edge_words[name]}" for name in (self.image, self.logits))
        stream = self.streams[self.logits]
        classes, bits = stream.shape[-1], stream.bits
        counter = max(1, (classes - 1).bit_length())
        data = f"{logits}_tdata"
        if bits < LOGITS_BITS:
            data = f"{{{{{LOGITS_BITS - bits}{{{logits}_tdata[{bits - 1}]}}}}, {logits}_tdata}}"
        return f"""\
  // ---- image in, logits out
  logic [{counter - 1}:0] class_q;
  assign {image}_tdata  = s_axis_tdata;
  assign {image}_tvalid = s_axis_tvalid && open;
  assign s_axis_tready = {image}_tready && open;
  assign m_axis_tdata  = {data};
  assign m_axis_tvalid = {logits}_tvalid && open;
  assign {logits}_tready = m_axis_tready && open;
  assign m_axis_tlast  = class_q == {counter}'d{classes - 1};
  always_ff @(posedge clk) begin
    if (!open) class_q <= '0;
    else if (m_axis_tvalid && m_axis_tready) class_q <= m_axis_tlast ? '0 : class_q + 1'b1;
  end
endmodule
`undef PROBE
`default_nettype wire
"""

    # ------------------------------------------------------------------------------------------------ description

    def describe(self) -> dict[str, Any]:
        """What a simulator and the reports need to know."""
        info = metadata(self.model)
        edges = []
        for name in (self.image, *self.producer):
            stream = self.streams[name]
            maker = self.insts[self.producer[name]] if name in self.producer else None
            *tokens, channels = stream.shape
            edges.append(
                {
                    "name": name,
                    "wire": f"e_{self.edge_words[name]}",
                    "unit": self.nodes[self.producer[name]].name if maker is not None else None,
                    "element_bits": stream.bits,
                    "elements": stream.elements,
                    "signed": bool(stream.datatype.signed()),
                    "tokens": math.prod(tokens),
                    "channels": channels,
                    "permutation": lane_permutation(maker),
                    "tile": stream_tile(maker),
                    "fifo": f"fifo_{self.edge_words[name]}" if self.depth(name) else None,
                    "depth": self.depth(name),
                }
            )
        units = [
            {
                "name": node.name,
                "op": node.op_type.removesuffix("_rtl"),
                "instances": [
                    f"u_{self.unit_words[node.name]}" + (f"_{item.role}" if item.role else "")
                    for item in inst.structure().instances
                ],
                "inputs": [name for name in node.input if name in self.streams],
                "outputs": list(node.output),
                "ideal_cycles": int(inst.get_exp_cycles()),
            }
            for node, inst in zip(self.nodes, self.insts, strict=True)
        ]
        return {
            "top": TOP,
            "model": info.get("model"),
            "image_shape": list(self.streams[self.image].shape),
            "input": self.image,
            "output": self.logits,
            "classes": self.streams[self.logits].shape[-1],
            "edges": edges,
            "units": units,
            "start_cycles": start_cycles(len(units)),
        }


def lane_permutation(inst: Any) -> list[int] | None:
    """Channel at each position of the stream that an op makes; None when that is the natural order."""
    if inst is None or not hasattr(inst, "permutation"):
        return None
    order = inst.permutation()
    return None if np.array_equal(order, np.arange(order.size)) else [int(v) for v in order]


def stream_tile(inst: Any) -> int:
    """Tokens of a tile when an op's output comes in tiles, otherwise 1."""
    is_mvu = inst is not None and inst.onnx_node.op_type.startswith("VitrailMvu")
    return inst.get_nodeattr("tile") if is_mvu else 1


def summary(inst: Any) -> str:
    """One line about a unit."""
    kind = inst.onnx_node.op_type.removesuffix("_rtl").removeprefix("Vitrail")
    names = ("PE", "SIMD", "tile", "tokens", "channels", "k", "rows", "shift")
    known = inst.get_nodeattr_types()
    sizes = ", ".join(f"{name} {inst.get_nodeattr(name)}" for name in names if name in known)
    return f"{kind}, {sizes}, {inst.get_exp_cycles()} cycles an image" if sizes else kind


def _port(prefix: str, signals: list[str]) -> dict[str, str]:
    """Connections of a stream port; several signals make a packed port, the first in the low bits."""
    out = {}
    for part in ("tdata", "tvalid", "tready"):
        names = [f"{signal}_{part}" for signal in reversed(signals)]
        out[f"{prefix}_{part}"] = names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"
    return out


def _value(value: int | str) -> str:
    return str(value) if isinstance(value, int) or value == "TARGET" else f'"{value}"'


def _instance(module: str, name: str, params: Mapping[str, int | str], ports: Mapping[str, str], reset: str) -> str:
    parameters = ", ".join(f".{key}({_value(value)})" for key, value in params.items())
    connections = [f"    .clk(clk), .rst({reset})", *_wrapped(ports)]
    return f"  {module} #({parameters}) {name} (\n" + ",\n".join(connections) + "\n  );"


def _wrapped(ports: Mapping[str, str]) -> list[str]:
    """Connections, one line for every port or stream."""
    lines: list[str] = []
    last = ""
    for key, value in ports.items():
        group = key.rsplit("_", 1)[0] if key.endswith(("_tdata", "_tvalid", "_tready")) else "cfg"
        text = f".{key}({value})"
        if lines and group == last:
            lines[-1] += f", {text}"
        else:
            lines.append(f"    {text}")
        last = group
    return lines


def generate_finn_unit(model: ModelWrapper, inst: Any, folder: Path, target: int | None = None) -> list[Path]:
    """Write one op as a module with FINN's port names (ap_clk, ap_rst_n, in0_V_*, out0_V_*) for its stitching.

    Args:
        model: Graph with the op's constants.
        inst: The op.
        folder: Takes the files.
        target: See generate; None takes the op's attribute, 0 where it has none.

    Returns:
        Source files, the module itself last.
    """
    name = inst.get_verilog_top_module_name()
    rtl = inst.rtl(model, identifier(name))
    folder.mkdir(parents=True, exist_ok=True)
    for file, lines in rtl.files.items():
        (folder / file).write_text("\n".join(lines) + "\n")
    names = inst.get_verilog_top_module_intf_names()
    if target is None:
        target = inst.get_nodeattr("target") if "target" in inst.get_nodeattr_types() else 0
    ports = ["    input  wire logic ap_clk", "    input  wire logic ap_rst_n"]
    wires, assigns = [], []
    for kind, streams in (("in", inst.streams_in()), ("out", inst.streams_out())):
        for i, (stream, (port, padded)) in enumerate(
            zip(streams, names["s_axis" if kind == "in" else "m_axis"], strict=True)
        ):
            there, back = ("input  wire", "output") if kind == "in" else ("output", "input  wire")
            ports += [f"    {there} logic [{padded - 1}:0] {port}_TDATA", f"    {there} logic {port}_TVALID"]
            ports += [f"    {back} logic {port}_TREADY"]
            wires += [
                f"  logic [{stream.width - 1}:0] {kind}{i}_tdata;",
                f"  logic {kind}{i}_tvalid, {kind}{i}_tready;",
            ]
            if kind == "in":
                assigns += [f"  assign in{i}_tdata = {port}_TDATA[{stream.width - 1}:0];"]
                assigns += [f"  assign in{i}_tvalid = {port}_TVALID;", f"  assign {port}_TREADY = in{i}_tready;"]
            else:
                assigns += [f"  assign {port}_TDATA = {padded}'(out{i}_tdata);"]
                assigns += [f"  assign {port}_TVALID = out{i}_tvalid;", f"  assign out{i}_tready = {port}_TREADY;"]
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {name}: {summary(inst)}, with FINN's port names; generated by synthesis/generate.py; do not edit.",
        "`default_nettype none",
        f"module {name} (",
        ",\n".join(ports),
        ");",
        target_text(target) if rtl_uses_target(rtl) else "",
        "  wire logic clk = ap_clk;",
        "  wire logic rst = !ap_rst_n;",
        *wires,
        *assigns,
        *unit_body(rtl),
        "endmodule",
        "`default_nettype wire",
    ]
    sources = unit_sources(sorted({item.module for item in rtl.instances}))
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    top = folder / f"{name}.sv"
    top.write_text("\n".join(lines) + "\n")
    return [*(folder / source.name for source in sources), top]


def unit_body(rtl: UnitRtl) -> list[str]:
    """Wires and instances of one op; its streams are in0_*, out0_*, its clock and reset clk and rst."""
    body = []
    for wire, width in rtl.wires.items():
        body += [f"  logic [{width - 1}:0] {wire}_tdata;", f"  logic {wire}_tvalid, {wire}_tready;"]
    for item in rtl.instances:
        connections = {port: f"{item.cfg_bits.get(port, 16)}'d{value}" for port, value in item.cfg.items()}
        connections.update(item.tie)
        for port, ends in item.ports.items():
            connections.update(_port(port, [ends] if isinstance(ends, str) else ends))
        body.append(_instance(item.module, f"u_{item.role or item.module}", item.params, connections, "rst"))
    return body


def target_text(target: int) -> str:
    """Declaration of TARGET: the device's primitives, and models of them in Verilator."""
    return f"""\
`ifdef VERILATOR
  // Simulated: multipliers behave, no device primitives
  localparam int unsigned TARGET = 0;
`else
  localparam int unsigned TARGET = {target};
`endif"""


def rtl_uses_target(rtl: Any) -> bool:
    """True when an instance takes the parameter TARGET."""
    return any("TARGET" in item.params for item in rtl.instances)


def read_description(rtl_dir: Path) -> dict[str, Any]:
    """design.json of a generated design."""
    return json.loads((rtl_dir / DESCRIPTION).read_text())
