"""A multi-resolution LMDB: every picture at several sizes in one file, each size a dataset of its own.

The layout is style-based-gan-pytorch's, so that either program reads what the other wrote: under `{size}-{n}` (n with
at least five digits) the encoded picture n at that size, under `length` their number. `openstylegan dataset --format
lmdb` adds `names` (one a line) and `dataset.json`, which make a size the same dataset, by names, bytes and labels, as
the ZIP that is made with its width and height. A size that is no square is `{width}x{height}`.

`faces.lmdb` is the largest size, with the smaller ones for networks that grow; `faces.lmdb/64` is one size alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from openstylegan.data.environment import DATA_FILE, environment
from openstylegan.data.labels import LABEL_FILE
from openstylegan.data.storage import MAX_FILE_BYTES
from openstylegan.errors import InputError

LENGTH_KEY, NAMES_KEY = b"length", b"names"
SIZE = re.compile(rb"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?")
MAX_PICTURES = 1 << 31


class Size(NamedTuple):
    """The size of pictures in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return str(self.width) if self.width == self.height else f"{self.width}x{self.height}"


def parse_size(text: str) -> Size | None:
    """ "64" as (64, 64), "64x32" as (64, 32): width, height; None for anything else."""
    found = SIZE.fullmatch(text.encode("utf-8", "replace"))
    return Size(int(found[1]), int(found[2] or found[1])) if found else None


def parse_sizes(text: str) -> tuple[Size, ...]:
    """ "8,16,64x32" and "8-64" (8, 16, 32, 64). Raises `InputError`."""
    found: list[Size] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        first, last = parse_size(low), parse_size(high if dash else low)
        while first is not None and last is not None and first.width < last.width and dash:
            found.append(first)
            first = Size(2 * first.width, 2 * first.height)
        if first is None or first != last:
            raise InputError(f"--sizes: expected sizes such as 8,16,32 or 8-128 (doubling) or 64x32, got {text!r}")
        found.append(first)
    return tuple(found)


def picture_key(size: Size, position: int) -> bytes:
    """ "64-00012": where picture 12 is at 64 px."""
    return f"{size}-{position:05d}".encode()


def sizes_in(transaction: Any) -> list[Size]:
    """The sizes that an LMDB has pictures of, smallest first: the beginnings of its keys."""
    cursor, found = transaction.cursor(), set()
    place = b""
    while cursor.set_range(place):
        head, dash, _ = bytes(cursor.key()).partition(b"-")
        if dash and (size := parse_size(head.decode("latin-1"))) is not None:
            found.add(size)
        place = head + b"." if dash else bytes(cursor.key()) + b"\0"  # "." follows "-"
    return sorted(found, key=lambda size: (size.width * size.height, size))


@dataclass(frozen=True)
class Contents:
    """What an LMDB holds: its sizes, smallest first, the pictures' names, and its label file."""

    folder: Path
    sizes: list[Size]
    positions: dict[str, int]
    label_file: bytes | None

    def storage(self, size: Size) -> LmdbStorage:
        """The pictures of one size."""
        return LmdbStorage(self, size)


def is_multi_resolution(folder: Path) -> bool:
    """Whether `folder` is an LMDB in this layout. Raises `InputError` when it is an LMDB that cannot be read."""
    if not (folder / DATA_FILE).is_file():
        return False
    with environment(folder).begin() as transaction:
        return transaction.get(LENGTH_KEY) is not None and bool(sizes_in(transaction))


def read_contents(folder: Path) -> Contents:
    """What the LMDB in `folder` holds. Raises `InputError`."""
    with environment(folder).begin() as transaction:
        length, names = transaction.get(LENGTH_KEY), transaction.get(NAMES_KEY)
        label_file, sizes = transaction.get(LABEL_FILE.encode()), sizes_in(transaction)
    if length is None or not sizes:
        raise InputError(
            f"expected an LMDB of pictures at several sizes at {folder}, got one without {LENGTH_KEY.decode()} or "
            "sizes; make a dataset of it with `openstylegan dataset`"
        )
    if not length.isdigit() or not 0 < int(length) < MAX_PICTURES:
        raise InputError(f"expected a number of pictures in {folder}, got {length[:20]!r}; make it again")
    return Contents(folder, sizes, name_positions(names, int(length), folder), label_file)


def name_positions(names: bytes | None, count: int, folder: Path) -> dict[str, int]:
    """Name -> position. Pictures without names are called by their positions."""
    if names is None:
        return {f"{n:08d}.jpg": n for n in range(count)}
    found = {name: n for n, name in enumerate(names.decode("utf-8", "replace").split("\n"))}
    if len(found) != count:
        raise InputError(f"expected names of {count} pictures in {folder}, got {len(found)}; make it again")
    return found


class LmdbStorage:
    """The pictures of one size, by name, with the label file that all sizes share."""

    def __init__(self, contents: Contents, size: Size):
        self.contents, self.size = contents, size
        self.path = contents.folder / str(size)
        labels = [] if contents.label_file is None else [LABEL_FILE]
        self.names = sorted([*contents.positions, *labels])

    @cached_property
    def _environment(self) -> Any:
        """The LMDB, opened at the first reading in a process."""
        return environment(self.contents.folder)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_environment"}

    def _get(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a picture."""
        key = picture_key(self.size, self.contents.positions[name])
        try:
            with self._environment.begin(buffers=True) as transaction:
                value = transaction.get(key)
                data = None if value is None else bytes(value[:size])
        except Exception as error:  # lmdb.Error has no class here without the package
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"expected {name} in {self.path}, but the LMDB is damaged ({error}); make it again"
            ) from error
        if data is None:
            raise InputError(f"expected {name} in {self.path}, but {key.decode()} is not there; make the LMDB again")
        return data

    def read(self, name: str) -> bytes:
        """The whole file."""
        if name == LABEL_FILE:
            assert self.contents.label_file is not None, "a name that is in the list"
            return self.contents.label_file
        return self._get(name, MAX_FILE_BYTES)

    def head(self, name: str, size: int) -> bytes:
        """The file's first `size` bytes."""
        return self.read(name)[:size] if name == LABEL_FILE else self._get(name, size)

    def stamp(self) -> list[list[Any]]:
        """Size and time of the LMDB's file."""
        stat = os.stat(self.contents.folder / DATA_FILE)
        return [[str(self.size), stat.st_size, stat.st_mtime_ns]]

    def close(self) -> None:
        """Nothing is kept here; the map of the file is the process's."""


def is_lmdb_path(path: Path) -> bool:
    """Whether `path` is an LMDB folder, or one of its sizes."""
    return (path / DATA_FILE).is_file() or (not path.exists() and (path.parent / DATA_FILE).is_file())


def open_lmdb_storages(path: Path) -> Sequence[LmdbStorage]:
    """The sizes that `path` means, smallest first: all of `faces.lmdb`, one of `faces.lmdb/64`. Raises `InputError`."""
    if (path / DATA_FILE).is_file():
        contents = read_contents(path)
        return [contents.storage(size) for size in contents.sizes]
    contents = read_contents(path.parent)
    wanted = parse_size(path.name)
    if wanted not in contents.sizes:
        raise InputError(
            f"expected one of the sizes {', '.join(map(str, contents.sizes))} of {path.parent}, got {path.name!r}"
        )
    return [contents.storage(wanted)]
