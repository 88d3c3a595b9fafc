# SPDX-License-Identifier: Apache-2.0
"""Step accuracy: the integer model on the whole test set, and the QONNX graph against it on up to 1,000 images."""

import time
from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import export

QONNX_TOKENS = 17_000  # of all images that the QONNX graph is executed on: 1,000 of vit_mini, 86 of DeiT
BATCH_TOKENS = 1_700  # of the images that it is executed on at a time


def parameters(build: Build) -> dict[str, Any]:
    """Numbers of tokens, and which files a user's own images are."""
    from models.data import fits

    own = {}
    if not fits(build.config.dims) and not export.is_untrained(build) and export.has_images(build):
        from models.own_images import list_images

        own = {"own_images": list_images("val", build.config.dims).digest()}
    return {"tokens": [QONNX_TOKENS, BATCH_TOKENS], **own, **export.parameters(build)}


def percent(share: float) -> float:
    """A share of the images in percent, without the digits that binary fractions add."""
    return round(100 * share, 6)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Measure; without a data set for the backbone only say so."""
    if not export.has_images(build) or export.is_untrained(build):
        text = "the weights are untrained" if export.is_untrained(build) else "no images for this backbone"
        return {"reasons": {"accuracy": text, "bit_exact.qonnx": text}}
    import numpy as np

    from models.train import codes_of, integer_logits, load_test
    from quant.export import execute, export_qonnx

    network, details = export.integer_network(build)
    dims = build.config.dims
    test = load_test(dims)
    batch = min(len(test), max(1, BATCH_TOKENS // dims.tokens))
    shape = (dims.image_size, dims.image_size, dims.channels)
    batched = export_qonnx(network, shape, out / "batched.onnx", build.model, build.config.recipe, batch=batch)
    (out / "batched.onnx").unlink()
    pieces: list[np.ndarray] = []
    compared = mismatches = images = correct = 0
    begin = time.monotonic()
    for part, labels in test.batches(batch):
        codes = codes_of(part).numpy()
        integer = integer_logits(network, codes)
        correct += int((integer.argmax(axis=1) == labels.numpy()).sum())
        if len(codes) == batch and (images + batch) * dims.tokens <= max(QONNX_TOKENS, batch * dims.tokens):
            found = execute(batched, codes)
            compared += integer.size
            mismatches += int((found.reshape(integer.shape) != integer).sum())
            images += batch
        pieces.append(integer)
        if build.progress is not None:
            build.progress(time.monotonic() - begin, f"{sum(map(len, pieces)):,} of {len(test):,} images")
    top1 = percent(correct / len(test))
    np.save(out / "logits.npy", np.concatenate(pieces))
    if mismatches:
        raise RuntimeError(
            f"accuracy: {mismatches} of {compared} logits codes of the QONNX graph differ from the integer model"
        )
    share = details.get("float_test_accuracy")  # as the training measured it
    float_top1 = None if share is None else percent(share)
    return {
        "accuracy": {"float_top1": float_top1, "integer_top1": top1, "images": len(test)},
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
