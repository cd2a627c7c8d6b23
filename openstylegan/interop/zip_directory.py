"""The directory of a ZIP file, checked before anything is believed: uncompressed entries that lie beside each other.

Python's `zipfile` makes an object for every entry that a file claims; here the directory's size is limited first, and
each entry must be where the directory says, inside the file and overlapping no other one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from openstylegan.errors import InputError

LARGEST_DIRECTORY = 32 << 20
MOST_ENTRIES = 100_000
END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF
ENCRYPTED = 1


@dataclass(frozen=True)
class ZipEntry:
    """One entry: `offset` is that of its header, `method` 0 is uncompressed, `stored` its bytes in the file."""

    name: str
    offset: int
    stored: int
    size: int
    method: int
    flags: int


def broken(what: str) -> InputError:
    """The error for a directory that is not one."""
    return InputError(f"is a ZIP file whose directory {what} (damaged or cut off?)")


def read_exactly(file: BinaryIO, offset: int, count: int) -> bytes:
    """`count` bytes at `offset`."""
    if offset < 0:
        raise broken("points outside the file")
    file.seek(offset)
    data = file.read(count)
    if len(data) != count:
        raise broken("points outside the file")
    return data


def find_directory(file: BinaryIO, file_size: int) -> tuple[int, int]:
    """(offset, size) of the directory, from the record at the end of the file (ZIP64 or not)."""
    tail_size = min(file_size, END.size + FULL_16)
    tail = read_exactly(file, file_size - tail_size, tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END.size:
        raise broken("is missing")
    at_file = file_size - tail_size + at
    size, offset = END.unpack_from(tail, at)[5:7]
    end, offset, size = find_directory_64(file, at_file, offset, size)
    if offset + size != end:
        raise broken("is not where the file says")
    return offset, size


def find_directory_64(file: BinaryIO, at: int, offset: int, size: int) -> tuple[int, int, int]:
    """(end, offset, size) of the directory where a newer record stands before the one at `at`."""
    if at < LOCATOR_64.size:
        return at, offset, size
    mark, _, end, _ = LOCATOR_64.unpack(read_exactly(file, at - LOCATOR_64.size, LOCATOR_64.size))
    if mark != b"PK\x06\x07":
        return at, offset, size
    record = END_64.unpack(read_exactly(file, end, END_64.size))
    if record[0] != b"PK\x06\x06":
        raise broken("is missing")
    return end, record[9], record[8]


def read_directory(file: BinaryIO, file_size: int) -> list[ZipEntry]:
    """The entries of a ZIP file, in the directory's order. Raises `InputError`."""
    offset, size = find_directory(file, file_size)
    if size > LARGEST_DIRECTORY:
        raise InputError(f"is a ZIP file with a directory of {size >> 20} MB")
    data, at = read_exactly(file, offset, size), 0
    entries: list[ZipEntry] = []
    while at < len(data):
        entry, at = read_entry(data, at)
        entries.append(entry)
        if len(entries) > MOST_ENTRIES:
            raise InputError(f"is a ZIP file with more than {MOST_ENTRIES} entries")
    check_places(entries, offset)
    return entries


def read_entry(data: bytes, at: int) -> tuple[ZipEntry, int]:
    """The entry at `at` of the directory, and where the next one begins."""
    if len(data) - at < CENTRAL.size:
        raise broken("ends in the middle")
    head = CENTRAL.unpack_from(data, at)
    mark, flags, method = head[0], head[3], head[4]
    stored, size, name_size, extra_size, comment_size, offset = *head[8:13], head[16]
    start = at + CENTRAL.size
    next_at = start + name_size + extra_size + comment_size
    if mark != b"PK\x01\x02" or next_at > len(data):
        raise broken("ends in the middle")
    name = data[start : start + name_size].decode("utf-8", "replace")
    extra = data[start + name_size : start + name_size + extra_size]
    size, stored, offset = large_numbers(extra, [size, stored, offset])
    return ZipEntry(name, offset, stored, size, method, flags), next_at


def large_numbers(extra: bytes, values: list[int]) -> list[int]:
    """`values` with those that did not fit into 32 bits taken from the ZIP64 field in `extra`."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra[at + 4 : at + 4 + length]))
            return [next(wide, v) if v == FULL_32 else v for v in values]
        at += 4 + length
    return values


def check_places(entries: list[ZipEntry], end: int) -> None:
    """Raises `InputError` when entries overlap, reach into the directory or have the same name."""
    if len({entry.name for entry in entries}) != len(entries):
        raise broken("has two entries of one name")
    for entry in sorted(entries, key=lambda e: e.offset, reverse=True):
        if entry.offset + LOCAL.size + len(entry.name.encode("utf-8", "replace")) + entry.stored > end:
            raise InputError("is a ZIP file with overlapping entries (a bomb?)")
        end = entry.offset


def locate_data(file: BinaryIO, entry: ZipEntry, end: int) -> int:
    """Where the bytes of an uncompressed entry begin. Raises `InputError` for a compressed or hidden one."""
    if entry.flags & ENCRYPTED or entry.method != 0 or entry.stored != entry.size:
        raise InputError("has compressed or encrypted entries, which files of torch.save never have (a bomb?)")
    head = LOCAL.unpack(read_exactly(file, entry.offset, LOCAL.size))
    start = entry.offset + LOCAL.size + head[9] + head[10]
    name = read_exactly(file, entry.offset + LOCAL.size, head[9]).decode("utf-8", "replace")
    if head[0] != b"PK\x03\x04" or head[3] != entry.method or name != entry.name or start + entry.size > end:
        raise broken("does not agree with the entries")
    return start
