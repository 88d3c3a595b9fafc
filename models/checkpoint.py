# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: safetensors files whose header says which network they hold; import of DeiT and timm weights."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.registry import ViTDims, parameter_shapes

FORMAT = "vitrail"
VERSION = "1"
KINDS = ("float", "quant")
# Normalization that DeiT's weights were trained with: red, green, blue, of pixels in [0, 1]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        model: Model name, such as "vit_mini_w4a8", or a backbone name for a float network.
        kind: "float" (parameters of models.vit.ViT) or "quant" (state of the quantized network).
        dims: Sizes of the network.
        tensors: Name -> tensor.
        details: Facts about the training that fit into JSON (seed, epochs, accuracies, ...).
    """

    model: str
    kind: str
    dims: ViTDims
    tensors: dict[str, Tensor]
    details: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file appears in one rename.

    Raises:
        ValueError: unknown kind, or the tensors of a float checkpoint do not fit its dims.
    """
    if checkpoint.kind not in KINDS:
        raise ValueError(f"checkpoint {path}: kind {checkpoint.kind!r}, expected one of {', '.join(KINDS)}")
    if checkpoint.kind == "float":
        _check_shapes(path, checkpoint.tensors, parameter_shapes(checkpoint.dims))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": checkpoint.model,
        "kind": checkpoint.kind,
        "dims": json.dumps(asdict(checkpoint.dims)),
        "details": json.dumps(checkpoint.details),
    }
    payload = save({name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}, header)
    write_atomic(path, payload)


def load_checkpoint(path: Path, *, kind: str, dims: ViTDims | None = None) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        path: The .safetensors file.
        kind: Expected kind, "float" or "quant".
        dims: Expected sizes of the network; None takes what the file says.

    Raises:
        ValueError: the file is missing, truncated, foreign, or of another kind or size; a float checkpoint has other
            tensors than models.vit.ViT.
    """
    expected = f"expected a {kind} checkpoint of format {FORMAT} version {VERSION}"
    if not path.is_file():
        raise ValueError(f"checkpoint {path} is missing; {expected} (make train writes it)")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"checkpoint {path} cannot be read: {path.stat().st_size} bytes, truncated or no safetensors file "
            f"({error}); {expected}"
        ) from None
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise ValueError(
            f"checkpoint {path} is foreign: header says format {header.get('format')!r} version "
            f"{header.get('version')!r}; {expected}"
        )
    if header.get("kind") != kind:
        raise ValueError(f"checkpoint {path} is of kind {header.get('kind')!r}; {expected}")
    try:
        found_dims = ViTDims(**json.loads(header["dims"]))
        details = json.loads(header["details"])
        model = header["model"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} has a damaged header ({error!r}); {expected}") from None
    if dims is not None and found_dims != dims:
        raise ValueError(f"checkpoint {path} holds {model!r} with {_difference(found_dims, dims)}")
    if kind == "float":
        _check_shapes(path, tensors, parameter_shapes(found_dims))
    return Checkpoint(model, kind, found_dims, tensors, details)


def load_timm_checkpoint(path: Path, dims: ViTDims) -> dict[str, Tensor]:
    """Read an official DeiT or timm ViT checkpoint and turn its convolutional patch embedding into a linear one.

    Args:
        path: A user's .pth, .pt or .bin file (a state dict, or a dict with one under "model" or "state_dict"),
            or a .safetensors file.
        dims: Sizes of the network the weights are for.

    Returns:
        float32 tensors for models.vit.ViT.

    Raises:
        ValueError: the file cannot be read or holds another network.
    """
    if not path.is_file():
        raise ValueError(f"checkpoint {path} is missing; expected a DeiT or timm ViT state dict")
    own = False
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                own = (file.metadata() or {}).get("format") == FORMAT
                state = {name: file.get_tensor(name) for name in file.keys()}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch's readers raise at damaged files
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(
            f"checkpoint {path} cannot be read ({reason}); expected a DeiT or timm ViT state dict"
        ) from None
    if own:
        raise ValueError(f"checkpoint {path} was written here already; expected a DeiT or timm ViT state dict")
    for key in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"checkpoint {path} holds no state dict; expected a DeiT or timm ViT state dict")
    tensors = {name: tensor.float() for name, tensor in state.items()}
    weight = tensors.get("patch_embed.proj.weight")
    if weight is not None and weight.ndim == 4:
        # A convolution kernel (outputs, channel, y, x) flattens to the patch order of unfold_patches.
        tensors["patch_embed.proj.weight"] = weight.flatten(1)
    _check_shapes(path, tensors, parameter_shapes(dims))
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"checkpoint {path}: tensor {name!r} holds infinities or no numbers (NaN)")
    return tensors


def fold_normalization(
    tensors: Mapping[str, Tensor], dims: ViTDims, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Take the normalization of a network's input into its patch embedding.

    Args:
        tensors: Parameters of models.vit.ViT for (p / 255 - mean) / std, p: pixel in [0, 255].
        dims: Sizes.
        mean: One number for each channel.
        std: Likewise, 0.001 or more.

    Returns:
        Parameters of the same network for (p - 128) / 128, the input of models.vit.ViT.

    Raises:
        ValueError: mean or std have another length or are not finite, or std is below 0.001.
    """
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != dims.channels:
            raise ValueError(f"{name} has {len(values)} numbers, expected {dims.channels}, one for each channel")
    if not all(map(math.isfinite, (*mean, *std))) or min(std) < 1e-3:
        raise ValueError(f"mean {list(mean)} and std {list(std)}: expected finite numbers, std of 0.001 or more")
    means, stds = torch.tensor([mean, std], dtype=torch.float64)
    gain, offset = 128 / 255 / stds, (128 / 255 - means) / stds
    weight = tensors["patch_embed.proj.weight"].double().unflatten(1, (dims.channels, -1))
    bias = tensors["patch_embed.proj.bias"].double() + weight.sum(2) @ offset
    folded = (weight * gain[:, None]).flatten(1)
    return dict(tensors) | {"patch_embed.proj.weight": folded.float(), "patch_embed.proj.bias": bias.float()}


def import_float(
    backbone: str, dims: ViTDims, source: Path, out: Path, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Write the float checkpoint of a backbone from a user's DeiT or timm weights.

    Args:
        backbone: Its name.
        dims: Its sizes.
        source: See load_timm_checkpoint.
        out: The .safetensors file to write.
        mean: Of the normalization that the weights were trained with, see fold_normalization.
        std: Likewise.

    Raises:
        ValueError: the file cannot be read or holds another network; mean or std do not go with it.
    """
    tensors = fold_normalization(load_timm_checkpoint(source, dims), dims, mean, std)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    details = {"source": source.name, "source_sha256": digest, "mean": list(mean), "std": list(std)}
    save_checkpoint(out, Checkpoint(backbone, "float", dims, tensors, details))


def write_atomic(path: Path, payload: bytes) -> None:
    """Write a file under a temporary name beside it and rename it; a full disk leaves the old file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(payload)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_shapes(path: Path, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if fault := shape_fault(tensors, shapes):
        raise ValueError(f"checkpoint {path}: {fault}")


def shape_fault(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The first tensor that is missing, of another shape, or too many, in words; empty if there is none."""
    for name, shape in shapes.items():
        if name not in tensors:
            return f"tensor {name!r} is missing, expected shape {tuple(shape)}"
        if tuple(tensors[name].shape) != tuple(shape):
            return f"tensor {name!r} has shape {tuple(tensors[name].shape)}, expected {tuple(shape)}"
    for name in tensors:
        if name not in shapes:
            return f"tensor {name!r} is not part of the network; expected {len(shapes)} tensors"
    return ""


def _difference(found: ViTDims, expected: ViTDims) -> str:
    pairs = [(field.name, getattr(found, field.name), getattr(expected, field.name)) for field in fields(ViTDims)]
    return ", ".join(f"{name}={have}, expected {want}" for name, have, want in pairs if have != want)
