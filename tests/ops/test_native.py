"""Compiled code that is made before it is asked for."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from openstylegan.config import Component, DataConfig, PlayerConfig, TrainConfig
from openstylegan.files import CACHE_VARIABLE
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.ops import native
from openstylegan.ops.amx_found import without_units
from openstylegan.training.early import BY_NETWORK, compiled_parts

needs_compiler = pytest.mark.skipif(
    native.find_compiler() is None or os.environ.get(native.SWITCH) == "0", reason="no C++ compiler, or switched off"
)


class Maker:
    """Stands for the process that makes a part."""

    started: list[list[str]]

    def __init__(self, order: list[str], **_: Any):
        self.started.append(order)

    def wait(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The orders of processes that would be started, with an empty cache."""
    monkeypatch.setattr(Maker, "started", [], raising=False)
    monkeypatch.setattr(subprocess, "Popen", Maker)
    monkeypatch.setattr(native, "_key", lambda compiler, sources: "key")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return Maker.started


@needs_compiler
def test_what_is_there_is_not_made_again(started: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "winograd-key.so").touch()
    native.make_early(["winograd", "channels_last"])
    assert len(started) == 1 and "native('channels_last')" in started[0][-1]


def test_nothing_is_made_where_it_is_switched_off_or_cannot_be(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as m:
        m.setenv(native.SWITCH, "0")
        native.make_early(native.PARTS)
    with monkeypatch.context() as m:
        m.setattr(native, "find_compiler", lambda: None)
        native.make_early(native.PARTS)
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    native.make_early(native.PARTS)
    assert not started


@needs_compiler
def test_a_part_is_made_in_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    native.make_early(["winograd"])
    end = time.monotonic() + native.LONGEST_S
    while not list((tmp_path / "native").glob("winograd-*.so")):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", [*GENERATORS, *DISCRIMINATORS])
def test_runs_name_parts_that_there_are(name: str, precision: str) -> None:
    assert BY_NETWORK.keys() <= GENERATORS.keys() | DISCRIMINATORS.keys()
    player = PlayerConfig(Component(name))
    config = TrainConfig(DataConfig("pictures.zip"), player, player, (), Component("batches"), precision=precision)
    parts = compiled_parts(config)
    assert set(parts) <= native.PARTS.keys() and len(set(parts)) == len(parts)
    assert ("channels_last" in parts) == (precision != "float64")
    assert ("amx" in parts) == (precision == "bfloat16" and not without_units())
    assert ("fastgan" in parts) == (name in ("fastgan", "projected") and precision != "float64")
