# SPDX-License-Identifier: Apache-2.0
"""The survey's tables 2 to 8 (survey.yaml) and the EER of each of their rows, beside what the survey prints.

All figures use Eq. 26, the plain mean, which is what the survey's tables use. Eq. 28 with equal weights that sum to one
gives the same when its further division by the number of metrics is left out, and 1/n of it as printed.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from synthesis.reports.eer import SETS, VIT_B_16, eer

FILE = Path(__file__).with_name("survey.yaml")
SET_OF = {"CA": "params_flops", "P": "params_flops", "KD": "params_flops", "Q": "bits_size"}
# Category of each row of table 8
TABLE_8 = ("CA", "P", "KD", "Q")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: Number of the table.
        category: "CA", "P", "KD" or "Q".
        model: Name as printed, with the bits of a quantized model.
        metrics: Metric of synthesis.reports.eer -> value, those that are printed.
        top1: Percent, None where it is not printed.
        printed: Metric set -> EER in percent as printed.
        unclear: Value that is printed where Top-1 and EER should be and is either, see survey.yaml; None elsewhere.
    """

    table: int
    category: str
    model: str
    metrics: dict[str, float]
    top1: float | None
    printed: dict[str, float]
    unclear: float | None = None

    def eer(self, metric_set: str) -> float | None:
        """EER of Eq. 26 in percent; None where a metric is not printed."""
        names = SETS[metric_set]
        return eer(self.metrics, VIT_B_16, names) if all(name in self.metrics for name in names) else None


@dataclass(frozen=True)
class Check:
    """An EER of a row: as printed, None where it is not, and of Eq. 26, None where its metrics are not printed."""

    row: Row
    metric_set: str
    printed: float | None
    computed: float | None

    @property
    def verdict(self) -> str:
        """Either "agrees" to a tenth, "cut": digits were cut off instead of rounded, "differs", or "": not printed."""
        if self.printed is None or self.computed is None:
            return ""
        if abs(self.computed - self.printed) <= 0.05 + 1e-9:
            return "agrees"
        return "cut" if int(self.computed * 10 + 1e-9) == round(self.printed * 10) else "differs"


@cache
def survey_rows() -> tuple[Row, ...]:
    """All rows of all tables, in the order of the survey."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(row for table in content["tables"] for row in _rows(table))


def _rows(table: dict[str, Any]) -> list[Row]:
    rows = []
    for index, values in enumerate(table["rows"]):
        found = {key: value for key, value in zip(table["columns"], values, strict=True) if value is not None}
        category = TABLE_8[index] if table["category"] == "all" else table["category"]
        metrics = {key: float(found[key]) for key in ("params_m", "flops_g", "size_mb") if key in found}
        name = found["model"]
        if "weight_bits" in found:
            metrics["bits"] = (found["weight_bits"] + found["activation_bits"]) / 2
            name += f" W{found['weight_bits']}A{found['activation_bits']}"
        printed = {SET_OF[category]: found["eer"]} if "eer" in found else {}
        if "eer_all" in found:
            printed["all"] = found["eer_all"]
        rows.append(Row(table["number"], category, name, metrics, found.get("top1"), printed, found.get("printed")))
    return rows


def checks() -> list[Check]:
    """Each row's EER values that are printed, and that of its category where none is."""
    found = []
    for row in survey_rows():
        for metric_set in row.printed or (SET_OF[row.category],):
            check = Check(row, metric_set, row.printed.get(metric_set), row.eer(metric_set))
            assert check.printed is None or check.computed is not None, f"{row.model}: metrics of its EER are missing"
            found.append(check)
    return found


def disagreements() -> list[Check]:
    """Printed EER values that are not Eq. 26 rounded to a tenth."""
    return [check for check in checks() if check.verdict in ("cut", "differs")]
