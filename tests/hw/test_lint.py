# SPDX-License-Identifier: Apache-2.0
"""Every unit of hw/rtl is clean in Verilator's lint and elaborates in Yosys. The list is read from the tree."""

import pytest

from sim.bench.lint import elaborate, lint, units
from sim.toolchain import RTL


def test_lint_covers_every_folder():
    folders = sorted(f.name for f in RTL.iterdir() if any(f.glob("*.sv")))
    assert folders and folders == units()


@pytest.mark.verilator
@pytest.mark.parametrize("unit", units())
def test_lint_unit_is_clean(unit):
    lint(unit)


@pytest.mark.yosys
@pytest.mark.parametrize("unit", units())
def test_lint_unit_elaborates(unit):
    elaborate(unit)
