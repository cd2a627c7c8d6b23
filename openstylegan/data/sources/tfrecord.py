"""TFRecord datasets of the StyleGAN1 / ProGAN / MSG-StyleGAN kind (arXiv 1812.04948, 1903.06048), without TensorFlow.

A folder holds one file a resolution, `NAME-r02.tfrecords` (4 x 4) to `NAME-r10.tfrecords` (1024 x 1024); only the
highest is read. A record is a protobuf `Example` with `shape` (int64 [3]: C, H, W) and `data` (the raw bytes); labels
stand in `NAME-rxx.labels`, a NumPy file. A file is length (uint64), masked CRC-32C of it, the record, masked CRC-32C of
that.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openstylegan.data.labels import Label
from openstylegan.data.sources.crc32c import crc32c, crc32c_bytewise, masked
from openstylegan.data.sources.record import Record, Source, Unreadable, reading
from openstylegan.errors import InputError

SUFFIXES = (".tfrecords", ".tfrecord")
MAX_RECORD_BYTES = 1 << 30
MAX_SIDE = 1 << 16
Fields = list[tuple[int, int | bytes]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` in protobuf's base 128, and where it ends. Raises `InputError`."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
    raise InputError("the record is no valid protobuf message")


def fields(data: bytes) -> Fields:
    """(field number, value) of a protobuf message; nested messages, strings and packed lists stay bytes."""
    found: Fields = []
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
            found.append((tag >> 3, value))
            continue
        size, at = varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise InputError("the record is no valid protobuf message")
        found.append((tag >> 3, data[at : at + size]))
        at += size
    return found


def messages(data: bytes, number: int) -> list[bytes]:
    """The contents of the fields `number` that hold bytes."""
    return [value for field, value in fields(data) if field == number and isinstance(value, bytes)]


def first(values: list[bytes], what: str) -> bytes:
    """The first of `values`. Raises `InputError` when there is none."""
    if not values:
        raise InputError(f"the record has no {what}")
    return values[0]


def int64_list(feature: bytes) -> list[int]:
    """The numbers of an `Int64List`, packed or not."""
    numbers: list[int] = []
    for field, value in fields(first(messages(feature, 3), "list of whole numbers")):
        if field == 1 and isinstance(value, int):
            numbers.append(value)
        elif field == 1 and isinstance(value, bytes):
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                numbers.append(number)
    return numbers


def parse_example(data: bytes) -> np.ndarray:
    """The pixels uint8 [H, W, C] of a serialized `Example`. Raises `InputError`."""
    features: dict[bytes, bytes] = {}
    for entry in messages(first(messages(data, 1), "features"), 1):
        features[first(messages(entry, 1), "feature name")] = first(messages(entry, 2), "feature value")
    if b"shape" not in features or b"data" not in features:
        raise InputError(
            f"expected the features shape and data in the record, got {sorted(map(bytes.decode, features))}"
        )
    shape = int64_list(features[b"shape"])
    raw = first(messages(first(messages(features[b"data"], 1), "list of bytes"), 1), "pixel data")
    if len(shape) != 3 or not 1 <= shape[0] <= 4 or not all(0 < side <= MAX_SIDE for side in shape[1:]):
        raise InputError(f"expected a shape [C, H, W] in the record, got {shape[:8]}")
    if len(raw) != shape[0] * shape[1] * shape[2]:
        raise InputError(f"expected {shape[0] * shape[1] * shape[2]} bytes of pixels in the record, got {len(raw)}")
    return np.frombuffer(raw, np.uint8).reshape(shape).transpose(1, 2, 0)


@dataclass(frozen=True)
class RecordReference:
    """One record of a file, by position."""

    path: Path
    start: int
    size: int

    def load(self) -> np.ndarray:
        """The pixels, read, summed and parsed."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            block = file.read(self.size + 4)
        data, total = block[: self.size], block[self.size :]
        if len(total) != 4 or masked(crc32c(data)) != int.from_bytes(total, "little"):
            raise InputError("the record does not match its checksum")
        try:
            return parse_example(data)
        except UnicodeDecodeError as error:
            raise InputError("the record has a feature name that is no text") from error


def positions(path: Path) -> Iterator[RecordReference | Unreadable]:
    """Where the file's records lie. A damaged length ends the file, with a last item that says so."""
    at, end = 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while at < end:
            file.seek(at)
            head = file.read(12)
            size, total = struct.unpack("<QI", head) if len(head) == 12 else (0, -1)
            if masked(crc32c_bytewise(head[:8])) != total or size > MAX_RECORD_BYTES or at + 16 + size > end:
                yield Unreadable(f"the file is damaged or cut off at byte {at}; what follows cannot be read")
                return
            yield RecordReference(path, at + 12, size)
            at += 16 + size


def level(path: Path) -> tuple[int, str]:
    """The resolution exponent in a file's name (-1: none), then the name: what files are sorted by."""
    match = re.search(r"-r(\d{1,3})\.tfrecords?$", path.name)
    return (int(match[1]) if match else -1), path.name


def record_files(path: Path) -> list[Path]:
    """The TFRecord files of a folder, lowest resolution first; a file itself."""
    files = [path] if path.is_file() else sorted(path.iterdir(), key=level) if path.is_dir() else []
    return [file for file in files if file.name.endswith(SUFFIXES) and file.is_file()]


def is_tfrecord(path: Path) -> bool:
    """A TFRecord file, or a folder that holds some."""
    return bool(record_files(path))


def read_labels(path: Path) -> list[Label]:
    """The labels of a `.labels` file: classes when they are one-hot or whole numbers, else vectors."""
    with reading(path, "a NumPy file of labels"):
        array = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if array.ndim not in (1, 2) or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(f"expected labels [N] or [N, D] in {path}, got {array.dtype} {list(array.shape)}")
        if array.ndim == 1:
            return [int(v) for v in array]
        one_hot = array.shape[1] > 0 and bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())
        return [int(v) for v in array.argmax(axis=1)] if one_hot else [[float(x) for x in row] for row in array]


def labels_of(path: Path) -> list[Label]:
    """The labels beside a TFRecord file: one `.labels` file for all resolutions; empty when there is none."""
    stem = re.sub(r"-r\d{1,3}\.tfrecords?$", "", path.name)
    found = sorted(path.parent.glob("*.labels"))
    own = [file for file in found if file.name.startswith(f"{stem}-")]
    return read_labels(own[0]) if own else []


def records(path: Path) -> Iterator[Record]:
    """The records of a file with their labels."""
    labels = labels_of(path)
    for index, data in enumerate(positions(path)):
        yield Record(index, f"{path.name}[{index}]", data, labels[index] if index < len(labels) else None)


def open_tfrecord(path: Path) -> Source:
    """The pictures of the highest resolution."""
    *lower, highest = record_files(path)
    return Source("TFRecord", highest, records(highest), other_files=[file.name for file in lower])
