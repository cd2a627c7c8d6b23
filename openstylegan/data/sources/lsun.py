"""LSUN as its authors publish it: an LMDB folder of encoded pictures (WebP or JPEG) by key, without labels.

Differs from StyleGAN2-ADA: pictures are decoded by Pillow instead of OpenCV.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from openstylegan.data.sources.record import Record, Source, reading
from openstylegan.errors import InputError


def lmdb_module() -> ModuleType:
    """The lmdb package. Raises `InputError` when it is not installed."""
    try:
        return importlib.import_module("lmdb")
    except ImportError as error:
        raise InputError(
            "reading an LMDB needs the package lmdb, which is not installed; pip install openstylegan[lmdb]"
        ) from error


def is_lmdb(path: Path) -> bool:
    """A folder with LMDB's data file, or named as LSUN's are."""
    return path.is_dir() and ((path / "data.mdb").is_file() or path.name.endswith("_lmdb"))


def open_environment(path: Path) -> Any:
    """The LMDB at `path`, read-only and without a lock file (the folder may be read-only too)."""
    lmdb = lmdb_module()
    if not (path / "data.mdb").is_file():
        raise InputError(f"expected data.mdb in the LMDB folder {path}, but it is not there; unpack the archive again")
    with reading(path, "an LMDB"):
        return lmdb.open(str(path), readonly=True, lock=False, readahead=True, max_readers=1)


def records(environment: Any, path: Path) -> Iterator[Record]:
    """Every value in the order of the keys."""
    with reading(path, "an LMDB"), environment.begin(buffers=False) as transaction:
        for index, (key, value) in enumerate(transaction.cursor()):
            yield Record(index, key.decode("ascii", "backslashreplace"), bytes(value))


def open_lmdb(path: Path) -> Source:
    """The pictures of an LMDB."""
    environment = open_environment(path)
    return Source("LMDB", path, records(environment, path), environment.stat()["entries"])
