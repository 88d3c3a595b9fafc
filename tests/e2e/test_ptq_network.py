# SPDX-License-Identifier: Apache-2.0
"""Calibrated networks on the hardware: twin ranges, bits layer by layer, other scales, a B for each channel behind the
product with the probabilities; codes as in the golden models.
"""

import numpy as np
import pytest

from models.registry import ViTDims

pytestmark = pytest.mark.verilator

DIMS = ViTDims(8, 1, 4, 2, 16, 1, 2, 2, 4)
SHAPE = (8, 8, 1)
SEED = 5
BOARD = "ulx3s_85f"


def calibrated_network(method, weight_bits, activation_bits):
    """Integer network of random weights, calibrated by a method."""
    import torch

    from models.ptq import calibrated
    from models.quant_vit import BitWidths
    from models.vit import ViT
    from quant.recipe import load_recipe

    torch.manual_seed(SEED)
    tensors = {name: torch.randn_like(p) * 0.4 for name, p in ViT(DIMS).named_parameters()}
    images = torch.randint(-128, 128, (16, *SHAPE)).float()
    recipe = load_recipe(method)
    bits = BitWidths.of(weight_bits, activation_bits, recipe)
    return calibrated(tensors, DIMS, bits, recipe, images).integer()


@pytest.mark.parametrize(
    ("method", "bits"),
    [("ptq4vit", (4, 8)), ("ptq4vit", (3, 4)), ("liu", (3, 5)), ("apqvit", (4, 4)), ("noisyquant", (4, 4))],
)
def test_calibrated_network_on_the_hardware_matches_golden_on_every_edge(tmp_path, method, bits):
    from quant.export import export_qonnx
    from sim.compare import compare_edges
    from sim.network import Network
    from synthesis import fold
    from synthesis.board import load_board
    from synthesis.generate import generate
    from synthesis.lower import edge_names, execute, lower

    network = calibrated_network(method, *bits)
    qonnx = export_qonnx(network, SHAPE, tmp_path / "model.onnx", method, method)
    board = load_board(BOARD)
    model = fold.minimize_accumulators(lower(qonnx))
    model = fold.apply_folding(model, fold.search(model, board, None).config, board["part"])
    images = np.random.default_rng(SEED).integers(-128, 128, (2, *SHAPE))
    edges = execute(model, images, edge_names(model))
    generate(model, tmp_path / "rtl", fold.target_of(board))
    rtl = Network(tmp_path / "rtl")
    found = rtl.run_probed(images, rtl.build(probe=True, level="-O0"))
    golden = {name: np.asarray(codes).reshape(found.edges[name].shape) for name, codes in edges.items()}
    comparison = compare_edges(found.edges, golden, rtl.order, rtl.units)
    assert comparison.first is None, comparison.first
    assert comparison.mismatches == 0 and comparison.values_compared == sum(codes.size for codes in edges.values())
    if method == "noisyquant":
        assert network.formats.mix_offsets == ("blocks.0",)
        assert len(np.unique(network.blocks[0].attn.mix.bias.numpy())) > 1
    if method == "ptq4vit":
        block = "blocks.0"
        out_bits, _, shift = network.formats.probabilities[block]
        large = edges[f"{block}.attn.probabilities"]
        large = large[large >= 2 ** (out_bits - shift)]
        assert large.size and not (large % 2**shift).any()  # the second range is used
        assert edges[f"{block}.mlp.gelu"].max() % 2 ** network.formats.gelu_shift[block] == 0
