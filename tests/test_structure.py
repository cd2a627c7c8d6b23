"""The order of the house: imports go down only, nothing names torch too early, help is fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import openstylegan
from openstylegan.cli.main import COMMANDS

PACKAGE = Path(openstylegan.__file__).parent
LAYERS = [
    ["cli"],
    ["viewer"],
    ["training", "dirac", "doctor"],
    ["sampling", "metrics"],
    ["interop"],
    ["snapshot"],
    ["presets"],
    ["losses", "augment", "data"],
    ["networks"],
    ["features"],
    ["ops"],
    ["tensors", "images", "randomness", "config", "distributed"],
    ["web"],
    ["registry", "files"],
    ["errors"],
]
RANK = {name: len(LAYERS) - n for n, layer in enumerate(LAYERS) for name in layer}


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> list[str]:
    """The modules of this package that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [m for m in found if m.startswith("openstylegan.")]


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in RANK, f"{own} has no place in the order of the house"
    for module in imports(path):
        other = layer_of(module)
        assert RANK[other] < RANK[own] or other == own, f"{own} imports {module}"


def test_the_loop_knows_no_model() -> None:
    names = ("stylegan", "ada", "fastgan", "msg", "projected", "progressive")
    for name in ("loop", "phase", "forward_pass", "build", "tick", "state", "players"):
        tree = ast.parse((PACKAGE / "training" / f"{name}.py").read_text())
        compared = [value for node in ast.walk(tree) if isinstance(node, ast.Compare) for value in node.comparators]
        strings = [c.value.lower() for c in compared if isinstance(c, ast.Constant) and isinstance(c.value, str)]
        assert not [s for s in strings if s.startswith(names)]


def run_python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, openstylegan, openstylegan.cli.main, openstylegan.cli.train; print('torch' in sys.modules)"
    assert run_python("-c", code).strip() == "False"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_needs_no_torch(command: str) -> None:
    code = (
        "import sys; from openstylegan.cli.main import main; main([*sys.argv[1:], '--help']); "
        "print('torch imported:', 'torch' in sys.modules)"
    )
    assert "torch imported: False" in run_python("-c", code, *command.split())


def test_help_is_fast() -> None:
    """Measured as processor time, which other work on the machine does not change much."""
    best = float("inf")
    for _ in range(3):
        code = "import time; from openstylegan.cli.main import main; main(['--help']); print(time.process_time())"
        best = min(best, float(run_python("-c", code).splitlines()[-1]))
    assert best < 0.5


def test_public_names_are_there() -> None:
    for name in openstylegan.__all__:
        assert getattr(openstylegan, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = openstylegan.nonsense
