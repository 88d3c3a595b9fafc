# SPDX-License-Identifier: Apache-2.0
"""Boards: a folder under hw/boards with board.yaml, pins and a top module is a board."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BOARDS_DIR = ROOT / "hw" / "boards"
RTL_DIR = ROOT / "hw" / "rtl"

# Keys every board.yaml has; a board with a bitstream also has the second set
BOARD_KEYS = {
    "name", "vendor", "part", "package", "speed", "backend", "clock_mhz", "resources", "bram_kind", "bram_bits",
    "dsp_kind", "dsp_sums", "fold_lut_limit", "budget_fraction", "block_fraction",
}  # fmt: skip
BITSTREAM_KEYS = {"oscillator_mhz", "clock_mhz_range", "uart_baud", "pins", "units", "flash_board"}
RESOURCE_KEYS = {"lut", "ff", "dsp", "bram"}


def list_boards(boards_dir: Path = BOARDS_DIR) -> list[str]:
    """Return the names of all boards, sorted."""
    return sorted(path.parent.name for path in boards_dir.glob("*/board.yaml"))


def load_board(name: str, boards_dir: Path = BOARDS_DIR) -> dict[str, Any]:
    """Read and check one board.yaml.

    Returns:
        The keys of board.yaml; resources counts {lut, ff, dsp, bram} of the device. Key "dir" is the board's folder.

    Raises:
        ValueError: unknown board, or keys missing, unknown or of the wrong kind.
    """
    path = boards_dir / name / "board.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name, list_boards(boards_dir), n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"unknown board '{name}'{guess} (make list-boards)")
    try:
        board = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(board, dict):
        raise ValueError(f"{path}: expected a mapping of keys, got {type(board).__name__}")
    wanted = BOARD_KEYS | (BITSTREAM_KEYS if board.get("backend") == "nextpnr" else set())
    missing = sorted(wanted - set(board))
    unknown = sorted(set(board) - BOARD_KEYS - BITSTREAM_KEYS)
    if missing or unknown:
        raise ValueError(f"{path}: missing keys {missing}, unknown keys {unknown}")
    if board["name"] != name:
        raise ValueError(f"{path}: name is '{board['name']}', the folder is '{name}'; they must agree")
    if set(board["resources"]) != RESOURCE_KEYS:
        raise ValueError(f"{path}: resources has {sorted(board['resources'])}, expected {sorted(RESOURCE_KEYS)}")
    return {**board, "dir": path.parent}


def unit_sources(units: list[str], rtl_dir: Path = RTL_DIR) -> list[Path]:
    """Return the source files of units and what they need, each once, dependencies first.

    Args:
        units: Folder names under hw/rtl; <unit>/<unit>.f lists the files relative to hw/rtl.

    Raises:
        ValueError: a unit has no source list.
    """
    files: dict[Path, None] = {}
    for unit in units:
        listing = rtl_dir / unit / f"{unit}.f"
        if not listing.is_file():
            raise ValueError(f"unit '{unit}' has no source list {listing}")
        for line in listing.read_text().splitlines():
            text = line.split("//")[0].strip()
            if text:
                files.setdefault(rtl_dir / text)
    return list(files)


def board_sources(board: dict[str, Any]) -> list[Path]:
    """Return the files that a board adds to the generated vit_top, its top module last."""
    return [*unit_sources(board["units"]), board["dir"] / "top.sv"]
