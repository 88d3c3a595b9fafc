# SPDX-License-Identifier: Apache-2.0
"""What all hardware ops share: the FINN interface on one side, the RTL instances on the other.

An op names its streams, its golden function, its cycles and its RTL instances; everything that FINN asks for follows
from these. Activation tensors have the shape (1, tokens, channels), an image (1, height, width, channels).
"""

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow import register_custom_op
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from finn.custom_op.fpgadataflow.rtl import register_custom_op as register_rtl_op
from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend
from onnx import AttributeProto, GraphProto
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.core.modelwrapper import ModelWrapper

from quant.intmath import int_range
from synthesis.cost import Cost, family, module_cost


def int_type(bits: int, signed: bool = True) -> BaseDataType:
    """QONNX DataType of integer codes."""
    return DataType[f"{'INT' if signed else 'UINT'}{bits}"]


def code_bits(datatype: BaseDataType) -> int:
    """Width of a code in bits as a Python int."""
    return int(datatype.bitwidth())


@dataclass(frozen=True)
class Stream:
    """One stream port of an op.

    Attributes:
        datatype: Type of one element.
        shape: Shape of the tensor without the leading 1, last axis the channels.
        elements: Elements of one beat.
    """

    datatype: BaseDataType
    shape: tuple[int, ...]
    elements: int = 1

    @property
    def bits(self) -> int:
        """Width of one element."""
        return code_bits(self.datatype)

    @property
    def width(self) -> int:
        """Width of one beat."""
        return self.bits * self.elements


@dataclass(frozen=True)
class Instance:
    """One RTL module inside the generated design.

    Attributes:
        module: Module name, also the folder under hw/rtl.
        role: Suffix of the instance name; "" for the op's main module.
        params: Parameter -> value: an int, the name of a memory file, or "TARGET" (0 in simulation, else the device's).
        cfg: Run-time size port -> constant value, 16 bits unless an entry of cfg_bits says otherwise.
        ports: Stream port prefix -> stream it connects to: "in0", "out1" for the op's own streams (a list for a
            packed port), any other word for a wire inside the op.
        tie: Further input ports -> SystemVerilog expression.
        figures: What the cost model knows of the constants inside, beside the parameters: name -> count.
    """

    module: str
    role: str
    params: Mapping[str, int | str]
    ports: Mapping[str, str | list[str]]
    cfg: dict[str, int] = field(default_factory=dict)
    cfg_bits: dict[str, int] = field(default_factory=dict)
    tie: dict[str, str] = field(default_factory=dict)
    figures: Mapping[str, int] = field(default_factory=dict)

    def cost_params(self) -> dict[str, int | str]:
        """What the cost model asks of it."""
        return {**self.params, **self.figures}


@dataclass(frozen=True)
class UnitRtl:
    """RTL of one op: instances, widths of the wires between them, memory files by name."""

    instances: list[Instance]
    wires: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)


def tile_turns(tokens: int, tile: int) -> list[tuple[int, int, int]]:
    """How often a tile of so many tokens is followed by one of so many, of this image or the next: (times, tile, next).

    The last tile of an image has what is left of its tokens.
    """
    full, rest = divmod(tokens, tile)
    if not full or not rest:
        return [(max(full, 1), rest or tile, rest or tile)]
    return [(full - 1, tile, tile), (1, tile, rest), (1, rest, tile)]


def hex_words(words: list[int], bits: int) -> list[str]:
    """Lines for $readmemh, all of the same number of digits."""
    digits = (bits + 3) // 4
    return [f"{word:0{digits}x}" for word in words]


def identifier(name: str) -> str:
    """SystemVerilog identifier of an edge or unit name: blocks.0.norm1 -> blocks_0_norm1."""
    word = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_")
    return word if word and not word[0].isdigit() else f"n_{word}"


class VitrailOp(HWCustomOp):
    """Base of Vitrail's hardware ops. Subclasses set `attributes` and the methods below that raise."""

    attributes: dict[str, tuple] = {}

    def get_nodeattr_types(self) -> dict[str, tuple]:
        return {**super().get_nodeattr_types(), "unit": ("s", False, ""), **self.attributes}

    def get(self, name: str) -> Any:
        """Attribute of the node. Integers without get_nodeattr's checks, which a search would spend its time with."""
        for item in self.onnx_node.attribute:
            if item.name == name and item.type == AttributeProto.INT:
                return item.i
        return self.get_nodeattr(name)

    # What a subclass says.

    @abstractmethod
    def streams_in(self) -> list[Stream]:
        """Input streams, in the order of the node's first inputs; constants follow them."""

    @abstractmethod
    def streams_out(self) -> list[Stream]:
        """Output streams, in the order of the node's outputs."""

    @abstractmethod
    def golden(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Exact output codes from int64 input codes (..., tokens, channels) and constants, in the node's order."""

    @abstractmethod
    def get_exp_cycles(self) -> int:
        """Cycles of one image when nothing else holds the unit up."""

    @abstractmethod
    def structure(self) -> UnitRtl:
        """RTL instances without contents; a "*" in the name of a memory file stands for the unit's name."""

    def contents(self, model: ModelWrapper | None) -> dict[str, list[str]]:
        """Lines of the memory files that structure() names."""
        return {}

    def finish_constants(self, model: ModelWrapper) -> None:
        """Set the attributes that follow from the constants."""

    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return 0

    # What follows from it.

    def rtl(self, model: ModelWrapper | None, name: str) -> UnitRtl:
        """RTL instances with their constants; memory files are named after `name`."""

        def named(item: Instance) -> Instance:
            return replace(
                item, params={k: v.replace("*", name) if isinstance(v, str) else v for k, v in item.params.items()}
            )

        plan = self.structure()
        files = {file.replace("*", name): lines for file, lines in self.contents(model).items()}
        return UnitRtl([named(item) for item in plan.instances], plan.wires, files)

    def cost(self, fpgapart: str) -> Cost:
        """Estimated resources: those of the instances (synthesis.cost)."""
        device, instances = family(fpgapart), self.structure().instances
        return sum((module_cost(device, item.module, item.cost_params()) for item in instances), Cost())

    # What FINN asks.

    def constant(self, model: ModelWrapper, index: int) -> np.ndarray:
        """Initializer of an input as int64."""
        return np.rint(model.get_initializer(self.onnx_node.input[index]).astype(np.float64)).astype(np.int64)

    def execute_node(self, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        node = self.onnx_node
        inputs = [context[name] for name in node.input]
        outputs = self.golden(*(np.rint(x).astype(np.int64) if x.dtype != np.int64 else x for x in inputs))
        for name, value in zip(node.output, outputs, strict=True):
            value = value.astype(inputs[0].dtype)
            if value.dtype == np.float32 and np.abs(value).max(initial=0) > 2**24:
                raise ValueError(f"{node.name}: codes above 2**24 do not fit in float32; run the graph on int64 arrays")
            context[name] = value

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        for index, stream in enumerate(self.streams_in()):
            found = model.get_tensor_datatype(self.onnx_node.input[index])
            if found != stream.datatype:
                self.adopt_input_datatype(index, found)
        for index, stream in enumerate(self.streams_out()):
            model.set_tensor_datatype(self.onnx_node.output[index], stream.datatype)

    def adopt_input_datatype(self, index: int, found: BaseDataType) -> None:
        """Take over a changed input type, or refuse it."""
        expected = self.streams_in()[index].datatype.name
        raise ValueError(f"{self.onnx_node.name}: input {index} is {found.name}, expected {expected}")

    def verify_node(self) -> list[str]:
        return []

    def _stream(self, streams: list[Stream], index: int) -> Stream | None:
        return streams[index] if index < len(streams) else None

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        return self.streams_in()[ind].datatype

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        return self.streams_out()[ind].datatype

    def get_normal_input_shape(self, ind: int = 0) -> list[int]:
        return [1, *self.streams_in()[ind].shape]

    def get_normal_output_shape(self, ind: int = 0) -> list[int]:
        return [1, *self.streams_out()[ind].shape]

    def get_folded_input_shape(self, ind: int = 0) -> list[int]:
        return _folded(self.streams_in()[ind])

    def get_folded_output_shape(self, ind: int = 0) -> list[int]:
        return _folded(self.streams_out()[ind])

    def get_instream_width(self, ind: int = 0) -> int:
        stream = self._stream(self.streams_in(), ind)
        return stream.width if stream else 0

    def get_outstream_width(self, ind: int = 0) -> int:
        stream = self._stream(self.streams_out(), ind)
        return stream.width if stream else 0

    def lut_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).lut

    def dsp_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).dsp

    def bram_estimation(self, fpgapart: str) -> int:
        return self.cost(fpgapart).bram

    def get_verilog_top_module_name(self) -> str:
        return f"vitrail_{identifier(self.onnx_node.name)}"

    def get_op_and_param_counts(self) -> dict[str, int]:
        return {"op_mac": self.macs()} if self.macs() else {}


def _folded(stream: Stream) -> list[int]:
    return [1, *stream.shape[:-1], math.ceil(stream.shape[-1] / stream.elements), stream.elements]


class VitrailRtl(RTLBackend):
    """The FINN side of an op's RTL form: writes the op as a module of its own with FINN's port names."""

    def get_nodeattr_types(self) -> dict[str, tuple]:
        return {**super().get_nodeattr_types(), "rtl_files": ("strings", False, [])}

    def generate_hdl(self, model: ModelWrapper, fpgapart: str, clk: float) -> None:
        from synthesis.generate import generate_finn_unit

        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        files = generate_finn_unit(model, self, folder)
        self.set_nodeattr("rtl_files", [str(path) for path in files])
        self.set_nodeattr("gen_top_module", self.get_verilog_top_module_name())
        self.set_nodeattr("ipgen_path", str(folder))
        self.set_nodeattr("ip_path", str(folder))

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        return [path if abspath else Path(path).name for path in self.get_nodeattr("rtl_files")]

    def code_generation_ipi(self) -> list[str]:
        files = [f"add_files -norecurse {path}" for path in self.get_nodeattr("rtl_files")]
        name = self.get_verilog_top_module_name()
        return [*files, f"create_bd_cell -type module -reference {name} {self.onnx_node.name}"]


def vitrail_op(cls: type[VitrailOp]) -> type[VitrailOp]:
    """Class decorator: register the op with finn-plus, and its `_rtl` form, to which SpecializeLayers turns it."""
    register_custom_op(cls)
    register_rtl_op(type(f"{cls.__name__}_rtl", (cls, VitrailRtl), {"__doc__": f"RTL form of {cls.__name__}."}))
    return cls


def check_range(name: str, values: np.ndarray, bits: int, signed: bool = True) -> None:
    """Raise when a constant does not fit into its hardware width."""
    low, high = int_range(bits, signed)
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(f"{name}: constants {values.min()}..{values.max()} do not fit in {bits} bits ({low}..{high})")
