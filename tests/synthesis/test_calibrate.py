# SPDX-License-Identifier: Apache-2.0
"""synthesis/calibrate.py: what is drawn, fitted and reported; Yosys runs are in test_cost.py."""

import json

import pytest

from synthesis import calibrate, cost


def samples(count, lut):
    """Adders of 8 bits and more, alone in their ops, with `lut` of their width."""
    widths = [8 + seed % 9 for seed in range(count)]
    return [calibrate.sample("add", seed, "ecp5", "add", {"OUT_BITS": bits, "INIT_FILE": "x.hex"},
            {"lut": lut(bits), "ff": bits + 2, "dsp": 0, "bram": 0}) for seed, bits in enumerate(widths)]  # fmt: skip


@pytest.fixture
def fitted(monkeypatch):
    """The model with adders of 30 LUT and 5 a bit."""
    found = calibrate.fit("ecp5", samples(90, lambda bits: 30 + 5 * bits))
    monkeypatch.setattr(cost, "coefficients", lambda device: found)
    return found


def test_fit_finds_the_coefficients(fitted):
    assert set(fitted) == {"add"} and "INIT_FILE" not in samples(1, float)[0]["params"]
    for bits in (8, 12, 30):
        estimate = cost.module_cost("ecp5", "add", {"OUT_BITS": bits})
        assert estimate.lut == pytest.approx(30 + 5 * bits, rel=0.03)
        assert estimate.ff == pytest.approx(bits + 2, rel=0.1)


def test_held_modules_keep_their_coefficients(monkeypatch):
    """Adders of 30 LUT and 5 a bit are known; what an op has above them is the tee's: 7 LUT and 3 an output."""
    known = {"add": {"lut": {"one": 30.0, "out": 5.0}, "ff": {"one": 2.0, "out": 1.0}}}
    monkeypatch.setattr(cost, "coefficients", lambda device: known)
    ops = samples(90, lambda bits: 30 + 5 * bits)
    for item in list(ops):
        outputs = 2 + item["seed"] % 5
        used = {"lut": 7 + 3 * outputs, "ff": 4, "dsp": 0, "bram": 0}
        ops.append(calibrate.sample("add", item["seed"], "ecp5", "tee", {"OUTPUTS": outputs}, used))
    found = calibrate.fit("ecp5", ops, {"add"})
    assert set(found) == {"tee"}
    assert found["tee"]["lut"]["one"] + 4 * found["tee"]["lut"]["outputs"] == pytest.approx(7 + 3 * 4, rel=0.03)


def test_modules_that_other_ops_have():
    """An mvu reads its weights from the same rom; nothing else has reorder."""
    held = calibrate.held_modules(["requant"], "ecp5")
    assert {"rom", "mvu", "reader", "fifo", "add"} <= held and not {"requant", "reorder"} & held
    assert calibrate.held_modules(list(calibrate.COUNTS), "ecp5") == set()


def test_errors_by_hand(fitted):
    """Half of the units are a tenth larger than before, the others a quarter: errors of 1/11 and 1/5."""
    grown = samples(18, lambda bits: (30 + 5 * bits) * (1.1 if bits % 2 else 1.25))
    [row] = calibrate.errors("ecp5", grown)
    assert row["name"] == "add" and row["count"] == 18 and row["wrong_dsp"] == row["wrong_bram"] == 0
    assert row["lut"]["worst"] == pytest.approx(1 / 5, abs=0.03)
    odd = sum(1 for item in grown if item["params"]["OUT_BITS"] % 2)
    assert row["lut"]["within"] == pytest.approx(odd / 18)
    grown[0]["dsp"] = 1
    assert calibrate.errors("ecp5", grown)[0]["wrong_dsp"] == 1
    assert "| add | 18 |" in calibrate.markdown("title", [row])


def test_every_third_draw_is_kept_from_the_fit():
    kept = [item["seed"] for item in samples(9, float) if calibrate.held_out(item)]
    assert kept == [0, 3, 6]


@pytest.mark.parametrize("name", calibrate.DRAWS)
@pytest.mark.parametrize("device", cost.FAMILIES)
def test_draws_are_ops_that_can_be_costed(name, device):
    for seed in range(4):
        model, inst = calibrate.draw(name, seed, device)
        rtl = inst.rtl(model, "u")
        assert all(item.module in cost.MODULES for item in rtl.instances)
        assert inst.cost({"ecp5": "LFE5U-85F", "xcup": "xczu9eg"}[device]).lut > 0
        again = calibrate.draw(name, seed, device)[1].rtl(calibrate.draw(name, seed, device)[0], "u")
        assert [item.params for item in again.instances] == [item.params for item in rtl.instances]
        assert again.files == rtl.files
        if name.startswith("mvu"):
            assert inst.get("PE") * inst.get("SIMD") <= calibrate.MACS and inst.groups * inst.chunks >= 16
            assert inst.get("da") == (name == "mvu_da")


def test_design_that_is_not_built_is_refused(tmp_path, capsys):
    assert calibrate.main(["--build", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: ") and "fold.json does not exist; expected a design built up to synthesis" in text
    assert calibrate.main(["--workers", "0"]) == 1
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err


def write_design(folder, units, used, design):
    """What calibrate reads of a built design."""
    files = {
        "manifest.json": {"board": "ulx3s_85f"},
        "results/fold.json": {"units": units},
        "results/synth.json": {"resources_by_unit": used},
        "rtl/design.json": design,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


def test_design_errors_count_fifos_for_the_unit_in_front(tmp_path):
    """One add of 41 LUT whose estimate lacks the FIFO behind it."""
    estimate, fifo = cost.module_cost("ecp5", "add", {"OUT_BITS": 12}), cost.module_cost(
        "ecp5", "fifo", {"WIDTH": 12, "DEPTH": 2}
    )  # fmt: skip
    unit = {"name": "a", "op": "VitrailAdd"} | {f"{key}_estimate": getattr(estimate, key) for key in calibrate.FIGURES}
    edge = {"name": "x", "fifo": "fifo_a", "unit": "a", "element_bits": 12, "elements": 1, "depth": 2}
    used = {key: getattr(estimate, key) + getattr(fifo, key) for key in calibrate.FIGURES}
    design = {"edges": [edge], "units": [{"name": "a", "op": "VitrailAdd", "inputs": []}]}
    write_design(tmp_path, [unit], {"a": used}, design)
    rows = calibrate.design_errors(tmp_path)
    assert [row["name"] for row in rows] == ["Add", "all units"]
    assert all(row["lut"]["worst"] == 0 and row["ff"]["worst"] == 0 for row in rows)


def test_design_errors_take_a_requant_together_with_the_unit_in_front(tmp_path):
    """An mvu of 100 LUT estimated at 110, its requant of 50 at 40: 10 % and 20 % off, together not at all."""
    figures = {"ff": 10, "dsp": 0, "bram": 0}
    mvu = {"name": "m", "op": "VitrailMvu", "lut_estimate": 110}
    requant = {"name": "r", "op": "VitrailRequant", "lut_estimate": 40}
    units = [unit | {f"{key}_estimate": value for key, value in figures.items()} for unit in (mvu, requant)]
    design = {
        "edges": [{"name": "acc", "unit": "m", "fifo": None}],
        "units": [{**mvu, "inputs": ["image"]}, {**requant, "inputs": ["acc"]}],
    }
    write_design(tmp_path, units, {"m": {"lut": 100, **figures}, "r": {"lut": 50, **figures}}, design)
    rows = {row["name"]: row["lut"]["worst"] for row in calibrate.design_errors(tmp_path)}
    assert rows == pytest.approx({"Mvu": 0.1, "Requant": 0.2, "with requant": 0, "all units": 0})
