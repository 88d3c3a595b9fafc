# SPDX-License-Identifier: Apache-2.0
"""Import arrows: quant.intmath <- sim.golden <- sim; quant <- models <- synthesis; torch stays in its few modules."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("quant", "sim", "models", "synthesis")
# Modules (the longest matching name decides) and the first-party names that each may import.
MAY_IMPORT = {
    "quant": ("quant", "sim.golden"),
    "quant.intmath": (),
    "quant.schemes": ("quant.intmath",),
    "sim": ("sim", "quant.intmath", "quant.schemes"),
    "sim.golden": ("sim.golden", "quant.intmath", "quant.schemes"),
    "models": ("models", "quant", "sim.golden"),
    "models.registry": ("models.registry", "models.names", "models.backbones"),
    "models.names": ("models.registry", "models.names", "quant.recipe"),
    "synthesis": PACKAGES,
}
TORCH = ("torch", "torchvision", "brevitas")
MAY_USE_TORCH = ("quant.layers", "quant.quantizers", "quant.export", "models")
NEVER_TORCH = ("models.registry", "models.names", "models.data", "models.backbones")


def inside(name: str, package: str) -> bool:
    """True where the dotted name is package or below it."""
    return name == package or name.startswith(package + ".")


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(tree: ast.AST, module: str, is_package: bool) -> list[tuple[int, str]]:
    """Line and absolute dotted name of every import, also those inside functions. `from a import b` gives a.b."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def violations(root: Path) -> list[str]:
    """Every import below root that turns an arrow round, as `file:line: what, and what is allowed`."""
    found = []
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        module = module_name(path, root)
        rule = max((name for name in MAY_IMPORT if inside(module, name)), key=len)
        torch_allowed = any(inside(module, name) for name in MAY_USE_TORCH) and not any(
            inside(module, name) for name in NEVER_TORCH
        )
        for line, name in imported_names(ast.parse(path.read_bytes()), module, path.name == "__init__.py"):
            where = f"{path.relative_to(root)}:{line}: {module} imports {name}"
            top = name.partition(".")[0]
            if top in PACKAGES and not any(inside(name, allowed) for allowed in MAY_IMPORT[rule]):
                found.append(f"{where}; {rule} may import {', '.join(MAY_IMPORT[rule]) or 'nothing of ours'}")
            if top in TORCH and not torch_allowed:
                found.append(f"{where}; torch belongs to {', '.join(MAY_USE_TORCH)}")
    python_in_hw = sorted((root / "hw").rglob("*.py"))
    return found + [f"{path.relative_to(root)}:1: hw holds no Python" for path in python_in_hw]


def test_imports_follow_the_arrows() -> None:
    found = violations(ROOT)
    assert not found, "imports against the arrows:\n" + "\n".join(found)


def test_imports_walk_finds_the_packages() -> None:
    assert all(any((ROOT / package).rglob("*.py")) for package in ("quant", "sim", "models"))


@pytest.mark.parametrize(
    ("file", "code", "message"),
    [
        ("quant/intmath.py", "\nimport sim.golden.add", "quant/intmath.py:2: quant.intmath imports sim.golden.add"),
        ("sim/golden/add.py", "from quant import layers", "sim/golden/add.py:1: sim.golden.add imports quant.layers"),
        ("sim/golden/mvu.py", "from ..bench import run", "sim/golden/mvu.py:1: sim.golden.mvu imports sim.bench.run"),
        ("sim/golden/__init__.py", "import os\nfrom .. import bench", "sim/golden/__init__.py:2: sim.golden"),
        ("quant/export.py", "def f():\n    import models.vit", "quant/export.py:2: quant.export imports models.vit"),
        ("models/vit.py", "from synthesis import lower", "models/vit.py:1: models.vit imports synthesis.lower"),
        ("synthesis/fold.py", "import torch.nn as nn", "synthesis/fold.py:1: synthesis.fold imports torch.nn; torch"),
        ("quant/recipe.py", "from brevitas import nn", "quant/recipe.py:1: quant.recipe imports brevitas.nn; torch"),
        ("models/registry.py", "import torch", "models/registry.py:1: models.registry imports torch; torch"),
        ("hw/rtl/gen.py", "", "hw/rtl/gen.py:1: hw holds no Python"),
    ],
)
def test_imports_violation_names_file_and_line(tmp_path: Path, file: str, code: str, message: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1 and found[0].startswith(message), found


def test_imports_allowed_ones_pass(tmp_path: Path) -> None:
    for file, code in {
        "quant/layers.py": "import torch\nfrom . import intmath",
        "quant/qonnx_ops.py": "from sim.golden.add import add",
        "sim/bench/run.py": "from sim.golden import add\nfrom quant.intmath import clip",
        "models/vit.py": "import torch\nfrom quant.layers import x",
        "synthesis/lower.py": "import models.registry, quant.schemes, sim.golden.add",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []
