"""MNIST and its kin (Fashion-MNIST, KMNIST): gzipped IDX files of grey pictures, the labels in a second file beside it.

The format: 4 bytes magic (0, 0, 8 for bytes, number of dimensions), each dimension as a big-endian 32-bit number, then
the bytes. Pictures of 28 x 28 are padded with 2 black pixels on each side to 32 x 32.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openstylegan.data.sources.record import Record, Source, read_exactly, reading
from openstylegan.errors import InputError

FILE_NAME = "train-images-idx3-ubyte.gz"
MAGIC = b"\0\0\x08"
MAX_BYTES = 1 << 31
MAX_DIMENSIONS = 3
PADDED_FROM, PADDING = 28, 2


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of a gzipped IDX file. Raises `InputError` when it is damaged or of another type."""
    with reading(path, "a gzipped IDX file"), gzip.open(path, "rb") as file:
        magic = read_exactly(file, 4, path)
        if magic[:3] != MAGIC or not 1 <= magic[3] <= MAX_DIMENSIONS:
            raise InputError(
                f"expected an IDX file of bytes at {path}, got the first bytes {magic.hex()}; fetch it again"
            )
        shape = struct.unpack(f">{magic[3]}I", read_exactly(file, 4 * magic[3], path))
        size = int(np.prod([float(n) for n in shape]))
        if size > MAX_BYTES:
            raise InputError(f"expected at most {MAX_BYTES} bytes in {path}, it claims {size}; fetch it again")
        return np.frombuffer(read_exactly(file, size, path), np.uint8).reshape(shape)


def labels_path(path: Path) -> Path:
    """Where the labels of the pictures at `path` lie."""
    return path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))


def read_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [N, H, W] and their classes [N]. Raises `InputError` when they do not belong together."""
    pictures = read_idx(path)
    beside = labels_path(path)
    if beside == path or not beside.is_file():
        raise InputError(f"expected the labels of {path} at {beside}, but nothing is there; put the file beside it")
    labels = read_idx(beside)
    if pictures.ndim != 3 or labels.ndim != 1 or len(pictures) != len(labels) or not pictures.size:
        raise InputError(
            f"expected pictures [N, H, W] in {path} and N labels in {beside}, got {list(pictures.shape)} and "
            f"{list(labels.shape)}; fetch both again"
        )
    return pictures, labels


def records(path: Path) -> Iterator[Record]:
    """Grey pictures with their classes."""
    pictures, labels = read_pair(path)
    if pictures.shape[1:] == (PADDED_FROM, PADDED_FROM):
        pictures = np.pad(pictures, ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        yield Record(index, f"{path.name}[{index}]", picture[:, :, None], int(label))


def is_mnist(path: Path) -> bool:
    """The file by its name, or any gzip whose content begins as an IDX file of pictures does."""
    if path.name == FILE_NAME:
        return path.is_file()
    if not path.is_file() or path.suffix != ".gz":
        return False
    try:
        with gzip.open(path, "rb") as file:
            return file.read(4) == MAGIC + b"\3"
    except (OSError, EOFError, zlib.error):
        return False


def open_mnist(path: Path) -> Source:
    """The pictures of an IDX file."""
    return Source("MNIST", path, records(path))
