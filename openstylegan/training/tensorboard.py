"""TensorBoard events of a run, when TensorBoard is installed: one scalar a statistic and metric, against kimg.

TensorBoard's own writer is used, not `torch.utils.tensorboard`, which imports the same and adds another layer.
Importing this module costs nothing; opening a writer costs about 0.2 s of CPU time once.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class EventWriter(Protocol):
    """Where scalars go."""

    def scalars(self, kimg: float, seconds: float, values: Mapping[str, float]) -> None:
        """Writes `values` at step `kimg` and a time of `seconds` since the start of the run."""

    def flush(self) -> None:
        """Hands everything to the operating system."""

    def close(self) -> None:
        """Flushes and ends."""


class NullWriter:
    """Writes nothing."""

    def scalars(self, kimg: float, seconds: float, values: Mapping[str, float]) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class TensorBoardWriter:
    """Writes `events.out.tfevents.*` into `folder`: step = whole kimg, wall time = seconds since the run began."""

    def __init__(self, folder: str | os.PathLike[str]):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event: Any = event_pb2.Event
        self.summary: Any = summary_pb2.Summary
        self.writer = EventFileWriter(os.fspath(folder))

    def scalars(self, kimg: float, seconds: float, values: Mapping[str, float]) -> None:
        """Writes one event that holds all of `values`; NaN (nothing was reported) is left out."""
        entries = [self.summary.Value(tag=n, simple_value=v) for n, v in values.items() if not math.isnan(v)]
        if entries:
            event = self.event(step=int(kimg), wall_time=seconds, summary=self.summary(value=entries))
            self.writer.add_event(event)

    def flush(self) -> None:
        """Hands everything to the operating system."""
        self.writer.flush()

    def close(self) -> None:
        """Flushes and ends."""
        self.writer.close()


def open_writer(
    folder: str | os.PathLike[str], enabled: bool = True, say: Callable[[str], None] = print
) -> EventWriter:
    """A writer into `folder`; one that writes nothing when not `enabled`, or, said once, without TensorBoard."""
    if not enabled:
        return NullWriter()
    if importlib.util.find_spec("tensorboard") is None:
        say("TensorBoard is not installed, so no events are written; pip install 'openstylegan[tensorboard]' for them")
        return NullWriter()
    return TensorBoardWriter(folder)
