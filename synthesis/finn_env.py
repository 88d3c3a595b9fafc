# SPDX-License-Identifier: Apache-2.0
"""finn-plus without Vivado: bind the simulator names it looks for, give it a build folder, register Vitrail's ops.

Importing finn takes seconds, so only commands that handle a dataflow graph call load_finn().
"""

import importlib
import logging
import os
import tempfile
from functools import cache
from types import ModuleType

# Names that finn.xsi resolves lazily, and only with a sourced Vivado. Vitrail never simulates through them.
XSI_NAMES = (
    "SimEngine",
    "compile_sim_obj",
    "load_sim_obj",
    "reset_rtlsim",
    "close_rtlsim",
    "rtlsim_multi_io",
    "locate_glbl",
    "get_simkernel_so",
)


@cache
def load_finn() -> ModuleType:
    """Import finn headless and Vitrail's ops with it.

    Returns:
        The package synthesis.ops, whose op classes are registered with finn-plus.

    Raises:
        RuntimeError: finn-plus is not installed.
    """
    if "FINN_BUILD_DIR" not in os.environ:
        os.environ["FINN_BUILD_DIR"] = tempfile.gettempdir()
    try:
        xsi = importlib.import_module("finn.xsi")
    except ImportError as error:
        raise RuntimeError(
            f"finn-plus cannot be imported ({error}); expected the environment that `make venv` sets up"
        ) from error
    for name in XSI_NAMES:
        if name not in vars(xsi):
            setattr(xsi, name, None)
    logging.getLogger("finn_logger").setLevel(logging.ERROR)
    return importlib.import_module("synthesis.ops")
