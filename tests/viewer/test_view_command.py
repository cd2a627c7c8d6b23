"""`openstylegan view` as people run it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("starlette")

from viewing import write_tiny

from openstylegan.cli.main import main
from openstylegan.viewer.address import is_local, listen, url_of


def test_one_address_and_a_clean_end(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "one.safetensors")
    command = [sys.executable, "-m", "openstylegan.cli.main", "view", str(file), "--port=0", "--no-browser"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1 networks can be looked at")
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://localhost:\d+/\?token=[\w-]{32}", url)
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"<script" in page.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, "openstylegan: the viewer has ended\n", "")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["view", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_what_cannot_be_served_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(write_tiny(tmp_path / "one.safetensors"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "in use" in refused(capsys, file, "--host=127.0.0.1", f"--port={port}")
    assert "--public" in refused(capsys, file, "--host=0.0.0.0")
    assert "--port from 0" in refused(capsys, file, "--port=70000")
    assert "nothing is there" in refused(capsys, str(tmp_path / "none.pkl"), "--port=0")
    assert "--browse" in refused(capsys, file, "--port=0", f"--browse={tmp_path / 'none'}")


def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_starlette(name: str, *rest: Any) -> Any:
        return None if name == "starlette" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_starlette)
    assert "pip install 'openstylegan[viewer]'" in refused(capsys)


def test_only_this_machine_is_let_in_unasked() -> None:
    assert [is_local(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "::", "example.org", "192.168.1.2", "")] == [False] * 5
    with listen("0.0.0.0", 0, public=True) as listening:
        port = listening.getsockname()[1]
        assert url_of("0.0.0.0", listening, "t") == f"http://{socket.gethostname()}:{port}/?token=t"
    with listen("localhost", 0, public=False) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert url_of("::1", listening, "t").startswith("http://[::1]:")
