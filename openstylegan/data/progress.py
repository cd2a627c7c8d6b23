"""A line that shows how far a long piece of work is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Advance = Callable[[int], None]


def silent(_: int) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def progress_line(description: str, total: int | None) -> Iterator[Advance]:
    """Shows a bar on standard error while the block runs; call what it yields with the number of items done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)
