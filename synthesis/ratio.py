# SPDX-License-Identifier: Apache-2.0
"""How many rows of a group are shift-add, from a board's LUTs and DSP blocks: recipes with `shift_add_rows: auto`.

The rule, before anything is folded: multiplier blocks take what they can, LUTs that are left take the rest. Fixed-point
rows run on LUTs, too, and keep at least as much accuracy, so rows are shift-add only where they are cheaper there:

    rows = 0 unless LUTs of a shift-add MAC <= (1 - MIN_SAVING) * LUTs of a fixed-point MAC; otherwise
    D = multiplier blocks of the budget * products of one block          MACs a cycle on blocks
    L = (LUTs of the budget * LANE_SHARE - D * LUTs of a MAC on blocks) / LUTs of a shift-add MAC
    rows = row_group * L / (L + D) / share of the MACs that lies in mixed layers, rounded, 0..row_group

At W4A8 no board here has shift-add rows by it: the two cost the same where weights change every cycle, and in tables of
subset sums fixed-point rows are the cheaper ones.

Costs are those that folding estimates with (synthesis.cost), of a row more in an mvu. `make explore` searches whole
designs instead.
"""

from dataclasses import replace
from typing import Any

from models.names import RECIPE_DIR, ModelConfig
from models.registry import ViTDims
from quant.recipe import AUTO, load_recipe

MIN_SAVING = 0.05  # the cost model's mean error for an mvu (docs/results/cost_model.md)
LANE_SHARE = 0.7  # of the budget's LUTs; the others are for everything beside the lanes
# The mvu whose next rows are priced: 4 and 8 rows of 16 inputs
ROWS, SIMD, CHUNKS, ACC_BITS = 4, 16, 24, 20


def with_ratio(config: ModelConfig, board: dict[str, Any], fraction: float | None = None) -> ModelConfig:
    """The model with the board's shift-add rows, where its recipe leaves them to the board; otherwise unchanged."""
    if load_recipe(config.recipe, RECIPE_DIR).shift_add_rows != AUTO:
        return config
    return replace(config, shift_add_rows=ratio_for(board, config, fraction))


def ratio_for(board: dict[str, Any], config: ModelConfig, fraction: float | None = None) -> int:
    """Shift-add rows of every row_group rows that keep the board's LUTs and multiplier blocks equally busy.

    None where fixed-point rows on LUTs are as cheap.

    Args:
        board: Content of board.yaml.
        config: Model; its recipe says scheme, row_group and mixed layers.
        fraction: Share of the device that may be used; None takes the shares of board.yaml.

    Returns:
        0..row_group; 0 also where the recipe mixes no layer.
    """
    recipe = load_recipe(config.recipe, RECIPE_DIR)
    mixed = mixed_share(config.dims, recipe.mixed_layers)
    if recipe.scheme == "fixed" or not mixed:
        return 0
    if mac_luts(board, config, recipe.scheme) > (1 - MIN_SAVING) * mac_luts(board, config, "fixed"):
        return 0
    on_blocks, shift_add = macs_per_cycle(board, config, recipe.scheme, fraction)
    if not on_blocks + shift_add:
        return 0
    share = shift_add / (shift_add + on_blocks)
    return min(recipe.row_group, round(recipe.row_group * share / mixed))


def macs_per_cycle(
    board: dict[str, Any], config: ModelConfig, scheme: str, fraction: float | None = None
) -> tuple[float, float]:
    """MACs a cycle that the board's budget holds: on multiplier blocks, and of a shift-add scheme on LUTs. Estimate."""
    from synthesis.cost import packs
    from synthesis.fold import budget  # FINN+ takes seconds to import

    room = budget(board, fraction)
    packed = packs(config.weight_bits, config.activation_bits)
    on_blocks = room["dsp"] * (2 if packed else 1)
    spare = room["lut"] * LANE_SHARE - on_blocks * mac_luts(board, config, "dsp")
    return on_blocks, max(0.0, spare) / mac_luts(board, config, scheme)


def mac_luts(board: dict[str, Any], config: ModelConfig, rows: str) -> float:
    """Estimated LUTs of a further MAC on a board.

    Args:
        board: Content of board.yaml.
        config: Model, for the widths and the number of tokens.
        rows: "dsp" (fixed-point rows on multiplier blocks), or "fixed", "pot" or "sp2": on the cheaper kind of LUT
            lanes.
    """
    from synthesis.cost import family, module_cost
    from synthesis.fold import target_of
    from synthesis.ops.mvu import da_beats, da_params

    counts = {"dsp": "DSP_ROWS", "pot": "ROWS_POT", "sp2": "ROWS_SP2"}  # the other rows of PE are fixed-point, on LUTs

    def luts(count: int, kind: dict[str, int]) -> int:
        widths = {"A_BITS": config.activation_bits, "W_BITS": config.weight_bits, "ACC_BITS": ACC_BITS}
        sizes = {"PE": count, "SIMD": SIMD, "T_MAX": 1, "CHUNKS_MAX": CHUNKS}
        sizes |= {name: count if key == rows else 0 for key, name in counts.items()}
        blocks = {"DSP_SUMS": int(board["dsp_sums"])}
        return module_cost(family(board["part"]), "mvu", sizes | widths | blocks | kind).lut

    def more(kind: dict[str, int]) -> float:
        return (luts(2 * ROWS, kind) - luts(ROWS, kind)) / (ROWS * SIMD)

    if rows == "dsp":
        return more({})
    tokens, target = config.dims.tokens, target_of(board)
    tables = more({"T_MAX": tokens} | da_params(target)) * da_beats(tokens, SIMD, target) / tokens
    return min(more({}), tables)


def mixed_share(dims: ViTDims, mixed_layers: str) -> float:
    """Share of a network's MACs that lies in layers with rows of both kinds, 0..1."""
    mlp = 2 * dims.embed_dim * dims.mlp_dim
    macs = {"mlp": mlp, "all": mlp + 4 * dims.embed_dim**2, "none": 0}[mixed_layers]
    return dims.depth * dims.tokens * macs / dims.macs
