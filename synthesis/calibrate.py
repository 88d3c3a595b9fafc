# SPDX-License-Identifier: Apache-2.0
"""Fit the cost model (synthesis/cost.py) to Yosys runs of random units: `make calibrate`.

A seed draws an op with its attributes and constants. The op is written as a module of its own, as FINN takes it, and
synthesized; the cells of each RTL instance inside are one sample. Every third op is kept from the fit, and the errors
are reported on those. Samples are kept in build/calibrate by content: a run that was stopped goes on. `--ops requant`
measures and fits that op alone, after a change of its RTL; modules of other ops keep their coefficients.
"""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from scipy.optimize import nnls
from tqdm import tqdm

from models.names import build_root
from quant.layers import BIAS_FRACTION
from quant.schemes import FIXED, POT, SP2, magnitudes
from sim.toolchain import ROOT, content_hash
from synthesis import cost
from synthesis.backends import yosys
from synthesis.board import load_board, unit_sources
from synthesis.build import write_json, write_text
from synthesis.cost import TARGETS
from synthesis.finn_env import load_finn
from synthesis.generate import generate_finn_unit

ops = load_finn()
FOLDER = build_root() / "calibrate"
FAMILY_NAMES = {"ecp5": "ECP5", "xcup": "UltraScale+"}
BACKENDS = [
    ROOT / "synthesis" / "backends" / f"{name}.py"
    for name in ("yosys", "ecp5_netlist", "carry_ends", "dsp_registers", "ram_registers")
]
FIGURES = ("lut", "ff", "dsp", "bram")
SMALL = 50  # cells: smaller ops count as this large in relative errors
# Weight of a coefficient's squared distance from what is expected, beside the squared relative errors: where a module
# has as many features as samples; it falls with more samples
RIDGE = 0.03
# Features that count the bits of adders: a LUT and a register each is expected of them, of the others nothing
ADDER_BITS = ("acc", "plane_pair", "pot_pair", "plane_join")
FF_ONLY = ("absorbed",)  # features that say nothing of LUTs
MACS = 128  # most products a cycle of a unit, so that Yosys takes seconds
Rng = np.random.Generator


def _log(rng: Rng, low: int, high: int) -> int:
    """A random integer whose logarithm is uniform."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _pick(rng: Rng, *values: Any) -> Any:
    return values[rng.integers(len(values))]


def draw_mvu(rng: Rng, target: int, da: bool = False) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Rows of one or two schemes; stream lanes and multiplier blocks, or distributed arithmetic."""
    tokens, w_bits, a_bits = int(rng.integers(5, 200)), _pick(rng, 2, 3, 4, 4, 4, 5, 6, 8), _pick(rng, 4, 5, 6, 8, 8, 8)
    pe = simd = MACS
    while pe * simd > MACS:
        pe, simd = _log(rng, 1, 16), _log(rng, 2 if da else 1, 48)
    chunks, groups = _log(rng, 1, 48), _log(rng, 1, 96)
    while chunks * groups < 16:  # Yosys folds the few words of a smaller ROM into the lanes
        chunks, groups = _log(rng, 1, 48), _log(rng, 1, 96)
    k, rows = simd * chunks, pe * groups
    group = np.full(pe, FIXED)
    if rng.random() < 0.6:
        shift = int(rng.integers(0, pe + 1))
        group[pe - shift :] = _pick(rng, POT, SP2)
    schemes = np.tile(group, rows // pe)
    fixed = int((group == FIXED).sum())
    tile = _pick(rng, tokens, -(-tokens // 2)) if da or rng.random() < 0.1 else 1
    dsp_rows = 0 if da else _pick(rng, 0, fixed, int(rng.integers(0, fixed + 1)))
    values = {int(s): magnitudes(int(s), w_bits) for s in np.unique(schemes)}
    weight = np.stack([rng.choice(values[int(s)], k) for s in schemes]) * rng.choice([-1, 1], (rows, k))
    attributes = {
        "tokens": tokens, "k": k, "rows": rows, "PE": pe, "SIMD": simd, "tile": tile, "a_bits": a_bits,
        "w_bits": w_bits, "row_scheme": [int(s) for s in schemes], "dsp_rows": dsp_rows, "da": int(da),
        "target": target, "dsp_sums": int(target == 2 and not da and rng.random() < 0.8),
    }  # fmt: skip
    return attributes, [weight]


def draw_mvu_da(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Rows of one or two schemes by distributed arithmetic."""
    return draw_mvu(rng, target, da=True)


def draw_mvu_pairs(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Rows in pairs on multiplier blocks, or all but one."""
    attributes, _ = draw_mvu(rng, target)
    attributes |= {"tile": 1, "w_bits": _pick(rng, 2, 3, 4), "row_scheme": [FIXED] * attributes["rows"]}
    attributes |= {"dsp_rows": attributes["PE"], "dsp_sums": int(target == 2)}
    most = 2 ** (attributes["w_bits"] - 1) - 1
    return attributes, [rng.integers(-most, most + 1, (attributes["rows"], attributes["k"]))]


def draw_requant(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Behind an mvu of PE rows, or a matmul or layernorm (PE 1)."""
    pe, tokens = _pick(rng, 1, 1, 1, 1, 2, 3, 4, 5, 6, 8, 9, 12, 16), int(rng.integers(5, 200))
    channels = pe * _log(rng, 1, 64)
    acc_bits, out_bits = int(rng.integers(9, 27)), _pick(rng, 8, 8, 8, 12, 12, 16, 4, 6)
    tile = _pick(rng, 1, 1, 1, tokens) if pe > 1 else 1
    shift = acc_bits + 17 - out_bits - int(rng.integers(0, 4))  # products of 16-bit factors fill the codes or saturate
    size = 1 if pe == 1 and rng.random() < 0.5 else channels  # one word for all: behind a matmul
    mult = rng.integers(2**14, 2**16, size) * rng.choice([1, 1, 1, -1], size)
    largest = 2 ** (acc_bits + int(rng.integers(11, 17)))
    trained = 2 ** max(0, shift - BIAS_FRACTION)
    step = _pick(rng, 1, trained, trained)  # 1: with the offset of tables
    bias = rng.integers(-largest, largest, size) // step * step
    lane = rng.permuted(np.tile(np.arange(pe), (channels // pe, 1)), axis=1).reshape(-1)
    attributes = {
        "tokens": tokens, "channels": channels, "PE": pe, "tile": tile, "acc_bits": acc_bits, "shift": shift,
        "out_bits": out_bits, "out_signed": 1, "lane": [int(v) for v in lane],
    }  # fmt: skip
    return attributes, [mult, bias]


def draw_matmul(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Scores or mix of a few heads; half of them with a power of two of products a cycle."""
    heads, dim, tokens = int(rng.integers(1, 7)), int(rng.integers(8, 65)), _log(rng, 5, 200)
    transpose = int(rng.integers(2))
    simd = _log(rng, 1, min(24, tokens if transpose else dim))
    if rng.random() < 0.5:
        simd = 1 << (simd.bit_length() - 1)
    bits = _pick(rng, 8, 8, 8, 4, 6)
    return {
        "queries": tokens, "keys": tokens, "heads": heads, "dim": dim, "transpose": transpose, "SIMD": simd,
        "a_bits": bits, "a_signed": 1 - transpose, "b_bits": bits,
    }, []  # fmt: skip


def draw_layernorm(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Any channels, or one or two powers of two, as the field's are; residual stream of 8 to 16 bits."""
    high = int(rng.integers(5, 10))
    channels = _pick(rng, _log(rng, 24, 800), 2**high | 2 ** int(rng.integers(high - 2, high + 1)))
    return {"tokens": 17, "channels": channels, "x_bits": int(rng.integers(8, 17))}, []


def draw_softmax(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Rows of 5 to 400 scores; calibrated widths among them."""
    length, heads = _log(rng, 5, 400), int(rng.integers(1, 7))
    out_bits = _pick(rng, 8, 8, 6, 4)
    twin = _pick(rng, 0, 0, 1, 2)
    table = np.sort(rng.integers(0, 4096, 256))[::-1]
    return {
        "tokens": length, "channels": heads * length, "length": length, "out_bits": out_bits, "fraction_bits": 8,
        "twin_shift": twin if out_bits > twin + 2 else 0,
    }, [table.copy()]  # fmt: skip


def draw_swu(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Images of 8 to 64 pixels a side, or 224."""
    kernel, size = int(rng.integers(2, 17)), _pick(rng, _log(rng, 8, 64), 224)
    stride = int(rng.integers(1, kernel + 1))
    grid = max(1, (size - kernel) // stride + 1)
    side = (grid - 1) * stride + kernel
    return {
        "height": side,
        "width": side,
        "channels": _pick(rng, 1, 3),
        "kernel": kernel,
        "stride": stride,
        "elem_bits": 8,
    }, []


def draw_embed(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Position embeddings of the residual stream's width."""
    tokens, channels, bits = _log(rng, 5, 200), _log(rng, 24, 200), int(rng.integers(8, 17))
    content = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (tokens, channels))
    return {"tokens": tokens, "channels": channels, "x_bits": bits, "out_bits": bits}, [content]


def draw_table(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """GELU with a random scale on both sides."""
    bits = _pick(rng, 8, 8, 8, 4, 5, 6, 7)
    x = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) * rng.uniform(2, 8) / 2 ** (bits - 1)
    content = np.rint(x / (1 + np.exp(-1.702 * x)) / x.max() * (2 ** (bits - 1) - 1)).astype(np.int64)
    content = np.roll(content, 2 ** (bits - 1))  # entry of code c at c modulo 2^bits
    return {"tokens": 17, "channels": 64, "in_bits": bits, "out_bits": bits}, [content]


def draw_add(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Residual adds."""
    bits = int(rng.integers(8, 17))
    return {"tokens": 17, "channels": 64, "a_bits": bits, "b_bits": bits, "out_bits": bits}, []


def draw_fork(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Two or three branches."""
    return {"tokens": 17, "channels": 64, "bits": int(rng.integers(8, 17)), "branches": _pick(rng, 2, 2, 3)}, []


def draw_split(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """q, k and v."""
    return {"tokens": 17, "sizes": [_log(rng, 24, 400)] * 3, "bits": _pick(rng, 8, 8, 4, 6)}, []


def draw_select(rng: Rng, target: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The class token."""
    return {"tokens": _log(rng, 5, 200), "channels": _log(rng, 24, 800), "bits": int(rng.integers(8, 17))}, []


Draw = Callable[[Rng, int], tuple[dict[str, Any], list[np.ndarray]]]
# Name -> op, draw of its attributes and constants, how many
DRAWS: dict[str, tuple[str, Draw, int]] = {
    "mvu": ("VitrailMvu", draw_mvu, 99),
    "mvu_da": ("VitrailMvu", draw_mvu_da, 45),
    "requant": ("VitrailRequant", draw_requant, 45),
    "matmul": ("VitrailMatmul", draw_matmul, 72),
    "layernorm": ("VitrailLayerNorm", draw_layernorm, 30),
    "softmax": ("VitrailSoftmax", draw_softmax, 24),
    "swu": ("VitrailSwu", draw_swu, 36),
    "embed": ("VitrailEmbed", draw_embed, 24),
    "table": ("VitrailTable", draw_table, 72),
    "add": ("VitrailAdd", draw_add, 6),
    "fork": ("VitrailFork", draw_fork, 6),
    "split": ("VitrailSplit", draw_split, 6),
    "select": ("VitrailSelect", draw_select, 24),
    "mvu_pairs": ("VitrailMvu", draw_mvu_pairs, 24),
}
FIFOS = 36
COUNTS = {name: count for name, (_, _, count) in DRAWS.items()} | {"fifo": FIFOS}
FIFO_NUMBERS = 13  # which random numbers the FIFOs have; each op has those of its place above


def draw(name: str, seed: int, device: str) -> tuple[ModelWrapper, Any]:
    """A random op: its graph of one node, and its instance."""
    kind, draw_one, _ = DRAWS[name]
    attributes, constants = draw_one(np.random.default_rng([seed, list(DRAWS).index(name)]), TARGETS[device])
    streams = 2 if name in ("add", "matmul") else 1
    outputs = {"fork": attributes.get("branches", 0), "split": 3}.get(name, 1)
    names = [f"c{i}" for i in range(len(constants))]
    node = helper.make_node(
        kind, [*(f"x{i}" for i in range(streams)), *names], [f"y{i}" for i in range(outputs)],
        name=f"{name}_{seed}", domain=ops.DOMAIN, backend="fpgadataflow", **attributes,
    )  # fmt: skip
    tensors = [
        numpy_helper.from_array(value.astype(np.float64), name) for name, value in zip(names, constants, strict=True)
    ]
    model = ModelWrapper(helper.make_model(helper.make_graph([node], "unit", [], [], tensors)))
    inst = getCustomOp(model.graph.node[0])
    if kind == "VitrailMvu":
        inst.set_nodeattr("acc_bits", inst.accumulator_bits(constants[0]))
    elif kind == "VitrailMatmul":
        inst.minimize_accumulator_width(model)
    inst.finish_constants(model)
    return model, inst


def measure(name: str, seed: int, device: str) -> list[dict[str, Any]]:
    """Synthesize one random op.

    Returns:
        For each RTL instance {op, seed, module, params, lut, ff, dsp, bram}; bram in blocks of 18 kbit.
    """
    model, inst = draw(name, seed, device)
    instances = inst.structure().instances
    folder = FOLDER / device / f"{name}_{seed}"
    sources = generate_finn_unit(model, inst, folder, TARGETS[device])
    made = synthesize(sources, sources[-1].stem, folder, device)
    units = {f"u_{item.role or item.module}": item for item in instances}
    used = {unit: made.resources_by_unit.get(unit, dict.fromkeys(FIGURES, 0)) for unit in units}
    main = f"u_{next(item.role or item.module for item in instances if not item.role)}"
    rest = {key: made.resources[key] - sum(found[key] for found in used.values()) for key in FIGURES}
    used[main] = {key: used[main][key] + rest[key] for key in FIGURES}  # cells whose names tell no instance
    return [sample(name, seed, device, item.module, dict(item.params), used[unit]) for unit, item in units.items()]


def fifo_params(seed: int) -> dict[str, int]:
    """A FIFO of a random shape."""
    rng = np.random.default_rng([seed, FIFO_NUMBERS])
    return {"WIDTH": _log(rng, 4, 40), "DEPTH": _pick(rng, 2, int(rng.integers(3, 33)), _log(rng, 33, 6000))}


def measure_fifo(seed: int, device: str) -> list[dict[str, Any]]:
    """Synthesize a FIFO of a random shape."""
    params = fifo_params(seed)
    made = synthesize(unit_sources(["fifo"]), "fifo", FOLDER / device / f"fifo_{seed}", device, params)
    return [sample("fifo", seed, device, "fifo", params, made.resources)]


def sample(
    kind: str, seed: int, device: str, module: str, params: Mapping[str, Any], used: Mapping[str, float]
) -> dict[str, Any]:
    """One sample; RAMB36E2 counts as two blocks of 18 kbit."""
    figures = {key: round(used[key]) for key in ("lut", "ff", "dsp")}
    figures["bram"] = round(used["bram"] * (2 if device == "xcup" else 1))
    return {
        "op": kind,
        "seed": seed,
        "module": module,
        "params": {k: v for k, v in params.items() if k != "INIT_FILE"},
    } | figures


def synthesize(
    sources: Sequence[Path], top: str, folder: Path, device: str, params: Mapping[str, int] | None = None
) -> yosys.Synthesis:
    """Run Yosys in the folder of a unit and drop the netlists."""
    made = yosys.synthesize(sources, top, folder / "yosys", cwd=folder, target=device, parameters=params)
    for netlist in (made.netlist_json, made.netlist_verilog):
        netlist.unlink()
    return made


def collect(device: str, workers: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Measure all draws of some ops; what is kept for the same sources is not measured again."""
    tasks = [(name, seed) for name in names for seed in range(COUNTS[name])]

    def work(task: tuple[str, int]) -> list[dict[str, Any]]:
        name, seed = task
        if name == "fifo":
            modules, params, figures = ["fifo"], [fifo_params(seed)], [dict[str, int]()]
        else:
            instances = draw(name, seed, device)[1].structure().instances
            modules, params = [item.module for item in instances], [dict(item.params) for item in instances]
            figures = [dict(item.figures) for item in instances]
        key = content_hash(params, device, yosys.version(), *unit_sources(modules), *BACKENDS)
        path = FOLDER / "kept" / f"{device}_{name}_{seed}_{key}.json"
        if not path.is_file():
            write_json(path, measure_fifo(seed, device) if name == "fifo" else measure(name, seed, device))
        samples: list[dict[str, Any]] = json.loads(path.read_text())
        return [{**item, "params": item["params"] | known} for item, known in zip(samples, figures, strict=True)]

    found = []
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(tasks), desc=f"units for {device}") as bar:
        for samples in pool.map(work, tasks):
            found += samples
            bar.update()
    return found


def held_out(item: Mapping[str, Any]) -> bool:
    """True for a sample that the fit does not see."""
    return int(item["seed"]) % 3 == 0


def by_op(samples: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """Samples of each op."""
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for item in samples:
        found.setdefault((str(item["op"]), int(item["seed"])), []).append(item)
    return found


def modules_of(name: str, device: str) -> set[str]:
    """RTL modules of an op."""
    if name == "fifo":
        return {"fifo"}
    return {item.module for seed in range(COUNTS[name]) for item in draw(name, seed, device)[1].structure().instances}


def held_modules(names: Sequence[str], device: str) -> set[str]:
    """Modules that ops which are not among these contain."""
    return set().union(*(modules_of(name, device) for name in COUNTS if name not in names))


def fit(
    device: str, samples: Sequence[Mapping[str, Any]], held: Collection[str] = ()
) -> dict[str, dict[str, dict[str, float]]]:
    """Coefficients without negative ones that make the squared relative error of the ops least.

    Whole ops: a flip-flop between two of its instances is Yosys' to name. What the samples leave open stays near what
    is expected (ADDER_BITS). Modules that are `held` cost what synthesis.cost says of them, and are left out.

    Returns:
        module -> "lut" or "ff" -> feature -> coefficient; features that do not help are left out.
    """
    ops_found = list(by_op(samples).values())
    rows: list[dict[tuple[str, str], float]] = []
    known: list[cost.Cost] = []
    for items in ops_found:
        row: dict[tuple[str, str], float] = {}
        known.append(cost.Cost())
        for item in items:
            module, params = str(item["module"]), item["params"]
            if module in held:
                known[-1] += cost.module_cost(device, module, params)
                continue
            for name, value in cost.features(device, module, params).items():
                row[module, name] = row.get((module, name), 0.0) + value
        rows.append(row)
    keys = sorted({key for row in rows for key in row})
    matrix = np.array([[row.get(key, 0.0) for key in keys] for row in rows])
    modules = [module for module, _ in keys]
    uses = {module: sum(any(key[0] == module for key in row) for row in rows) for module in modules}
    hold = np.sqrt([RIDGE * modules.count(module) / uses[module] for module in modules])
    found: dict[str, dict[str, dict[str, float]]] = {module: {"lut": {}, "ff": {}} for module, _ in keys}
    for figure in ("lut", "ff"):
        wanted = np.array([sum(float(item[figure]) for item in items) for items in ops_found])
        weight = 1 / np.maximum(wanted, SMALL)
        wanted -= [getattr(one, figure) for one in known]
        counted = np.array([figure == "ff" or name not in FF_ONLY for _, name in keys])
        scaled = matrix * weight[:, None] * counted
        norms = np.maximum(np.linalg.norm(scaled, axis=0), 1e-12)
        system = np.vstack([scaled / norms, np.diag(hold)])
        expected = np.array([name in ADDER_BITS or name.endswith("_tree") for _, name in keys]) * norms
        values, _ = nnls(system, np.r_[wanted * weight, hold * expected], maxiter=100 * len(keys))
        for (module, name), value in zip(keys, values / norms, strict=True):
            if value > 5e-5:
                found[module][figure][name] = round(float(value), 4)
    return found


def errors(device: str, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the model says of ops beside what Yosys says.

    Returns:
        One row for each kind of op: {name, count, wrong_dsp, wrong_bram}, and for lut and ff {mean, worst, within}:
        absolute relative errors (of fewer than SMALL cells: relative to SMALL), share of them up to 10 %.
    """
    pairs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for (name, _), items in by_op(samples).items():
        costs = [cost.module_cost(device, str(item["module"]), item["params"]) for item in items]
        for key in FIGURES:
            pair = float(sum(getattr(c, key) for c in costs)), sum(float(item[key]) for item in items)
            pairs.setdefault(name, {}).setdefault(key, []).append(pair)
    return [error_row(name, found) for name, found in pairs.items()]


def error_row(name: str, pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """One row of errors() from (estimate, measured) of each figure."""
    row: dict[str, Any] = {"name": name, "count": len(pairs["lut"])}
    for key in FIGURES:
        have, want = np.array(pairs[key], dtype=np.float64).T
        if key in ("dsp", "bram"):
            row[f"wrong_{key}"] = int((want != have).sum())
        else:
            error = np.abs(have - want) / np.maximum(want, SMALL)
            within = float((error <= 0.1).mean())
            row[key] = {"mean": float(error.mean()), "worst": float(error.max()), "within": within}
    return row


def design_errors(folder: Path) -> list[dict[str, Any]]:
    """Estimates of a built design's units beside Yosys' counts; FIFOs belong to the unit in front of them.

    Args:
        folder: build/<model>/<board>, built up to step synth.

    Returns:
        Rows as in errors(): one for each op; "with requant": units together with the requant behind them, as cells
        between two units of a flattened netlist belong to either; and "all units" with the sums.

    Raises:
        ValueError: the design is not built.
    """
    files = [folder / "results" / "fold.json", folder / "results" / "synth.json", folder / "rtl" / "design.json"]
    if missing := [path for path in (*files, folder / "manifest.json") if not path.is_file()]:
        raise ValueError(f"{missing[0]} does not exist; expected a design built up to synthesis. Run: make synth")
    units, measured, design = (json.loads(path.read_text()) for path in files)
    device = cost.family(load_board(json.loads((folder / "manifest.json").read_text())["board"])["part"])
    ops_of: dict[str, dict[str, list[tuple[float, float]]]] = {}
    by_name: dict[str, dict[str, tuple[float, float]]] = {}
    if any("ff_estimate" not in unit for unit in units["units"]):
        raise ValueError(
            f"{files[0]} has no estimates of flip-flops; expected a design folded with them. Run: make synth"
        )
    for unit in units["units"]:
        estimate = {key: float(unit[f"{key}_estimate"]) for key in FIGURES}
        for edge in design["edges"]:
            if edge["fifo"] and edge["unit"] == unit["name"]:
                params = {"WIDTH": edge["element_bits"] * edge["elements"], "DEPTH": edge["depth"]}
                fifo = cost.module_cost(device, "fifo", params)
                estimate = {key: value + getattr(fifo, key) for key, value in estimate.items()}
        found = measured["resources_by_unit"][unit["name"]]
        for key in FIGURES:
            real = found.get(key, 0) * (2 if key == "bram" and device == "xcup" else 1)
            by_name.setdefault(unit["name"], {})[key] = estimate[key], real
            ops_of.setdefault(unit["op"], {}).setdefault(key, []).append((estimate[key], real))
    rows = [error_row(op.removeprefix("Vitrail"), pairs) for op, pairs in ops_of.items()]

    def together(names: Sequence[str]) -> dict[str, tuple[float, float]]:
        return {
            key: (sum(by_name[n][key][0] for n in names), sum(by_name[n][key][1] for n in names)) for key in FIGURES
        }

    source = {edge["name"]: edge["unit"] for edge in design["edges"]}
    requants = [unit for unit in design["units"] if unit["op"] == "VitrailRequant"]
    if pairs := [together((source[unit["inputs"][0]], unit["name"])) for unit in requants]:
        rows.append(error_row("with requant", {key: [pair[key] for pair in pairs] for key in FIGURES}))
    return [*rows, error_row("all units", {key: [pair] for key, pair in together(list(by_name)).items()})]


def markdown(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Errors as a table."""
    head = [
        "op",
        "how many",
        "LUT: mean error",
        "worst",
        "within 10 %",
        "FF: mean error",
        "worst",
        "within 10 %",
    ]
    head += ["wrong DSP", "wrong block RAM"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [str(row["name"]), str(row["count"])]
        for key in ("lut", "ff"):
            cells += [f"{row[key][name]:.1%}" for name in ("mean", "worst", "within")]
        lines.append("| " + " | ".join([*cells, str(row["wrong_dsp"]), str(row["wrong_bram"])]) + " |")
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.calibrate", description=str(__doc__).split("\n")[0])
    parser.add_argument(
        "--families", nargs="+", choices=sorted(TARGETS), default=list(TARGETS), help="devices (default: all)"
    )
    parser.add_argument("--ops", nargs="+", choices=sorted(COUNTS), default=list(COUNTS), help="ops (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="syntheses at a time")
    parser.add_argument(
        "--build", type=Path, help="compare the units of this built design instead, such as build/x/board"
    )
    options = parser.parse_args(arguments)
    if options.workers < 1:
        print(f"error: --workers {options.workers}: expected 1 or more", file=sys.stderr)
        return 1
    try:
        if options.build:
            print(markdown(str(options.build), design_errors(options.build)))
            return 0
        for device in options.families:
            samples = collect(device, options.workers, options.ops)
            kept = [item for item in samples if held_out(item)]
            held = held_modules(options.ops, device)
            found = fit(device, [item for item in samples if not held_out(item)], held)
            found = dict(sorted(({name: cost.coefficients(device)[name] for name in held} | found).items()))
            about = f"make calibrate; {yosys.version()}, {yosys.FLOWS[device]}"
            write_json(cost.FOLDER / f"{device}.json", {"made_by": about, "coefficients": found})
            cost.coefficients.cache_clear()
            rows = errors(device, kept)
            write_json(FOLDER / f"errors_{device}.json", rows)
            text = markdown(FAMILY_NAMES[device], rows)
            write_text(FOLDER / f"errors_{device}.md", text)
            print(text)
    except (RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
