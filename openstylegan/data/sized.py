"""Pictures as they come: a folder or ZIP of any sizes and modes as a dataset of one square size.

The largest centred square of each is resized, once; the result lies in the cache folder under the content's hash and
what was asked, and is made again when it is gone. Pictures that are alike already are read from where they are.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openstylegan.data import content_hash as hashing
from openstylegan.data.dataset import header_shape
from openstylegan.data.decode import is_picture
from openstylegan.data.labels import LABEL_FILE
from openstylegan.data.prepare import PrepareOptions, prepare
from openstylegan.data.shapes import Shape
from openstylegan.data.storage import Storage, open_storage
from openstylegan.errors import InputError
from openstylegan.files import cache_folder, sha256_bytes

Resize = int | Literal["nearest"]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SMALLEST = 8
VERSION = 1


@dataclass(frozen=True)
class Sized:
    """Where pictures of one size lie, and where their labels come from."""

    path: str
    label_source: str


def ignore(_: str) -> None:
    """Tells nobody."""


def nearest_power_of_two(side: float) -> int:
    """The power of two nearest to `side`, at least 8; the smaller one of two that are equally near."""
    below = SMALLEST
    while 2 * below <= side:
        below *= 2
    return below if side - below <= 2 * below - side else 2 * below


def side_of(shapes: list[Shape], resize: Resize | None, path: Path) -> int:
    """The side in pixels that is asked for: "nearest" is the power of two nearest to the median of the pictures' short
    sides. Raises `InputError` for None where pictures have several sizes or are not square."""
    if resize is not None:
        return nearest_power_of_two(statistics.median(min(s[1:]) for s in shapes)) if resize == "nearest" else resize
    sizes = {shape[1:] for shape in shapes}
    height, width = next(iter(sizes))
    if len(sizes) > 1 or height != width:
        raise InputError(f"expected square pictures of one size in {path} where --channels is given; give --resize too")
    return height


def channels_of(shapes: list[Shape], channels: int | None) -> int:
    """The channels that are asked for; None: those of the pictures if all have the same, else 3."""
    found = {shape[0] for shape in shapes}
    return channels or (found.pop() if len(found) == 1 else 3)


def picture_shapes(storage: Storage) -> list[Shape]:
    """The shapes of all pictures whose header can be read. Raises `InputError` when there are none."""
    shapes = []
    for name in filter(is_picture, storage.names):
        try:
            shapes.append(header_shape(storage, name))
        except InputError:
            continue  # the report of what is made names it
    if not shapes:
        raise InputError(f"expected pictures in {storage.path}, found none that can be read; check the path")
    return shapes


def sized(
    path: str | os.PathLike[str],
    resize: Resize | None = None,
    channels: int | None = None,
    label_source: str = LABEL_FILE,
    workers: int = 1,
    tell: Callable[[str], None] = ignore,
) -> Sized:
    """The pictures at `path` as squares of `resize` pixels a side and with so many channels (None: as they are).

    Made and kept in the cache folder where they are not so already; `tell` gets a line then. Raises `InputError`.
    """
    here = Sized(str(path), label_source)
    if resize is None and channels is None:
        return here
    storage = open_storage(path)
    shapes = picture_shapes(storage)
    wanted = (channels_of(shapes, channels), *[side_of(shapes, resize, storage.path)] * 2)
    names = [name for name in storage.names if is_picture(name)]
    if set(shapes) == {wanted} and len(shapes) == len(names):
        return here
    if wanted[0] not in MODES:
        raise InputError(f"expected --channels 1, 3 or 4 for pictures that are resized, got {wanted[0]}")
    options = PrepareOptions(
        transform="center-crop",
        width=wanted[2],
        height=wanted[1],
        mode=MODES[wanted[0]],
        labels="folders" if label_source == "folders" else "source",
        workers=workers,
    )
    asked = [VERSION, hashing.content_hash(storage, names), *wanted, options.labels]
    target = cache_folder("datasets") / f"sized-{sha256_bytes(json.dumps(asked).encode())[:32]}.zip"
    if not target.is_file():
        tell(make(path, target, options))
    return Sized(str(target), LABEL_FILE)


def make(path: str | os.PathLike[str], target: Path, options: PrepareOptions) -> str:
    """Makes the dataset `target` and says what was done. Several processes may do so at once: all make the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    report = prepare(path, target.with_name(f".{target.stem}-{os.getpid()}.zip"), options)
    os.replace(report.path, target.with_suffix(".report.json"))
    os.replace(report.dest, target)
    left_out = f"; {len(report.skipped)} could not be used, see {target.with_suffix('.report.json')}"
    return (
        f"{report.pictures:,} pictures of {path} cropped and resized to {options.width} x {options.height} "
        f"({options.mode}) in {target}{left_out if report.skipped else ''}"
    )
