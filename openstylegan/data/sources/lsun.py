"""LSUN as its authors publish it: an LMDB folder of encoded pictures (WebP or JPEG) by key, without labels.

Differs from StyleGAN2-ADA: pictures are decoded by Pillow instead of OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openstylegan.data.environment import environment
from openstylegan.data.sources.record import Record, Source, reading
from openstylegan.errors import InputError


def is_lmdb(path: Path) -> bool:
    """A folder with LMDB's data file, or named as LSUN's are."""
    return path.is_dir() and ((path / "data.mdb").is_file() or path.name.endswith("_lmdb"))


def open_environment(path: Path) -> Any:
    """The LMDB at `path`, for reading. Raises `InputError`."""
    if not (path / "data.mdb").is_file():
        raise InputError(f"expected data.mdb in the LMDB folder {path}, but it is not there; unpack the archive again")
    return environment(path)


def records(environment: Any, path: Path) -> Iterator[Record]:
    """Every value in the order of the keys."""
    with reading(path, "an LMDB"), environment.begin(buffers=False) as transaction:
        for index, (key, value) in enumerate(transaction.cursor()):
            yield Record(index, key.decode("ascii", "backslashreplace"), bytes(value))


def open_lmdb(path: Path) -> Source:
    """The pictures of an LMDB."""
    environment = open_environment(path)
    return Source("LMDB", path, records(environment, path), environment.stat()["entries"])
