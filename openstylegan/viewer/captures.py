"""What a page captures: pictures, films, states and command lines; kept in a folder too when there is one."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openstylegan.files import write_bytes
from openstylegan.sampling.film import can_write_mp4
from openstylegan.viewer import film
from openstylegan.viewer.encoding import LOSSLESS, encode
from openstylegan.viewer.messages import Capture
from openstylegan.viewer.renderer import Check, Renderer, Wish
from openstylegan.viewer.session import Cancelled, Pin, Session
from openstylegan.viewer.state import View

_NUMBERING = threading.Lock()


@dataclass(frozen=True)
class File:
    """A captured file: name, bytes, format, size as a picture, and where it was kept (None: nowhere)."""

    name: str
    data: bytes
    format: str
    width: int
    height: int
    path: Path | None


def keep(folder: Path | None, data: bytes, ending: str) -> tuple[str, Path | None]:
    """The name of a capture, and where it was written: the folder's highest number plus one, five digits."""
    if folder is None:
        return f"capture.{ending}", None
    with _NUMBERING:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(m[1]) for p in folder.iterdir() if (m := re.fullmatch(r"(\d{5,})\.\w+", p.name))]
        path = folder / f"{max(taken, default=-1) + 1:05d}.{ending}"
        write_bytes(path, data)
    return path.name, path


class Turns:
    """Draws views for a film through the renderer, one wish at a time, so that pages are served in between."""

    def __init__(self, renderer: Renderer, session: Session, pin: Pin | None):
        self.renderer, self.session, self.pin = renderer, session, pin
        self.stopped = threading.Event()

    def __call__(self, view: View) -> np.ndarray:
        """uint8 [H, W, C]. Raises `Cancelled` after `stop`, and what drawing raises."""
        done: Future[np.ndarray] = Future()

        def draw(check: Check) -> None:
            try:
                done.set_result(self.session.render(view, self.pin, check).image)
            except Cancelled:
                raise
            except Exception as error:
                done.set_exception(error)

        def dropped() -> None:
            done.cancel()

        if self.stopped.is_set():
            raise Cancelled
        self.renderer.ask(self, Wish(draw, "film", dropped))
        try:
            return done.result()
        except CancelledError as error:
            raise Cancelled from error

    def stop(self) -> None:
        """Ends it, from another thread."""
        self.stopped.set()
        self.renderer.forget(self)


def take_picture(turns: Turns, view: View, folder: Path | None) -> File:
    """A view as a PNG. Raises `InputError`, `Cancelled`."""
    image = turns(view)
    data = encode(image, LOSSLESS)
    name, path = keep(folder, data, "png")
    return File(name, data, "png", image.shape[1], image.shape[0], path)


def take_film(turns: Turns, asked: Capture, folder: Path | None, advance: Callable[[int], None]) -> File:
    """A path of views as a film. Raises `InputError`, `Cancelled`."""
    ending = asked.format or ("mp4" if can_write_mp4() else "webp")
    sizes: list[tuple[int, ...]] = []

    def draw(view: View) -> np.ndarray:
        image = turns(view)
        sizes.append(image.shape)
        return image

    with tempfile.TemporaryDirectory(prefix="openstylegan-film-") as made:
        place = Path(made) / f"film.{ending}"
        film.write(place, asked.views, draw, frames=asked.frames, closed=asked.closed, fps=asked.fps, advance=advance)
        data = place.read_bytes()
    name, path = keep(folder, data, ending)
    height, width = sizes[0][:2]
    return File(name, data, ending, width, height, path)
