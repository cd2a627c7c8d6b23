"""One page and what it asks for.

All of it runs in the server's event loop; whatever takes time is done by the renderer's thread or by others, and comes
back through `deliver`. Texts and pictures leave in order, one after the other, so a slow connection holds back its own
pictures and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from openstylegan.errors import InputError
from openstylegan.viewer import messages as m
from openstylegan.viewer.hub import Hub
from openstylegan.viewer.opened import Opened
from openstylegan.viewer.session import Pin
from openstylegan.viewer.threads import in_thread

MOST_WRONG, WRONG_WINDOW_S = 20, 10.0
"""Messages that cannot be read, within so many seconds, before the connection is closed."""
MOST_QUEUED = 500
"""Answers that a page does not take before it is given up."""
POLICY, TOO_BUSY = 1008, 1013
"""Codes of WebSocket closures."""


Handler = Callable[[Any], Coroutine[Any, Any, None]]


@dataclass
class Sent:
    """A view's picture on its way: when it left (seconds), and what it took to encode."""

    id: int
    at: float
    encode_ms: float


@dataclass(eq=False)
class Connection:
    """A page that is connected through `socket`; `handlers` answer its messages by their classes."""

    hub: Hub
    socket: WebSocket
    handlers: Mapping[type, Handler] = field(default_factory=dict)
    outgoing: asyncio.Queue[str | bytes | tuple[bytes, Sent]] = field(default_factory=asyncio.Queue)
    pin: Pin | None = None
    tasks: dict[object, asyncio.Task[None]] = field(default_factory=dict)
    wrong: list[float] = field(default_factory=list)
    closed: bool = False

    async def serve(self) -> None:
        """Answers until the page is gone."""
        await self.socket.accept()
        self.loop = asyncio.get_running_loop()
        self.start("sender", self.send_all())
        self.send(self.hub.hello())
        try:
            while not self.closed:
                await self.take(await self.socket.receive())
        except WebSocketDisconnect:
            pass
        finally:
            await self.end()

    async def end(self) -> None:
        """Lets go of everything that was asked for here."""
        self.closed = True
        self.hub.renderer.forget(self)
        for task in list(self.tasks.values()):
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection from this side."""
        self.closed = True
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self.socket.close(code, reason)

    async def take(self, event: MutableMapping[str, Any]) -> None:
        """One event of the socket."""
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1000))
        text = event.get("text")
        raw = text if text is not None else event.get("bytes") or b""
        try:
            message = m.read(raw)
        except InputError as error:
            await self.note_wrong(m.id_of(raw), str(error))
            return
        try:
            await self.handlers[type(message)](message)
        except InputError as error:
            self.send(m.Error(id=message.id, message=str(error)))

    async def note_wrong(self, number: int | None, text: str) -> None:
        """Answers a message that cannot be read; closes the connection when there are too many of them."""
        now = time.monotonic()
        self.wrong = [*(t for t in self.wrong if now - t < WRONG_WINDOW_S), now]
        if len(self.wrong) > MOST_WRONG:
            await self.close(POLICY, "too many messages that cannot be read")
            return
        self.send(m.Error(id=number, message=text))

    def send(self, message: m.FromServer | bytes | tuple[bytes, Sent]) -> None:
        """Puts a message in the row (in the event loop's thread only)."""
        if self.closed:
            return
        self.outgoing.put_nowait(message if isinstance(message, bytes | tuple) else m.write(message))
        if self.outgoing.qsize() > MOST_QUEUED:
            self.start("close", self.close(TOO_BUSY, "the page does not take its answers"))

    def deliver(self, act: Callable[[], None]) -> None:
        """Runs `act` in the event loop; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed when the server is
            self.loop.call_soon_threadsafe(act)

    async def send_all(self) -> None:
        """Sends what is in the row, as fast as the connection takes it."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                item = await self.outgoing.get()
                if isinstance(item, str):
                    await self.socket.send_text(item)
                elif isinstance(item, bytes):
                    await self.socket.send_bytes(item)
                else:
                    item[1].at = time.monotonic()
                    await self.socket.send_bytes(item[0])

    def start(self, key: object, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside everything else, in place of what has the same key."""
        if key in self.tasks:
            self.tasks[key].cancel()
        task = asyncio.create_task(work)
        self.tasks[key] = task
        task.add_done_callback(lambda done: self.tasks.pop(key) if self.tasks.get(key) is done else None)

    async def answering(self, number: int | None, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`work()`, whose failure is an answer too; it is not made before this runs, which may never be."""
        try:
            await work()
        except asyncio.CancelledError:
            self.send(m.Error(id=number, message="cancelled"))
            raise
        except Exception as error:
            self.send(self.hub.failure(number, error))

    def stop_task(self, key: object) -> None:
        """Ends the task with this key, if there is one."""
        if key in self.tasks:
            self.tasks[key].cancel()

    async def opened(self, model: str, number: int | None) -> Opened:
        """The network `model`; where it must be read first, the page is told so. Raises `InputError`."""
        found = self.hub.networks.found(model)
        if found is None:
            self.send(m.Progress(id=number, what=f"reading {self.hub.name_of(model)}"))
            found = await in_thread(self.hub.networks.open, model)
            self.send(replaced(found.network, id=number))
        return found


def replaced(message: Any, **fields: Any) -> Any:
    """A message with other values in `fields`."""
    return msgspec.structs.replace(message, **fields)
