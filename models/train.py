# SPDX-License-Identifier: Apache-2.0
"""Quantization-aware training, or calibration alone: `python -m models.train --model vit_mini_w4a8`.

Float checkpoint (trained first when absent) -> calibration -> training with the integer functions in the forward pass
and the float network as teacher -> integer constants, evaluated on all test images and kept as checkpoint and card.
Resumable after each epoch; all random numbers come from (seed, epoch).
"""

import argparse
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, shape_fault, write_atomic
from models.data import DATA_DIR, IMAGE_SIDE, fits
from models.fake_quant import FakeQuantViT
from models.names import (
    CHECKPOINT_DIR,
    ModelConfig,
    checkpoint_folder,
    float_checkpoint_path,
    model_name,
    parse_model_name,
)
from models.own_images import OwnImages, calibration_list, images_dir, list_images
from models.ptq import calibrate, calibrated, typical_formats
from models.quant_vit import BitWidths, Formats, IntegerViT, QuantViT, constant_shapes
from models.registry import ViTDims
from models.train_float import (
    Batches,
    FloatRecipe,
    accuracy,
    augment,
    codes_of,
    fashion_mnist_test,
    load_fashion_mnist,
    share_of_hits,
    to_input,
    train_float,
)
from models.vit import ViT
from quant.recipe import AUTO, RECIPE_DIR, Recipe, load_recipe, network_keys
from quant.schemes import encode

UNTRAINED_SEED = 2024
CALIBRATING = "ptq4vit"  # recipe that a message names
# Recipe keys that shape a trained integer network; a checkpoint made with others does not belong to the recipe. A
# calibrated one follows from all keys (the seed is told by is_current alone, as the trials of a sweep share a recipe).
STRUCTURE = (
    "method",
    "mixed_layers",
    "scheme",
    "row_group",
    "shift_add_rows",
    "assignment",
    "residual_bits",
    "first_layer_weight_bits",
    "last_layer_weight_bits",
    "logits_bits",
)


def checkpoint_path(config: ModelConfig, folder: Path | None = None) -> Path:
    """Where the integer network of a model lies; the card has the same name with .md. None: the model's own folder."""
    return (folder or checkpoint_folder(config)) / f"{config.checkpoint_name}.safetensors"


def recipe_of(config: ModelConfig, recipe_dir: Path = RECIPE_DIR) -> Recipe:
    """Recipe of a model, with the shift-add rows that the board gave where it leaves them to the board.

    Raises:
        ValueError: unknown or faulty recipe; no board was asked, or its answer does not go with the recipe.
    """
    recipe = load_recipe(config.recipe, recipe_dir)
    rows = config.shift_add_rows
    if recipe.shift_add_rows != AUTO:
        if rows is not None:
            raise ValueError(
                f"recipe {config.recipe!r} says shift_add_rows: {recipe.shift_add_rows}, {rows} of a board go with "
                "`shift_add_rows: auto` alone"
            )
        return recipe
    if rows is None:
        raise ValueError(
            f"recipe {config.recipe!r} takes its shift-add rows from a board; name it (make train "
            f"MODEL={config.source_name} BOARD=...) or give their number (python -m models.train --shift-add-rows)"
        )
    if not 0 <= rows <= recipe.row_group:
        raise ValueError(
            f"shift_add_rows={rows}, expected 0..{recipe.row_group} (row_group of recipe {config.recipe!r})"
        )
    return replace(recipe, shift_add_rows=rows)


def load_integer(
    config: ModelConfig, folder: Path | None = None, recipe_dir: Path = RECIPE_DIR
) -> tuple[IntegerViT, dict[str, Any]]:
    """Load the integer network of a model and the details of its training or calibration.

    Raises:
        ValueError: the checkpoint is missing, damaged, or made for another network or recipe.
    """
    path = checkpoint_path(config, folder)
    recipe = recipe_of(config, recipe_dir)
    bits = BitWidths.of(config.weight_bits, config.activation_bits, recipe)
    found = load_checkpoint(path, kind="quant", dims=config.dims)
    if asdict(bits) != found.details.get("bits"):
        raise ValueError(f"checkpoint {path} has bit widths {found.details.get('bits')}, expected {asdict(bits)}")
    if changed := made_otherwise(found.details, recipe):
        raise ValueError(
            f"checkpoint {path} was made with another recipe: {changed}; "
            f"`make train MODEL={config.source_name}` makes it anew"
        )
    constants = {name: tensor.numpy() for name, tensor in found.tensors.items()}
    try:
        formats = Formats.of(found.details)
        if fault := shape_fault(found.tensors, constant_shapes(config.dims, bits, formats)):
            raise ValueError(fault)
        _check_constants(constants, bits, formats)
        network = IntegerViT(config.dims, bits, constants, found.details["scales"], formats)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"checkpoint {path} is damaged: {error}; `make train MODEL={config.source_name}` makes it anew"
        ) from None
    return network, found.details


def made_otherwise(details: Mapping[str, Any], recipe: Recipe) -> str:
    """What a checkpoint (by its details) was made with that the recipe says otherwise, in words; empty if nothing."""
    made_with = {"method": "qat"} | details.get("recipe", {})  # checkpoints older than the key
    trained = recipe.method == made_with["method"] == "qat"
    keys = STRUCTURE if trained else [key for key in network_keys(recipe) if key != "seed"]
    pairs = [(key, made_with.get(key), getattr(recipe, key)) for key in keys]
    return ", ".join(f"{key}={made!r}, now {now!r}" for key, made, now in pairs if made != now)


def _check_constants(constants: dict[str, np.ndarray], bits: BitWidths, formats: Formats) -> None:
    """Raise ValueError at the first tensor that holds no integers, or weights that their scheme does not have."""
    for name, values in constants.items():
        if values.dtype.kind != "i":
            raise ValueError(f"tensor {name!r} is {values.dtype}, expected integers")
        if name.endswith(".scheme"):
            layer = name.removesuffix(".scheme")
            storage = formats.weight_bits(layer, bits)
            for scheme in np.unique(values).tolist():
                encode(constants[f"{layer}.weight"][values == scheme], scheme, storage)


def untrained_integer(config: ModelConfig, seed: int = UNTRAINED_SEED) -> IntegerViT:
    """Integer network of seeded random weights, calibrated on two noise images: for estimates and hardware tests."""
    recipe = recipe_of(config)
    bits = BitWidths.of(config.weight_bits, config.activation_bits, recipe)
    dims = config.dims
    torch.manual_seed(seed)
    network = ViT(dims)
    tensors = {name: parameter.detach() for name, parameter in network.named_parameters()}
    images = torch.randint(-128, 128, (2, dims.image_size, dims.image_size, dims.channels)).float()
    formats = typical_formats(dims, bits, recipe)
    return QuantViT.from_float(tensors, dims, bits, recipe, images, search_steps=1, formats=formats).integer()


@torch.inference_mode()
def integer_logits(network: nn.Module, codes: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Logits codes, int64 (images, classes), of image codes (images, H, W, channels)."""
    pieces = [codes[start : start + batch_size] for start in range(0, len(codes), batch_size)]
    logits = [network(torch.from_numpy(piece.astype(np.float32))).numpy() for piece in pieces]
    return np.concatenate(logits).astype(np.int64)


@torch.inference_mode()
def float_logits(network: ViT, codes: Tensor, batch_size: int = 500) -> np.ndarray:
    """Logits (images, classes), float64, of a float network on image codes, as Batches has them."""
    return np.concatenate([network(to_input(part)).double().numpy() for part in codes.split(batch_size)])


@torch.inference_mode()
def integer_accuracy(network: IntegerViT | FakeQuantViT, images: Batches) -> float:
    """Share of images whose largest logits code (the first on a tie) is the label's, in [0, 1]; also fake-quantized."""
    return share_of_hits(images, lambda codes: network(codes_of(codes)))


def load_test(dims: ViTDims) -> Batches | OwnImages:
    """The test images of a backbone: Fashion-MNIST's where they fit, else the user's own, all of val/.

    Raises:
        ValueError: the data set is not usable.
    """
    return fashion_mnist_test() if fits(dims) else list_images("val", dims)


def train(
    model: str,
    folder: Path | None = None,
    data_dir: Path = DATA_DIR,
    float_checkpoint: Path | None = None,
    shift_add_rows: int | None = None,
) -> dict[str, Any]:
    """Train a model, or calibrate it if its recipe says so, and write its checkpoint and card.

    Args:
        model: Model name, such as "vit_mini_w4a8".
        folder: Folder of the checkpoints; None: models/checkpoints, and the model's build folder for calibrated ones.
        data_dir: Folder of Fashion-MNIST.
        float_checkpoint: Float network to start from; None takes the backbone's, trained first when it is absent.
        shift_add_rows: Of a recipe that leaves them to the board: what the board gives.

    Returns:
        Details as in the checkpoint: recipe, bits, accuracies in [0, 1], minutes and more; of a network calibrated on
        own images no accuracies, which step accuracy of a build measures.

    Raises:
        ValueError: unknown model; no data for its image size; data set, checkpoint or training state unusable; a
            calibration without integers (integer_forms: false), after its fake-quantized accuracy is printed.
    """
    config = replace(parse_model_name(model), shift_add_rows=shift_add_rows)
    dims, recipe = config.dims, recipe_of(config)
    bits = BitWidths.of(config.weight_bits, config.activation_bits, recipe)
    if not fits(dims):
        return calibrate_on_own_images(config, recipe, bits, folder, float_checkpoint)
    source = float_checkpoint or float_checkpoint_path(config, folder or CHECKPOINT_DIR)
    if not source.exists() and float_checkpoint is None:
        print(f"train: no {source.name}, training the float network first", flush=True)
        train_float(config.backbone, dims, FloatRecipe(), source, data_dir)
    teacher_checkpoint = load_checkpoint(source, kind="float", dims=dims)
    teacher = float_network(teacher_checkpoint)
    data = load_fashion_mnist(data_dir)
    training, validation, test = data
    if not recipe.integer_forms:
        published = calibrate(teacher_checkpoint.tensors, dims, bits, recipe, calibration_images(recipe, training))
        score = integer_accuracy(published.fake, test)
        print(f"train: {model} fake-quantized, {len(test)} test images: {100 * score:.2f} %", flush=True)
        published.quantized()  # raises: such forms have no integers
    network, state = start_training(model, dims, bits, recipe, teacher_checkpoint, training)
    score = integer_accuracy(network.integer(), validation)
    print(f"train: {model}, {recipe}", flush=True)
    print(f"train: {model} calibrated: validation {100 * score:.2f} %", flush=True)
    averaged, minutes = _fit(model, network, teacher, state, recipe, data, checkpoint_path(config, folder))

    integer = averaged.integer()
    test_score = integer_accuracy(integer, test)
    calibrated_score = test_score
    if recipe.epochs:
        calibrated_score = integer_accuracy(_calibrated(teacher_checkpoint, bits, recipe, training).integer(), test)
    details = {
        **provenance(config, recipe, averaged, source),
        "epochs": recipe.epochs,
        "minutes": round(minutes, 1),
        "float_minutes": teacher_checkpoint.details.get("minutes"),
        "params": dims.params,
        "float_test_accuracy": accuracy(teacher, test),
        "calibrated_test_accuracy": calibrated_score,
        "validation_accuracy": integer_accuracy(integer, validation) if recipe.epochs else score,
        "test_accuracy": test_score,
        "test_images": len(test),
    }
    path = checkpoint_path(config, folder)
    save_integer(path, model, averaged, details)
    write_atomic(path.with_suffix(".md"), card(model, dims, details).encode())
    _state_path(path).unlink(missing_ok=True)
    return details


def calibrate_on_own_images(
    config: ModelConfig, recipe: Recipe, bits: BitWidths, folder: Path | None, float_checkpoint: Path | None
) -> dict[str, Any]:
    """Calibrate an imported float network on a user's own images and write its checkpoint and card, see train.

    Raises:
        ValueError: the recipe trains; images or float network are missing.
    """
    dims = config.dims
    if recipe.method == "qat":
        raise ValueError(
            f"train: {config.source_name!r} takes {dims.image_size} x {dims.image_size} images of {dims.channels} "
            f"channels, training is for Fashion-MNIST ({IMAGE_SIDE} x {IMAGE_SIDE} of 1); recipe {config.recipe!r} "
            "trains. Take one that calibrates a float network on your own images, such as "
            f"{model_name(config.backbone, config.weight_bits, config.activation_bits, CALIBRATING)}"
        )
    images = calibration_list(dims, recipe.calibration_images)
    source = float_checkpoint or float_checkpoint_path(config)
    if not source.exists():
        raise ValueError(
            f"train: no float network {source}; `make import MODEL={config.source_name} CHECKPOINT=<file>` makes it "
            "from DeiT's or timm's weights"
        )
    checkpoint = load_checkpoint(source, kind="float", dims=dims)
    codes, _ = next(images.batches(len(images)))
    print(f"train: {config.source_name}, {recipe}", flush=True)
    network = calibrated(checkpoint.tensors, dims, bits, recipe, codes_of(codes))
    origin = provenance(config, recipe, network, source)
    details = {**origin, "epochs": 0, "params": dims.params, "images": images.digest()}
    path = checkpoint_path(config, folder)
    save_integer(path, config.source_name, network, details)
    write_atomic(path.with_suffix(".md"), card(config.source_name, dims, details).encode())
    return details


def float_network(checkpoint: Checkpoint) -> ViT:
    """The network of a float checkpoint, which no training changes."""
    network = ViT(checkpoint.dims)
    network.load_state_dict(checkpoint.tensors)
    return network.eval().requires_grad_(False)


def calibrated_float(config: ModelConfig, details: Mapping[str, Any]) -> ViT:
    """The float network that an integer one was calibrated from.

    Args:
        config: Of the integer network.
        details: Of its checkpoint.

    Raises:
        ValueError: the float network of the backbone is another one now.
    """
    path = float_checkpoint_path(config)
    if hashlib.sha256(path.read_bytes()).hexdigest() != details["float_sha256"]:
        raise ValueError(f"{path} is not what was calibrated; run: make train MODEL={config.source_name}")
    return float_network(load_checkpoint(path, kind="float", dims=config.dims))


def provenance(config: ModelConfig, recipe: Recipe, network: QuantViT, float_checkpoint: Path) -> dict[str, Any]:
    """Details of an integer checkpoint that say what it is and what it was made from."""
    return {
        "recipe": network_keys(recipe),
        "recipe_name": config.recipe,
        "bits": asdict(network.bits),
        "formats": asdict(network.formats),
        "scales": network.real_scales(),
        "seed": recipe.seed,
        "float_sha256": hashlib.sha256(float_checkpoint.read_bytes()).hexdigest(),
        "torch": torch.__version__,
    }


def save_integer(path: Path, model: str, network: QuantViT, details: dict[str, Any]) -> None:
    """Write the integer constants of a network as a checkpoint."""
    tensors = {name: torch.from_numpy(values) for name, values in network.integer_constants().items()}
    save_checkpoint(path, Checkpoint(model, "quant", network.dims, tensors, details))


def is_current(config: ModelConfig, folder: Path) -> bool:
    """True when a model's checkpoint can be read and was made with its recipe, float network and images as they are.

    A float network or training images that are no longer there do not make it obsolete.
    """
    try:
        _, details = load_integer(config, folder)
    except ValueError:
        return False
    source = float_checkpoint_path(config)
    made_from = details.get("float_sha256")
    digest = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else made_from
    recipe = recipe_of(config)
    if (details.get("seed"), made_from) != (recipe.seed, digest):
        return False
    if fits(config.dims) or not (images_dir() / "train").is_dir():
        return True
    return details.get("images") == calibration_list(config.dims, recipe.calibration_images).digest()


def make_checkpoint(config: ModelConfig, folder: Path, data_dir: Path = DATA_DIR) -> None:
    """Train or calibrate a model into a folder, from the float network in models/checkpoints where that is there."""
    shipped = float_checkpoint_path(config)
    train(config.source_name, folder, data_dir, shipped if shipped.is_file() else None, config.shift_add_rows)


def calibration_images(recipe: Recipe, training: Batches) -> Tensor:
    """The training images that scales come from, codes (B, H, W, 1)."""
    return codes_of(training.codes[: recipe.calibration_images])


def _calibrated(checkpoint: Checkpoint, bits: BitWidths, recipe: Recipe, training: Batches) -> QuantViT:
    """The network as calibration leaves it, before any training."""
    images = calibration_images(recipe, training)
    if recipe.method != "qat":
        return calibrated(checkpoint.tensors, checkpoint.dims, bits, recipe, images)
    return QuantViT.from_float(checkpoint.tensors, checkpoint.dims, bits, recipe, images)


def _state_path(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name + ".state")


def start_training(
    model: str, dims: ViTDims, bits: BitWidths, recipe: Recipe, checkpoint: Checkpoint, training: Batches
) -> tuple[QuantViT, dict[str, Any]]:
    """Calibrated network and a fresh training state, with a fingerprint of all it depends on."""
    network = _calibrated(checkpoint, bits, recipe, training)
    weights = hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in sorted(checkpoint.tensors.items()))).hexdigest()
    run = json.dumps([model, asdict(dims), asdict(bits), network_keys(recipe), weights], sort_keys=True)
    return network, {"run": run} | training_state(network, recipe)


def training_state(network: QuantViT, recipe: Recipe) -> dict[str, Any]:
    """Optimizer, averaged parameters and counters of a training that starts from the network's parameters."""
    matrices = [layer.matrix.weight for layer in network.linears().values()]
    scales = network.scale_parameters()
    chosen = {id(parameter) for parameter in matrices + scales}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    groups = [
        {"params": matrices, "peak": recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": others, "peak": recipe.learning_rate, "weight_decay": 0.0},
        {"params": scales, "peak": recipe.scale_learning_rate, "weight_decay": 0.0},
    ]
    return {
        "optimizer": torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True),
        "average": {name: parameter.detach().clone() for name, parameter in network.named_parameters()},
        "epochs_done": 0,
        "seconds": 0.0,
    }


def _fit(
    model: str,
    network: QuantViT,
    teacher: ViT,
    state: dict[str, Any],
    recipe: Recipe,
    data: tuple[Batches, Batches, Batches],
    checkpoint: Path,
) -> tuple[QuantViT, float]:
    """Train all epochs that are left; return the network with its averaged parameters and the minutes it took."""
    training, validation, _ = data
    path = _state_path(checkpoint)
    _resume(path, network, state)
    for epoch in range(state["epochs_done"], recipe.epochs):
        begin = time.monotonic()
        loss = train_epoch(network, teacher, state, recipe, training, epoch)
        state["seconds"] += time.monotonic() - begin
        state["epochs_done"] = epoch + 1
        _save_state(path, network, state)
        own = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        set_parameters(network, state["average"])
        score = integer_accuracy(network.integer(), validation)
        set_parameters(network, own)
        print(
            f"train: {model} epoch {epoch + 1}/{recipe.epochs}: loss {loss:.4f}, validation {100 * score:.2f} %, "
            f"{state['seconds'] / 60:.1f} min",
            flush=True,
        )
    set_parameters(network, state["average"])
    return network, state["seconds"] / 60


def train_epoch(
    network: QuantViT, teacher: ViT, state: dict[str, Any], recipe: Recipe, training: Batches, epoch: int
) -> float:
    """One pass over the training images; updates network, average and optimizer, returns the mean loss."""
    generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    order = torch.randperm(len(training), generator=generator)
    steps_per_epoch = len(training) // recipe.batch_size
    if not steps_per_epoch:
        raise ValueError(f"train: {len(training)} training images do not fill a batch of {recipe.batch_size}")
    steps = steps_per_epoch * recipe.epochs
    parameters = list(network.parameters())
    averages = list(state["average"].values())
    optimizer = state["optimizer"]
    temperature, share = recipe.distillation_temperature, recipe.distillation_weight
    logits_scale = network.scale_names.index("logits")
    network.train()
    total = 0.0
    for position in tqdm(range(steps_per_epoch), desc=f"epoch {epoch + 1}/{recipe.epochs}", leave=False, disable=None):
        step = epoch * steps_per_epoch + position
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(step, steps, recipe.warmup_steps)
        rows = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
        images = augment(training.codes[rows], FloatRecipe(), generator)
        with torch.no_grad():
            target = functional.log_softmax(teacher(to_input(images)) / temperature, dim=1)
        network.refresh()
        logits = network(codes_of(images)) * network.log_scales[logits_scale].exp()
        student = functional.log_softmax(logits / temperature, dim=1)
        distance = functional.kl_div(student, target, log_target=True, reduction="batchmean") * temperature**2
        loss = share * distance + (1.0 - share) * functional.cross_entropy(logits, training.labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(recipe.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1.0 - decay)
        total += loss.item()
    return total / steps_per_epoch


def _schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up, then half a cosine to zero at the last step; in (0, 1]."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1.0 + float(np.cos(np.pi * (step - warmup_steps) / max(1, steps - warmup_steps))))


@torch.no_grad()
def set_parameters(network: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in network.named_parameters():
        parameter.copy_(values[name])


def _save_state(path: Path, network: QuantViT, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    kept = {
        "run": state["run"],
        "network": {name: parameter.detach() for name, parameter in network.named_parameters()},
        "average": state["average"],
        "optimizer": state["optimizer"].state_dict(),
        "epochs_done": state["epochs_done"],
        "seconds": state["seconds"],
    }
    torch.save(kept, buffer)
    write_atomic(path, buffer.getvalue())


def _resume(path: Path, network: QuantViT, state: dict[str, Any]) -> None:
    """Take up the state file, if there is one."""
    if not path.exists():
        return
    try:
        kept = torch.load(path, weights_only=True)
        same = kept["run"] == state["run"]
    except Exception as error:
        raise ValueError(f"training state {path} cannot be read ({error!r}); delete it to start afresh") from None
    if not same:
        raise ValueError(
            f"training state {path} belongs to a run with another recipe or float network; delete it to start afresh"
        )
    set_parameters(network, kept["network"])
    for name, tensor in state["average"].items():
        tensor.copy_(kept["average"][name])
    state["optimizer"].load_state_dict(kept["optimizer"])
    state["epochs_done"], state["seconds"] = kept["epochs_done"], kept["seconds"]
    print(f"train: resuming after epoch {state['epochs_done']}", flush=True)


def card(model: str, dims: ViTDims, details: dict[str, Any]) -> str:
    """Model card in Markdown, from the details of a training or calibration."""
    recipe, bits = details["recipe"], details["bits"]
    sizes = "\n".join(f"| {name} | {value} |" for name, value in (asdict(dims) | {"parameters": dims.params}).items())
    widths = "\n".join(f"| {name} | {value} |" for name, value in bits.items())
    keys = "\n".join(f"| {name} | {value} |" for name, value in recipe.items())
    where = {"mlp": "MLP layers", "all": "all block layers", "none": "no layer"}[recipe["mixed_layers"]]
    shares = f"{recipe['shift_add_rows']} of every {recipe['row_group']} rows in {where}"
    made = f"calibration alone, method {recipe['method']} (models/ptq.py); formats {json.dumps(details['formats'])}"
    if recipe["method"] == "qat":
        made = (
            f"{details['epochs']} epochs with the integer functions in the\nforward pass, straight-through gradients, "
            "learned scales, distillation from the float network, averaged parameters"
        )
    what, facts = ("Fashion-MNIST", fashion_mnist_facts(details)) if fits(dims) else ("images of its user", OWN_FACTS)
    return f"""# {model}

Integer Vision Transformer for {what}. The file beside this card holds every integer constant of the network:
weights, multipliers, biases, shifts and tables. Written by `python -m models.train --model {model}`
(`make train MODEL={model}`).

{facts}

## How it was made

Float network (sha256 of its checkpoint {details["float_sha256"]}) -> scales from
{recipe["calibration_images"]} training images -> {made}.
Shift-add rows ({recipe["scheme"]}): {shares}. Seed {details["seed"]}.

| size | |
|---|---|
{sizes}

| bits | |
|---|---|
{widths}

| recipe {details["recipe_name"]} | |
|---|---|
{keys}
"""


OWN_FACTS = """\
## Data

Images of the user (models/own_images.py): calibration on some of train/. Nothing is measured here: step accuracy of a
build does, on all of val/. Input code = pixel - 128."""


def fashion_mnist_facts(details: dict[str, Any]) -> str:
    """What a card says of accuracies and data of a network for Fashion-MNIST."""
    gap = 100 * (details["float_test_accuracy"] - details["test_accuracy"])
    return f"""## Measured

| figure | value |
|---|---|
| float top-1, {details["test_images"]} test images | {100 * details["float_test_accuracy"]:.2f} % |
| integer top-1 after calibration, without training | {100 * details["calibrated_test_accuracy"]:.2f} % |
| integer top-1, {details["test_images"]} test images | {100 * details["test_accuracy"]:.2f} % |
| integer below float | {gap:.2f} points |
| integer top-1, 5000 held-out training images | {100 * details["validation_accuracy"]:.2f} % |
| minutes, float training | {details["float_minutes"]} |
| minutes, quantized training | {details["minutes"]} (one thread, torch {details["torch"]}) |

One run of one seed: the standard error of a test accuracy is 0.3 points.

## Data

Fashion-MNIST, complete (Debian package dataset-fashion-mnist, MIT): 55,000 images for training, 5,000 of the training
images held out. The 10,000 test images trained nothing; the backbone's sizes were chosen with an eye on their accuracy.
Input code = pixel - 128.
Augmentation: flip, shift by at most one pixel, random rectangles of noise."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a quantized ViT on Fashion-MNIST, or calibrate one.")
    parser.add_argument("--model", required=True, help="model name, such as vit_mini_w4a8")
    parser.add_argument("--float-checkpoint", type=Path, help="float network to start from (default: the backbone's)")
    parser.add_argument("--out-dir", type=Path, help="folder of the checkpoints (default: the model's own)")
    parser.add_argument("--shift-add-rows", type=int, help="of every group, for a recipe that leaves them to the board")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads (default: all cores)")
    options = parser.parse_args(arguments)
    try:
        if options.threads < 1:
            raise ValueError(f"train: --threads={options.threads}, expected 1 or more")
        torch.set_num_threads(options.threads)
        config = replace(parse_model_name(options.model), shift_add_rows=options.shift_add_rows)
        details = train(
            options.model,
            options.out_dir,
            float_checkpoint=options.float_checkpoint,
            shift_add_rows=options.shift_add_rows,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    names = ("float_test_accuracy", "calibrated_test_accuracy", "test_accuracy", "minutes")
    figures = {name: details[name] for name in names if name in details}
    told = json.dumps(figures) if figures else f"measured by make bitstream MODEL={options.model}"
    print(f"train: wrote {checkpoint_path(config, options.out_dir)}: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
