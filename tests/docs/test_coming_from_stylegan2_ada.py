"""The page for users of stylegan2-ada-pytorch: its Python runs word for word on every file, its commands exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers import GOLDEN

from openstylegan.cli.main import COMMANDS, main

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-stylegan2-ada.md").read_text()
PICKLES = sorted(p.name for p in [*GOLDEN.glob("pkl_s*.pkl"), *GOLDEN.glob("tf_sg2*.pkl")])


@pytest.mark.parametrize("name", PICKLES)
def test_the_python_runs_word_for_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(GOLDEN / name, tmp_path / "ffhq.pkl")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    exec(compile(code, "coming-from-stylegan2-ada.md", "exec"), found)
    G = found["G"]
    assert tuple(found["img"].shape) == (1, G.img_channels, G.img_resolution, G.img_resolution)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.splitlines()[0].split()[0] == str(G.z_dim)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`openstylegan ([\w-]+)", PAGE))))
def test_commands_and_their_options_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command in COMMANDS
    assert main([command, "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    for line in re.findall(rf"`openstylegan {command}([^`]*)`", PAGE):
        assert set(re.findall(r"--[a-z][a-z0-9-]*", line)) <= known
