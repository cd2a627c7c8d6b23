"""The grids over time as small pictures inside the report: a few, evenly spaced, each encoded once.

Small pictures are kept in the run's `thumbnails/` folder; it can be deleted at any time and is made again.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError, features

from openstylegan.files import write_bytes

T = TypeVar("T")

FOLDER = "thumbnails"
MAX_GRIDS = 12
MAX_WIDTH, MAX_HEIGHT = 960, 640
MAX_COLUMNS, MAX_ROWS = 16, 10
MAX_BYTES = 165_000
"""13 pictures of at most this size and the reals stay under 3 MB once they are text (base64 adds a third)."""


@dataclass(frozen=True)
class SmallPicture:
    """A picture as a data URI, its size in pixels, and how much of the grid it shows (columns, rows) if not all."""

    uri: str
    width: int
    height: int
    part: tuple[int, int] | None


@dataclass(frozen=True)
class Crop:
    """The upper left part of a grid that is shown: in pixels of the grid, and the size it is shown at."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    part: tuple[int, int] | None


def evenly_spaced(items: Sequence[T], limit: int = MAX_GRIDS) -> list[T]:
    """At most `limit` of `items`, evenly spaced, and always the newest.

    The step is a power of two, so as the sequence grows an item that was dropped never comes back: only the newest
    picture ever has to be encoded.
    """
    step = 1
    while -(-len(items) // step) > limit - 1 and len(items) > limit:
        step *= 2
    chosen = list(items[::step])
    return chosen if not items or (len(items) - 1) % step == 0 else [*chosen, items[-1]]


def crop_of(size: tuple[int, int], layout: Mapping[str, Any]) -> Crop:
    """How a grid of `size` (width, height) is shown: its upper left cells, large enough to be seen.

    Without a known layout (`columns`, `rows`) the whole picture is shrunk.
    """
    columns, rows = layout.get("columns"), layout.get("rows")
    if not (isinstance(columns, int) and isinstance(rows, int) and columns > 0 and rows > 0):
        return Crop((0, 0, *size), fit(size), None)
    shown = min(columns, MAX_COLUMNS), min(rows, MAX_ROWS)
    cell = size[0] // columns, size[1] // rows
    if cell[0] * shown[0] > MAX_WIDTH:
        shown = min(shown[0], 12), min(shown[1], 8)
    width, height = cell[0] * shown[0], cell[1] * shown[1]
    return Crop((0, 0, width, height), fit((width, height)), None if shown == (columns, rows) else shown)


def fit(size: tuple[int, int]) -> tuple[int, int]:
    """`size` shrunk, never grown, to at most `MAX_WIDTH` x `MAX_HEIGHT`."""
    scale = min(1.0, MAX_WIDTH / size[0], MAX_HEIGHT / size[1])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def encode(image: Image.Image) -> bytes:
    """`image` as WebP (JPEG where Pillow has none) in at most `MAX_BYTES`: first fewer details, then fewer pixels."""
    webp = ending() == ".webp"
    image = image.convert("RGBA" if webp and image.mode in ("RGBA", "LA") else "RGB")
    for shrink, quality in ((1, 82), (1, 55), (2, 55), (4, 50)):
        small = image if shrink == 1 else image.reduce(shrink)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=2) if webp else small.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()


def ending() -> str:
    """The file ending of the small pictures that this Pillow can write."""
    return ".webp" if features.check("webp") else ".jpg"


def thumbnail(picture: Path, layout: Mapping[str, Any]) -> tuple[bytes, Crop] | None:
    """The small form of `picture`, from the cache when that is newer; None when the picture cannot be read."""
    cached = picture.parent / FOLDER / f"{picture.stem}{ending()}"
    with contextlib.suppress(OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError):
        with Image.open(picture) as image:
            crop = crop_of(image.size, layout)
            if cached.is_file() and cached.stat().st_mtime_ns > picture.stat().st_mtime_ns:
                return cached.read_bytes(), crop
            data = encode(image.crop(crop.box).resize(crop.size, Image.Resampling.BOX))
        write_bytes(cached, data)
        return data, crop
    return None


def small_picture(picture: Path, layout: Mapping[str, Any]) -> SmallPicture | None:
    """`picture` ready for an `<img>`; None when it cannot be read."""
    found = thumbnail(picture, layout)
    if found is None:
        return None
    data, crop = found
    kind = "webp" if data[:4] == b"RIFF" else "jpeg"
    return SmallPicture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", *crop.size, crop.part)


def forget(run_folder: Path, kept: Sequence[Path]) -> None:
    """Removes the small pictures of all but `kept`."""
    names = {f"{picture.stem}{ending()}" for picture in kept}
    for cached in (run_folder / FOLDER).glob("*.*"):
        if cached.suffix in (".webp", ".jpg") and cached.name not in names:
            cached.unlink(missing_ok=True)
