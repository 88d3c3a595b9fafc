# SPDX-License-Identifier: Apache-2.0
"""Quantization recipes: whole YAML files in quant/recipes, every key present."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from quant.schemes import MAX_BITS, MIN_BITS, SCHEMES

RECIPE_DIR = Path(__file__).resolve().parent / "recipes"
METHODS = ("qat", "ptq", "liu", "ptq4vit", "apqvit", "noisyquant")
MIXED_LAYERS = ("mlp", "all", "none")
AUTO = -1  # shift_add_rows that the board decides
ASSIGNMENTS = ("variance", "sensitivity")
WIDTH_LISTS = ("explore_weight_bits", "explore_activation_bits")
# Smallest and largest value of each number.
LIMITS: dict[str, tuple[float, float]] = {
    "row_group": (1, 64),
    "shift_add_rows": (0, 64),
    "residual_bits": (8, 16),
    "first_layer_weight_bits": (MIN_BITS, MAX_BITS),
    "last_layer_weight_bits": (MIN_BITS, MAX_BITS),
    "logits_bits": (8, 16),
    "calibration_images": (1, 60_000),
    "scale_search_steps": (1, 1_000),
    "epochs": (0, 1_000),
    "batch_size": (1, 55_000),  # training images
    "warmup_steps": (0, 1_000_000),
    "learning_rate": (0.0, 1.0),
    "scale_learning_rate": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "ema_decay": (0.0, 1.0),
    "distillation_weight": (0.0, 1.0),
    "distillation_temperature": (0.1, 100.0),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is quantized and trained.

    Attributes:
        method: "qat" trains; the others only calibrate (models/ptq.py): plain, and systems of the survey's section 3.4.
        integer_forms: The calibration keeps to what the integer units run. False: the published form of a method,
            which only the fake-quantized float network evaluates; the integer network is refused.
        mixed_layers: Layers with shift-add rows: "mlp" (fc1, fc2), "all" (every linear layer of the blocks) or "none".
        scheme: Scheme of the shift-add rows, "pot" or "sp2"; "fixed" has none.
        row_group: Consecutive output rows within which the same number of rows is shift-add.
        shift_add_rows: Shift-add rows in each group, 0..row_group; `auto` (AUTO here) is what the board has room for,
            0 where fixed-point rows on LUTs are as cheap (synthesis/ratio.py).
        assignment: Which rows of a group are shift-add: those of smallest "variance" (the published rule), or those of
            smallest "sensitivity", where it changes the network's output least (models/sensitivity.py).
        residual_bits: Width of the residual stream.
        first_layer_weight_bits: Weight bits of the patch embedding.
        last_layer_weight_bits: Weight bits of the head.
        logits_bits: Width of the logits.
        calibration_images: Training images from which the activation scales come. Without training they are the
            start: candidates are compared on the first 128 of the images, apqvit's blocks on 96 (models/ptq.py).
        scale_search_steps: Scales tried for each weight row and each edge, least squared error wins; 1 takes the
            largest magnitude instead. Training starts from them.
        epochs: Passes over the training images; 0 leaves the calibrated network as it is.
        batch_size: Images per step.
        warmup_steps: Steps of linear warm-up before the cosine to zero.
        learning_rate: Peak learning rate of weights, biases, norms and embedding (AdamW).
        scale_learning_rate: Peak learning rate of the logarithms of all scales; 0 leaves them as searched.
        weight_decay: Of weight matrices.
        ema_decay: Of the averaged parameters, which are those that are kept.
        distillation_weight: Share of the loss that compares with the float network; the rest compares with the labels.
        distillation_temperature: Divides both networks' logits.
        seed: Seed of order and augmentation.
        explore_weight_bits: Weight bits of the blocks that `make explore` may choose beside the model's own.
        explore_activation_bits: Activation bits that it may choose beside the model's own.
    """

    method: str
    integer_forms: bool
    mixed_layers: str
    scheme: str
    row_group: int
    shift_add_rows: int
    assignment: str
    residual_bits: int
    first_layer_weight_bits: int
    last_layer_weight_bits: int
    logits_bits: int
    calibration_images: int
    scale_search_steps: int
    epochs: int
    batch_size: int
    warmup_steps: int
    learning_rate: float
    scale_learning_rate: float
    weight_decay: float
    ema_decay: float
    distillation_weight: float
    distillation_temperature: float
    seed: int
    explore_weight_bits: tuple[int, ...]
    explore_activation_bits: tuple[int, ...]


def network_keys(recipe: Recipe) -> dict[str, Any]:
    """Keys and values that a network follows from: all but those of `make explore`."""
    return {key: value for key, value in asdict(recipe).items() if key not in WIDTH_LISTS}


def load_recipe(name: str, recipe_dir: Path = RECIPE_DIR) -> Recipe:
    """Read quant/recipes/<name>.yaml.

    Raises:
        ValueError: no such recipe, no valid YAML, or keys unknown, missing or out of range (all of them at once).
    """
    path = recipe_dir / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in recipe_dir.glob("*.yaml")))
        raise ValueError(f"unknown recipe {name!r}; known are {known} (files of {recipe_dir})")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {path} is no valid YAML: {' '.join(str(error).split())}") from None
    return parse_recipe(content, str(path))


def parse_recipe(content: Any, source: str) -> Recipe:
    """Check a recipe's keys and values.

    Args:
        content: What the YAML file held.
        source: Its name, for the error message.
    """
    if not isinstance(content, dict):
        raise ValueError(f"recipe {source}: expected `key: value` lines, found {type(content).__name__}")
    names = [field.name for field in fields(Recipe)]
    faults = []
    if unknown := sorted(str(key) for key in content if key not in names):
        faults.append(f"unknown keys {', '.join(unknown)}")
    if missing := [name for name in names if name not in content]:
        faults.append(f"missing keys {', '.join(missing)}")
    for field in fields(Recipe):
        if field.name in content and (fault := _fault(field.name, field.type, content[field.name])):
            faults.append(fault)
    if not faults and content["shift_add_rows"] == "auto":
        content = content | {"shift_add_rows": AUTO}
    elif not faults and content["shift_add_rows"] > content["row_group"]:
        faults.append(f"shift_add_rows={content['shift_add_rows']} exceeds row_group={content['row_group']}")
    if not faults and content["method"] == "qat" and not content["integer_forms"]:
        faults.append("integer_forms=False goes with calibration alone, qat trains with the integer functions")
    if not faults and content["method"] != "qat" and content["epochs"]:
        faults.append(f"epochs={content['epochs']} goes with method qat, {content['method']} calibrates alone")
    if faults:
        raise ValueError(f"recipe {source}: {'; '.join(faults)}; quant/recipe.py explains each key")
    values: dict[str, Any] = {field.name: content[field.name] for field in fields(Recipe)}
    values |= {field.name: float(values[field.name]) for field in fields(Recipe) if field.type == "float"}
    values |= {name: tuple(values[name]) for name in WIDTH_LISTS}
    return Recipe(**values)


def _fault(name: str, kind: Any, value: Any) -> str:
    """What is wrong with one value; empty when nothing is."""
    choices = {
        "method": METHODS,
        "integer_forms": (True, False),
        "mixed_layers": MIXED_LAYERS,
        "scheme": SCHEMES,
        "assignment": ASSIGNMENTS,
    }.get(name)
    if choices is not None:
        known = value in choices and type(value) is type(choices[0])
        return "" if known else f"{name}={value!r}, expected one of {', '.join(map(str, choices))}"
    if name in WIDTH_LISTS:
        known = isinstance(value, list | tuple) and all(type(v) is int and MIN_BITS <= v <= MAX_BITS for v in value)
        return "" if known else f"{name}={value!r}, expected a list of widths, each from {MIN_BITS} to {MAX_BITS}"
    more = " or auto" if name == "shift_add_rows" else ""
    if more and value == "auto":
        return ""
    low, high = LIMITS[name]
    number = isinstance(value, int | float if kind == "float" else int) and not isinstance(value, bool)
    if number and low <= value <= high:
        return ""
    return f"{name}={value!r}, expected {'a number' if kind == 'float' else 'an integer'} from {low} to {high}{more}"
