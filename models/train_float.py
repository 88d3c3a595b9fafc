# SPDX-License-Identifier: Apache-2.0
"""Float training on Fashion-MNIST: `python -m models.train_float --backbone vit_mini --out file.safetensors`.

Resumable: a state file beside the output is written after each epoch and taken up by the next call. All random
numbers come from (seed, epoch), so that an interrupted run ends with the same weights as one in a single go.
"""

import argparse
import hashlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models.checkpoint import Checkpoint, save_checkpoint, write_atomic
from models.data import DATA_DIR, image_codes, load_split
from models.registry import ViTDims, backbone_dims
from models.vit import ViT

VALIDATION_IMAGES = 5_000
VALIDATION_SEED = 2020  # fixes which training images are held out, whatever the seed of the run
BACKGROUND = -128  # code of a black pixel


@dataclass(frozen=True)
class FloatRecipe:
    """Hyperparameters of the float training.

    Attributes:
        epochs: Passes over the training images.
        seed: Seed of weights, order and augmentation.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Of weight matrices; none on biases, norms, embeddings.
        warmup_steps: Steps of linear warm-up, before the cosine to zero.
        label_smoothing: Of the cross-entropy.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the averaged weights, which are those that are kept.
        shift: Largest shift of an image, pixels.
        erase_probability: Of a rectangle of noise in an image.
    """

    epochs: int = 45
    seed: int = 1
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 500
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    shift: int = 1
    erase_probability: float = 0.1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"FloatRecipe: {name}={getattr(self, name)}, expected 1 or more")


@dataclass(frozen=True)
class Batches:
    """Images in memory: codes (images, side, side) or (images, side, side, channels) int8, labels (images,) int64."""

    codes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Codes and labels of up to `size` images after one another."""
        return zip(self.codes.split(size), self.labels.split(size), strict=True)


def load_fashion_mnist(data_dir: Path = DATA_DIR) -> tuple[Batches, Batches, Batches]:
    """Train (55,000), validation (5,000, held out of the training images) and test (10,000) images."""
    pixels, labels = load_split("train", data_dir)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(VALIDATION_SEED))
    whole = Batches(torch.from_numpy(image_codes(pixels)), torch.from_numpy(labels.astype("int64")))
    parts = [Batches(whole.codes[rows], whole.labels[rows]) for rows in order.tensor_split([VALIDATION_IMAGES])]
    return parts[1], parts[0], fashion_mnist_test(data_dir)


def fashion_mnist_test(data_dir: Path = DATA_DIR) -> Batches:
    """The 10,000 test images."""
    pixels, labels = load_split("test", data_dir)
    return Batches(torch.from_numpy(image_codes(pixels)), torch.from_numpy(labels.astype("int64")))


def codes_of(batch: Tensor) -> Tensor:
    """Image codes (B, H, W) or (B, H, W, channels) int8 -> input of the integer network (B, H, W, channels) float32."""
    return (batch if batch.ndim == 4 else batch.unsqueeze(-1)).float()


def to_input(codes: Tensor) -> Tensor:
    """Image codes as above -> input of the float network (B, channels, side, side) float32 in [-1, 127/128]."""
    return codes_of(codes).movedim(-1, 1) / 128.0


def augment(codes: Tensor, recipe: FloatRecipe, generator: torch.Generator) -> Tensor:
    """Flip, shift and erase at random: codes (B, side, side) int8 -> the same."""
    batch, side = codes.shape[0], codes.shape[1]
    span = recipe.shift

    def integers(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    line = torch.arange(side)
    rows = line + integers(0, 2 * span + 1, (batch, 1))
    columns = torch.where(integers(0, 2, (batch, 1)).bool(), line, side - 1 - line)
    columns = columns + integers(0, 2 * span + 1, (batch, 1))
    padded = functional.pad(codes, (span, span, span, span), value=BACKGROUND)
    width = side + 2 * span
    index = (torch.arange(batch) * width * width)[:, None, None] + rows[:, :, None] * width + columns[:, None, :]
    images = padded.take(index)

    size = integers(side // 7, side // 2, (batch, 2))
    start = (torch.rand((batch, 2), generator=generator) * (side + 1 - size)).long()
    inside = (line >= start[..., None]) & (line < (start + size)[..., None])
    chosen = torch.rand(batch, generator=generator) < recipe.erase_probability
    mask = inside[:, 0, :, None] & inside[:, 1, None, :] & chosen[:, None, None]
    noise = integers(-128, 128, (batch, side, side)).to(torch.int8)
    return torch.where(mask, noise, images)


def learning_rate_at(step: int, steps: int, recipe: FloatRecipe) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


@torch.inference_mode()
def accuracy(network: nn.Module, images: Batches) -> float:
    """Share of images whose largest logit is the label's, float32, in [0, 1]."""
    network.eval()
    return share_of_hits(images, lambda codes: network(to_input(codes)))


def share_of_hits(images: Batches, logits: Callable[[Tensor], Tensor], batch_size: int = 500) -> float:
    """Share of images in [0, 1] whose largest logit (the first on a tie) is the label's.

    Args:
        images: Images.
        logits: Image codes, as Batches has them -> logits (B, classes).
        batch_size: Images at a time.
    """
    correct = 0
    for codes, labels in images.batches(batch_size):
        correct += hits(logits(codes).numpy(), labels)
    return correct / len(images)


def hits(logits: np.ndarray, labels: Tensor) -> int:
    """Images whose largest logit (the first on a tie) is the label's."""
    return int((np.argmax(logits, axis=1) == labels.numpy()).sum())


def make_optimizer(network: nn.Module, recipe: FloatRecipe) -> torch.optim.AdamW:
    """AdamW with weight decay on the weight matrices only."""
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2]
    others = [p for name, p in network.named_parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def train_float(model: str, dims: ViTDims, recipe: FloatRecipe, out: Path, data_dir: Path = DATA_DIR) -> dict[str, Any]:
    """Train a float ViT and write its averaged weights as a checkpoint.

    Args:
        model: Name that goes into the checkpoint.
        dims: Sizes of the network.
        recipe: Hyperparameters.
        out: The checkpoint to write; `<out>.state` beside it lives as long as the training.
        data_dir: Folder of Fashion-MNIST.

    Returns:
        The checkpoint's details: recipe, accuracies in [0, 1], minutes, params.

    Raises:
        ValueError: the data set is not there, or the state file belongs to another run.
    """
    train, validation, test = load_fashion_mnist(data_dir)
    torch.manual_seed(recipe.seed)
    network = ViT(dims)
    average = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, recipe)
    run = {"model": model, "dims": asdict(dims), "recipe": asdict(recipe)}
    state_path = out.with_name(out.name + ".state")
    first_epoch, seconds = _resume(state_path, run, network, average, optimizer)
    steps_per_epoch = len(train) // recipe.batch_size
    steps = steps_per_epoch * recipe.epochs
    print(f"train_float: {model}, {dims.params} parameters, {recipe}", flush=True)

    for epoch in range(first_epoch, recipe.epochs):
        begin = time.monotonic()
        loss = _train_epoch(network, average, optimizer, train, recipe, epoch, steps_per_epoch, steps)
        seconds += time.monotonic() - begin
        _save_state(state_path, run, network, average, optimizer, epoch + 1, seconds)
        score = accuracy(_averaged(dims, average), validation)
        print(
            f"train_float: {model} epoch {epoch + 1}/{recipe.epochs}: loss {loss:.4f}, "
            f"validation {100 * score:.2f} %, {seconds / 60:.1f} min",
            flush=True,
        )

    final = _averaged(dims, average)
    details = {
        "recipe": asdict(recipe),
        "params": dims.params,
        "validation_accuracy": accuracy(final, validation),
        "test_accuracy": accuracy(final, test),
        "test_images": len(test),
        "minutes": round(seconds / 60, 1),
        "torch": torch.__version__,
    }
    save_checkpoint(out, Checkpoint(model, "float", dims, average, details))
    state_path.unlink(missing_ok=True)
    return details


def _train_epoch(
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.AdamW,
    train: Batches,
    recipe: FloatRecipe,
    epoch: int,
    steps_per_epoch: int,
    steps: int,
) -> float:
    """One pass over the training images; updates network, average and optimizer, returns the mean loss."""
    generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    order = torch.randperm(len(train), generator=generator)
    parameters = list(network.parameters())
    averages = list(average.values())
    network.train()
    total = 0.0
    progress = tqdm(range(steps_per_epoch), desc=f"epoch {epoch + 1}/{recipe.epochs}", leave=False, disable=None)
    for position in progress:
        step = epoch * steps_per_epoch + position
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, recipe)
        rows = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
        images = to_input(augment(train.codes[rows], recipe, generator))
        # float32: bf16 autocast took twice as long at these sizes, also on a CPU with AMX.
        loss = functional.cross_entropy(network(images), train.labels[rows], label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        # A young average would otherwise remember the random start.
        decay = min(recipe.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1.0 - decay)
        total += float(loss.detach())
    return total / steps_per_epoch


def _averaged(dims: ViTDims, average: dict[str, Tensor]) -> ViT:
    network = ViT(dims)
    network.load_state_dict(average)
    return network


def _fingerprint(run: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


def _save_state(
    path: Path,
    run: dict[str, Any],
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    epochs_done: int,
    seconds: float,
) -> None:
    buffer = io.BytesIO()
    state = {
        "run": _fingerprint(run),
        "network": network.state_dict(),
        "average": average,
        "optimizer": optimizer.state_dict(),
        "epochs_done": epochs_done,
        "seconds": seconds,
    }
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def _resume(
    path: Path,
    run: dict[str, Any],
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float]:
    """Take up the state file, if there is one; return the epochs done and their seconds."""
    if not path.exists():
        return 0, 0.0
    try:
        state = torch.load(path, weights_only=True)
        same = state["run"] == _fingerprint(run)
    except Exception as error:
        raise ValueError(f"training state {path} cannot be read ({error!r}); delete it to start afresh") from None
    if not same:
        raise ValueError(
            f"training state {path} belongs to a run with another model, sizes or recipe than {run}; "
            "delete it to start afresh"
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    for name, tensor in average.items():
        tensor.copy_(state["average"][name])
    print(f"train_float: resuming after epoch {state['epochs_done']}", flush=True)
    return state["epochs_done"], state["seconds"]


def _parse_dims(text: str) -> dict[str, int]:
    """Take `depth=2,embed_dim=96` apart."""
    names = [field.name for field in fields(ViTDims)]
    changes = {}
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition("=")
        if name not in names or not value.isdigit():
            raise ValueError(f"--dims: {pair!r} is not <size>=<integer>; sizes are {', '.join(names)}")
        changes[name] = int(value)
    return changes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a float ViT on Fashion-MNIST.")
    parser.add_argument("--backbone", default="vit_mini", help="name in the registry (default: vit_mini)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads (default: all cores)")
    parser.add_argument("--dims", default="", help="other sizes than the backbone's, such as depth=2,embed_dim=96")
    for name, value in asdict(FloatRecipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default: {value}")
    options = vars(parser.parse_args(arguments))
    torch.set_num_threads(options["threads"])
    try:
        dims = replace(backbone_dims(options["backbone"]), **_parse_dims(options["dims"]))
        recipe = FloatRecipe(**{name: options[name] for name in asdict(FloatRecipe())})
        details = train_float(options["backbone"], dims, recipe, options["out"])
    except (ValueError, OSError) as error:
        print(f"train_float: {error}", file=sys.stderr)
        return 1
    print(f"train_float: wrote {options['out']}: {json.dumps(details)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
