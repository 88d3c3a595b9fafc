# SPDX-License-Identifier: Apache-2.0
"""The survey's tables: our EER gives each printed row, but for the rows listed here."""

from dataclasses import replace

import pytest

from synthesis.reports.eer import SETS, VIT_B_16, eer
from synthesis.reports.survey import checks, disagreements, survey_rows

# (table, model, metric set): printed, Eq. 26. Rows whose printed value no cutting of digits explains.
DIFFER = {
    (2, "PVTv2-B2-LiSRA", "params_flops"): (24.0, 24.13),
    (3, "VTP-DeiT-B (tau=0.2)", "params_flops"): (88.5, 89.09),
    (3, "VTP-DeiT-B (tau=0.4)", "params_flops"): (77.9, 78.29),
    (3, "PS-DeiT-B", "params_flops"): (77.3, 78.07),
    (3, "DPS-DeiT-B", "params_flops"): (76.2, 76.94),
    (3, "PS-LV-ViT-S", "params_flops"): (32.8, 28.36),
    (3, "DPS-LV-ViT-S", "params_flops"): (32.3, 27.80),
    (3, "X-Pruner-DeiT-B", "params_flops"): (74.1, 74.38),
    (3, "DynamicViT-LV-S/07", "params_flops"): (28.9, 28.60),
    (4, "DynamicViT-LV-S/07", "params_flops"): (28.9, 28.60),
    (6, "APQ-ViT-DeiT-Ti W8A8", "bits_size"): (10.1, 13.26),
    (7, "PTQ4ViT-Swin-T W6A6", "bits_size"): (12.5, 12.66),
    (7, "PTQ4ViT-Swin-B W8A8", "bits_size"): (25.9, 25.83),
    (7, "APQ-ViT-Swin-B W8A8", "bits_size"): (25.9, 25.83),
    (7, "NoisyQuant-PTQ4ViT-Swin-T W6A6", "bits_size"): (12.5, 12.66),
    (7, "NoisyQuant-PTQ4ViT-Swin-B W8A8", "bits_size"): (25.9, 25.83),
    (8, "DynamicViT-LV-S/07 W32A32", "params_flops"): (28.9, 28.60),
    (8, "NoisyQuant-PTQ4ViT-Swin-B W6A6", "all"): (56.5, 56.97),
}
# Rows that are cut to a tenth instead of rounded.
CUT = {
    (2, "PVT-Medium", "params_flops"),
    (2, "Swin-S", "params_flops"),
    (2, "Swin-B", "params_flops"),
    (2, "Ortho-L", "params_flops"),
    (2, "Castling-LeViT-128", "params_flops"),
    (2, "Castling-LeViT-192", "params_flops"),
    (2, "EfficientViT-B3", "params_flops"),
    (2, "EfficientViT-L1", "params_flops"),
    (3, "PS-LV-ViT-M", "params_flops"),
    (3, "NViT-T", "params_flops"),
    (4, "DeiT-S", "params_flops"),
    (4, "Manifold-DeiT-S", "params_flops"),
    (4, "DearKD-DeiT-S", "params_flops"),
    (6, "Liu_Q-DeiT-B W4A4", "bits_size"),
    (6, "Liu_Q-DeiT-S W8A8", "bits_size"),
    (6, "Liu_Q-DeiT-B W8A8", "bits_size"),
    (6, "PTQ4ViT-DeiT-S W8A8", "bits_size"),
    (6, "PTQ4ViT-DeiT-B W8A8", "bits_size"),
    (6, "APQ-ViT-DeiT-B W4A4", "bits_size"),
    (6, "APQ-ViT-DeiT-S W8A8", "bits_size"),
    (6, "APQ-ViT-DeiT-B W8A8", "bits_size"),
    (6, "NoisyQuant-PTQ4ViT-DeiT-S W8A8", "bits_size"),
    (6, "NoisyQuant-PTQ4ViT-DeiT-B W8A8", "bits_size"),
    (7, "PTQ4ViT-Swin-S W6A6", "bits_size"),
    (7, "APQ-ViT-Swin-S W8A4", "bits_size"),
    (7, "APQ-ViT-Swin-S W4A8", "bits_size"),
    (7, "APQ-ViT-Swin-S W6A6", "bits_size"),
    (7, "NoisyQuant-PTQ4ViT-Swin-S W6A6", "bits_size"),
    (8, "Castling-MViTv2-T W32A32", "all"),
    (8, "DynamicViT-LV-S/07 W32A32", "all"),
}


def test_survey_rows_are_complete():
    counts = {table: sum(row.table == table for row in survey_rows()) for table in range(2, 9)}
    assert counts == {2: 40, 3: 23, 4: 24, 5: 27, 6: 28, 7: 22, 8: 4}
    assert sum(len(row.printed) for row in survey_rows()) == 142


def test_survey_eer_is_reproduced_but_for_listed_rows():
    found = {(d.row.table, d.row.model, d.metric_set): d for d in disagreements()}
    assert {key for key, d in found.items() if d.verdict == "cut"} == CUT
    assert {key: (d.printed, round(d.computed, 2)) for key, d in found.items() if d.verdict == "differs"} == DIFFER
    agreeing = [
        (row, name) for row in survey_rows() for name in row.printed if (row.table, row.model, name) not in found
    ]
    assert len(agreeing) == 142 - 48
    for row, name in agreeing:
        assert f"{row.eer(name):.1f}" == f"{row.printed[name]:.1f}", row


def test_survey_worked_row():
    # TinyViT-21M in table 8: 32/32, 84/330, 21/86.6 and 4.3/17.6
    row = next(row for row in survey_rows() if row.table == 8 and row.model.startswith("TinyViT"))
    assert row.eer("all") == pytest.approx(100 * (1 + 84 / 330 + 21 / 86.6 + 4.3 / 17.6) / 4)


def test_survey_both_normalisations():
    row = survey_rows()[0]
    names = SETS["params_flops"]
    equal = dict.fromkeys(names, 1 / len(names))
    plain = eer(row.metrics, VIT_B_16, names)
    assert eer(row.metrics, VIT_B_16, names, equal, divide_by_count=False) == pytest.approx(plain)
    assert eer(row.metrics, VIT_B_16, names, equal) == pytest.approx(plain / len(names))


def test_survey_table_5_has_eer_values_but_of_other_rows():
    """Eight of its 27 values are the EER of some row of the table, one of them of its own; the rest are accuracies."""
    table = [check for check in checks() if check.row.table == 5]
    assert len(table) == 27 and all(check.verdict == "" and check.row.top1 is None for check in table)

    def gives(check, value):
        return replace(check, printed=value).verdict in ("agrees", "cut")

    values = [check.row.unclear for check in table]
    of_some_row = [value for value in values if any(gives(check, value) for check in table)]
    assert of_some_row == [15.8, 11.9, 19.2, 11.9, 13.3, 15.8, 25.6, 19.2]
    assert [check.row.model for check in table if gives(check, check.row.unclear)] == ["APQ-ViT-ViT-B W4A8"]
    assert min(set(values) - set(of_some_row)) == 17.6  # the others are accuracies


def test_survey_checks_cover_every_row():
    found = checks()
    assert len(found) == 168 + 4 and {id(check.row) for check in found} == {id(row) for row in survey_rows()}
    assert sum(check.verdict == "agrees" for check in found) == 142 - 48
    silent = [check.row.model for check in found if check.verdict == "" and check.row.table != 5]
    assert silent == ["Flowformer", "CivT-Ti", "CivT-S"]
