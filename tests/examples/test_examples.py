"""The examples run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = {"projected_loop": ["--steps", "2", "--batch", "2", "--feature-side", "64"]}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SHORT.keys()


@pytest.mark.parametrize("name", SHORT)
def test_it_runs_and_draws(tmp_path: Path, name: str) -> None:
    out = tmp_path / "fakes.png"
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *SHORT[name], "--out", str(out)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Image.open(out).size == (512, 256)
    assert str(out) in done.stdout
