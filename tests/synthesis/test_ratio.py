# SPDX-License-Identifier: Apache-2.0
"""Recipe `auto`: the ratio comes from the board, and training, estimates and checkpoints know which."""

from dataclasses import replace

import pytest

from models.names import parse_model_name
from models.train import checkpoint_path, main, recipe_of
from quant.recipe import AUTO, load_recipe
from synthesis import cli, ratio
from synthesis.board import list_boards, load_board
from synthesis.ratio import mac_luts, macs_per_cycle, mixed_share, ratio_for, with_ratio

AUTO_MODEL = parse_model_name("vit_mini_w4a8_auto")
LUTS = {"dsp": 26, "fixed": 80, "pot": 65, "sp2": 50}


@pytest.fixture
def fixed_costs(monkeypatch):
    """Costs of a MAC that a hand can reckon with."""
    monkeypatch.setattr(ratio, "mac_luts", lambda board, config, rows: LUTS[rows])


def board(**changes):
    """An ECP5 board of 10,000 LUT for folding and 100 multiplier blocks, unless changed."""
    found = load_board("ulx3s_85f") | {"budget_fraction": 1.0, "block_fraction": 1.0, "fold_lut_limit": 10_000}
    return found | {"resources": {"lut": 100_000, "ff": 10_000, "dsp": 100, "bram": 100}} | changes


def test_macs_per_cycle_by_hand(fixed_costs):
    # four bits: two products a block; 70 % of the LUTs less what the lanes on blocks take
    on_blocks, sp2 = macs_per_cycle(board(), AUTO_MODEL, "sp2")
    assert on_blocks == 200
    assert sp2 == pytest.approx((7_000 - 200 * 26) / 50)
    # eight bits: one product a block
    on_blocks, pot = macs_per_cycle(board(), parse_model_name("vit_mini_w8a8_auto"), "pot")
    assert (on_blocks, pot) == (100, pytest.approx((7_000 - 100 * 26) / 65))
    no_room = board(fold_lut_limit=5_000)
    assert macs_per_cycle(no_room, AUTO_MODEL, "sp2") == (200, 0.0)
    assert ratio_for(no_room, AUTO_MODEL) == 0
    nothing = board(resources={"lut": 100_000, "ff": 1, "dsp": 0, "bram": 0}, fold_lut_limit=0)
    assert macs_per_cycle(nothing, AUTO_MODEL, "sp2") == (0, 0.0) and ratio_for(nothing, AUTO_MODEL) == 0


def test_mixed_share_by_hand():
    dims = AUTO_MODEL.dims  # 17 tokens, 96 channels, 384 hidden, 2 blocks
    mlp = 2 * 17 * 2 * 96 * 384
    assert mixed_share(dims, "mlp") == mlp / dims.macs
    assert mixed_share(dims, "all") == (mlp + 2 * 17 * 4 * 96 * 96) / dims.macs
    assert mixed_share(dims, "none") == 0.0


def test_fraction_of_the_device_decides(fixed_costs):
    """A tenth of 100,000 LUT and of 1,000 blocks is what the boards above have."""
    whole = board(resources={"lut": 100_000, "ff": 1, "dsp": 1000, "bram": 100}, fold_lut_limit=100_000)
    assert macs_per_cycle(whole, AUTO_MODEL, "sp2", 0.1) == macs_per_cycle(board(), AUTO_MODEL, "sp2")
    assert ratio_for(whole, AUTO_MODEL, 0.1) == ratio_for(board(), AUTO_MODEL) == 1


def test_mac_luts_come_from_the_cost_model():
    """Lanes on blocks are the cheapest; on UltraScale+ tables (many tokens) are cheaper than shift-adds (few)."""
    for name in ("ulx3s_85f", "zcu102"):
        costs = {rows: mac_luts(load_board(name), AUTO_MODEL, rows) for rows in LUTS}
        assert 0 <= costs["dsp"] < min(costs["fixed"], costs["pot"], costs["sp2"])
    deit = parse_model_name("deit_s_w4a8_sp2")
    assert mac_luts(load_board("zcu102"), deit, "sp2") < 0.7 * mac_luts(load_board("zcu102"), AUTO_MODEL, "sp2")


def test_ratio_by_hand(fixed_costs):
    # 14,000 LUT for lanes, 200 x 26 of them beside blocks, 176 SP2 MACs in the others: 176 / 376 = 0.468 of all MACs,
    # 0.468 / 0.623 = 0.752 of those in the MLP layers, which hold 62.3 % of the network's: 3 of 4 rows
    assert ratio_for(board(fold_lut_limit=20_000), AUTO_MODEL) == 3
    # 36 / 236 = 0.153 of all MACs: 0.245 of the MLP's
    assert ratio_for(board(), AUTO_MODEL) == 1


def test_fixed_rows_on_luts_are_taken_where_they_are_as_cheap(monkeypatch):
    """They keep more accuracy; what they are dearer by must be more than the cost model's error."""
    for fixed, expected in ((50, 0), (52, 0), (53, 3), (80, 3)):
        costs = LUTS | {"fixed": fixed}
        monkeypatch.setattr(ratio, "mac_luts", lambda board, config, rows, costs=costs: costs[rows])
        assert ratio_for(board(fold_lut_limit=20_000), AUTO_MODEL) == expected


def test_more_luts_or_fewer_blocks_give_more_shift_add_rows(monkeypatch):
    monkeypatch.setattr(ratio, "MIN_SAVING", -1.0)  # whatever fixed-point rows on LUTs cost
    rows = [ratio_for(board(fold_lut_limit=luts), AUTO_MODEL) for luts in (6_000, 10_000, 20_000, 40_000, 80_000)]
    assert rows == sorted(rows) and rows[0] < rows[-1] <= 4
    blocks = [{"lut": 10_000, "ff": 1, "dsp": count, "bram": 100} for count in (20, 60, 100, 130)]
    rows = [ratio_for(board(resources=resources), AUTO_MODEL) for resources in blocks]
    assert rows == sorted(rows, reverse=True) and rows[0] > rows[-1]


@pytest.mark.parametrize("name", list_boards())
def test_every_board_gives_a_ratio_to_auto_alone(name):
    """None at four bits, where SP2 rows are not cheaper than fixed-point ones; all where they are by a tenth."""
    found = load_board(name)
    for model in ("vit_mini_w4a8_auto", "deit_s_w4a8_auto"):
        config = parse_model_name(model)
        assert mac_luts(found, config, "sp2") > 0.95 * mac_luts(found, config, "fixed")
        assert with_ratio(config, found).shift_add_rows == 0
    config = parse_model_name(f"vit_mini_w{2 if name == 'ulx3s_85f' else 3}a8_auto")
    assert mac_luts(found, config, "sp2") < 0.9 * mac_luts(found, config, "fixed")
    assert with_ratio(config, found).shift_add_rows == 4
    config = with_ratio(AUTO_MODEL, found)
    assert recipe_of(config).shift_add_rows == config.shift_add_rows
    for other in ("", "_all", "_fixed", "_pot"):
        config = parse_model_name(f"vit_mini_w4a8{other}")
        assert with_ratio(config, found) == config


def test_checkpoint_name_ends_with_the_ratio(tmp_path):
    assert checkpoint_path(replace(AUTO_MODEL, shift_add_rows=3), tmp_path).name == "vit_mini_w4a8_auto3.safetensors"
    assert checkpoint_path(parse_model_name("vit_mini_w4a8"), tmp_path).name == "vit_mini_w4a8.safetensors"


def test_ratio_without_a_board_is_refused(capsys):
    assert load_recipe("auto").shift_add_rows == AUTO
    with pytest.raises(ValueError, match=r"recipe 'auto' takes its shift-add rows from a board; name it \(make train"):
        recipe_of(AUTO_MODEL)
    with pytest.raises(ValueError, match=r"shift_add_rows=5, expected 0..4 \(row_group of recipe 'auto'\)"):
        recipe_of(replace(AUTO_MODEL, shift_add_rows=5))
    with pytest.raises(ValueError, match=r"recipe 'sp2' says shift_add_rows: 3, 2 of a board go with"):
        recipe_of(replace(parse_model_name("vit_mini_w4a8_sp2"), shift_add_rows=2))
    assert main(["--model", "vit_mini_w4a8_auto"]) == 1
    assert capsys.readouterr().err.startswith("error: recipe 'auto' takes its shift-add rows from a board; ")


def test_train_verb_hands_the_ratio_on(monkeypatch):
    seen = []
    monkeypatch.setattr("models.train.main", lambda words: seen.append(words) or 0)
    rows = ratio_for(load_board("ulx3s_85f"), AUTO_MODEL)
    assert cli.main(["train", "--model", "vit_mini_w4a8_auto", "--board", "ulx3s_85f"]) == 0
    assert cli.main(["train", "--model", "vit_mini_w4a8", "--board", "ulx3s_85f"]) == 0
    assert seen == [["--model", "vit_mini_w4a8_auto", "--shift-add-rows", str(rows)], ["--model", "vit_mini_w4a8"]]
