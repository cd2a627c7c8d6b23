"""The ways an op may be computed: recorded numbers hold for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext


def every_path() -> Iterator[tuple[str, AbstractContextManager[None]]]:
    """A word for the report and a context: the path chosen at run time, then the plain reference."""
    from openstylegan.ops.paths import reference_paths

    yield "", nullcontext()
    yield "reference path", reference_paths()
