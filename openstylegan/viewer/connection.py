"""One page and what it asks for.

All of it runs in the server's event loop; whatever takes time is done by the renderer's thread or by others, and comes
back through `deliver`. Texts and pictures leave in order, one after the other, so a slow connection holds back its own
pictures and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from openstylegan.errors import InputError
from openstylegan.viewer import messages as m
from openstylegan.viewer.encoding import LOSSLESS, MIME, Pace, encode, format_for, smaller
from openstylegan.viewer.hub import Hub
from openstylegan.viewer.opened import Opened
from openstylegan.viewer.pictures import Picture, write_picture
from openstylegan.viewer.renderer import Check, Wish
from openstylegan.viewer.session import Frame, Pin, Session

MOST_UNSEEN, LONGEST_UNSEEN_S = 2, 1.0
"""Pictures on their way that the page has not acknowledged, and how long one is waited for."""
QUIET_S = 0.15
"""After so long without a newer view, the last picture is sent in full."""
MOST_WRONG, WRONG_WINDOW_S = 20, 10.0
"""Messages that cannot be read, within so many seconds, before the connection is closed."""
MOST_QUEUED = 500
"""Answers that a page does not take before it is given up."""
POLICY, TOO_BUSY = 1008, 1013
"""Codes of WebSocket closures."""


Handler = Callable[[Any, Any], Coroutine[Any, Any, None]]


@dataclass
class Sent:
    """A view's picture on its way: when it left, and what it took to encode."""

    id: int
    at: float
    encode_ms: float


@dataclass(eq=False)
class Connection:
    """A page that is connected through `socket`."""

    hub: Hub
    socket: WebSocket
    outgoing: asyncio.Queue[str | bytes | tuple[bytes, Sent]] = field(default_factory=asyncio.Queue)
    newest: tuple[m.Draw, float] | None = None
    unseen: list[Sent] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    pin: Pin | None = None
    last_asked: int = -1
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

    async def take(self, event: dict[str, Any]) -> None:
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
            handler = self.HANDLERS.get(type(message))
            if handler is None:
                raise InputError(f"this server does not answer '{type(message).__name__}'")
            await handler(self, message)
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

    async def answering(self, number: int | None, work: Coroutine[Any, Any, None]) -> None:
        """`work`, whose failure is an answer too."""
        try:
            await work
        except InputError as error:
            self.send(m.Error(id=number, message=str(error)))
        except asyncio.CancelledError:
            self.send(m.Error(id=number, message="cancelled"))
            raise
        except Exception as error:
            self.hub.failed(error)
            self.send(m.Error(id=number, message=in_one_line(error)))

    async def opened(self, model: str, number: int | None) -> Opened:
        """The network `model`; where it must be read first, the page is told so. Raises `InputError`."""
        found = self.hub.networks.found(model)
        if found is None:
            self.send(m.Progress(id=number, what=f"reading {self.hub.name_of(model)}"))
            found = await asyncio.to_thread(self.hub.networks.open, model)
            self.send(replaced(found.network, id=number))
        return found

    # Views

    async def draw(self, message: m.Draw) -> None:
        """The newest view takes the place of the one that waits."""
        self.newest, self.last_asked = (message, time.monotonic()), message.id
        self.stop_task("full")
        self.draw_newest()

    def draw_newest(self) -> None:
        """Asks for the newest view, unless pictures are still on their way."""
        now = time.monotonic()
        self.unseen = [sent for sent in self.unseen if now - sent.at < LONGEST_UNSEEN_S]
        if self.newest is None or "view" in self.tasks:
            return
        if len(self.unseen) >= MOST_UNSEEN:
            if "wait" not in self.tasks:
                self.start("wait", self.draw_later())
            return
        (message, asked), self.newest = self.newest, None
        opened = self.hub.networks.found(message.view.model)
        if opened is None:
            self.start("view", self.answering(message.id, self.open_and_draw(message, asked)))
        else:
            self.wish(message, asked, opened.session)

    async def draw_later(self) -> None:
        """Tries again when the oldest picture has been waited for."""
        await asyncio.sleep(LONGEST_UNSEEN_S / 4)
        self.tasks.pop("wait", None)
        self.draw_newest()

    async def open_and_draw(self, message: m.Draw, asked: float) -> None:
        """Draws a view whose network must be read first, or the newest one that came meanwhile."""
        opened = await self.opened(message.view.model, message.id)
        self.tasks.pop("view", None)
        if self.newest is None:
            self.wish(message, asked, opened.session)
        else:
            self.draw_newest()

    def wish(self, message: m.Draw, asked: float, session: Session) -> None:
        """Puts a view into the renderer's row."""
        view, pin = message.view, self.pin

        def draw(check: Check) -> None:
            started = time.monotonic()
            try:
                frame = session.render(view, pin, check)
                data = self.picture(message, frame, 1000 * (started - asked))
            except InputError as error:
                text = str(error)
                self.deliver(lambda: self.send(m.Error(id=message.id, message=text)))
                return
            self.deliver(lambda: self.drawn(message, frame, *data))

        self.hub.renderer.ask(self, Wish(draw, (view.model, view.mode, view.layer)))

    def picture(self, message: m.Draw, frame: Frame, queue_ms: float) -> tuple[bytes, Sent, bool]:
        """A view's picture message, in the quality that it has now; and whether it is all there is."""
        fast = message.quality == "fast"
        image, factor = smaller(frame.image, message.width if fast else 0)
        height, width, channels = image.shape
        quality = format_for(self.pace.quality(height * width) if fast else LOSSLESS, channels)
        start = time.perf_counter()
        data = encode(image, quality)
        encode_ms = 1000 * (time.perf_counter() - start)
        full = quality.lossless and factor == 1
        header = Picture(
            id=message.id,
            kind="view",
            format=quality.format,
            mime=MIME[quality.format],
            width=width,
            height=height,
            scale=factor,
            full=full,
            quality=quality.quality,
            model=message.view.model,
            ms={**frame.ms, "encode": round(encode_ms, 3), "queue": round(queue_ms, 3)},
            device=self.hub.device_name,
            path=self.hub.path_name,
            shown=frame.shown,
            w_distance=frame.w_distance,
            spectrum=frame.spectrum,
            notes=frame.notes,
        )
        return write_picture(header, data), Sent(message.id, time.monotonic(), encode_ms), full

    def drawn(self, message: m.Draw, frame: Frame, data: bytes, sent: Sent, full: bool) -> None:
        """Sends a picture; in full later when it was not all there is."""
        self.unseen.append(sent)
        self.send((data, sent))
        if not full and message.id == self.last_asked:
            self.start("full", self.send_full(message, frame))
        self.draw_newest()

    async def send_full(self, message: m.Draw, frame: Frame) -> None:
        """The same picture, lossless, once no newer view has come for a moment."""
        await asyncio.sleep(QUIET_S)
        whole = replaced(message, quality="full")
        data, sent, _ = await asyncio.to_thread(self.picture, whole, frame, 0.0)
        if message.id == self.last_asked:
            self.send((data, sent))

    async def ack(self, message: m.Ack) -> None:
        """A picture has arrived: what it cost decides the quality of the next."""
        now = time.monotonic()
        for sent in [s for s in self.unseen if s.id == message.id]:
            self.unseen.remove(sent)
            self.pace.note(1000 * (now - sent.at) + sent.encode_ms)
        self.draw_newest()

    # Everything else

    async def open(self, message: m.Open) -> None:
        """Opens a network and describes it."""

        async def work() -> None:
            known = self.hub.networks.found(message.model)
            opened = await self.opened(message.model, message.id)
            if known is not None:
                self.send(replaced(opened.network, id=message.id))

        self.start(("open", message.id), self.answering(message.id, work()))

    async def models(self, message: m.ListModels) -> None:
        """The list, made anew."""

        async def work() -> None:
            self.send(replaced(await asyncio.to_thread(self.hub.models.refresh), id=message.id))

        self.start("models", self.answering(message.id, work()))

    async def set_pin(self, message: m.Pin) -> None:
        """Keeps a view for differences."""

        async def work() -> None:
            opened = await self.opened(message.view.model, message.id)
            self.pin = await asyncio.to_thread(opened.session.make_pin, message.view)
            self.send(m.Pinned(id=message.id, view=message.view))

        self.start("pin", self.answering(message.id, work()))

    async def unpin(self, message: m.Unpin) -> None:
        """Forgets the pinned view."""
        self.stop_task("pin")
        self.pin = None
        self.send(m.Pinned(id=message.id, view=None))

    async def directions(self, message: m.FindDirections) -> None:
        """Finds directions."""

        async def work() -> None:
            opened = await self.opened(message.model, message.id)
            if message.kind == "pca" and message.layers:
                raise InputError("expected no layers for directions of kind 'pca', for they are of w itself")
            self.send(m.Progress(id=message.id, what="finding directions"))
            found = await asyncio.to_thread(opened.session.directions, message.kind, message.layers)
            scales, shares = (tuple(map(float, v)) for v in (found.scales, found.shares))
            self.send(
                m.Directions(
                    id=message.id,
                    model=message.model,
                    kind=message.kind,
                    layers=message.layers,
                    scales=scales,
                    shares=shares,
                )
            )

        self.start(("work", message.id), self.answering(message.id, work()))

    def stop_task(self, key: object) -> None:
        """Ends the task with this key, if there is one."""
        if key in self.tasks:
            self.tasks[key].cancel()

    async def cancel(self, message: m.Cancel) -> None:
        """Ends the long work of an id."""
        self.stop_task(("work", message.id))

    HANDLERS: ClassVar[dict[type, Handler]] = {
        m.Draw: draw,
        m.Ack: ack,
        m.Open: open,
        m.ListModels: models,
        m.Pin: set_pin,
        m.Unpin: unpin,
        m.FindDirections: directions,
        m.Cancel: cancel,
    }


def replaced(message: Any, **fields: Any) -> Any:
    """A message with other values in `fields`."""
    import msgspec

    return msgspec.structs.replace(message, **fields)


def in_one_line(error: Exception) -> str:
    """What went wrong, for people, when it was none of the errors that are foreseen."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
