# SPDX-License-Identifier: Apache-2.0
"""Efficient Error Rate: how much of a reference model's cost a model needs, in percent; lower is better.

Source: the survey of efficient Vision Transformers behind this project, section 4 (Eq. 26) and 6.2 (Eq. 28). Its
reference is ViT-B/16. Its conventions are kept so that figures compare: "FLOPs" counts multiply-accumulates (17.6 G for
ViT-B/16), #Bit of a quantized model is the mean of its weight and activation bits, sizes are in units of 2**20 bytes.
"""

from __future__ import annotations

VIT_B_16 = {"params_m": 86.6, "flops_g": 17.6, "bits": 32.0, "size_mb": 330.0}

# The survey's metric sets: compact, pruned and distilled models; quantized models; all categories together.
SETS = {
    "params_flops": ("params_m", "flops_g"),
    "bits_size": ("bits", "size_mb"),
    "all": ("params_m", "flops_g", "bits", "size_mb"),
}
HARDWARE_SET = ("lut", "dsp", "bram", "latency_cycles")


def eer(
    model: dict[str, float],
    reference: dict[str, float],
    metrics: tuple[str, ...],
    weights: dict[str, float] | None = None,
    divide_by_count: bool = True,
) -> float:
    """Mean ratio of a model's metrics to a reference's, in percent.

    Eq. 26 is the plain mean. Eq. 28 multiplies each ratio by a weight, and the weights sum to one; as printed it
    divides by the number of metrics as well, which makes equal weights 1/n times Eq. 26. divide_by_count=False leaves
    that second division out, so that equal weights give Eq. 26.

    Args:
        model: Metric name -> value.
        reference: Metric name -> value, above zero.
        metrics: Names to average over.
        weights: Metric name -> weight, summing to one; None for Eq. 26.
        divide_by_count: With weights, divide by the number of metrics as Eq. 28 prints it.

    Raises:
        ValueError: a metric is missing, a reference is not above zero, or weights do not sum to one.
    """
    for name in metrics:
        if name not in model or name not in reference:
            raise ValueError(f"eer: metric {name!r} is missing from the model or the reference; have {sorted(model)}")
        if reference[name] <= 0:
            raise ValueError(f"eer: reference {name}={reference[name]} must be above zero")
    ratios = {name: model[name] / reference[name] for name in metrics}
    if weights is None:
        return 100.0 * sum(ratios.values()) / len(metrics)
    if abs(sum(weights[name] for name in metrics) - 1.0) > 1e-9:
        raise ValueError(f"eer: weights must sum to 1, they sum to {sum(weights[name] for name in metrics)}")
    total = 100.0 * sum(weights[name] * ratios[name] for name in metrics)
    return total / len(metrics) if divide_by_count else total


def model_metrics(
    params: int, macs: int, weight_bits: float, activation_bits: float, size_bytes: int
) -> dict[str, float]:
    """Metrics of a model in the survey's units."""
    return {
        "params_m": params / 1e6,
        "flops_g": macs / 1e9,
        "bits": (weight_bits + activation_bits) / 2,
        "size_mb": size_bytes / 2**20,
    }
