"""A run as it goes on, from its folder alone: statistics, metrics, grids, snapshots.

Files are read from where they ended last time; a line that is still being written waits for its end. A file that has
become shorter (a run was resumed from an earlier checkpoint) is read anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openstylegan.errors import InputError
from openstylegan.training.run_folder import STATS_FILE
from openstylegan.training.run_record import RunRecord, number, record_kimg, tick_kimg
from openstylegan.viewer.messages import GridEntry, RunEntry, RunStatus, Watched
from openstylegan.viewer.models import ModelList, modified_of
from openstylegan.viewer.run_status import mean_of, status_of

MOST_POINTS = 1000
"""Of a curve, the first time it is sent."""
LONGEST_READ = 64 << 20
HIDDEN = ("Timing/", "Progress/tick", "Progress/kimg", "Resources/peak")
Points = dict[str, list[tuple[float, float]]]


class Lines:
    """The objects of a JSONL file that is being written."""

    def __init__(self, path: Path):
        self.path, self.position = path, 0

    def new(self) -> tuple[list[dict[str, Any]], bool]:
        """The lines since last time, and whether the file was cut (then it is from the start)."""
        try:
            size = self.path.stat().st_size
            cut = size < self.position
            if size == self.position:
                return [], False
            with open(self.path, "rb") as file:
                file.seek(0 if cut else self.position)
                data = file.read(LONGEST_READ)
                start = 0 if cut else self.position
        except OSError:
            return [], False
        whole = data.rfind(b"\n") + 1
        self.position = start + whole
        return list(objects(data[:whole])), cut


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects."""
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


class Watcher:
    """One run, and what of it has been told already."""

    def __init__(self, models: ModelList, run: str):
        self.models, self.run, self.folder = models, run, models.run_folder(run)
        self.anew()

    def anew(self) -> None:
        """Forgets what has been told."""
        self.first = True
        self.stats, self.metrics = Lines(self.folder / STATS_FILE), dict[str, Lines]()
        self.record = RunRecord(self.folder)
        self.record.__dict__["ticks"] = []
        self.health: tuple[str, ...] = ()
        self.entry: RunEntry | None = None
        self.told_grids: dict[str, float] = {}
        self.status: RunStatus | None = None

    def look(self) -> Watched | None:
        """What is new, or None. Raises `InputError` when the folder is gone."""
        if not self.folder.is_dir():
            raise InputError(f"the run folder {self.folder} is gone")
        curves: Points = {}
        if self.read_stats(curves) or self.read_metrics(curves):
            self.anew()
            return self.look()
        grids, entry, status = (
            self.new_grids(),
            self.models.run_entry(self.folder),
            status_of(self.record.ticks[-1] if self.record.ticks else None, self.record.config),
        )
        changed = entry if self.entry is None or entry.models != self.entry.models else None
        if not (self.first or curves or grids or changed or status.state != (self.status or status).state):
            return None
        first, self.first, self.entry, self.status = self.first, False, entry, status
        told = {name: tuple(thinned(points) if first else points) for name, points in curves.items()}
        return Watched(
            run=self.run, first=first, status=status, curves=told, grids=grids, health=self.health, models=changed
        )

    def read_stats(self, curves: Points) -> bool:
        """Adds what is new in the statistics to `curves`; whether they went back, so that all is to be read anew."""
        lines, cut = self.stats.new()
        if cut:
            return True
        ticks: list[dict[str, Any]] = self.record.ticks
        for line in lines:
            kimg = tick_kimg(line)
            if not math.isfinite(kimg):
                continue
            while ticks and tick_kimg(ticks[-1]) >= kimg:
                if not self.first:
                    return True
                drop_last(curves, tick_kimg(ticks.pop()))
            ticks.append(line)
            for name, value in values_of(line):
                curves.setdefault(name, []).append((kimg, value))
        if lines:
            self.note_health()
        return False

    def note_health(self) -> None:
        """What went wrong so far, in words."""
        record = RunRecord(self.folder)
        record.__dict__["ticks"] = self.record.ticks
        self.health = tuple(f"{event.first_kimg:g} kimg: {event.text}" for event in record.events[-100:])

    def read_metrics(self, curves: Points) -> bool:
        """Adds what is new in the metrics to `curves`; whether one of their files was cut."""
        for path in sorted(self.folder.glob("metric-*.jsonl")):
            lines, cut = self.metrics.setdefault(path.name, Lines(path)).new()
            if cut:
                return True
            for line in lines:
                results, kimg = line.get("results"), record_kimg(line)
                for name in results if isinstance(results, dict) and math.isfinite(kimg) else ():
                    if math.isfinite(value := number(results, name)):
                        curves.setdefault(f"Metrics/{name}", []).append((kimg, value))
        return False

    def new_grids(self) -> tuple[GridEntry, ...]:
        """Grids that were not there before, or have changed; the real pictures first."""
        found = [GridEntry(p.path.name, float(p.kimg), modified_of(p.path)) for p in RunRecord(self.folder).grids]
        reals = modified_of(self.folder / "reals.png")
        entries = [GridEntry("reals.png", None, reals)] * (reals > 0) + found
        new = tuple(entry for entry in entries if self.told_grids.get(entry.name) != entry.modified)
        self.told_grids = {entry.name: entry.modified for entry in entries}
        return new


def values_of(line: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The finite means of a line of statistics that are worth a curve, and the speed."""
    for name, value in line.items():
        mean = number(value, "mean")
        if math.isfinite(mean) and not name.startswith(HIDDEN):
            yield name, mean
    seconds = mean_of(line, "Timing/sec_per_kimg")
    if seconds:
        yield "Speed/images_per_second", 1000 / seconds


def drop_last(curves: Points, kimg: float) -> None:
    """Takes the points of a tick away again."""
    for points in curves.values():
        if points and points[-1][0] >= kimg:
            points.pop()


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` of the points, evenly, the last one among them."""
    step = -(-len(points) // MOST_POINTS)
    return points[::-1][::step][::-1]
