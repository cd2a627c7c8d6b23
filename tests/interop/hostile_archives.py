"""Hostile `.pt` files: ZIP files that lie, overlap or unpack to far more, and calls inside the older layout."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

from interop.hostile_opcodes import legacy, legacy_storage, storage_id, tensor_of


def zipped(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(f"archive/{name}"), data, compression)
    return out.getvalue()


def zip_with_call(rng: random.Random, body: bytes) -> bytes:
    return zipped({"data.pkl": b"\x80\x02" + body + b".", "version": b"3\n"})


def zip_bomb(rng: random.Random, body: bytes) -> bytes:
    """Zeros that unpack to a thousand times their size: as the pickle, or as a tensor."""
    zeros = bytes(rng.randrange(10, 60) << 20)
    if rng.random() < 0.5:
        return zipped({"data.pkl": b"\x80\x02(" + zeros + b"."}, zipfile.ZIP_DEFLATED)
    pickled = b"\x80\x02" + tensor_of(storage_id("0", len(zeros) // 4), 0, (len(zeros) // 4,), (1,)) + b"."
    return zipped({"data.pkl": pickled, "data/0": zeros}, zipfile.ZIP_DEFLATED)


def zip_false_size(rng: random.Random, body: bytes) -> bytes:
    """A storage that is larger or smaller than its entry."""
    numel = rng.choice((1, 7, 9, 1 << 20, 1 << 40, -8))
    pickled = b"\x80\x02" + tensor_of(storage_id("0", numel), 0, (4,), (1,)) + b"."
    return zipped({"data.pkl": pickled, "data/0": bytes(32)})


def zip_false_directory(rng: random.Random, body: bytes) -> bytes:
    """A directory that says what the entries do not."""
    good = bytearray(zipped({"data.pkl": b"\x80\x02N.", "data/0": bytes(64), "data/1": bytes(64)}))
    at = good.rfind(b"PK\x01\x02")
    field = rng.choice((8, 10, 20, 24, 28, 30, 32, 42))
    good[at + field : at + field + 4] = struct.pack("<I", rng.choice((0, 1, 40, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF)))
    if rng.random() < 0.3:
        end = good.rfind(b"PK\x05\x06")
        good[end + 12 : end + 16] = struct.pack("<I", rng.randrange(1 << 32))
    return bytes(good) + (b"" if rng.random() < 0.7 else bytes(rng.randrange(100)))


def zip_overlap(rng: random.Random, body: bytes) -> bytes:
    """Thousands of entries of a directory that all lie on the same bytes."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 9999, 9999, 1, 0) + b"a" + bytes(9999)
    count = rng.randrange(2, 20_000)
    names = [f"archive/data/{n}".encode() for n in range(count - 1)] + [b"archive/data.pkl"]
    head = struct.pack("<4s6H3L5H", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, zlib.crc32(b""), 9999, 9999, 0, 0, 0, 0, 0)
    entries = b"".join(
        head[:28] + struct.pack("<H", len(name)) + head[30:] + struct.pack("<2L", 0, 0) + name for name in names
    )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), len(local), 0)
    return local + entries + end


def zip_no_storage(rng: random.Random, body: bytes) -> bytes:
    name = rng.choice(("0", "../0", "x" * 500, "\x00", ""))
    return zipped({"data.pkl": b"\x80\x02" + storage_id(name, 4) + b"."})


def legacy_call(rng: random.Random, body: bytes) -> bytes:
    part = rng.randrange(3)
    if part == 0:
        return legacy(body)
    return legacy(b"N", system=body) if part == 1 else legacy(b"N", keys=body)


def legacy_sizes(rng: random.Random, body: bytes) -> bytes:
    return legacy_storage(rng.randrange(4), rng.choice((5, 1 << 30, 1 << 61, -3)))


ARCHIVES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    zip_with_call,
    zip_bomb,
    zip_false_size,
    zip_false_directory,
    zip_overlap,
    zip_no_storage,
    legacy_call,
    legacy_sizes,
)
