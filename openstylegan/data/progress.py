"""A line that shows how far a long piece of work is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS_A_LINE = 10.0
Advance = Callable[[int], None]
Watch = Callable[[str, int], contextlib.AbstractContextManager[Advance]]
"""What shows progress: given what is done and how many items of it there are."""


def silent(_: int) -> None:
    """Shows nothing."""


def unwatched(description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
    """A `Watch` that shows nothing."""
    return contextlib.nullcontext(silent)


def counted(items: Iterator[T], advance: Advance) -> Iterator[T]:
    """`items`, each of them counted once it has been dealt with."""
    for item in items:
        yield item
        advance(1)


@contextlib.contextmanager
def progress_line(description: str, total: int | None) -> Iterator[Advance]:
    """Shows on standard error how far the block is; call what it yields with the number of items done.

    A bar on a terminal, else a line now and then.
    """
    if not sys.stderr.isatty():
        yield Log(description, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


class Log:
    """Progress as lines: none in the first `SECONDS_A_LINE`, then one whenever as many have passed."""

    def __init__(self, description: str, total: int | None, clock: Callable[[], float] = time.monotonic):
        self.description, self.total, self.clock = description, total, clock
        self.done, self.started = 0, clock()
        self.shown = self.started

    def __call__(self, count: int) -> None:
        self.done += count
        now = self.clock()
        if now - self.shown >= SECONDS_A_LINE:
            self.shown = now
            print(f"{self.description}: {self.text(now - self.started)}", file=sys.stderr, flush=True)

    def text(self, passed: float) -> str:
        """`"30 of 120, 0:45 left"`, by the pace so far."""
        if self.total is None or not self.done:
            return f"{self.done} done"
        left = round(passed / self.done * (self.total - self.done))
        return f"{self.done} of {self.total}, {left // 60}:{left % 60:02d} left"
