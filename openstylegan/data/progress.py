"""A line that shows how far a long piece of work is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
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
    """Shows a bar on standard error while the block runs; call what it yields with the number of items done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)
