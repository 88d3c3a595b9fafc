# SPDX-License-Identifier: Apache-2.0
"""One trial of a sweep: quantize the float network by a recipe, train it briefly, measure the integer network.

The same steps as models.train, on a seeded part of the training images and without evaluations in between.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.names import CHECKPOINT_DIR, ModelConfig
from models.quant_vit import BitWidths, QuantViT
from models.train import (
    checkpoint_path,
    float_checkpoint_path,
    float_logits,
    float_network,
    integer_logits,
    provenance,
    save_integer,
    set_parameters,
    start_training,
    train_epoch,
)
from models.train_float import Batches, load_fashion_mnist
from quant.recipe import Recipe


def run_trial(
    config: ModelConfig, recipe: Recipe, train_images: int, folder: Path, float_folder: Path = CHECKPOINT_DIR
) -> dict[str, Any]:
    """Quantize, train, measure on all test images, on one thread; keep the integer network as a checkpoint.

    Args:
        config: Model; its name is that of the checkpoint.
        recipe: How to quantize and train. Its seed chooses the images, their order and the augmentation; calibration
            takes the first of the chosen images. 0 epochs: calibration only.
        train_images: Training images of an epoch, drawn from the 55,000.
        folder: Folder of the checkpoint.
        float_folder: Folder of the float checkpoint.

    Returns:
        integer_top1, float_top1 [%]; weight_error_calibrated, weight_error: relative RMS difference of all weights of
        the encoder blocks from the float network's, before and after training; logit_error: relative RMS difference of
        the logits on the test images; seconds_train, seconds; images (of the test set).

    Raises:
        ValueError: the data set or the float checkpoint is unusable.
    """
    begin = time.monotonic()
    torch.set_num_threads(1)
    dims = config.dims
    bits = BitWidths.of(config.weight_bits, config.activation_bits, recipe)
    source = float_checkpoint_path(config, float_folder)
    checkpoint = load_checkpoint(source, kind="float", dims=dims)
    teacher = float_network(checkpoint)
    training, _, test = _data()
    chosen = subset(training, train_images, recipe.seed)

    network, state = start_training(config.source_name, dims, bits, recipe, checkpoint, chosen)
    calibrated_error = weight_error(network, checkpoint.tensors)
    start = time.monotonic()
    for epoch in range(recipe.epochs):
        train_epoch(network, teacher, state, recipe, chosen, epoch)
    seconds_train = time.monotonic() - start
    set_parameters(network, state["average"])

    integer = network.integer()
    codes = integer_logits(integer, test.codes.unsqueeze(-1).numpy())
    wanted = float_logits(teacher, test.codes)
    labels = test.labels.numpy()
    results = {
        "integer_top1": percent(codes.argmax(axis=1) == labels),
        "float_top1": percent(wanted.argmax(axis=1) == labels),
        "weight_error_calibrated": calibrated_error,
        "weight_error": weight_error(network, checkpoint.tensors),
        "logit_error": relative_rms(codes * network.real_scales()["logits"], wanted),
        "images": len(test),
        "train_images": train_images if recipe.epochs else 0,
        "seconds_train": round(seconds_train, 2),
    }
    details = {
        **provenance(config, recipe, network, source),
        "float_test_accuracy": results["float_top1"] / 100,
        "test_accuracy": results["integer_top1"] / 100,
        "test_images": len(test),
        "train_images": results["train_images"],
    }
    save_integer(checkpoint_path(config, folder), config.source_name, network, details)
    return results | {"seconds": round(time.monotonic() - begin, 2)}


@cache
def _data() -> tuple[Batches, Batches, Batches]:
    return load_fashion_mnist()


def subset(training: Batches, count: int, seed: int) -> Batches:
    """A seeded choice of `count` training images.

    Raises:
        ValueError: there are fewer.
    """
    if not 1 <= count <= len(training):
        raise ValueError(f"trial: train_images={count}, expected 1..{len(training)}")
    rows = torch.randperm(len(training), generator=torch.Generator().manual_seed(seed))[:count]
    return Batches(training.codes[rows], training.labels[rows])


@torch.no_grad()
def weight_error(network: QuantViT, tensors: dict[str, Tensor]) -> float:
    """Relative RMS difference of the quantized weights of all encoder blocks from float weights."""
    found, wanted = [], []
    for name, layer in network.linears().items():
        if name.startswith("blocks."):
            quantizer = network.quantizer(name)
            real = quantizer.integers(layer.matrix.weight) * quantizer.scale()[:, None]
            found.append(real.double().flatten())
            wanted.append(tensors[f"{name}.weight"].double().flatten())
    return relative_rms(torch.cat(found).numpy(), torch.cat(wanted).numpy())


def percent(hits: np.ndarray) -> float:
    """Share of true values in percent."""
    return 100 * int(hits.sum()) / hits.size


def relative_rms(values: np.ndarray, reference: np.ndarray) -> float:
    """Root of the mean squared difference over that of the mean squared reference."""
    return float(np.sqrt(np.square(values - reference).sum() / np.square(reference).sum()))
