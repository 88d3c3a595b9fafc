# SPDX-License-Identifier: Apache-2.0
"""Model names `<backbone>_w<bits>a<bits>[_<recipe>]`; `python -m models.names` lists them. Needs no torch, no numpy."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from models.registry import ViTDims, backbone_dims, list_backbones, suggest

ROOT = Path(__file__).resolve().parents[1]
RECIPE_DIR = ROOT / "quant" / "recipes"
CHECKPOINT_DIR = ROOT / "models" / "checkpoints"
BUILD_DIR = ROOT / "build"
DEFAULT_RECIPE = "default"
MIN_BITS, MAX_BITS = 2, 8
SHIPPED_BITS = (4, 8)  # weights, activations
_PATTERN = re.compile(
    r"(?P<backbone>[a-z][a-z0-9_]*?)_w(?P<weight>[0-9]+)a(?P<activation>[0-9]+)(_(?P<recipe>[a-z0-9_]+))?"
)


@dataclass(frozen=True)
class ModelConfig:
    """What a model name says.

    Attributes:
        backbone: Name in models.registry.
        weight_bits: Bits of a weight of the encoder blocks, 2..8.
        activation_bits: Bits of an activation, 2..8.
        recipe: File name in quant/recipes without .yaml.
        source_name: The name as it was given, which also names the build folder.
        shift_add_rows: Shift-add rows of a group where the recipe leaves them to the board and the board was asked.
    """

    backbone: str
    weight_bits: int
    activation_bits: int
    recipe: str
    source_name: str
    shift_add_rows: int | None = None

    @property
    def checkpoint_name(self) -> str:
        """Name of the checkpoint: the model's, with the shift-add rows behind it where they came from a board."""
        return self.source_name + ("" if self.shift_add_rows is None else str(self.shift_add_rows))

    @property
    def dims(self) -> ViTDims:
        """Sizes of the backbone."""
        return backbone_dims(self.backbone, self.source_name)


def parse_model_name(name: str, recipe_dir: Path = RECIPE_DIR) -> ModelConfig:
    """Take a model name apart.

    Args:
        name: Such as "deit_s_w4a8_sp2"; without a recipe the recipe is "default".
        recipe_dir: Folder of the recipes.

    Raises:
        ValueError: the form, the backbone, a bit width or the recipe is not known.
    """
    match = _PATTERN.fullmatch(name)
    if match is None:
        raise ValueError(
            f"model name {name!r} is not of the form <backbone>_w<bits>a<bits>[_<recipe>], such as 'vit_mini_w4a8' "
            "(make list-models)"
        )
    backbone_dims(match["backbone"], name)
    weight_bits = _bits(name, "weight", match["weight"])
    activation_bits = _bits(name, "activation", match["activation"])
    recipe = match["recipe"] or DEFAULT_RECIPE
    recipes = list_recipes(recipe_dir)
    if recipe not in recipes:
        raise ValueError(f"unknown recipe {recipe!r} in {name!r}; {suggest(recipe, recipes)} (files of quant/recipes)")
    return ModelConfig(match["backbone"], weight_bits, activation_bits, recipe, name)


def model_name(backbone: str, weight_bits: int, activation_bits: int, recipe: str) -> str:
    """The name of a model; without its recipe where that is the default."""
    return f"{backbone}_w{weight_bits}a{activation_bits}" + ("" if recipe == DEFAULT_RECIPE else f"_{recipe}")


def is_calibrated(config: ModelConfig, recipe_dir: Path = RECIPE_DIR) -> bool:
    """True for a recipe that only calibrates: a minute for vit_mini, so such checkpoints are made when needed."""
    from quant.recipe import load_recipe

    return load_recipe(config.recipe, recipe_dir).method != "qat"


def checkpoint_folder(config: ModelConfig) -> Path:
    """Folder of a model's checkpoint: models/checkpoints, or inside the model's build folder if it is calibrated."""
    if not is_calibrated(config):
        return CHECKPOINT_DIR
    return build_root() / config.source_name / "checkpoint"


def float_checkpoint_path(config: ModelConfig, folder: Path = CHECKPOINT_DIR) -> Path:
    """Where the float network of a backbone lies."""
    return folder / f"{config.backbone}_float.safetensors"


def build_root() -> Path:
    """Folder of all builds: $VITRAIL_BUILD, or build in the repository."""
    return Path(os.environ.get("VITRAIL_BUILD", BUILD_DIR))


def list_recipes(recipe_dir: Path = RECIPE_DIR) -> list[str]:
    """Recipe names, "default" first, the others sorted; only "default" where the folder is missing."""
    return [DEFAULT_RECIPE, *sorted({path.stem for path in recipe_dir.glob("*.yaml")} - {DEFAULT_RECIPE})]


def list_models(recipe_dir: Path = RECIPE_DIR) -> list[str]:
    """Names of the models that are listed and tested: every backbone with every recipe, at W4A8."""
    return [model_name(name, *SHIPPED_BITS, recipe) for name in list_backbones() for recipe in list_recipes(recipe_dir)]


def _bits(name: str, what: str, digits: str) -> int:
    bits = int(digits)
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(
            f"{what} bits {bits} in {name!r} are outside {MIN_BITS}..{MAX_BITS}; such as 'w4a8': 4-bit weights, "
            "8-bit activations"
        )
    return bits


if __name__ == "__main__":
    print("\n".join(list_models()))
