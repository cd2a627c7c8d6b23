"""What a run folder says about its run: statistics, scores, pictures, configuration, health; read back, never changed.

The report and the plots see a run through this page only, so they work the same on a live run, on a finished one and
on a folder that was copied from another machine.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.errors import InputError
from openstylegan.files import read_json, read_lines
from openstylegan.metrics import METRICS

GRID_NAME = re.compile(r"fakes(?:_init|(\d+))\.png")
SNAPSHOT_NAME = re.compile(r"network-snapshot-(\d+)")
LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Curve:
    """One number against kimg: `kimg`, `value` and `spread` (standard deviation) of equal length, all finite."""

    kimg: np.ndarray
    value: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        return len(self.kimg)

    @property
    def last(self) -> float:
        """The newest value (NaN when there is none)."""
        return float(self.value[-1]) if len(self) else math.nan


@dataclass(frozen=True)
class Score:
    """One metric of a run against kimg, and which of its points is the best one."""

    name: str
    curve: Curve
    higher_is_better: bool
    protocol: dict[str, Any]

    @property
    def best(self) -> int:
        """Index of the best point."""
        return int(self.curve.value.argmax() if self.higher_is_better else self.curve.value.argmin())


@dataclass(frozen=True)
class Event:
    """Something about the run's health worth telling: from when to when (kimg), and what."""

    first_kimg: float
    last_kimg: float
    text: str


@dataclass(frozen=True)
class GridPicture:
    """A grid of generated images in the run folder; `kimg` 0 is before training."""

    path: Path
    kimg: int

    @property
    def label(self) -> str:
        """What the picture shows, in words."""
        return "before training" if self.path.stem == "fakes_init" else f"{self.kimg:,} kimg"


class RunRecord:
    """A run folder, read once. Raises `InputError` when `folder` is none; single files may be missing."""

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise InputError(f"expected a run folder, but {folder} is none; give the folder that holds stats.jsonl")
        self.folder = folder

    @cached_property
    def ticks(self) -> list[dict[str, Any]]:
        """The lines of `stats.jsonl`, kimg rising: where a resumed run went back, it replaces what it repeats."""
        ticks: list[dict[str, Any]] = []
        for line in read_lines(self.folder / "stats.jsonl"):
            if isinstance(line, dict) and math.isfinite(tick_kimg(line)):
                while ticks and tick_kimg(ticks[-1]) >= tick_kimg(line):
                    ticks.pop()
                ticks.append(line)
        return ticks

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Every statistic that a tick reports, in the order of first appearance: [ticks, (kimg, mean, std, num)]."""
        rows: dict[str, list[tuple[float, float, float, float]]] = {}
        for tick in self.ticks:
            kimg = tick_kimg(tick)
            for name, value in tick.items():
                if isinstance(value, dict):
                    row = (kimg, number(value, "mean"), number(value, "std"), number(value, "num"))
                    rows.setdefault(name, []).append(row)
        return {name: np.array(found) for name, found in rows.items()}

    def curve(self, name: str) -> Curve:
        """The statistic `name` against kimg; ticks without a finite value of it are left out."""
        column = self.columns.get(name, np.empty((0, 4)))
        return curve_of(column[np.isfinite(column[:, 1]), :3])

    def last(self, name: str) -> float:
        """The newest finite mean of the statistic `name`, or NaN."""
        return self.curve(name).last

    @cached_property
    def speed(self) -> Curve:
        """Images a second, from the seconds for a thousand."""
        curve = self.curve("Timing/sec_per_kimg")
        known = curve.value > 0
        return Curve(curve.kimg[known], 1000 / curve.value[known], curve.spread[known] * 0)

    @property
    def kimg(self) -> float:
        """Thousands of real images seen so far."""
        return tick_kimg(self.ticks[-1]) if self.ticks else 0.0

    @cached_property
    def scores(self) -> list[Score]:
        """The metrics of `metric-*.jsonl`, one entry for each result that has a finite value with a known kimg."""
        return [score for path in sorted(self.folder.glob("metric-*.jsonl")) for score in scores_of(read_lines(path))]

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`, flattened to dotted names."""
        return flatten(self._json("config.json"))

    @cached_property
    def preset(self) -> dict[str, Any]:
        """`preset.json` (what the preset alone would give), flattened to dotted names; empty when there is none."""
        return flatten(self._json("preset.json"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """`environment.json`, flattened to dotted names."""
        return flatten(self._json("environment.json"))

    def _json(self, name: str) -> Any:
        with contextlib.suppress(InputError):
            return read_json(self.folder / name)
        return {}

    @cached_property
    def grid(self) -> dict[str, Any]:
        """`grid.json`: how the grids are laid out; empty when there is none."""
        layout = self._json("grid.json")
        return layout if isinstance(layout, dict) else {}

    @cached_property
    def grids(self) -> list[GridPicture]:
        """The grids of generated images, oldest first."""
        found = [(path, GRID_NAME.fullmatch(path.name)) for path in self.folder.glob("fakes*.png")]
        pictures = [GridPicture(path, int(match[1] or 0)) for path, match in found if match]
        return sorted(pictures, key=lambda picture: (picture.kimg, picture.path.stem != "fakes_init"))

    @cached_property
    def log_tail(self) -> str:
        """The last lines of `log.txt`."""
        with contextlib.suppress(FileNotFoundError), open(self.folder / "log.txt", "rb") as file:
            file.seek(0, 2)
            start = max(file.tell() - LOG_TAIL_BYTES, 0)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
            return text if start == 0 else text.partition("\n")[2]
        return ""

    @cached_property
    def events(self) -> list[Event]:
        """What went wrong, oldest first: a `Health/...` count that rose, a statistic that was not finite."""
        found = [e for name, column in self.columns.items() for e in (*not_finite(name, column), *rises(name, column))]
        return sorted(found, key=lambda event: event.first_kimg)


def tick_kimg(tick: Mapping[str, Any]) -> float:
    """The kimg of a line of `stats.jsonl`, or NaN."""
    return number(tick.get("Progress/kimg"), "mean")


def number(value: Any, field: str) -> float:
    """`value[field]` as a float; NaN when it is missing or no number."""
    found = value.get(field) if isinstance(value, dict) else None
    return float(found) if isinstance(found, (float, int)) else math.nan


def not_finite(name: str, column: np.ndarray) -> list[Event]:
    """The stretches of ticks in which the statistic `name` held values but no finite mean."""
    bad = np.flatnonzero((column[:, 3] > 0) & ~np.isfinite(column[:, 1]))
    stretches = np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1) if len(bad) else []
    return [Event(float(column[s[0], 0]), float(column[s[-1], 0]), f"{name} was not finite") for s in stretches]


def rises(name: str, column: np.ndarray) -> list[Event]:
    """The ticks in which the running count `Health/...` rose."""
    if not name.startswith("Health/"):
        return []
    what = name.removeprefix("Health/").replace("_", " ")
    counts = np.nan_to_num(column[:, 1])
    steps = np.diff(counts, prepend=0.0)
    return [
        Event(float(column[row, 0]), float(column[row, 0]), f"{steps[row]:g} {what}, {counts[row]:g} since the start")
        for row in np.flatnonzero(steps > 0)
    ]


def curve_of(points: Any) -> Curve:
    """A `Curve` of points [N, (kimg, value, spread)]; a spread that is not finite counts as 0."""
    table = np.asarray(points, np.float64).reshape(-1, 3)
    return Curve(table[:, 0], table[:, 1], np.nan_to_num(table[:, 2], nan=0.0, posinf=0.0, neginf=0.0))


def scores_of(records: Sequence[Any]) -> list[Score]:
    """The results of one `metric-<name>.jsonl`, kimg rising; of two records at one kimg the later one counts."""
    points: dict[str, dict[float, float]] = {}
    protocols: dict[str, dict[str, Any]] = {}
    for record in records:
        results = record.get("results") if isinstance(record, dict) else None
        kimg = record_kimg(record) if isinstance(results, dict) else math.nan
        for name in results if isinstance(results, dict) and math.isfinite(kimg) else ():
            if math.isfinite(value := number(results, name)):
                points.setdefault(name, {})[kimg] = value
                protocols[name] = flatten(record.get("protocol") or {})
    return [
        Score(name, curve_of([(k, v, 0.0) for k, v in sorted(found.items())]), is_higher_better(name), protocols[name])
        for name, found in points.items()
    ]


def record_kimg(record: Mapping[str, Any]) -> float:
    """When a metric was taken: its `kimg`, else the number in the name of the snapshot that it measured, else NaN."""
    if math.isfinite(kimg := number(record, "kimg")):
        return kimg
    names = (SNAPSHOT_NAME.search(str(record[key])) for key in record if key.startswith("snapshot"))
    return next((float(match[1]) for match in names if match), math.nan)


def is_higher_better(name: str) -> bool:
    """Whether a larger value of the metric result `name` is a better one; not so for a name that no metric has."""
    return any(name in metric.results and metric.higher_is_better for metric in METRICS.values())


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """JSON as one level of dotted names; a list that holds objects gives positions, other lists stay values."""
    inner: dict[str, Any] = {}
    if isinstance(value, dict):
        inner = {str(key): item for key, item in value.items()}
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = {str(position): item for position, item in enumerate(value)}
    if not inner:
        return {prefix: value} if prefix else {}
    flat: dict[str, Any] = {}
    for key, item in inner.items():
        flat |= flatten(item, f"{prefix}.{key}" if prefix else key)
    return flat
