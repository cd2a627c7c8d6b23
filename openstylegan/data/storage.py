"""Where a dataset's files lie: a folder or a ZIP, both read by file name, from any thread and any process.

A ZIP is read by position (`pread`) without a shared file offset, so threads and forked workers need no lock; entries
without compression, as the dataset tool writes them, cost one system call. Pickling drops the open handle.
"""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from openstylegan.errors import InputError

MAX_FILE_BYTES = 1 << 30
"""A single encoded picture larger than this is refused: nothing a picture needs, and a ZIP may claim any size."""
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
ENCRYPTED = 0x1


class Storage(Protocol):
    """Files by name. Names use "/" and are relative to the root."""

    path: Path
    names: list[str]

    def read(self, name: str) -> bytes:
        """The whole file. Raises `InputError` naming it."""

    def head(self, name: str, size: int) -> bytes:
        """At least the file's first `size` bytes (fewer at its end)."""

    def stamp(self) -> list[list[Any]]:
        """What changes when a file does (names, sizes, times): the key under which a content hash is remembered."""

    def close(self) -> None:
        """Gives handles back; a later read opens them again."""


class FolderStorage:
    """The files below a folder; symbolic links to folders are not followed."""

    def __init__(self, path: Path):
        self.path = path
        self.names = sorted(self._walk())

    def _walk(self) -> list[str]:
        found = []
        for folder, _, files in os.walk(self.path, onerror=self._unreadable):
            inside = os.path.relpath(folder, self.path).replace(os.sep, "/")
            found += files if inside == "." else [f"{inside}/{file}" for file in files]
        return found

    def _unreadable(self, error: OSError) -> None:
        raise InputError(
            f"expected a readable folder at {error.filename}, but {error.strerror}; correct its permissions"
        )

    def read(self, name: str) -> bytes:
        """The whole file."""
        return self.head(name, MAX_FILE_BYTES)

    def head(self, name: str, size: int) -> bytes:
        """The file's first `size` bytes."""
        try:
            with open(self.path / name, "rb", buffering=0) as file:
                return file.read(min(size, os.fstat(file.fileno()).st_size))
        except OSError as error:
            raise InputError(
                f"expected a readable file at {self.path / name}, but {error.strerror}; restore or remove it"
            ) from error

    def stamp(self) -> list[list[Any]]:
        """Name, size and time of every file."""
        stats = [(name, os.stat(self.path / name)) for name in self.names]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def close(self) -> None:
        """Nothing is kept open."""


@dataclass(frozen=True)
class Entry:
    """One file of a ZIP: where its local header stands and how it is packed."""

    header_at: int
    packed_size: int
    size: int
    method: int
    crc: int
    flags: int


class ZipStorage:
    """The files of a ZIP, stored or deflated."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise InputError(
                f"expected a ZIP at {path}, but it cannot be read ({error}); copy or make it again"
            ) from error
        self.entries = {
            i.filename: Entry(i.header_offset, i.compress_size, i.file_size, i.compress_type, i.CRC, i.flag_bits)
            for i in infos
        }
        self.names = sorted(self.entries)
        if len(self.names) != len(infos):
            twice = Counter(info.filename for info in infos).most_common(1)[0][0]
            raise InputError(f"expected every name once in {path}, but {twice} is there twice; pack it again")
        self._starts: dict[str, int] = {}
        self._handle: int | None = None
        self._lock = threading.Lock()

    def _pread(self, size: int, at: int) -> bytes:
        if self._handle is None:
            with self._lock:
                if self._handle is None:
                    self._handle = os.open(self.path, os.O_RDONLY)
        return os.pread(self._handle, size, at)

    def _data_at(self, name: str) -> int:
        """Where an entry's packed bytes begin: behind its local header, whose length only the header itself tells."""
        found = self._starts.get(name)
        if found is None:
            at = self.entries[name].header_at
            header = self._pread(LOCAL_HEADER.size, at)
            if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\3\4":
                raise InputError(f"expected {name} in {self.path}, but the ZIP is damaged there; copy or make it again")
            *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
            found = self._starts[name] = at + LOCAL_HEADER.size + name_length + extra_length
        return found

    def _packed(self, name: str, size: int) -> bytes:
        """The first `size` packed bytes of an entry."""
        data = self._pread(size, self._data_at(name))
        if len(data) < size:
            raise InputError(f"expected {size} bytes of {name} in {self.path}, got {len(data)}; copy or make it again")
        return data

    def read(self, name: str) -> bytes:
        """The whole file. The sum of a stored PNG is left to its decoder, which has one of its own."""
        entry = self.entries[name]
        if entry.size > MAX_FILE_BYTES or entry.packed_size > MAX_FILE_BYTES:
            raise InputError(
                f"expected pictures below 1 GiB, got {entry.size} bytes for {name} in {self.path}; remove it"
            )
        if entry.flags & ENCRYPTED or entry.method not in UNPACK:
            raise InputError(
                f"expected {name} in {self.path} stored or deflated, got ZIP method {entry.method}; pack it again"
            )
        data = UNPACK[entry.method](self._packed(name, entry.packed_size), entry.size)
        stored_png = entry.method == zipfile.ZIP_STORED and data[:8] == b"\x89PNG\r\n\x1a\n"
        if len(data) != entry.size or (not stored_png and zlib.crc32(data) != entry.crc):
            raise InputError(
                f"expected {name} in {self.path} to match its checksum, but it is damaged; make the ZIP again"
            )
        return data

    def head(self, name: str, size: int) -> bytes:
        """The file's first `size` bytes; all of it when it is compressed."""
        entry = self.entries[name]
        if entry.method == zipfile.ZIP_STORED and not entry.flags & ENCRYPTED:
            return self._packed(name, min(size, entry.size))
        return self.read(name)

    def check(self, name: str) -> None:
        """Raises `InputError` when an entry does not match its CRC-32, which `read` does not sum for stored PNGs."""
        if zlib.crc32(self.read(name)) != self.entries[name].crc:
            raise InputError(
                f"expected {name} in {self.path} to match its checksum, but it is damaged; make the ZIP again"
            )

    def stamp(self) -> list[list[Any]]:
        """Size and time of the ZIP."""
        stat = os.stat(self.path)
        return [[self.path.name, stat.st_size, stat.st_mtime_ns]]

    def close(self) -> None:
        """Closes the file; the next read opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


def inflate(data: bytes, size: int) -> bytes:
    """Raw deflate data unpacked to at most one byte over `size`; empty when it is damaged (the sum then differs)."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
    except zlib.error:
        return b""


def as_stored(data: bytes, size: int) -> bytes:
    """Stored data as it is."""
    return data


UNPACK: dict[int, Callable[[bytes, int], bytes]] = {zipfile.ZIP_STORED: as_stored, zipfile.ZIP_DEFLATED: inflate}


def open_storage(path: str | os.PathLike[str]) -> Storage:
    """The folder or ZIP at `path`. Raises `InputError` when there is neither (LMDBs: `lmdb_storage.py`)."""
    found = Path(path).expanduser()
    if found.is_dir():
        return FolderStorage(found)
    if not found.exists():
        raise InputError(f"expected a folder or a ZIP of pictures at {found}, but nothing is there; check the path")
    if not zipfile.is_zipfile(found):
        raise InputError(f"expected a folder or a ZIP of pictures at {found}, but it is another kind of file; "
                         "make one with `openstylegan dataset`")  # fmt: skip
    return ZipStorage(found)
