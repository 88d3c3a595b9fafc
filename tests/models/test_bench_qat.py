# SPDX-License-Identifier: Apache-2.0
"""The two networks of bench_qat do the same work at the same widths, and the figures are those of the timings."""

import brevitas.nn as qnn
import pytest
import torch

from models import bench_qat
from models.quant_vit import BitWidths
from models.registry import ViTDims

TINY = ViTDims(8, 1, 4, 2, 16, 2, 2, 2, 4)
BITS = BitWidths(4, 8, 12, 8, 6, 16)


def test_plain_network_has_the_widths_and_learns():
    torch.manual_seed(1)
    network = bench_qat.PlainViT(TINY, BITS)
    images = torch.randint(-128, 128, (4, 8, 8, 1)).float()
    step = bench_qat.make_step(network, lambda: network(images), torch.tensor([0, 1, 2, 3]))
    losses = [step() for _ in range(60)]
    assert losses[-1] < losses[0], losses
    assert all(parameter.grad is not None for parameter in network.parameters())
    linears = {name: module for name, module in network.named_modules() if isinstance(module, qnn.QuantLinear)}
    assert len(linears) == 2 + 4 * TINY.depth
    for name, module in linears.items():
        want = {"patch_embed": BITS.first, "head": BITS.last}.get(name, BITS.weight)
        quantized = module.quant_weight()
        assert int(quantized.bit_width) == want and quantized.scale.shape == (module.out_features, 1), name
        assert int(module.input_quant.bit_width()) == BITS.activation
    operands = [module for module in network.modules() if isinstance(module, qnn.QuantIdentity)]
    assert len(operands) == 4 * TINY.depth
    assert all(int(module.act_quant.bit_width()) == BITS.activation for module in operands)


def test_turns_alternate_and_warm_up_is_not_timed():
    calls = []
    steps = {"vitrail": lambda: calls.append("v") or 0.0, "brevitas": lambda: calls.append("b") or 0.0}
    times = bench_qat.measure(steps, repeats=3, warm_up=2)
    assert "".join(calls) == "vvbb" + "bv" + "vb" + "bv"
    assert {name: len(values) for name, values in times.items()} == {"vitrail": 3, "brevitas": 3}


def test_summary_is_median_extremes_and_ratio_of_medians():
    found = bench_qat.summary({"vitrail": [3.0, 9.0, 6.0], "brevitas": [4.0, 5.0, 2.0]})
    assert found["vitrail"] == {"median_ms": 6.0, "min_ms": 3.0, "max_ms": 9.0}
    assert found["ratio"] == 1.5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "vit_mino_w4a8"], "bench-qat: unknown backbone 'vit_mino'"),
        (["--repeats", "0"], "bench-qat: --repeats=0, expected 1 or more"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, text):
    assert bench_qat.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(text) and error.count("\n") == 1


@pytest.mark.slow
def test_step_is_at_most_half_again_as_long_as_plain_brevitas():
    torch.set_num_threads(1)
    found = bench_qat.summary(bench_qat.measure(bench_qat.make_steps("vit_mini_w4a8", 128), repeats=15))
    assert found["ratio"] <= 1.5, found
