# SPDX-License-Identifier: Apache-2.0
"""Command line: bad input ends in one message and status 1, an interruption in 130; builds resume."""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import registry
from models.names import list_models, parse_model_name
from synthesis import build as build_module
from synthesis import cli
from synthesis.board import list_boards, load_board
from synthesis.build import ROOT, Build, Step, write_json
from synthesis.steps import STEPS
from tests.synthesis.conftest import TINY

RESULTS = ROOT / "docs" / "results"


def fails(capsys, *words):
    """Run a command that must fail; returns its only message."""
    assert cli.main(words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("error:") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("bitstraem",), "unknown verb 'bitstraem'; did you mean 'bitstream'?"),
        (("rtl", "--model", "dait_s_w4a8"), "unknown backbone 'dait_s' in 'dait_s_w4a8'; did you mean 'deit_s'?"),
        (("rtl", "--model", "vit_mini"), "not of the form <backbone>_w<bits>a<bits>[_<recipe>]"),
        (("rtl", "--model", "vit_mini_w9a8"), "weight bits 9 in 'vit_mini_w9a8' are outside 2..8"),
        (("rtl", "--model", "vit_mini_w4a8_sp3"), "unknown recipe 'sp3' in 'vit_mini_w4a8_sp3'; did you mean 'sp2'?"),
        (("rtl", "--board", "ulx3s_58f"), "unknown board 'ulx3s_58f'; did you mean 'ulx3s_85f'?"),
        (("rtl", "--fps", "fast"), "FPS='fast' is not a number above zero; expected images per second"),
        (("rtl", "--fps", "-3"), "FPS='-3' is not a number above zero"),
        (("rtl", "--fps", "nan"), "FPS='nan' is not a number above zero"),
        (("rtl", "--fraction", "33"), "FRACTION='33' is not a number above 0 and at most 1; expected a share of the"),
        (("rtl", "--fraction", "0"), "FRACTION='0' is not a number above 0 and at most 1"),
        (("pnr", "--seeds", "0"), "SEEDS='0' is not a whole number of 1..100; expected a number of placements"),
        (("pnr", "--seeds", "2.5"), "SEEDS='2.5' is not a whole number of 1..100"),
        (("synth", "--board", "kv260", "--seeds", "2"), "only boards with backend nextpnr get; the backend of"),
        (("synth", "--board", "kv260", "--clock", "200"), "CLOCK=200 is for place and route, which only boards with"),
        (
            ("pnr", "--clock", "40"),
            "CLOCK='40' is not a number of 50..131; expected a clock in MHz that is enough, such",
        ),
        (("pnr", "--clock", "fast"), "CLOCK='fast' is not a number of 50..131"),
        (("rtl", "--fraction", "a third"), "FRACTION='a third' is not a number above 0"),
        (("rtl", "--lanes", "lut"), "unknown LANES='lut'; expected one of all, dsp"),
        (
            ("report", "--reference", "none.json"),
            "report: reference none.json is not the report.json of a finished build",
        ),
        (("rtl", "--frames", "3"), "unrecognized arguments: --frames 3"),
        (("explore", "--weight-bits", "3,9"), "--weight-bits '3,9': expected widths of 2..8 with commas between them"),
        (("explore", "--activation-bits", "x"), "--activation-bits 'x': expected widths of 2..8 with commas between"),
        (("explore", "--model", "vit_mini_w4a8_liu", "--weight-bits", "3"), "weight bits 3 for a recipe of method liu"),
        (("explore", "--model", "vit_mini_w4a8_liu", "--untrained"), "come from its calibration, and untrained"),
        (("pnr", "--board", "zcu102"), "no bitstream for zcu102: its backend is vivado"),
    ],
)
def test_bad_input_is_one_message(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    assert text in fails(capsys, *words)


def test_missing_bitstream_says_what_to_run(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    assert "run: make bitstream MODEL=vit_mini_w4a8 BOARD=ulx3s_85f" in fails(capsys, "flash")


def test_missing_tool_stops_a_build_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "the C++ compiler no-such-compiler is absent" in fails(capsys, "bitstream")
    assert not list(tmp_path.rglob("01_export"))


def test_lists(capsys):
    assert cli.main(["list-models"]) == 0
    assert capsys.readouterr().out.split() == list_models()
    assert cli.main(["list-boards"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list_boards()


def test_interruption_is_130(capsys, monkeypatch):
    def stop(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", stop)
    assert cli.main(["rtl"]) == 130
    assert capsys.readouterr().err == "error: interrupted; run the same command again to resume\n"


SWALLOW = ["raise TypeError('expected a message')", "raise SystemExit(1)", "pass"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("swallow", SWALLOW)
def test_interruption_lost_in_a_library_is_one_all_the_same(swallow, number, status):
    """C code may answer an interruption with an error of its own, or with none: the step then counts as interrupted."""
    script = f"""
import signal, sys
from synthesis import cli

def run(options):
    with cli.Display().busy("step"):
        try:
            signal.raise_signal({number})
        except BaseException:
            {swallow}
    print("done")

cli.run = run
cli.interrupt_on_signals()
sys.exit(cli.main(["rtl"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (status, "error: interrupted; run the same command again to resume\n")
    assert "done" not in done.stdout


def test_end_is_not_interrupted_but_a_later_stop_works():
    """What removes temporary files runs to its end under further signals; Ctrl-C is not dead for what goes on after."""
    script = f"""
import signal, sys, time
from synthesis import cli

def run(options):
    try:
        signal.raise_signal({signal.SIGINT})
    finally:
        signal.raise_signal({signal.SIGTERM})
        signal.raise_signal({signal.SIGINT})
        print("cleaned up")
        time.sleep(cli.PATIENCE + 0.1)
        try:
            signal.raise_signal({signal.SIGINT})
        except KeyboardInterrupt:
            print("stopped again")

cli.run = run
cli.interrupt_on_signals()
sys.exit(cli.main(["rtl"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (130, "cleaned up\nstopped again\n")


# A run whose tool has a child of its own; both write their process ids down.
STOPPED_RUN = """
import sys
from pathlib import Path
from synthesis import cli
from synthesis.backends.process import run_tool
from sim import toolchain

shell = ["sh", "-c", "sleep 60 & echo $! $$ > pids.part; mv pids.part pids; wait"]
log = Path("log")
cli.run = lambda options: toolchain.run_tool(shell, "") if options.verb == "sim" else run_tool(shell, log, Path(), "")
cli.interrupt_on_signals()
sys.exit(cli.main(sys.argv[1:]))
"""


def alive(pid: int) -> bool:
    """True while a process exists that has not ended (one without a parent may stay as a zombie)."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("verb", ["synth", "sim"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signal_stops_the_tools_and_what_they_started(verb, number, status, tmp_path):
    script, env = tmp_path / "run.py", {**os.environ, "PYTHONPATH": str(ROOT)}
    script.write_text(STOPPED_RUN)
    run = subprocess.Popen([sys.executable, script, verb], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "pids").exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.05)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert all(alive(pid) for pid in pids)
    run.send_signal(number)
    _, text = run.communicate(timeout=60)
    assert (run.returncode, text) == (status, "error: interrupted; run the same command again to resume\n")
    deadline = time.monotonic() + 20  # of the 60 seconds that they would go on
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A folder that looks like a finished build; its golden models give 0, 1, 2, ..."""
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    folder = tmp_path / "vit_mini_w4a8" / "ulx3s_85f"
    (folder / "rtl").mkdir(parents=True)
    (folder / "vit_mini_w4a8.bit").write_bytes(b"bits")
    (folder / "rtl" / "vit_top.sv").write_text("module vit_top; endmodule")
    steps = {name: {"outputs": {"file": [1, name]}, "upstream": {}, "folder": name} for name in ("export", "pnr")}
    steps["pnr"]["upstream"] = {"export": {"file": "export"}}
    write_json(folder / "manifest.json", {"steps": steps})
    monkeypatch.setattr("synthesis.steps.sim.test_images", lambda build, count: np.zeros((count, 28, 28, 1), int))
    monkeypatch.setattr(
        "synthesis.steps.sim.golden_logits", lambda build, images: np.arange(10 * len(images)).reshape(-1, 10)
    )
    return folder


def test_run_compares_with_the_golden_models(built, monkeypatch):
    seen = {}

    def host_main(arguments):
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        seen.update(options, logits=np.load(options["--expected"]))
        return 7

    monkeypatch.setattr("synthesis.host.main", host_main)
    assert cli.main(["run", "--port", "/dev/ttyX", "--images", "3"]) == 7
    assert (seen["--port"], seen["--images"], seen["--baud"]) == ("/dev/ttyX", "3", "3000000")
    np.testing.assert_array_equal(seen["logits"], np.arange(30).reshape(3, 10))
    assert len(seen["--model-id"]) == 16 and not Path(seen["--expected"]).exists()


def test_run_refuses_a_bitstream_of_another_model(built, capsys):
    manifest = json.loads((built / "manifest.json").read_text())
    manifest["steps"]["export"]["outputs"]["file"][1] = "trained again"
    write_json(built / "manifest.json", manifest)
    text = fails(capsys, "run")
    assert "vit_mini_w4a8.bit is older than the model beside it; run: make bitstream MODEL=vit_mini_w4a8" in text


def test_run_refuses_no_images(built, capsys):
    assert "--images 0, expected at least 1" in fails(capsys, "run", "--images", "0")


def test_ignored_signal_stays_ignored():
    """A run under nohup goes on when its terminal closes."""
    script = "import signal; from synthesis import cli; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    script += "cli.interrupt_on_signals(); signal.raise_signal(signal.SIGHUP); print(signal.getsignal(signal.SIGTERM))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "stop" in done.stdout


def test_full_disk_is_one_message(capsys, monkeypatch):
    def full(options):
        raise OSError(errno.ENOSPC, "No space left on device", "build/x/y")

    monkeypatch.setattr(cli, "run", full)
    text = fails(capsys, "rtl")
    assert "the disk is full" in text and "build/x/y; free some space and run again" in text


# --------------------------------------------------------------------------------------------------------- explore


@pytest.fixture
def tiny_backbone(tmp_path, monkeypatch):
    """vit_tiny, a backbone without checkpoints."""
    monkeypatch.setenv("VITRAIL_BUILD", str(tmp_path))
    monkeypatch.setitem(registry._BACKBONES, "vit_tiny", lambda: TINY)


def explored(capsys, folder, *words):
    """Run explore; returns what it printed and wrote."""
    assert cli.main(["explore", *words]) == 0
    return capsys.readouterr().out, json.loads((folder / "explore.json").read_text())


def test_explore_prints_and_writes_the_designs(tiny_backbone, tmp_path, capsys):
    words = ("--model", "vit_tiny_w4a8", "--weight-bits", "3", "--activation-bits", "6")
    text, content = explored(capsys, tmp_path / "vit_tiny_w4a8" / "ulx3s_85f", *words)
    widths = {(design["weight_bits"], design["activation_bits"]) for design in content["designs"]}
    assert widths == {(3, 6), (3, 8), (4, 6), (4, 8)}
    assert [design["cycles"] for design in content["designs"]] == sorted(d["cycles"] for d in content["designs"])
    assert "vit_tiny_w4a8 on ulx3s_85f: ranked by images per second alone, not by accuracy; all but top-1 are" in text
    for cell in ("W4A8", "W3A6", "4 sp2", "not measured"):
        assert f" {cell} " in text
    assert "top-1: no sweep has measured one of these designs (make sweep)" in text
    notes = "weights are untrained (seeded random): sizes and cycles hold, accuracy does not exist"
    assert f"vit_tiny_w4a8, vit_tiny_w4a6: {notes}\n" in text
    assert content["untrained"] == ["vit_tiny_w4a8", "vit_tiny_w4a6"]
    assert f"all {len(content['designs'])} designs: " in text


def test_explore_takes_the_widths_of_the_recipe_and_the_lanes_asked_for(tiny_backbone, tmp_path, capsys):
    folder = tmp_path / "vit_tiny_w4a8_fixed" / "ulx3s_85f-lanes_dsp"
    text, content = explored(capsys, folder, "--model", "vit_tiny_w4a8_fixed", "--lanes", "dsp")
    widths = {(design["weight_bits"], design["activation_bits"]) for design in content["designs"]}
    assert widths == {(w, a) for w in (3, 4, 6) for a in (6, 8)}
    assert {design["lanes"] for design in content["designs"]} == {"dsp"} and "│ all " not in text
    assert not any(design["lane_macs"]["lut_fixed"] for design in content["designs"])


def test_explore_shows_accuracies_of_a_sweep(tiny_backbone, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("synthesis.explore.sweep_files", lambda backbone: [RESULTS / "sweep_vit_mini.json"])
    words = ("--model", "vit_tiny_w4a8", "--weight-bits", "2", "--activation-bits", "")
    text, _ = explored(capsys, tmp_path / "vit_tiny_w4a8" / "ulx3s_85f", *words)
    assert " 90.65 (3) " in text and " 89.23 (3) " in text and " not measured " in text
    assert "top-1: mean over the seeds of a sweep (docs/results/sweep_vit_mini.json), where training is short" in text


# ---------------------------------------------------------------------------------------------------- build folder


class Counter:
    """A step that counts its runs and writes what it is told."""

    def __init__(self, name, needs=(), shared=False):
        self.runs, self.text, self.fault = 0, "a", None
        self.step = Step(name, f"test {name}", name, needs, (), lambda build: {"text": self.text}, self.run, shared)

    def run(self, build, out):
        self.runs += 1
        (out / "half").write_text("x")
        if self.fault:
            raise self.fault
        (out / "half").unlink()
        (out / "file").write_text(self.text[:1])
        return {self.step.name: self.text}


@pytest.fixture
def build(tmp_path):
    made = Build(parse_model_name("vit_mini_w4a8"), load_board("ulx3s_85f"), root=tmp_path, report=lambda text: None)
    made.load()
    return made


def test_step_follows_from_its_own_file_and_the_tools(build, monkeypatch):
    for step in STEPS.values():
        assert Path(step.run.__code__.co_filename).name == f"{step.name}.py"
    first = Counter("first")
    build.execute([first.step])
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "tool_versions", lambda: {"pyosys": "0"})
        assert not build.up_to_date(first.step)
    assert build.up_to_date(first.step)
    hashed = build_module.file_hash
    own = Path(first.step.run.__code__.co_filename)
    monkeypatch.setattr(build_module, "file_hash", lambda path: "edited" if path == own else hashed(path))
    assert not build.up_to_date(first.step)


def test_file_in_the_build_folder_is_made_again_when_it_is_gone(build):
    def run(build, out):
        (build.dir / "name.bit").write_text("bits")
        return {}

    step = Step("first", "test", "first", (), (), lambda build: {}, run, published=lambda build: ("name.bit",))
    build.execute([step])
    assert build.up_to_date(step)
    (build.dir / "name.bit").write_text("other")
    assert not build.up_to_date(step)
    (build.dir / "name.bit").unlink()
    build.execute([step])
    assert (build.dir / "name.bit").read_text() == "bits"
    board = load_board("ulx3s_85f")
    assert STEPS["pnr"].published(build) == ("vit_mini_w4a8.bit",)
    keys = {build.key(STEPS["report"])}
    build.board = board | {"resources": board["resources"] | {"ff": 7}}
    assert build.key(STEPS["report"]) not in keys


def test_bitstream_of_an_older_design_is_not_used(build):
    lower, pnr = Counter("synth"), Counter("pnr", ("synth",))
    build.execute([lower.step, pnr.step])
    bit = build.dir / "vit_mini_w4a8.bit"
    with pytest.raises(ValueError, match=r"vit_mini_w4a8.bit does not exist; run: make bitstream MODEL=vit_mini_w4a8"):
        cli.built_bitstream(build)
    bit.write_text("bits")
    assert cli.built_bitstream(build) == bit
    lower.text = "b"
    build.execute([lower.step])
    with pytest.raises(ValueError, match=r"vit_mini_w4a8.bit is older than the model beside it; run: make bitstream"):
        cli.built_bitstream(build)


def test_second_run_does_nothing(build):
    first, second = Counter("first"), Counter("second", ("first",))
    for _ in range(2):
        build.execute([first.step, second.step])
    assert (first.runs, second.runs) == (1, 1)
    again = Build(build.config, build.board, root=build.root, report=build.report)
    again.load()
    again.execute([first.step, second.step])
    assert (first.runs, second.runs) == (1, 1)
    manifest = json.loads((build.dir / "manifest.json").read_text())
    assert set(manifest["seconds"]) == {"first", "second"} and manifest["tool_versions"]["qonnx"]


def test_change_reruns_only_what_depends_on_it(build):
    first, second, third = Counter("first"), Counter("second", ("first",)), Counter("third")
    steps = [first.step, second.step, third.step]
    build.execute(steps)
    first.text = "ab"  # a new parameter, the same output: nothing behind it runs
    build.execute(steps)
    assert (first.runs, second.runs, third.runs) == (2, 1, 1)
    first.text = "b"
    build.execute(steps)
    assert (first.runs, second.runs, third.runs) == (3, 2, 1)


def sibling(build, **changes):
    """Another build of the same model, loaded."""
    other = replace(build, **changes)
    other.load()
    return other


def test_fraction_and_lanes_have_folders_of_their_own(build):
    name = build.board["name"]
    assert build.dir.name == name
    assert replace(build, fraction=0.33).dir.name == f"{name}-fraction0.33"
    assert replace(build, fraction=1 / 3, lanes="dsp").dir.name == f"{name}-fraction0.333333-lanes_dsp"
    assert replace(build, lanes="dsp").dir.parent == build.dir.parent


def test_shared_step_is_taken_from_another_folder_of_the_model(build):
    """Only steps that say so, only with the same inputs, and only what is whole."""
    shared, own = Counter("shared", shared=True), Counter("own", ("shared",))
    build.execute([shared.step, own.step])
    other = sibling(build, fraction=0.5)
    other.execute([shared.step, own.step])
    assert (shared.runs, own.runs) == (1, 2)
    assert (other.dir / "shared" / "file").read_text() == "a" and other.results("shared") == {"shared": "a"}
    assert other.up_to_date(shared.step) and other.agrees("own")
    again = sibling(build, fraction=0.5)
    assert again.up_to_date(shared.step)
    shared.text = "b"
    sibling(build, lanes="dsp").execute([shared.step])
    assert shared.runs == 2
    shared.text = "a"
    (build.dir / "shared" / "file").write_text("?")
    (other.dir / "shared" / "file").unlink()
    sibling(build, fraction=0.25).execute([shared.step])
    assert shared.runs == 3


def test_figures_of_an_older_design_do_not_agree(build):
    """A report leaves out what was measured on a design that an earlier step has replaced since."""
    first, second, third = Counter("first"), Counter("second", ("first",)), Counter("third", ("second",))
    build.execute([first.step, second.step, third.step])
    first.text = "b"
    build.execute([first.step])
    assert [build.agrees(name) for name in ("first", "second", "third", "fourth")] == [True, False, False, False]
    first.text = "a"
    build.execute([first.step])
    assert build.agrees("third")


def test_damaged_output_is_made_again(build):
    step = Counter("first")
    build.execute([step.step])
    (build.dir / "first" / "file").write_text("?")
    build.execute([step.step])
    assert step.runs == 2 and (build.dir / "first" / "file").read_text() == "a"


@pytest.mark.parametrize("fault", [RuntimeError("tool failed"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_failed_step_leaves_nothing_half_written(build, fault):
    """The step's folder is the old one or absent, never half of a new one, and the next run works."""
    step = Counter("first")
    step.fault = fault
    with pytest.raises(type(fault)):
        build.execute([step.step])
    assert not list(build.dir.glob("first*")) and not list(build.dir.glob(".first*"))
    step.fault = None
    build.execute([step.step])
    assert (build.dir / "first" / "file").read_text() == "a" and not (build.dir / "first" / "half").exists()


def test_failed_tool_leaves_its_log_where_the_message_says(build):
    def run(_, out):
        (out / "tool.log").write_text("why")
        raise RuntimeError(f"tool failed\n  log: {out / 'tool.log'}")

    step = Step("first", "test", "first", (), (), lambda build: {}, run)
    with pytest.raises(RuntimeError) as caught:
        build.execute([step])
    assert Path(str(caught.value).split("log: ")[1]).read_text() == "why"
    build.execute([Counter("first").step])
    assert not list(build.dir.glob("failed/*"))


def test_damaged_manifest_starts_over(build):
    step = Counter("first")
    build.execute([step.step])
    (build.dir / "manifest.json").write_text("{")
    build.load()
    build.execute([step.step])
    assert step.runs == 2


def test_folder_is_for_one_build_at_a_time(build):
    other = Build(build.config, build.board, root=build.root)
    with build.locked():
        with pytest.raises(ValueError, match="in use by another build"), other.locked():
            pass
    with other.locked():
        pass


def test_write_json_is_atomic(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------- registries


@pytest.mark.parametrize("board", list_boards())
@pytest.mark.parametrize("model", list_models())
def test_every_model_and_board_is_accepted(model, board):
    """Registering a backbone, a recipe or a board is enough for the command line to take it."""
    options = argparse.Namespace(
        model=model,
        board=board,
        fps="30",
        untrained=True,
        reference=None,
        fraction=None,
        lanes="all",
        seeds=None,
        clock=None,
    )
    made = cli.make_build(options, cli.Display())
    assert made.dir.parts[-2:] == (model, board)
