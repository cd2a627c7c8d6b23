"""Hostile and damaged files: nothing runs, nothing breaks, every one ends in one line. `make fuzz` reads thousands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from interop.hostile import Trap, hostile_files

TESTS = Path(__file__).parent.parent


def test_hostile_and_damaged_files() -> None:
    """In a process of its own, as a file that breaks it is what we look for."""
    command = [sys.executable, "-m", "interop.hostile", "--hostile", "120", "--damaged", "210"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=TESTS)
    assert done.stdout, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failures"] == []
    assert report["callers"] == 0
    assert report["endings"]["UnsafeFile"] >= 50
    assert done.returncode == 0


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    trap = Trap(str(tmp_path / "canary"), "nothing", 1)
    first, again, other = (list(hostile_files(30, seed, trap)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert len({file.family for file in hostile_files(120, 0, trap)}) == 52


def test_what_is_looked_for_would_be_seen() -> None:
    """The watch itself: a reader that does all that a file must not do."""
    code = """
import os, sys
from pathlib import Path
import tempfile
from interop import hostile
from interop.hostile import BadFile, Reader, Trap

hostile.SECONDS = 0.3

def misbehave(path):
    kind = path.read_bytes()
    if kind == b"import":
        import colorsys
    if kind == b"file":
        open(canary, "w").close()
    if kind == b"memory":
        return len(b"x" * (600 << 20))
    if kind == b"time":
        import time
        end = time.process_time() + 0.4
        while time.process_time() < end:
            pass
    if kind == b"error":
        raise KeyError("x")
    if kind == b"program":
        os.system("true")
    if kind == b"lines":
        from openstylegan.errors import InputError

        class TwoLines(InputError):
            def __str__(self):
                return "two\\nlines"

        raise TwoLines("InputError itself makes one line of it")

with tempfile.TemporaryDirectory() as folder:
    canary = folder + "/canary"
    reader = Reader(Path(folder), Trap(canary, "nothing", 1), misbehave)
    for kind in ("import", "memory", "time", "error", "program", "lines", "file"):
        before = len(reader.failures)
        reader.read_all(iter([BadFile(kind, kind.encode(), ".pkl", whole=True)]))
        assert len(reader.failures) > before, kind
    assert not os.path.exists("nothing")
    before = len(reader.failures)
    os.remove(canary)
    reader.read_all(iter([BadFile("good", b"good", ".pkl", whole=True)]))
    assert len(reader.failures) == before, reader.failures[before:]
    reader.read_all(iter([BadFile("hostile", b"good", ".pkl")]))
    assert reader.failures[-1].endswith("was read")
"""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=TESTS, timeout=300)
