"""How far a measurement is: bars with the time left on a terminal, a line at every tenth in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import Progress, TaskID


class MeasuringProgress:
    """Called with batches done and to do, and what is looked at; shows it on the error output. A context manager."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.started: dict[str, float] = {}
        self.tasks: dict[str, TaskID] = {}
        self.bars: Progress | None = None

    def __enter__(self) -> MeasuringProgress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bars = Bars(*columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def __call__(self, done: int, total: int, what: str) -> None:
        if self.bars is None:
            self.log(done, total, what)
        else:
            if what not in self.tasks:
                self.tasks[what] = self.bars.add_task(what, total=total)
            self.bars.update(self.tasks[what], completed=done)

    def log(self, done: int, total: int, what: str) -> None:
        """A line at every tenth, with the time left by the pace since the first batch."""
        started = self.started.setdefault(what, self.clock())
        if done * 10 // total == (done - 1) * 10 // total:
            return
        left = (self.clock() - started) / max(done - 1, 1) * (total - done)
        pace = f", {time_left(left)} left" if 1 < done < total else ""
        print(f"{what}: batch {done} of {total}{pace}", file=sys.stderr, flush=True)


def time_left(seconds: float) -> str:
    """`"1:02:03"` or `"2:03"`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
