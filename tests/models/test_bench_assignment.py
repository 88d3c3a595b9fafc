# SPDX-License-Identifier: Apache-2.0
"""bench-assignment compares the rules on one calibrated network, and its table is made of the rows it printed."""

import json

import numpy as np
import pytest
import torch

from models import bench_assignment
from models.checkpoint import Checkpoint, save_checkpoint
from models.names import parse_model_name
from models.registry import ViTDims
from models.train_float import Batches
from models.vit import ViT

TINY = ViTDims(28, 1, 14, 14, 16, 1, 2, 2, 10)
CONFIG = parse_model_name("vit_mini_w4a8")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A float checkpoint of random weights and seeded noise images in place of the shipped ones."""
    torch.manual_seed(2)
    tensors = {name: torch.randn_like(p) * 0.2 for name, p in ViT(TINY).named_parameters()}
    path = tmp_path / "float.safetensors"
    save_checkpoint(path, Checkpoint("tiny", "float", TINY, tensors, {}))
    images = Batches(torch.randint(-128, 128, (600, 28, 28), dtype=torch.int8), torch.arange(600) % 10)
    monkeypatch.setattr(bench_assignment, "float_checkpoint_path", lambda config: path)
    monkeypatch.setattr(bench_assignment, "load_fashion_mnist", lambda: (images, images, images))
    monkeypatch.setattr("models.names.backbone_dims", lambda name, source=None: TINY)


def test_rules_differ_where_schemes_do(tiny, capsys):
    words = ["--weight-bits", "4", "2", "--schemes", "pot", "--seeds", "1", "--json"]
    assert bench_assignment.main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["weight_bits"], row["rule"]) for row in rows] == [
        (b, r) for b in (4, 2) for r in bench_assignment.RULES
    ]
    four, two = rows[:3], rows[3:]
    assert len({row["weight_error_percent"] for row in four}) == len({row["logit_error_percent"] for row in four}) == 3
    # two bits are ternary in every scheme: no rule changes anything
    assert len({(row["weight_error_percent"], row["logit_error_percent"]) for row in two}) == 1
    assert all(0 < row["logit_error_percent"] < 200 for row in rows)


def test_rules_are_compared_on_trained_networks_too(tiny, capsys, monkeypatch):
    """Every rule trains from the same weights and on the same images; at two bits the rules are the same network."""
    seen = []

    def train_epoch(network, teacher, state, recipe, training, epoch):
        seen.append((state["average"]["blocks.0.mlp.fc1.matrix.weight"].clone(), training.codes, recipe.seed))
        return trained(network, teacher, state, recipe, training, epoch)

    trained = bench_assignment.train_epoch
    monkeypatch.setattr(bench_assignment, "train_epoch", train_epoch)
    words = ["--weight-bits", "4", "2", "--schemes", "pot", "--seeds", "2", "--json", "--train-images"]
    assert bench_assignment.main([*words, "256"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(seen) == 12
    for seed in (1, 2):
        own = [(weight, codes) for weight, codes, used in seen if used == seed]
        assert len(own) == 6 and all(len(codes) == 256 for _, codes in own)
        assert all(torch.equal(weight, own[0][0]) and torch.equal(codes, own[0][1]) for weight, codes in own)
        ternary = [row for row in rows if (row["weight_bits"], row["seed"]) == (2, seed)]
        assert len({row["logit_error_percent"] for row in ternary}) == 1
    assert bench_assignment.main([*words, "0"]) == 0
    calibrated = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(a["logit_error_percent"] != b["logit_error_percent"] for a, b in zip(rows, calibrated, strict=True))
    for given, reason in (
        ("-1", ", expected 0 or more"),
        ("127", " do not fill a batch of recipe 'default', expected 128"),
    ):
        assert bench_assignment.main([*words, given]) == 1
        assert capsys.readouterr().err.startswith(f"bench-assignment: --train-images={given}{reason}")


def test_table_has_mean_and_deviation():
    rows = [
        {"weight_bits": 4, "scheme": "sp2", "rule": "variance", "seed": seed}
        | dict(zip(bench_assignment.FIGURES, values, strict=True))
        for seed, values in ((1, (10.0, 5.0, 90.0)), (2, (12.0, 5.0, 91.0)))
    ]
    line = bench_assignment.table(rows).splitlines()[-1]
    assert line == f"| 4 | sp2 | variance | 11.00 ± {np.sqrt(2):.2f} % | 5.00 ± 0.00 % | 90.50 ± 0.71 % |"
    assert bench_assignment.table(rows[:1]).splitlines()[-1] == "| 4 | sp2 | variance | 10.00 % | 5.00 % | 90.00 % |"


def test_bad_input_is_one_line(capsys):
    assert bench_assignment.main(["--seeds", "0"]) == 1
    assert bench_assignment.main(["--model", "vit_mino_w4a8"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "bench-assignment: --seeds=0 --threads=1, expected 1 or more"
    assert lines[1].startswith("bench-assignment: unknown backbone 'vit_mino'") and len(lines) == 2


def test_recipe_without_mixed_layers_is_refused(tiny, capsys):
    assert bench_assignment.main(["--model", "vit_mini_w4a8_fixed", "--schemes", "sp2"]) == 1
    assert capsys.readouterr().err == (
        "bench-assignment: recipe 'fixed' has no layer with rows of both kinds to choose from\n"
    )
