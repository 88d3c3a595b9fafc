# SPDX-License-Identifier: Apache-2.0
"""Step accuracy: the integer model on the whole test set, and the QONNX graph against it on up to 1,000 images."""

import time
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import export

QONNX_TOKENS = 17_000  # of all images that the QONNX graph is executed on: 1,000 of vit_mini, 80 of DeiT
BATCH_TOKENS = 1_700  # of the images that it is executed on at a time


def parameters(build: Build) -> dict[str, Any]:
    """Numbers of tokens, and the images."""
    return {"tokens": [QONNX_TOKENS, BATCH_TOKENS], **export.with_images(build)}


def percent(share: float) -> float:
    """A share of the images in percent, without the digits that binary fractions add."""
    return round(100 * share, 6)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Measure; without a data set for the backbone only say so."""
    if not export.has_images(build) or export.is_untrained(build):
        text = "the weights are untrained" if export.is_untrained(build) else "no images for this backbone"
        return {"reasons": {"accuracy": text, "bit_exact.qonnx": text}}
    import numpy as np

    from models.data import fits
    from models.train import calibrated_float, float_logits, integer_logits, load_test
    from models.train_float import codes_of, hits
    from quant.export import execute, export_qonnx

    network, details = export.integer_network(build)
    dims = build.config.dims
    teacher = None if fits(dims) else calibrated_float(build.config, details)
    test = load_test(dims)
    batch = min(len(test), max(1, BATCH_TOKENS // dims.tokens))
    executed = max(1, QONNX_TOKENS // dims.tokens // batch) * batch
    shape = (dims.image_size, dims.image_size, dims.channels)
    batched = export_qonnx(network, shape, out / "batched.onnx", build.model, build.config.recipe, batch=batch)
    (out / "batched.onnx").unlink()
    logits: list[np.ndarray] = []
    images = compared = mismatches = correct = float_correct = 0
    begin = time.monotonic()
    for part, labels in test.batches(batch):
        codes = codes_of(part).numpy()
        integer = integer_logits(network, codes)
        correct += hits(integer, labels)
        if teacher is not None:
            float_correct += hits(float_logits(teacher, part), labels)
        if images < executed and len(codes) == batch:
            found = execute(batched, codes)
            compared += integer.size
            mismatches += int((found.reshape(integer.shape) != integer).sum())
            images += batch
        logits.append(integer)
        if build.progress is not None:
            build.progress(time.monotonic() - begin, f"{sum(map(len, logits)):,} of {len(test):,} images")
    np.save(out / "logits.npy", np.concatenate(logits))
    if mismatches:
        raise RuntimeError(
            f"accuracy: {mismatches} of {compared} logits codes of the QONNX graph differ from the integer model"
        )
    float_share = details.get("float_test_accuracy")  # as the training measured it
    if teacher is not None:
        float_share = float_correct / len(test)
    float_top1 = None if float_share is None else percent(float_share)
    return {
        "accuracy": {"float_top1": float_top1, "integer_top1": percent(correct / len(test)), "images": len(test)},
        "bit_exact": {"qonnx": {"images": images, "values_compared": compared, "mismatches": mismatches}},
    }


STEP = Step(
    "accuracy",
    "accuracy of the integer model, QONNX against it",
    "02_accuracy",
    ("export",),
    export.SOURCES,
    parameters,
    run,
    shared=True,
)
