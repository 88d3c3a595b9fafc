# SPDX-License-Identifier: Apache-2.0
"""Step synth: Yosys on the design, with the board's top where it has one."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step

NETLIST = "netlist.json"
NETLIST_VERILOG = "netlist.v"
SOURCES = (
    "synthesis/backends/*.py",
    "synthesis/board.py",
    "synthesis/generate.py",
    "synthesis/host.py",
    "hw/boards/**/*",
    "hw/rtl/**/*.sv",
)


def parameters(build: Build) -> dict[str, Any]:
    """The board."""
    return {"board": build.board["name"], "model": build.model}


def run(build: Build, out: Path) -> dict[str, Any]:
    """Synthesize for the board's device family."""
    from synthesis.backends import yosys
    from synthesis.cost import family
    from synthesis.generate import read_description

    rtl = build.folder("fifo")
    description = read_description(rtl)
    sources = [rtl / name for name in description["sources"]]
    if has_bitstream(build):
        from synthesis.backends.nextpnr import pll_parameters
        from synthesis.board import board_sources

        names = {path.name for path in sources}
        sources += [path for path in board_sources(build.board) if path.name not in names]
        bytes_per_image = 1
        for size in description["image_shape"]:
            bytes_per_image *= size
        settings = {
            **pll_parameters(build.board),
            "IMAGE_BYTES": bytes_per_image,
            "CLASSES": description["classes"],
            "MODEL_ID": f"64'h{model_id(rtl):016x}",
        }
        result = yosys.synthesize(
            sources, "top", out, cwd=rtl, target="ecp5", parameters=settings, inside=["vit_i"], progress=build.progress
        )
    else:
        device = family(build.board["part"])
        result = yosys.synthesize(sources, description["top"], out, cwd=rtl, target=device, progress=build.progress)
    result.netlist_json.rename(out / NETLIST)
    result.netlist_verilog.rename(out / NETLIST_VERILOG)
    return {"resources": result.resources, "resources_by_unit": by_unit(description, result.resources_by_unit)}


def has_bitstream(build: Build) -> bool:
    """True when the board has an open backend down to a bitstream."""
    return build.board["backend"] == "nextpnr"


def model_id(rtl: Path) -> int:
    """64-bit name of a generated design: what the driver asks the board for."""
    from synthesis.host import model_id as identify

    return identify(path.read_bytes() for path in sorted(rtl.iterdir()) if path.suffix in (".sv", ".hex"))


def by_unit(description: dict[str, Any], instances: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Resources by unit of the graph; FIFOs count for the unit that writes into them."""
    owner = {instance: unit["name"] for unit in description["units"] for instance in unit["instances"]}
    owner |= {edge["fifo"]: edge["unit"] for edge in description["edges"] if edge["fifo"]}
    out: dict[str, dict[str, float]] = {}
    for instance, counts in instances.items():
        row = out.setdefault(owner.get(instance, instance), {})
        for key, value in counts.items():
            row[key] = row.get(key, 0) + value
    return out


STEP = Step("synth", "Yosys", "08_synth", ("fifo",), SOURCES, parameters, run)
