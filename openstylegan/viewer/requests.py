"""The messages of a page that are not views: what each of them does."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from openstylegan.errors import InputError
from openstylegan.viewer import messages as m
from openstylegan.viewer.captures import File, Turns, keep, take_film, take_picture
from openstylegan.viewer.commands import command_of
from openstylegan.viewer.connection import Connection, Handler, replaced
from openstylegan.viewer.encoding import MIME
from openstylegan.viewer.film import path as path_of
from openstylegan.viewer.pictures import Picture, write_picture
from openstylegan.viewer.session import Cancelled
from openstylegan.viewer.state import to_json
from openstylegan.viewer.stream import ViewStream
from openstylegan.viewer.threads import in_thread
from openstylegan.viewer.watch import Watcher

WATCH_S = 1.0
"""How often a run folder is looked at."""
PROGRESS_S = 0.1
"""How often the progress of a film is told."""
MOST_WORKS, MOST_WATCHED = 8, 8
"""Long works, and watched runs, of one page at a time."""
GRID_QUALITY = 90


@dataclass(eq=False)
class Requests:
    """What a page asks for beside views."""

    connection: Connection
    watchers: dict[str, Watcher] = field(default_factory=dict)

    def handlers(self, stream: ViewStream) -> dict[type, Handler]:
        """Who answers which message."""
        return {
            m.Draw: stream.draw,
            m.Ack: stream.ack,
            m.Open: self.open,
            m.ListModels: self.models,
            m.Pin: self.pin,
            m.Unpin: self.unpin,
            m.FindDirections: self.directions,
            m.Capture: self.capture,
            m.Cancel: self.cancel,
            m.Watch: self.watch,
            m.Unwatch: self.unwatch,
            m.GetGrid: self.grid,
        }

    def work(self, message: m.Asked, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins a work that takes a while and may be cancelled by its id. Raises `InputError` when there are many."""
        works = [key for key in self.connection.tasks if isinstance(key, tuple)]
        if len(works) >= MOST_WORKS:
            raise InputError(f"expected at most {MOST_WORKS} things at a time; wait until one of them is done")
        self.connection.start(("work", message.id), self.connection.answering(message.id, doing))

    async def open(self, message: m.Open) -> None:
        """Opens a network and describes it."""

        async def doing() -> None:
            known = self.connection.hub.networks.found(message.model)
            opened = await self.connection.opened(message.model, message.id)
            if known is not None:
                self.connection.send(replaced(opened.network, id=message.id))

        self.work(message, doing)

    async def models(self, message: m.ListModels) -> None:
        """The list, made anew."""

        async def doing() -> None:
            self.connection.send(replaced(await in_thread(self.connection.hub.models.refresh), id=message.id))

        self.work(message, doing)

    async def pin(self, message: m.Pin) -> None:
        """Keeps a view for differences."""

        async def doing() -> None:
            opened = await self.connection.opened(message.view.model, message.id)
            self.connection.pin = await in_thread(opened.session.make_pin, message.view)
            self.connection.send(m.Pinned(id=message.id, view=message.view))

        self.work(message, doing)

    async def unpin(self, message: m.Unpin) -> None:
        """Forgets the pinned view."""
        self.connection.pin = None
        self.connection.send(m.Pinned(id=message.id, view=None))

    async def directions(self, message: m.FindDirections) -> None:
        """Finds directions."""
        if message.kind == "pca" and message.layers:
            raise InputError("expected no layers for directions of kind 'pca', for they are of w itself")

        async def doing() -> None:
            opened = await self.connection.opened(message.model, message.id)
            self.connection.send(m.Progress(id=message.id, what="finding directions"))
            found = await in_thread(opened.session.directions, message.kind, message.layers)
            scales, shares = (tuple(map(float, numbers)) for numbers in (found.scales, found.shares))
            told = m.Directions(
                id=message.id,
                model=message.model,
                kind=message.kind,
                layers=message.layers,
                scales=scales,
                shares=shares,
            )
            self.connection.send(told)

        self.work(message, doing)

    async def cancel(self, message: m.Cancel) -> None:
        """Ends the long work of an id."""
        self.connection.stop_task(("work", message.id))

    async def capture(self, message: m.Capture) -> None:
        """Captures a picture, a film, or a text. Raises `InputError` for a message that asks for nothing."""
        views = message.views if message.kind == "video" else (message.view,)
        if not views or views[0] is None:
            raise InputError(f"expected a view to capture, or views for a film, got none (kind '{message.kind}')")
        if message.kind == "video":
            path_of(message.views, message.frames, message.closed)
            self.work(message, partial(self.film, message))
        elif message.kind == "png":
            self.work(message, partial(self.picture, message))
        else:
            self.work(message, partial(self.text, message))

    async def turns(self, message: m.Capture) -> Turns:
        """What draws for a capture. Raises `InputError` for a network that cannot be opened."""
        view = message.views[0] if message.kind == "video" else message.view
        assert view is not None
        opened = await self.connection.opened(view.model, message.id)
        return Turns(self.connection.hub.renderer, opened.session, self.connection.pin)

    async def picture(self, message: m.Capture) -> None:
        """A view as a PNG."""
        turns = await self.turns(message)
        assert message.view is not None
        self.hand_over(message, await self.drawn(turns, take_picture, turns, message.view, self.folder))

    async def film(self, message: m.Capture) -> None:
        """A path as a film."""
        turns = await self.turns(message)
        total, done, said = len(path_of(message.views, message.frames, message.closed)), 0, 0.0

        def advance(count: int) -> None:
            nonlocal done, said
            done += count
            now = time.monotonic()
            if done < total and now - said < PROGRESS_S:
                return
            said = now
            told = m.Progress(id=message.id, what="filming", done=done, total=total)
            self.connection.deliver(lambda: self.connection.send(told))

        self.hand_over(message, await self.drawn(turns, take_film, turns, message, self.folder, advance))

    async def drawn(self, turns: Turns, take: Any, *arguments: Any) -> File:
        """`take(*arguments)` in a thread of its own; when this is cancelled, so is that, and it is waited for."""
        thread = asyncio.ensure_future(in_thread(take, *arguments))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            turns.stop()
            await asyncio.gather(thread, return_exceptions=True)
            raise
        except Cancelled as error:
            raise InputError("cancelled") from error

    @property
    def folder(self) -> Path | None:
        """Where captures are kept."""
        return self.connection.hub.capture_dir

    def hand_over(self, message: m.Capture, file: File) -> None:
        """Sends a captured file."""
        header = Picture(
            id=message.id,
            kind="capture",
            format=file.format,
            mime=MIME[file.format],
            width=file.width,
            height=file.height,
            name=file.name,
        )
        self.connection.send(write_picture(header, file.data))
        path = None if file.path is None else str(file.path)
        self.connection.send(m.Done(id=message.id, kind=message.kind, name=file.name, path=path))

    async def text(self, message: m.Capture) -> None:
        """A view as JSON or as a command line."""
        view = message.view
        assert view is not None
        left_out: tuple[str, ...] = ()
        if message.kind == "json":
            text, ending = to_json(view), "json"
        else:
            opened = await self.connection.opened(view.model, message.id)
            command = command_of(view, opened.session, self.connection.hub.models.shown_place(view.model))
            text, ending, left_out = command.text, "txt", command.left_out
        name, path = await in_thread(keep, self.folder, text.encode(), ending)
        told = m.Done(
            id=message.id,
            kind=message.kind,
            name=name,
            text=text,
            path=None if path is None else str(path),
            left_out=left_out,
        )
        self.connection.send(told)

    async def watch(self, message: m.Watch) -> None:
        """Follows a run from now on. Raises `InputError` for what is not on the list."""
        if len(self.watchers) >= MOST_WATCHED and message.run not in self.watchers:
            raise InputError(f"expected at most {MOST_WATCHED} watched runs; stop watching one of them")
        watcher = self.watchers[message.run] = Watcher(self.connection.hub.models, message.run)
        following = self.connection.answering(message.id, partial(self.follow, watcher, message.id))
        self.connection.start(f"watch {message.run}", following)

    async def follow(self, watcher: Watcher, number: int) -> None:
        """Tells whatever is new in a run folder."""
        with contextlib.suppress(asyncio.CancelledError):  # nobody is told that watching has ended
            while True:
                news = await in_thread(watcher.look)
                if news is not None:
                    self.connection.send(replaced(news, id=number))
                await asyncio.sleep(WATCH_S)

    async def unwatch(self, message: m.Unwatch) -> None:
        """Stops following a run."""
        self.watchers.pop(message.run, None)
        self.connection.stop_task(f"watch {message.run}")

    async def grid(self, message: m.GetGrid) -> None:
        """A grid of a watched run. Raises `InputError` for any other file."""
        watcher = self.watchers.get(message.run)
        if watcher is None or message.name not in watcher.told_grids:
            raise InputError(f"expected a grid of a watched run, got '{message.name}'; watch the run first")
        path = watcher.folder / message.name

        async def doing() -> None:
            picture = await in_thread(grid_picture, path, message)
            self.connection.send(picture)

        self.work(message, doing)


def grid_picture(path: Path, message: m.GetGrid) -> bytes:
    """A grid as a picture message: the file itself, or a smaller WebP where it is too wide. Raises `InputError`."""
    buffer = io.BytesIO()
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if width <= message.width:
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, buffer)
                kind = "png"
            else:
                width, height = message.width, max(1, round(height * message.width / width))
                picture.resize((width, height), Image.Resampling.BOX).save(buffer, "WEBP", quality=GRID_QUALITY)
                kind = "webp"
    except (OSError, ValueError) as error:
        raise InputError(
            f"the grid {path.name} cannot be read ({error}); it is written anew at the next tick"
        ) from error
    header = Picture(
        id=message.id,
        kind="grid",
        format=kind,
        mime=MIME[kind],
        width=width,
        height=height,
        full=kind == "png",
        name=path.name,
    )
    return write_picture(header, buffer.getvalue())
