"""The Dockerfile, without Docker: it keeps the usual rules, its commands parse, its entry point runs `generate`."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openstylegan.cli.main import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()


def commands_of_the_image() -> Any:
    spec = importlib.util.spec_from_file_location("dockerfile", ROOT / "benchmarks" / "dockerfile.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dockerfile = commands_of_the_image()
INSTRUCTIONS: list[tuple[str, str]] = dockerfile.instructions(TEXT)


def last(name: str) -> str:
    return next(rest for found, rest in reversed(INSTRUCTIONS) if found == name)


def test_the_usual_rules_are_kept() -> None:
    names = [name for name, _ in INSTRUCTIONS]
    assert set(names) <= {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    assert names.index("FROM") == 1 and names.count("FROM") == names.count("ENTRYPOINT") == names.count("CMD") == 1
    base = next(rest for name, rest in INSTRUCTIONS if name == "ARG").partition("=")[2]
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+[\w.-]*", base), "a base of a fixed version"
    assert last("USER").isdigit() and int(last("USER")) > 0, "not root, by number"
    assert all(rest.startswith("/") for name, rest in INSTRUCTIONS if name == "WORKDIR")
    for command in dockerfile.commands(TEXT):
        assert not re.search(r"\b(sudo|apt|curl|wget|cd)\b", command)
        assert "pip install" not in command or "--no-cache-dir" in command
    assert all(isinstance(json.loads(last(name)), list) for name in ("ENTRYPOINT", "CMD"))


def test_its_commands_parse_and_its_files_exist() -> None:
    for name, rest in INSTRUCTIONS:
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        if name == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1])
    ignored = (ROOT / ".dockerignore").read_text().split()
    kept = [source for name, rest in INSTRUCTIONS if name == "COPY" for source in rest.split()[:-1]]
    assert ignored[0] == "*" and {f"!{source}" for source in kept} <= set(ignored)


def test_torch_of_a_fixed_version_comes_first() -> None:
    without, torch, package, *rest = dockerfile.commands(TEXT)
    assert "--constraint constraints-cpu.txt" in torch and torch.startswith('if [ -n "$TORCH_INDEX" ]')
    assert re.search(r"^torch==\d", (ROOT / "constraints-cpu.txt").read_text(), re.MULTILINE)
    # A base image's own torch stays, with the triton it asks for: everything else is of the versions tested.
    assert without == "grep -v -E '^(torch|triton)==' constraints-cpu.txt > constraints.txt"
    assert "--constraint constraints.txt" in package and package.endswith('".[features]"')
    assert all(command.startswith(dockerfile.OF_THE_IMAGE) for command in rest)


def test_the_entry_point_generates(tmp_path: Path) -> None:
    dockerfile.generate([str(Path(sys.executable).parent / dockerfile.entry_point(TEXT)[0])], tmp_path)
    assert (tmp_path / "out" / "grid.png").is_file()


def test_the_command_that_is_run_by_itself_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(json.loads(last("CMD"))) == 0
    assert "--network" in capsys.readouterr().out
