"""docs/cli.md: every command has its part, and no part names an option that its command does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openstylegan.cli.main import COMMANDS, main

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## openstylegan ([\w-]+)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))


def test_every_command_has_its_part() -> None:
    assert PARTS.keys() == COMMANDS.keys()
    assert all(f"[`{name}`](#openstylegan-{name})" in PAGE for name in COMMANDS)


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What --help says of a command and of the commands below it."""
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for below in re.findall(r"^│ ([a-z]+) +[A-Z]", text, re.M):
        assert main([name, below, "--help"]) == 0
        text += capsys.readouterr().out
    return text


@pytest.mark.parametrize("name", COMMANDS)
def test_options_that_are_named_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = set(re.findall(r"--[a-z][a-z0-9-]*", help_of(name, capsys)))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", PARTS[name]))
    assert named <= known


def test_every_option_of_training_is_in_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    lines = re.findall(r"^│ +(--[a-z0-9-]+)", capsys.readouterr().out, re.M)
    assert len(lines) > 30
    named = re.findall(r"--[a-z][a-z0-9-]*", PARTS["train"])
    assert [option for option in lines if option not in named] == []
