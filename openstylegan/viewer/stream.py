"""The views that a page asks for, and the pictures that it gets: only the newest, no faster than it takes them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from openstylegan.errors import InputError
from openstylegan.viewer import messages as m
from openstylegan.viewer.connection import Connection, Sent, replaced
from openstylegan.viewer.encoding import LOSSLESS, MIME, Pace, encode, format_for, smaller
from openstylegan.viewer.pictures import Picture, write_picture
from openstylegan.viewer.renderer import Check, Wish
from openstylegan.viewer.session import Cancelled, Frame, Session
from openstylegan.viewer.threads import in_thread

MOST_UNSEEN, LONGEST_UNSEEN_S = 2, 1.0
"""Pictures on their way that the page has not acknowledged, and how long one is waited for."""
QUIET_S = 0.15
"""After so long without a newer view, the last picture is sent in full."""


class ViewStream:
    """The views of one connection."""

    def __init__(self, connection: Connection):
        self.connection, self.pace = connection, Pace()
        self.newest: tuple[m.Draw, float] | None = None
        self.unseen: list[Sent] = []
        self.last_asked = -1

    async def draw(self, message: m.Draw) -> None:
        """The newest view takes the place of the one that waits."""
        self.newest, self.last_asked = (message, time.monotonic()), message.id
        self.connection.stop_task("full")
        self.draw_newest()

    def draw_newest(self) -> None:
        """Asks for the newest view, unless pictures are still on their way."""
        now = time.monotonic()
        self.unseen = [sent for sent in self.unseen if now - sent.at < LONGEST_UNSEEN_S]
        if self.newest is None or "view" in self.connection.tasks or self.connection.closed:
            return
        if len(self.unseen) >= MOST_UNSEEN:
            if "wait" not in self.connection.tasks:
                self.connection.start("wait", self.draw_later())
            return
        (message, asked), self.newest = self.newest, None
        try:
            opened = self.connection.hub.networks.found(message.view.model)
        except InputError as error:
            self.connection.send(m.Error(id=message.id, message=str(error)))
            return
        if opened is None:
            drawing = partial(self.open_and_draw, message, asked)
            self.connection.start("view", self.connection.answering(message.id, drawing))
        else:
            self.wish(message, asked, opened.session)

    async def draw_later(self) -> None:
        """Tries again when the oldest picture has been waited for."""
        await asyncio.sleep(LONGEST_UNSEEN_S / 4)
        self.connection.tasks.pop("wait", None)
        self.draw_newest()

    async def open_and_draw(self, message: m.Draw, asked: float) -> None:
        """Draws a view whose network must be read first, or the newest one that came meanwhile."""
        try:
            opened = await self.connection.opened(message.view.model, message.id)
        except Exception:
            self.connection.tasks.pop("view", None)
            self.draw_newest()
            raise
        self.connection.tasks.pop("view", None)
        if self.newest is None:
            self.wish(message, asked, opened.session)
        else:
            self.draw_newest()

    def wish(self, message: m.Draw, asked: float, session: Session) -> None:
        """Puts a view into the renderer's row."""
        view, pin = message.view, self.connection.pin

        def draw(check: Check) -> None:
            started = time.monotonic()
            try:
                frame = session.render(view, pin, check)
                data = self.picture(message, frame, 1000 * (started - asked))
            except Cancelled:
                raise
            except Exception as error:
                failure = self.connection.hub.failure(message.id, error)
                self.connection.deliver(lambda: self.connection.send(failure))
                return
            self.connection.deliver(lambda: self.drawn(message, frame, *data))

        self.connection.hub.renderer.ask(self.connection, Wish(draw, (view.model, view.mode, view.layer)))

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
            device=self.connection.hub.device_name,
            path=self.connection.hub.path_name,
            shown=frame.shown,
            w_distance=frame.w_distance,
            spectrum=frame.spectrum,
            notes=frame.notes,
        )
        return write_picture(header, data), Sent(message.id, time.monotonic(), encode_ms), full

    def drawn(self, message: m.Draw, frame: Frame, data: bytes, sent: Sent, full: bool) -> None:
        """Sends a picture; in full later when it was not all there is."""
        self.unseen.append(sent)
        self.connection.send((data, sent))
        if not full and message.id == self.last_asked and not self.connection.closed:
            self.connection.start("full", self.send_full(message, frame))
        self.draw_newest()

    async def send_full(self, message: m.Draw, frame: Frame) -> None:
        """The same picture, lossless, once no newer view has come for a moment."""
        await asyncio.sleep(QUIET_S)
        whole = replaced(message, quality="full")
        data, sent, _ = await in_thread(self.picture, whole, frame, 0.0)
        if message.id == self.last_asked:
            self.connection.send((data, sent))

    async def ack(self, message: m.Ack) -> None:
        """A picture has arrived: what it cost decides the quality of the next."""
        now = time.monotonic()
        for sent in [s for s in self.unseen if s.id == message.id]:
            self.unseen.remove(sent)
            self.pace.note(1000 * (now - sent.at) + sent.encode_ms)
        self.draw_newest()
