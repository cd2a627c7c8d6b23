"""`openstylegan dataset` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from openstylegan.cli.dataset import dataset
from openstylegan.errors import InputError


def run(*words) -> int:
    """The exit code of the command, run in this process."""
    try:
        dataset([str(word) for word in words], result_action="return_none")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def source(tmp_path, images, write_images):
    return write_images(tmp_path / "source", images(5, 3, 12, 10), labels=[0, 1, 0, 1, 2])


def test_prepare_verify_cache(tmp_path, source, capsys):
    (source / "bad.png").write_bytes(b"no picture")
    dest = tmp_path / "out.zip"
    options = ["--transform", "center-crop", "--width", 8, "--height", 8, "--resize-filter", "box", "--max-images", 9]
    assert run("--source", source, "--dest", dest, *options, "--workers", 1) == 0
    printed = capsys.readouterr().out
    assert "Wrote 5 pictures of 8 x 8 with 3 channels, labels: classes to" in printed
    assert "Skipped 1 pictures" in printed
    assert "bad.png" in printed
    assert run("verify", dest, "--json", tmp_path / "found.json") == 0
    assert "No problems." in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["pictures"] == 5
    assert run("cache", dest) == 0
    assert "5 pictures, 0 MiB" in capsys.readouterr().out
    assert run("verify", dest) == 0
    assert "the raw cache is whole" in capsys.readouterr().out


def test_verify_exits_1_on_problems(source, capsys):
    (source / "bad.png").write_bytes(b"no picture")
    assert run("verify", source, "--workers", 1) == 1
    printed = capsys.readouterr().out
    assert "problems:" in printed
    assert "bad.png" in printed


def test_user_errors_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="nothing is there"):
        run("--source", tmp_path / "missing", "--dest", tmp_path / "out.zip")
    with pytest.raises(InputError, match="--workers: expected at least 1, got 0"):
        run("--source", tmp_path, "--dest", tmp_path / "out.zip", "--workers", 0)


def test_importing_the_command_imports_nothing_heavy():
    code = (
        "import sys; import openstylegan.cli.dataset; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
