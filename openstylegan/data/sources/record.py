"""What a source of pictures gives: records, one a picture, each loaded by whoever decodes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from openstylegan.data.labels import Label
from openstylegan.errors import InputError

BLOCK_BYTES = 1 << 20


class Readable(Protocol):
    """A file open for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Reference(Protocol):
    """A picture that is read where it is decoded, in another process."""

    def load(self) -> bytes | np.ndarray:
        """The encoded file, or pixels [H, W, C]. Raises `InputError`."""


@dataclass(frozen=True)
class Record:
    """One picture of a source: `data` is an encoded file, pixels [H, W, C], or a reference to either."""

    index: int
    name: str
    data: bytes | np.ndarray | Reference
    label: Label | None = None


@dataclass(frozen=True)
class FileReference:
    """A file of its own."""

    path: Path

    def load(self) -> bytes:
        """The whole file."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise InputError(f"the file cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Unreadable:
    """A record of which only the reason is left why it cannot be read."""

    reason: str

    def load(self) -> bytes:
        """Raises `InputError` with the reason."""
        raise InputError(self.reason)


@dataclass(frozen=True)
class Source:
    """Pictures to prepare. `count`: how many, where known before reading; `other_files`: what was passed over."""

    kind: str
    path: Path
    records: Iterator[Record]
    count: int | None = None
    classes: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a parser raises on a damaged file into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # archives' readers raise many kinds
        detail = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"expected {what} at {path}, but it cannot be read ({detail}); fetch it again") from error


def read_exactly(file: Readable, size: int, path: Path) -> bytes:
    """`size` bytes, read block by block so that a false size claims no memory. Raises `InputError` when it ends."""
    parts, left = [], size
    while left:
        part = file.read(min(left, BLOCK_BYTES))
        if not part:
            raise InputError(f"expected {size} bytes in {path}, but it ends after {size - left}; fetch it again")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
