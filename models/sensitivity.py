# SPDX-License-Identifier: Apache-2.0
"""What it costs to make a weight row shift-add instead of fixed: the measured change of the network's output.

The cost of a change d of one weight row is the mean Kullback-Leibler divergence between the class probabilities of the
float network and of the changed one, to second order (the first order vanishes: the divergence is least at d = 0):

    KL(d) = 1/2 d^T F d,   F = J^T (diag(p) - p p^T) J,   J = derivative of the logits, p = softmax(logits)

F is the Fisher information. With random signs v, the square of (sqrt(p) v - p (sqrt(p) . v)) . (J d) has the
expectation d^T F d. (J d) of all rows of all layers at once is the gradient with respect to a factor on each row's
change, so that a few backward passes over the calibration images serve the whole network.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.float_forward import float_forward
from models.registry import ViTDims
from quant.schemes import FIXED, quantize_rows, search_scales

PROBES = 8
BATCH_SIZE = 64
SEED = 1


def row_costs(
    tensors: Mapping[str, Tensor], dims: ViTDims, images: Tensor, layers: Mapping[str, tuple[int, int]], steps: int
) -> dict[str, np.ndarray]:
    """Cost of every row as a shift-add row, less its cost as a fixed row.

    Args:
        tensors: Parameters of models.vit.ViT.
        dims: Its sizes.
        images: Calibration images, codes (B, H, W, channels).
        layers: Linear layer -> (scheme id of its shift-add rows, weight bits).
        steps: Candidates for each row scale.

    Returns:
        Linear layer -> increase of the divergence in nats, float64, shape (rows,); all other rows stay as they are.
    """
    changes = {}
    for name, (scheme, bits) in layers.items():
        weight = tensors[f"{name}.weight"]
        changes[name] = torch.stack([row_change(weight, kind, bits, steps) for kind in (FIXED, scheme)])
    divergences = row_divergences(tensors, dims, images, changes)
    return {name: values[1] - values[0] for name, values in divergences.items()}


def row_change(weight: Tensor, scheme: int, bits: int, steps: int) -> Tensor:
    """Quantized less float weights when all rows follow one scheme, shape (rows, columns)."""
    values = weight.detach().double().numpy()
    schemes = np.full(len(values), scheme)
    scale = search_scales(values, schemes, bits, steps)
    quantized = quantize_rows(values, scale, schemes, bits) * scale[:, None]
    return torch.from_numpy((quantized - values).astype(np.float32))


def row_divergences(
    tensors: Mapping[str, Tensor], dims: ViTDims, images: Tensor, changes: Mapping[str, Tensor], probes: int = PROBES
) -> dict[str, np.ndarray]:
    """Divergence that each change of one row causes alone, to second order.

    Args:
        tensors, dims, images: As for row_costs.
        changes: Linear layer -> changes of its weights, shape (kinds, rows, columns).
        probes: Random signs for each image and class.

    Returns:
        Linear layer -> nats, float64, shape (kinds, rows).
    """
    generator = torch.Generator().manual_seed(SEED)
    total = {name: torch.zeros(change.shape[:2], dtype=torch.float64) for name, change in changes.items()}
    for batch in images.split(BATCH_SIZE):
        factors = {
            name: torch.zeros(len(change), len(batch), 1, change.shape[1], requires_grad=True)
            for name, change in changes.items()
        }

        def linear(name: str, x: Tensor, factors: dict[str, Tensor] = factors) -> Tensor:
            y = functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
            for factor, change in zip(factors.get(name, ()), changes.get(name, ()), strict=True):
                y = y + factor * functional.linear(x, change)
            return y

        logits = float_forward(tensors, dims, batch, linear=linear)
        p = logits.detach().softmax(dim=1)
        for _ in range(probes):
            signs = torch.randint(0, 2, p.shape, generator=generator) * 2.0 - 1.0
            rooted = p.sqrt() * signs
            probe = rooted - p * rooted.sum(dim=1, keepdim=True)
            grads = torch.autograd.grad((logits * probe).sum(), list(factors.values()), retain_graph=True)
            for name, grad in zip(factors, grads, strict=True):
                total[name] += grad[:, :, 0].double().square().sum(dim=1)
    return {name: (values / (2 * probes * len(images))).numpy() for name, values in total.items()}
