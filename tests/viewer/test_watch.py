"""A run that is followed while it goes on: its folder alone is read, and only what is new."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from openstylegan.errors import InputError
from openstylegan.viewer.messages import Watched
from openstylegan.viewer.models import ModelList
from openstylegan.viewer.watch import MOST_POINTS, Lines, Watcher


def line(kimg: float, loss: float = 1.0, **more: Any) -> str:
    means = {
        "Progress/kimg": kimg,
        "Progress/tick": round(kimg),
        "Progress/augment": 0.1 * kimg,
        "Loss/G/loss": loss,
        "Timing/sec_per_kimg": 4.0,
        "Timing/sec_per_tick": 4.0,
        "Timing/total_sec": 4 * kimg,
        "Health/skipped_steps": 0,
        **more,
    }
    stats = {name: {"num": 1, "mean": value, "std": 0.0} for name, value in means.items()}
    return json.dumps(stats | {"timestamp": time.time()}) + "\n"


def add(folder: Path, text: str, name: str = "stats.jsonl") -> None:
    with open(folder / name, "a") as file:
        file.write(text)


def picture(path: Path) -> None:
    Image.new("RGB", (32, 16)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "00000-run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"total_kimg": 10}))
    return run


@pytest.fixture
def watcher(folder: Path) -> Watcher:
    models = ModelList([folder])
    return Watcher(models, models.now.runs[0].id)


def news(watcher: Watcher) -> Watched:
    found = watcher.look()
    assert found is not None
    return found


def test_an_empty_run_then_its_first_lines(folder: Path, watcher: Watcher) -> None:
    first = news(watcher)
    assert first.first and first.status.state == "empty" and first.status.total_kimg == 10
    assert watcher.look() is None
    add(folder, line(1, 0.5))
    told = news(watcher)
    assert not told.first and told.curves["Loss/G/loss"] == ((1.0, 0.5),)
    assert told.curves["Speed/images_per_second"] == ((1.0, 250.0),)
    assert not [name for name in told.curves if name.startswith("Timing/")]
    status = told.status
    assert (status.state, status.kimg, status.tick, status.images_per_second) == ("running", 1, 1, 250)
    assert status.eta == pytest.approx(36) and status.age is not None and status.age < 5
    assert watcher.look() is None


def test_only_whole_lines_are_read(folder: Path, watcher: Watcher) -> None:
    add(folder, line(1))
    news(watcher)
    second = line(2, 0.25)
    add(folder, second[:40])
    assert watcher.look() is None
    add(folder, second[40:] + "{nonsense}\n[1]\nnull\n" + line(3)[:-30])
    told = news(watcher)
    assert told.curves["Loss/G/loss"] == ((2.0, 0.25),)


def test_a_run_that_was_resumed_from_before_is_told_anew(folder: Path, watcher: Watcher) -> None:
    add(folder, line(1) + line(2) + line(3))
    news(watcher)
    lines = (folder / "stats.jsonl").read_text().splitlines(keepends=True)
    (folder / "stats.jsonl").write_text(lines[0])
    told = news(watcher)
    assert told.first and [kimg for kimg, _ in told.curves["Loss/G/loss"]] == [1]
    add(folder, line(2, 7.0))
    assert news(watcher).curves["Loss/G/loss"] == ((2.0, 7.0),)
    add(folder, line(2, 8.0))  # a line that repeats what was told
    told = news(watcher)
    assert told.first and told.curves["Loss/G/loss"] == ((1.0, 1.0), (2.0, 8.0))


def test_metrics_grids_and_snapshots_as_they_come(folder: Path, watcher: Watcher) -> None:
    add(folder, line(1))
    picture(folder / "fakes_init.png")
    picture(folder / "reals.png")
    told = news(watcher)
    assert [(grid.name, grid.kimg) for grid in told.grids] == [("reals.png", None), ("fakes_init.png", 0.0)]
    record = {"results": {"fid50k_full": 12.5}, "metric": "fid50k_full", "kimg": 1.0}
    add(folder, json.dumps(record) + "\n", "metric-fid50k_full.jsonl")
    picture(folder / "fakes000001.png")
    (folder / "network-snapshot-000001.safetensors").write_bytes(b"x")
    told = news(watcher)
    assert told.curves == {"Metrics/fid50k_full": ((1.0, 12.5),)}
    assert [grid.name for grid in told.grids] == ["fakes000001.png"]
    assert told.models is not None and [entry.kimg for entry in told.models.models] == [1]
    assert watcher.look() is None


def test_health_is_told_in_words(folder: Path, watcher: Watcher) -> None:
    add(folder, line(1) + line(2, math.nan, **{"Health/skipped_steps": 3}))
    told = news(watcher)
    assert told.status.skipped_steps == 3
    assert any("skipped steps" in text for text in told.health) and any("not finite" in text for text in told.health)
    assert [kimg for kimg, _ in told.curves["Loss/G/loss"]] == [1]


def test_a_run_ends_or_falls_silent(folder: Path, watcher: Watcher) -> None:
    add(folder, line(10))
    assert news(watcher).status.state == "finished"
    old = json.loads(line(4)) | {"timestamp": time.time() - 1000}
    (folder / "stats.jsonl").write_text(json.dumps(old) + "\n")
    status = news(watcher).status
    assert (status.state, status.eta) == ("silent", None)


def test_a_run_that_ends_by_the_clock(folder: Path, watcher: Watcher) -> None:
    (folder / "config.json").write_text(json.dumps({"total_kimg": 10, "max_minutes": 0.25}))
    add(folder, line(3))
    status = news(watcher).status
    assert (status.state, status.eta) == ("running", pytest.approx(3))
    add(folder, line(4))
    assert news(watcher).status.state == "finished"


def test_long_curves_are_thinned_once(folder: Path, watcher: Watcher) -> None:
    add(folder, "".join(line(n / 1000) for n in range(1, 3501)))
    points = news(watcher).curves["Loss/G/loss"]
    assert MOST_POINTS / 2 < len(points) <= MOST_POINTS and points[-1][0] == 3.5
    add(folder, line(4) + line(5))
    assert len(news(watcher).curves["Loss/G/loss"]) == 2


def test_a_folder_that_goes(folder: Path, watcher: Watcher) -> None:
    news(watcher)
    (folder / "config.json").unlink()
    folder.rmdir()
    with pytest.raises(InputError, match="is gone"):
        watcher.look()


def test_lines_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "none.jsonl")
    assert lines.new() == ([], False)
    (tmp_path / "none.jsonl").write_text('{"a": 1}\n')
    assert lines.new() == ([{"a": 1}], False)
