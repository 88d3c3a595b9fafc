# SPDX-License-Identifier: Apache-2.0
"""Step export: trained checkpoint (or seeded random weights) -> QONNX."""

from pathlib import Path
from typing import Any

from synthesis.build import Build, Step, file_hash

FILE = "model.onnx"
SOURCES = ("models/*.py", "models/backbones/*.py", "quant/*.py", "sim/golden/*.py")


def checkpoint(build: Build) -> Path:
    """The model's checkpoint."""
    return build.checkpoint_dir / f"{build.config.checkpoint_name}.safetensors"


def has_images(build: Build) -> bool:
    """True when there are images for the model: Fashion-MNIST's fit, or it is calibrated on a user's own.

    The latter where its float network was imported, its recipe calibrates and no random weights are asked for.
    """
    from models.data import fits
    from models.names import float_checkpoint_path, is_calibrated

    config = build.config
    if fits(config.dims):
        return True
    return not build.untrained and float_checkpoint_path(config).is_file() and is_calibrated(config, build.recipe_dir)


def with_images(build: Build) -> dict[str, Any]:
    """Parameters of the steps that read test images: those of export, and which files a user's own are."""
    from models.data import fits

    own = {}
    if not fits(build.config.dims) and has_images(build):
        from models.own_images import list_images

        own = {"own_images": list_images("val", build.config.dims).digest()}
    return own | parameters(build)


def is_untrained(build: Build) -> bool:
    """True when random weights are exported: on request, or for a backbone without images and checkpoint."""
    return build.untrained or (not checkpoint(build).is_file() and not has_images(build))


def parameters(build: Build) -> dict[str, Any]:
    """The checkpoint and the recipe by content."""
    recipe = build.recipe_dir / f"{build.config.recipe}.yaml"
    path = checkpoint(build)
    rows = build.config.shift_add_rows
    ratio = {} if rows is None else {"shift_add_rows": rows}
    return ratio | {
        "model": build.model,
        "recipe": file_hash(recipe) if recipe.is_file() else None,
        "checkpoint": file_hash(path) if path.is_file() else None,
        "untrained": is_untrained(build),
    }


def calibrate(build: Build) -> None:
    """Make the checkpoint of a recipe that only calibrates, when none of the recipe as it is is there."""
    from models.names import RECIPE_DIR, is_calibrated

    if is_untrained(build) or build.recipe_dir != RECIPE_DIR or not is_calibrated(build.config):
        return
    from models.train import is_current, make_checkpoint

    if not is_current(build.config, build.checkpoint_dir):
        label = f"no {checkpoint(build).name} of this recipe: calibrating"
        build.report(label)
        with build.busy(label):
            make_checkpoint(build.config, build.checkpoint_dir)


def integer_network(build: Build) -> tuple[Any, dict[str, Any]]:
    """The network in integers and the details of its training (empty: untrained).

    Raises:
        ValueError: the checkpoint is missing or damaged.
    """
    from models.train import load_integer, untrained_integer

    if is_untrained(build):
        return untrained_integer(build.config), {}
    return load_integer(build.config, build.checkpoint_dir, build.recipe_dir)


def run(build: Build, out: Path) -> dict[str, Any]:
    """Export and describe the model."""
    import warnings

    import numpy as np

    warnings.filterwarnings("ignore", message="fast_hadamard_transform")
    from models.train import UNTRAINED_SEED
    from quant.export import export_qonnx
    from quant.schemes import SCHEMES

    network, details = integer_network(build)
    config, dims = build.config, build.config.dims
    shape = (dims.image_size, dims.image_size, dims.channels)
    wrapper = export_qonnx(network, shape, out / FILE, build.model, config.recipe)
    rows = np.bincount(np.concatenate([np.asarray(v) for v in network.row_schemes.values()]).astype(int), minlength=3)
    weights = {name: int(network.weight_bits(name)) for name in network.row_schemes}
    model = {
        "params": dims.params,
        "macs": dims.macs,
        "weight_bits": config.weight_bits,
        "activation_bits": config.activation_bits,
        "size_bytes": constant_bytes(wrapper),
        "trained": not is_untrained(build),
        "tokens": dims.tokens,
        "embed_dim": dims.embed_dim,
        "depth": dims.depth,
        "rows": {name: int(count) for name, count in zip(SCHEMES, rows, strict=True)},
        "layer_weight_bits": weights,
    }
    seeds = {"weights": UNTRAINED_SEED} if is_untrained(build) else {"training": details.get("recipe", {}).get("seed")}
    return {"model": model, "training": details, "seeds": seeds}


def constant_bytes(wrapper: Any) -> int:
    """Bytes of all constants at their widths: weights as stored, other initializers by their integer type."""
    import numpy as np

    bits = 0
    quants = {node.input[0]: node for node in wrapper.graph.node if node.op_type == "Quant"}
    helpers = {name for node in quants.values() for name in node.input[1:]}
    for tensor in wrapper.graph.initializer:
        count = int(np.prod(tensor.dims))
        if tensor.name in quants:
            stored = [a.i for a in quants[tensor.name].attribute if a.name == "storage_bits"]
            bits += count * (stored[0] if stored else int(wrapper.get_tensor_datatype(tensor.name).bitwidth()))
        elif tensor.name not in helpers and not tensor.name.endswith((".shape", ".sizes", ".index")):
            bits += count * int(wrapper.get_tensor_datatype(tensor.name).bitwidth())
    return (bits + 7) // 8


STEP = Step(
    "export",
    "QONNX from the trained model",
    "01_export",
    (),
    SOURCES,
    parameters,
    run,
    shared=True,
    prepare=calibrate,
)
