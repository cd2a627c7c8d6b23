"""Being asked to stop: SIGTERM (a cluster takes the machine back) and Ctrl-C end a run after the step in hand, with a
checkpoint. A second Ctrl-C ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_CODES = {int(signal.SIGTERM): 75, int(signal.SIGINT): 130}
"""75 (EX_TEMPFAIL): stopped by SIGTERM with a whole checkpoint, go on with --resume; 130: Ctrl-C, likewise."""


class StopRequest:
    """Whether somebody asked the run to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. The second Ctrl-C raises `KeyboardInterrupt`."""
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Stopped(Exception):
    """The run stopped early, with a checkpoint, because a signal asked for it (`number`; 0: on another process)."""

    def __init__(self, number: int):
        super().__init__("the run was asked to stop and left a checkpoint; go on with --resume")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What the process exits with: 130 after Ctrl-C, else 75."""
        return EXIT_CODES.get(self.number, EXIT_CODES[int(signal.SIGTERM)])


@contextlib.contextmanager
def listen(stop: StopRequest) -> Iterator[None]:
    """Listens to SIGTERM and SIGINT while inside (in the main thread; elsewhere it does nothing)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop.handle) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
