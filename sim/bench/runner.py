# SPDX-License-Identifier: Apache-2.0
"""Run cocotb tests on a module under Verilator, from pytest. Builds are cached like those of sim.verilate."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from sim import toolchain

PARAMS_VARIABLE = "VITRAIL_BENCH_PARAMS"


def bench_params() -> dict:
    """Inside a cocotb test: the `params` given to run_cocotb."""
    return json.loads(os.environ.get(PARAMS_VARIABLE, "{}"))


def build_cocotb(
    top: str,
    sources: Sequence[str | os.PathLike] | None = None,
    params: Mapping[str, object] | None = None,
    defines: Sequence[str] = (),
) -> Path:
    """Compile a module with cocotb's Verilator main into the cache.

    Only the ports of the top are visible to cocotb, which keeps large designs fast.

    Returns:
        Folder of the executable, which is named like the module.
    """
    import cocotb_tools.config

    paths = toolchain.unit_sources(top) if sources is None else [Path(s) for s in sources]
    main = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    args = ["--cc", "--vpi", "--threads", "1", "--assert", "--no-timing", "-Wno-fatal", "-Wno-lint"]
    args += [
        "--x-initial",
        "unique",
        "--x-assign",
        "unique",
        "--timescale",
        "1ns/1ps",
        "--prefix",
        "Vtop",
        "--top-module",
        top,
    ]
    args += [f"-D{d}" for d in defines] + toolchain.parameter_args(params or {})
    key = toolchain.content_hash("cocotb", main, *paths, args, toolchain.CXX_FLAGS, toolchain.tool_version())
    final = toolchain.cache_dir() / f"cocotb_{top}_{key}"
    if (final / top).is_file():
        return final
    toolchain.cache_dir().mkdir(parents=True, exist_ok=True)
    runtime = toolchain.runtime("vpi")
    made = Path(tempfile.mkdtemp(dir=final.parent, prefix="new_"))
    obj = made / "obj"
    public = made / "public.vlt"
    public.write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n')
    binary = toolchain.verilator_dir() / "bin" / "verilator_bin"
    command = [binary, *args, "--Mdir", obj, public, *[p.resolve() for p in paths]]
    toolchain.run_tool(command, f"verilator [{top}]", env=toolchain.verilator_env())
    (obj / "all.cpp").write_text(
        "".join(f'#include "{f.name}"\n' for f in sorted(obj.glob("*.cpp"))) + f'#include "{main}"\n'
    )
    flags = [*toolchain.cxx_flags("vpi"), f"-I{obj}", "-include", runtime / "O1" / "prefix.h"]
    libs = cocotb_tools.config.libs_dir
    link = ["-rdynamic", f"-Wl,-rpath,{libs}", f"-L{libs}", "-lcocotbvpi_verilator", "-lpthread"]
    objects = sorted(runtime.glob("*.o"))
    command = [toolchain.compiler(), "-O1", *flags, obj / "all.cpp", *objects, *link, "-o", made / top]
    toolchain.run_tool(command, f"g++ [{top}]")
    shutil.rmtree(obj)
    return toolchain.publish(made, final)


def run_cocotb(
    top: str,
    module: str | os.PathLike,
    sources: Sequence[str | os.PathLike] | None = None,
    params: Mapping[str, object] | None = None,
    defines: Sequence[str] = (),
    plusargs: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike | None = None,
    testcase: str | None = None,
) -> int:
    """Build `top` and run the cocotb tests of a Python file on it.

    Args:
        top: Module name.
        module: Python file with the @cocotb.test coroutines (pass __file__ to keep them beside the pytest function).
        sources: Files in order; None takes hw/rtl/<top>/<top>.f.
        params: Parameters; the coroutines read them with bench_params().
        defines: Preprocessor definitions.
        plusargs: Arguments of the simulation.
        env: Further environment variables.
        cwd: Working directory of the simulation (for $readmemh files); default: a temporary one.
        testcase: Run only this test.

    Returns:
        Number of cocotb tests that ran (at least 1).

    Raises:
        AssertionError: a cocotb test failed; the text is the end of the log.
    """
    from cocotb_tools.runner import get_results, get_runner

    only = None if testcase is None else rf"\.{testcase}(/.*)?$"
    folder = build_cocotb(top, sources, params, defines)
    path = Path(module).resolve()
    extra = {PARAMS_VARIABLE: json.dumps(dict(params or {})), "COCOTB_ANSI_OUTPUT": "0", **(env or {})}
    with tempfile.TemporaryDirectory(prefix="cocotb_") as scratch:
        log, results = Path(scratch) / "log.txt", Path(scratch) / "results.xml"
        place = Path(cwd) if cwd is not None else Path(scratch)
        pythonpath = [str(path.parent), str(toolchain.ROOT)]
        saved_path, saved_test = list(sys.path), os.environ.pop("PYTEST_CURRENT_TEST", None)
        sys.path[:0] = pythonpath
        try:
            get_runner("verilator").test(
                test_module=path.stem, hdl_toplevel=top, hdl_toplevel_lang="verilog", build_dir=folder, test_dir=place,
                results_xml=str(results), plusargs=list(plusargs), extra_env=extra, log_file=log, test_filter=only,
            )  # fmt: skip
        except SystemExit:
            pass  # the results say more than the exit code
        finally:
            sys.path[:] = saved_path
            if saved_test is not None:
                os.environ["PYTEST_CURRENT_TEST"] = saved_test
        text = log.read_text(errors="replace") if log.is_file() else ""
        if not results.is_file():
            raise AssertionError(f"cocotb [{top}]: the simulation ended without results\n{text[-4000:]}")
        total, failed = get_results(results)
        if failed:
            names = [
                c.get("name") for c in ElementTree.parse(results).iter("testcase") if c.find("failure") is not None
            ]
            raise AssertionError(
                f"cocotb [{top}]: {failed} of {total} tests failed: {', '.join(map(str, names))}\n{text[-6000:]}"
            )
        if total == 0:
            raise AssertionError(f"cocotb [{top}]: {path.name} holds no cocotb test\n{text[-2000:]}")
    return total
