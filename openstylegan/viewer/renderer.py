"""The one thread that draws, and who comes next.

Every client (a page, a film) has at most one wish waiting: a newer one takes its place. Clients take turns. What is
being drawn is broken off, before its next layer, when its client has gone or its newer wish makes it useless.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from openstylegan.viewer.session import Cancelled

Check = Callable[[], None]


@dataclass(frozen=True)
class Wish:
    """Something to be drawn: `draw(check)` does all of it, errors included, calling `check` now and then.

    `subject`: what it is a picture of. A wish that is being drawn gives way to a newer one of its client with another
    subject; one with the same is finished first, so that something is seen while a slider moves. `dropped()` is told
    when it will not be drawn, or not to the end.
    """

    draw: Callable[[Check], None]
    subject: Hashable = None
    dropped: Callable[[], None] = lambda: None


class Renderer:
    """Draws wishes in a thread of its own. `failed(error)` is told of what a wish let through, and it goes on."""

    def __init__(self, failed: Callable[[Exception], None]):
        self.failed = failed
        self.waiting: OrderedDict[Hashable, Wish] = OrderedDict()
        self.current: tuple[Hashable, Wish] | None = None
        self.cancelled = self.stopped = False
        self.condition = threading.Condition()
        self.thread = threading.Thread(target=self.run, name="renderer", daemon=True)
        self.thread.start()

    def ask(self, client: Hashable, wish: Wish) -> None:
        """Puts a wish in its client's place in the row."""
        with self.condition:
            replaced = self.waiting.get(client)
            self.waiting[client] = wish
            if self.current is not None and self.current[0] == client and self.current[1].subject != wish.subject:
                self.cancelled = True
            self.condition.notify()
        if replaced is not None:
            replaced.dropped()

    def forget(self, client: Hashable) -> None:
        """Drops what a client waits for, and breaks off what is being drawn for it."""
        with self.condition:
            replaced = self.waiting.pop(client, None)
            if self.current is not None and self.current[0] == client:
                self.cancelled = True
        if replaced is not None:
            replaced.dropped()

    def stop(self) -> None:
        """Ends the thread, after the layer that it is at."""
        with self.condition:
            self.stopped = self.cancelled = True
            left, self.waiting = list(self.waiting.values()), OrderedDict()
            self.condition.notify()
        for wish in left:
            wish.dropped()
        self.thread.join(timeout=10)

    def check(self) -> None:
        """Raises `Cancelled` when the present wish is to be broken off."""
        if self.cancelled:
            raise Cancelled

    def run(self) -> None:
        """The thread."""
        while True:
            with self.condition:
                self.current = None
                self.condition.wait_for(lambda: self.stopped or self.waiting)
                if self.stopped:
                    return
                self.current = self.waiting.popitem(last=False)
                self.cancelled = False
            self.serve(self.current[1])

    def serve(self, wish: Wish) -> None:
        """Draws one wish."""
        try:
            wish.draw(self.check)
        except Cancelled:
            wish.dropped()
        except Exception as error:
            self.failed(error)
            wish.dropped()
