"""What the benchmarks of the viewer share: its program as a child, and a headless browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

VIEW = "import torch; print('torch is there', flush=True); from openstylegan.cli.main import main; main()"


@dataclass(frozen=True)
class Viewer:
    """A running viewer: its address, and when (`time.monotonic`) it had imported torch."""

    url: str
    torch_at: float


@contextmanager
def viewing(*arguments: str) -> Iterator[Viewer]:
    """`openstylegan view ARGUMENTS` at a free port, ended after the block."""
    command = [sys.executable, "-c", VIEW, "view", *arguments, "--no-browser", "--port", "0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        torch_at = time.monotonic()
        lines = iter(child.stdout.readline, "")
        url = next((found[0] for line in lines if (found := re.search(r"http://\S+", line))), None)
        if url is None:
            sys.exit("the viewer did not start")
        yield Viewer(url, torch_at)
    finally:
        child.terminate()
        child.wait()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser of playwright's."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("OPENSTYLEGAN_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        sys.exit("expected Chromium, found none; install it, or name it in OPENSTYLEGAN_CHROMIUM")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
