"""Work in threads that nobody waits for at the end: a download must not hold back Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """What `function(*arguments)` returns or raises, run in a thread of its own.

    When this is cancelled the thread goes on, and what it finds is dropped. (`asyncio.to_thread` would be waited for
    when the loop ends.)
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(act: Callable[[], None]) -> None:
        def unless_done() -> None:
            if not future.done():
                act()

        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(unless_done)

    def run() -> None:
        try:
            value = function(*arguments)
        except BaseException as error:
            failure = error
            settle(lambda: future.set_exception(failure))
        else:
            settle(lambda: future.set_result(value))

    threading.Thread(target=run, name="viewer work", daemon=True).start()
    return await future
