# SPDX-License-Identifier: Apache-2.0
"""Random small ViTs, end to end: export, lower, fold, size the FIFOs, simulate; every code equal to the golden models.

A seed decides sizes, widths, schemes, weights and foldings. Two small ones run in the ordinary suite. Other seeds:
VITRAIL_SEED=<first> VITRAIL_CASES=<count> make test-slow ARGS=tests/e2e/test_random_geometry.py
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.registry import ViTDims
from quant.recipe import Recipe, load_recipe

pytestmark = pytest.mark.verilator

FIRST_SEED = int(os.environ.get("VITRAIL_SEED", "1"))
CASES = int(os.environ.get("VITRAIL_CASES", "20" if "VITRAIL_SEED" not in os.environ else "1"))
SMALL_SEEDS = (101, 102)
BOARDS = ("ulx3s_85f", "zcu102", "kv260")
FOLDINGS = ("any", "any", "rate", "budget")
IMAGES = 2
LANES = 64  # products a cycle of an mvu that a drawn folding stays within where it can: they decide the compile time
CYCLES = 6_000  # of an image that a drawn folding stays within, unless a unit that cannot be folded takes longer


@dataclass(frozen=True)
class Geometry:
    """One random network and how it is folded.

    Attributes:
        seed: Decides everything below, the weights and the images.
        dims: Sizes.
        weight_bits, activation_bits: Widths in the blocks.
        recipe: Schemes and the other widths.
        board: Device that the folding is for.
        folding: "any" (random PE, SIMD, tiles, lanes), "rate" (random frame rate) or "budget" (as fast as it fits).
    """

    seed: int
    dims: ViTDims
    weight_bits: int
    activation_bits: int
    recipe: Recipe
    board: str
    folding: str

    def __str__(self) -> str:
        d, r = self.dims, self.recipe
        patches = f"{d.patch_size}x{d.patch_size}x{d.channels} at {d.patch_stride}"
        edges = f"first {r.first_layer_weight_bits}, last {r.last_layer_weight_bits}, residual {r.residual_bits}"
        rows = f"{r.shift_add_rows} of {r.row_group} rows {r.scheme} in {r.mixed_layers}"
        return (
            f"seed {self.seed}: {d.tokens} tokens of {d.embed_dim}, {d.num_heads} heads of {d.head_dim}, depth "
            f"{d.depth}, MLP {d.mlp_dim}, patches {patches}, {d.num_classes} classes, W{self.weight_bits}"
            f"A{self.activation_bits} ({edges}, logits {r.logits_bits}), {rows}, fold {self.folding}, {self.board}"
        )


def draw(seed: int, small: bool = False) -> Geometry:
    """The geometry of a seed: embed 24..96, 1..4 heads, 1..3 blocks, 5..50 tokens, W 2..8, A 2..8."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    heads = int(rng.integers(1, 5))
    embed = heads * int(rng.integers(-(-24 // heads), (32 if small else 96) // heads + 1))
    grid, stride = int(rng.integers(2, 4 if small else 8)), int(rng.integers(1, 5))
    patch = int(rng.integers(stride, stride + 3))
    dims = ViTDims(
        image_size=(grid - 1) * stride + patch,
        channels=pick(1, 1, 3),
        patch_size=patch,
        patch_stride=stride,
        embed_dim=embed,
        depth=1 if small else int(rng.integers(1, 4)),
        num_heads=heads,
        mlp_ratio=int(rng.integers(2, 3 if small else 5)),
        num_classes=int(rng.integers(2, 13)),
    )
    groups = [size for size in range(1, 13) if embed % size == 0]
    group = int(pick(*groups))
    recipe = replace(
        load_recipe("default"),
        mixed_layers=pick("mlp", "all"),
        scheme=pick("pot", "sp2", "fixed"),
        row_group=group,
        shift_add_rows=int(rng.integers(0, group + 1)),
        residual_bits=int(rng.integers(8, 17)),
        first_layer_weight_bits=pick(8, 8, int(rng.integers(2, 9))),
        last_layer_weight_bits=pick(8, 8, int(rng.integers(2, 9))),
        logits_bits=pick(16, 16, int(rng.integers(8, 17))),
    )
    bits = int(rng.integers(2, 9)), pick(4, 5, 6, 7, 8, 8, 2, 3)
    return Geometry(seed, dims, *bits, recipe, pick(*BOARDS), pick(*FOLDINGS))


def integer_network(case: Geometry) -> Any:
    """Seeded random weights: some layers with little gain and some with much, LayerNorms with gamma of both signs."""
    import torch

    from models.quant_vit import BitWidths, QuantViT
    from models.vit import ViT

    torch.manual_seed(case.seed)
    dims = case.dims
    tensors = {name: value.detach().clone() for name, value in ViT(dims).named_parameters()}
    for name, value in tensors.items():
        if "norm" in name:
            value.add_(0.5 * torch.randn_like(value))
        elif name.endswith("weight"):
            value.mul_(float(np.exp(1.5 * torch.rand(1).item())) * (1 + torch.rand(len(value), 1)))
        else:
            value.add_(0.1 * torch.randn_like(value))
    images = torch.randint(-128, 128, (4, dims.image_size, dims.image_size, dims.channels)).float()
    bits = BitWidths.of(case.weight_bits, case.activation_bits, case.recipe)
    return QuantViT.from_float(tensors, dims, bits, case.recipe, images, search_steps=4).integer()


def shapes(mvu: Any, cycles: int) -> dict[int, list[int]]:
    """PE -> every SIMD with which an mvu takes at most `cycles` an image and stays within LANES.

    Where LANES are too few for that: twice the fewest products a cycle that do it.
    """
    from synthesis import fold
    from synthesis.ops.mvu import lane_order

    possible: dict[tuple[int, int], int] = {}
    for pe in fold.divisors(mvu.get_nodeattr("rows")):
        try:
            lane_order(mvu.schemes(), pe)
        except ValueError:
            continue
        mvu.set_nodeattr("PE", pe)
        for simd in range(1, min(mvu.get_nodeattr("k"), LANES) + 1):
            mvu.set_nodeattr("SIMD", simd)
            if mvu.get_exp_cycles() <= cycles:
                possible[pe, simd] = pe * simd
    most = max(LANES, 2 * min(possible.values()))
    by_pe: dict[int, list[int]] = {}
    for (pe, simd), lanes in possible.items():
        if lanes <= most:
            by_pe.setdefault(pe, []).append(simd)
    return by_pe


def random_folding(case: Geometry, model: Any, board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """PE, SIMD, tile and lanes of every mvu, SIMD of every matmul, as FINN's ApplyConfig takes them.

    SIMD need not divide the columns, a tile need not divide the tokens.
    """
    from qonnx.custom_op.registry import getCustomOp

    from synthesis import fold

    rng = np.random.default_rng([case.seed, 1])
    cycles = max(CYCLES, *node_cycles(model))
    config: dict[str, dict[str, Any]] = {"Defaults": {}}
    for node in model.graph.node:
        inst = getCustomOp(node)
        if fold.kind(inst) == "VitrailMvu":
            possible = shapes(inst, cycles)
            pe = int(rng.choice(list(possible)))
            simd = int(rng.choice(possible[pe]))
            inst.set_nodeattr("PE", pe)
            tile = int(rng.integers(2, inst.get_nodeattr("tokens") + 2)) if rng.random() < 0.4 else 1
            entry = {"PE": pe, "SIMD": simd, "tile": tile, "dsp_rows": int(rng.integers(0, inst.lanes()["fixed"] + 1))}
            entry |= {"target": fold.target_of(board), "dsp_sums": int(rng.integers(2)), "da": 0}
            if rng.random() < 0.4:  # by distributed arithmetic, where few tokens do not make it too slow
                tables = entry | {"tile": inst.get_nodeattr("tokens"), "dsp_rows": 0, "da": 1}
                for name, value in tables.items():
                    inst.set_nodeattr(name, value)
                entry = tables if inst.get_exp_cycles() <= 3 * cycles else entry
            config[node.name] = entry
        elif fold.kind(inst) == "VitrailMatmul":
            quick = []
            for simd in range(1, inst.contraction + 1):
                inst.set_nodeattr("SIMD", simd)
                if inst.get_exp_cycles() <= cycles:
                    quick.append(simd)
            config[node.name] = {"SIMD": int(rng.choice(quick[:16]))}
    return config


def folded(case: Geometry, model: Any) -> Any:
    """The dataflow graph with its folding."""
    from synthesis import fold
    from synthesis.board import load_board

    board = load_board(case.board)
    if case.folding == "any":
        config = random_folding(case, model, board)
    else:
        most = None
        if case.folding == "rate":
            slowest = max(node_cycles(model))
            slower = np.random.default_rng([case.seed, 2]).uniform(1, max(2, CYCLES / slowest))
            most = board["clock_mhz"] * 1e6 / slowest / float(slower)
        config = fold.search(model, board, most).config
    return fold.apply_folding(model, config, board["part"])


def node_cycles(model: Any) -> list[int]:
    """Cycles of an image in the units that cannot be folded."""
    from qonnx.custom_op.registry import getCustomOp

    from synthesis import fold

    insts = [getCustomOp(node) for node in model.graph.node]
    return [inst.get_exp_cycles() for inst in insts if fold.kind(inst) not in ("VitrailMvu", "VitrailMatmul")]


def check(case: Geometry, folder: Path) -> None:
    """Build and compare: torch, QONNX, the folded graph, the design with sized FIFOs on all edges."""
    import copy

    from qonnx.custom_op.registry import getCustomOp

    from models.train import integer_logits
    from quant.export import execute as execute_qonnx
    from quant.export import export_qonnx
    from sim.compare import compare_edges
    from sim.network import Network
    from sim.verilate import Design
    from synthesis import fold
    from synthesis.board import load_board
    from synthesis.fifo import size_fifos
    from synthesis.generate import generate
    from synthesis.lower import edge_names, execute, lower

    def compiled(rtl: Path) -> Design:
        """One build for sizing and comparison; -Og compiles in two thirds of -O1's time and runs nearly as fast."""
        return Network(rtl).build(probe=True, level="-Og")

    dims = case.dims
    shape = (dims.image_size, dims.image_size, dims.channels)
    network = integer_network(case)
    qonnx = export_qonnx(network, shape, folder / "model.onnx", f"seed_{case.seed}", "random")
    model = folded(case, fold.minimize_accumulators(lower(qonnx)))

    images = np.random.default_rng([case.seed, 3]).integers(-128, 128, (IMAGES, *shape))
    edges = execute(model, images, edge_names(model))
    logits = edges[model.graph.output[0].name].reshape(IMAGES, -1)
    np.testing.assert_array_equal(integer_logits(network, images), logits)
    np.testing.assert_array_equal(execute_qonnx(qonnx, images[:1]), logits[:1])
    assert len(np.unique(edges["blocks.0.add2"])) > 3  # neither all zero nor all saturated

    target = fold.target_of(load_board(case.board))
    generate(copy.deepcopy(model), folder / "large", target)
    sizing = size_fifos(model, folder / "large", folder / "rtl", target, build=compiled)  # compares logits, too
    assert sizing.cycles <= 1.01 * sizing.large_cycles
    ideal = max(inst.get_exp_cycles() for inst in map(getCustomOp, model.graph.node))
    assert ideal <= sizing.large_cycles <= 1.02 * ideal

    rtl = Network(folder / "rtl")
    found = rtl.run_probed(images, compiled(folder / "rtl"))
    np.testing.assert_array_equal(found.logits, logits)
    golden = {name: np.asarray(codes).reshape(found.edges[name].shape) for name, codes in edges.items()}
    comparison = compare_edges(found.edges, golden, rtl.order, rtl.units)
    assert comparison.first is None, comparison.first
    assert comparison.mismatches == 0 and comparison.values_compared == sum(codes.size for codes in edges.values())
    assert set(rtl.order) == set(edges)
    over = f"image time {sizing.large_cycles}, {sizing.large_cycles / ideal - 1:.2%} above the slowest unit's"
    print(
        f"{comparison.values_compared} codes on {len(edges)} edges equal; FIFOs sized in {sizing.rounds} rounds; {over}"
    )


def run(case: Geometry, folder: Path) -> None:
    print(case)
    again = f"VITRAIL_SEED={case.seed} make test-slow ARGS=tests/e2e/test_random_geometry.py"
    try:
        check(case, folder)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise AssertionError(f"{case}\n{error}\nagain: {again}") from error


@pytest.mark.parametrize("seed", SMALL_SEEDS)
def test_small_geometry_matches_golden_on_every_edge(seed: int, tmp_path: Path) -> None:
    run(draw(seed, small=True), tmp_path)


def test_seeds_cover_widths_schemes_boards_and_foldings() -> None:
    cases = [draw(seed) for seed in range(1, 21)]
    assert {case.weight_bits for case in cases} == {case.activation_bits for case in cases} == set(range(2, 9))
    assert {(case.recipe.scheme, case.recipe.mixed_layers) for case in cases} == {
        (scheme, layers) for scheme in ("pot", "sp2", "fixed") for layers in ("mlp", "all")
    }
    assert {case.board for case in cases} == set(BOARDS) and {case.folding for case in cases} == set(FOLDINGS)
    assert {case.dims.num_heads for case in cases} == {1, 2, 3, 4}
    assert {case.dims.depth for case in cases} == {1, 2, 3}
    assert {case.dims.mlp_dim // case.dims.embed_dim for case in cases} == {2, 3, 4}
    assert min(case.dims.tokens for case in cases) == 5 and max(case.dims.tokens for case in cases) == 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + CASES))
def test_random_geometry_matches_golden_on_every_edge(seed: int, tmp_path: Path) -> None:
    run(draw(seed), tmp_path)
