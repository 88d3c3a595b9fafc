# SPDX-License-Identifier: Apache-2.0
"""Step accuracy: the integer model on the whole test set, and the QONNX graph against it on 1,000 images."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step
from synthesis.steps import export

QONNX_IMAGES = 1000
BATCH = 100


def parameters(build: Build) -> dict[str, Any]:
    """Numbers of images."""
    return {"images": QONNX_IMAGES, **export.parameters(build)}


def percent(share: float) -> float:
    """A share of the images in percent, without the digits that binary fractions add."""
    return round(100 * share, 6)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Measure; without a data set for the backbone only say so."""
    if not export.trainable(build) or export.is_untrained(build):
        text = "the weights are untrained" if export.is_untrained(build) else "no data set for this backbone"
        return {"reasons": {"accuracy": text, "bit_exact.qonnx": text}}
    import numpy as np

    from models.data import image_codes, load_split
    from models.train import integer_logits
    from quant.export import execute, export_qonnx

    network, details = export.integer_network(build)
    pixels, labels = load_split("test")
    codes = image_codes(pixels)[..., None].astype(np.float32)
    integer = integer_logits(network, codes)
    top1 = percent(float((integer.argmax(axis=1) == labels).mean()))
    dims = build.config.dims
    shape = (dims.image_size, dims.image_size, dims.channels)
    batched = export_qonnx(network, shape, out / "batched.onnx", build.model, build.config.recipe, batch=BATCH)
    (out / "batched.onnx").unlink()
    compared = mismatches = 0
    for start in range(0, QONNX_IMAGES, BATCH):
        found = execute(batched, codes[start : start + BATCH])
        expected = integer[start : start + BATCH]
        compared += expected.size
        mismatches += int((found.reshape(expected.shape) != expected).sum())
    np.save(out / "logits.npy", integer)
    if mismatches:
        raise RuntimeError(
            f"accuracy: {mismatches} of {compared} logits codes of the QONNX graph differ from the integer model"
        )
    share = details.get("float_test_accuracy")  # as the training measured it
    float_top1 = None if share is None else percent(share)
    return {
        "accuracy": {"float_top1": float_top1, "integer_top1": top1, "images": len(labels)},
        "bit_exact": {"qonnx": {"images": QONNX_IMAGES, "values_compared": compared, "mismatches": mismatches}},
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
