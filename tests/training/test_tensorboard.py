"""TensorBoard events: read back by TensorBoard's own reader; and nothing at all without it."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from openstylegan.training.tensorboard import NullWriter, open_writer


def test_scalars_are_read_back(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    writer = open_writer(tmp_path)
    writer.scalars(4.99, 12.5, {"Loss/G/loss": 1.5, "Loss/pl_penalty": math.nan, "Metrics/fid": 80.0})
    writer.scalars(8.0, 25.0, {"Loss/G/loss": 1.25})
    writer.scalars(9.0, 26.0, {"Loss/G/loss": math.nan})
    writer.flush()
    writer.close()
    [path] = tmp_path.glob("events.out.tfevents.*")
    events = [e for e in loader.LegacyEventFileLoader(str(path)).Load() if e.HasField("summary")]
    found = [(e.step, e.wall_time, {v.tag: v.simple_value for v in e.summary.value}) for e in events]
    assert found == [(4, 12.5, {"Loss/G/loss": 1.5, "Metrics/fid": 80.0}), (8, 25.0, {"Loss/G/loss": 1.25})]


def test_without_tensorboard_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    said: list[str] = []
    writer = open_writer(tmp_path, say=said.append)
    writer.scalars(1.0, 1.0, {"a": 1.0})
    writer.flush()
    writer.close()
    assert len(said) == 1 and "openstylegan[tensorboard]" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_when_it_is_turned_off_nothing_is_said_or_written(tmp_path: Path) -> None:
    said: list[str] = []
    assert isinstance(open_writer(tmp_path, enabled=False, say=said.append), NullWriter)
    assert said == [] and list(tmp_path.iterdir()) == []
