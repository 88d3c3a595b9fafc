# SPDX-License-Identifier: Apache-2.0
"""Which rule should choose the shift-add rows? `make bench-assignment` measures variance against sensitivity.

The float network of a backbone is calibrated, with --train-images also trained by the recipe, and each integer network
is measured on all test images: relative RMS error of the block weights, relative RMS error of the logits, accuracy.
Chance is the control; every rule sees the same images in the same order, a new choice of them for each seed.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.checkpoint import load_checkpoint
from models.names import ModelConfig, parse_model_name
from models.quant_vit import BitWidths, QuantViT
from models.sensitivity import row_costs
from models.train import (
    float_checkpoint_path,
    float_logits,
    float_network,
    integer_logits,
    recipe_of,
    set_parameters,
    train_epoch,
    training_state,
)
from models.train_float import codes_of, load_fashion_mnist
from models.trial import relative_rms, subset, weight_error

RULES = ("variance", "sensitivity", "chance")
FIGURES = ("weight_error_percent", "logit_error_percent", "integer_top1_percent")


def compare(
    config: ModelConfig, weight_bits: list[int], schemes: list[str], seeds: int, train_images: int = 0
) -> Iterator[dict[str, Any]]:
    """Figures of every rule at every width and scheme, one dict for each seed.

    Args:
        config: Backbone, activation bits and recipe (mixed layers, rows of a group).
        weight_bits: Widths to compare.
        schemes: Schemes of the shift-add rows.
        seeds: Choices of images, seeded 1..seeds.
        train_images: Images of one epoch of training by the recipe with a warm-up of 10 steps; 0: calibrated only.

    Raises:
        ValueError: the data set or the float checkpoint is unusable, or the recipe mixes no layer.
    """
    base = replace(recipe_of(config), assignment="variance", epochs=int(train_images > 0), warmup_steps=10)
    if 0 < train_images < base.batch_size:
        raise ValueError(
            f"--train-images={train_images} do not fill a batch of recipe {config.recipe!r}, expected "
            f"{base.batch_size} or more, or 0 for calibration alone"
        )
    checkpoint = load_checkpoint(float_checkpoint_path(config), kind="float", dims=config.dims)
    teacher = float_network(checkpoint)
    training, _, test = load_fashion_mnist()
    wanted, labels = float_logits(teacher, test.codes), test.labels.numpy()
    codes = test.codes.unsqueeze(-1).numpy()
    for seed in range(1, seeds + 1):
        for width in weight_bits:
            for scheme in schemes:
                recipe = replace(base, scheme=scheme, seed=seed)
                bits = BitWidths.of(width, config.activation_bits, recipe)
                images = codes_of(subset(training, recipe.calibration_images, seed).codes)
                network = QuantViT.from_float(checkpoint.tensors, config.dims, bits, recipe, images)
                start = copy.deepcopy(network.state_dict())
                layers, steps = network.mixed_layers(), recipe.scale_search_steps
                if not layers:
                    raise ValueError(f"recipe {config.recipe!r} has no layer with rows of both kinds to choose from")
                costs = row_costs(checkpoint.tensors, config.dims, images, layers, steps)
                rng = np.random.default_rng(seed)
                for rule in RULES:
                    network.load_state_dict(start)
                    for name, cost in costs.items():
                        choice = {"variance": None, "sensitivity": cost, "chance": rng.random(len(cost))}[rule]
                        network.quantizer(name).fit(network.linears()[name].matrix.weight, steps, choice)
                    if train_images:
                        state = training_state(network, recipe)
                        chosen = subset(training, train_images, seed)
                        train_epoch(network, teacher, state, recipe, chosen, 0)
                        set_parameters(network, state["average"])
                    logits = integer_logits(network.integer(), codes)
                    yield {
                        "weight_bits": width,
                        "scheme": scheme,
                        "rule": rule,
                        "seed": seed,
                        "weight_error_percent": 100 * weight_error(network, checkpoint.tensors),
                        "logit_error_percent": 100 * relative_rms(logits * network.real_scales()["logits"], wanted),
                        "integer_top1_percent": 100 * float((logits.argmax(axis=1) == labels).mean()),
                    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean over the seeds of each figure, and the standard deviation where there are several, as Markdown."""
    lines = ["| weight bits | scheme | rule | weight error | logit error | top-1 |", "|---|---|---|---|---|---|"]
    for key in dict.fromkeys((row["weight_bits"], row["scheme"], row["rule"]) for row in rows):
        found = [row for row in rows if (row["weight_bits"], row["scheme"], row["rule"]) == key]
        cells = []
        for figure in FIGURES:
            values = [row[figure] for row in found]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.2f}{spread} %")
        lines.append(f"| {' | '.join(map(str, [*key, *cells]))} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the rules that choose shift-add rows.")
    parser.add_argument(
        "--model", default="vit_mini_w4a8", help="backbone, activation bits, recipe (default: %(default)s)"
    )
    parser.add_argument("--weight-bits", type=int, nargs="+", default=[4, 3, 2], help="widths (default: 4 3 2)")
    parser.add_argument("--schemes", nargs="+", default=["sp2", "pot"], choices=["sp2", "pot"], help="(default: both)")
    parser.add_argument("--seeds", type=int, default=3, help="choices of calibration images (default: %(default)s)")
    parser.add_argument("--train-images", type=int, default=0, help="train on so many images (default: calibrate only)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON line for each network instead of the table")
    options = parser.parse_args(arguments)
    rows = []
    try:
        if options.seeds < 1 or options.threads < 1:
            raise ValueError(f"--seeds={options.seeds} --threads={options.threads}, expected 1 or more")
        if options.train_images < 0:
            raise ValueError(f"--train-images={options.train_images}, expected 0 or more")
        torch.set_num_threads(options.threads)
        config = parse_model_name(options.model)
        for row in compare(config, options.weight_bits, options.schemes, options.seeds, options.train_images):
            rows.append(row)
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                print(f"bench-assignment: {row}", file=sys.stderr, flush=True)
    except ValueError as error:
        print(f"bench-assignment: {error}", file=sys.stderr)
        return 1
    if not options.json:
        how = f"trained on {options.train_images} images" if options.train_images else "calibrated"
        print(f"bench-assignment: {options.model}, {how}, {options.seeds} seed(s), mean ± standard deviation")
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
