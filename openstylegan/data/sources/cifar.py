"""CIFAR-10 as its authors publish it: `cifar-10-python.tar.gz`, five training batches, each a Python pickle.

The pickles are read without importing anything: only the opcodes that such a file holds are allowed, and the three
NumPy names in it are replaced by stand-ins that can build an array of bytes and nothing else.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.data.sources.record import Record, Source, read_exactly, reading
from openstylegan.errors import InputError

FILE_NAME = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
BATCHES = tuple(f"{FOLDER}/data_batch_{i}" for i in range(1, 6))
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MAX_BATCH_BYTES = 1 << 26
# fmt: off
ALLOWED_OPCODES = frozenset((
    "PROTO", "STOP", "MARK", "NONE", "GLOBAL", "REDUCE", "BUILD", "PUT", "BINPUT", "LONG_BINPUT", "GET",
    "BINGET", "LONG_BINGET", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "DICT", "LIST", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "INT", "BININT", "BININT1", "BININT2",
    "LONG1", "NEWTRUE", "NEWFALSE", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
    "UNICODE", "BINUNICODE",
))
# fmt: on


class ArrayOfBytes:
    """Stands in for a NumPy array while unpickling: takes its state, and gives `array` when that is plain uint8."""

    def __init__(self, *_: Any):
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        plain = isinstance(dtype, ByteType) and isinstance(data, bytes) and isinstance(shape, tuple)
        if not plain or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise InputError("expected an array of bytes in a CIFAR-10 batch")
        self.array = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class ByteType:
    """Stands in for the NumPy type "u1"; every other type is refused."""

    def __init__(self, code: Any, *_: Any):
        if code not in ("u1", b"u1"):
            raise InputError(f"expected bytes in a CIFAR-10 batch, got type {code!r}")

    def __setstate__(self, state: Any) -> None:
        """A byte has no byte order or fields to set."""


STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): ArrayOfBytes,
    ("numpy._core.multiarray", "_reconstruct"): ArrayOfBytes,
    ("numpy", "ndarray"): ArrayOfBytes,
    ("numpy", "dtype"): ByteType,
}


class BatchReader(pickle.Unpickler):
    """An unpickler that knows four names and imports none."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a NumPy name. Raises `InputError` for any other."""
        if (module, name) not in STAND_INS:
            raise InputError(
                f"a CIFAR-10 batch asks for {module}.{name}, which it never needs; the file is not genuine"
            )
        return STAND_INS[module, name]


def check_opcodes(data: bytes) -> None:
    """Raises `InputError` when a pickle holds an opcode that a CIFAR-10 batch never does, or skips memo numbers."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in ALLOWED_OPCODES:
            raise InputError(f"a CIFAR-10 batch never holds the pickle opcode {opcode.name}; the file is not genuine")
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise InputError("a CIFAR-10 batch numbers its values in order; the file is damaged")


def parse_batch(data: bytes, name: str) -> tuple[np.ndarray, list[int]]:
    """Pixels uint8 [N, 32, 32, 3] and classes 0..9 of one pickled batch. Raises `InputError`."""
    with reading(Path(name), "a CIFAR-10 batch"):
        check_opcodes(data)
        content = BatchReader(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise InputError(f"expected a dictionary in {name}, got {type(content).__name__}")
        content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        pixels, labels = content.get("data"), content.get("labels")
        array = pixels.array if isinstance(pixels, ArrayOfBytes) else None
        if array is None or array.ndim != 2 or array.shape[1] != 3072 or not isinstance(labels, list):
            raise InputError(f'expected "data" [N, 3072] and "labels" in {name}; fetch {FILE_NAME} again')
        if len(labels) != len(array) or not all(isinstance(v, int) and 0 <= v <= 9 for v in labels):
            raise InputError(
                f"expected a class from 0 to 9 for each of {len(array)} pictures in {name}; fetch it again"
            )
        return np.ascontiguousarray(array.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def batches(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the training batches, in the archive's order."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in BATCHES and member.isfile():
                if member.size > MAX_BATCH_BYTES:
                    raise InputError(f"expected at most {MAX_BATCH_BYTES} bytes in {name}, got {member.size}")
                file = archive.extractfile(member)
                assert file is not None, "a regular file can be extracted"
                yield name, read_exactly(file, member.size, path)


def records(path: Path) -> Iterator[Record]:
    """The 50,000 training pictures, batch 1 to 5, each 32 x 32 RGB with its class."""
    with reading(path, "the CIFAR-10 archive"):
        found = dict(batches(path))
    missing = [name for name in BATCHES if name not in found]
    if missing:
        raise InputError(f"expected {missing[0]} in {path}, but it is not there; fetch the archive again")
    index = 0
    for name in BATCHES:
        for pixels, label in zip(*parse_batch(found.pop(name), name), strict=True):
            yield Record(index, f"{name}[{index % 10000}]", pixels, label)
            index += 1


def is_cifar10(path: Path) -> bool:
    """The archive by its name, or a tar.gz whose first entries lie in its folder."""
    if path.name == FILE_NAME:
        return path.is_file()
    if not path.is_file() or not path.name.endswith((".tar.gz", ".tgz")):
        return False
    try:
        with tarfile.open(path, "r:gz") as archive:
            first = archive.next()
            return first is not None and first.name.removeprefix("./").startswith(FOLDER)
    except (tarfile.TarError, OSError, EOFError):
        return False


def open_cifar10(path: Path) -> Source:
    """CIFAR-10's training pictures."""
    return Source("CIFAR-10", path, records(path), 50000, list(CLASSES))
