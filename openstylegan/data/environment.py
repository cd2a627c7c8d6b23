"""An LMDB opened for reading: one map of it a process, which all that read it share.

LMDB allows a file to be opened once in a process. The map is of memory, read-only and without a lock file (the folder
may be read-only too); it lasts as long as the process.
"""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from openstylegan.errors import InputError

DATA_FILE = "data.mdb"


def lmdb_module() -> ModuleType:
    """The lmdb package. Raises `InputError` when it is not installed."""
    try:
        return importlib.import_module("lmdb")
    except ImportError as error:
        raise InputError(
            "LMDBs need the package lmdb, which is not installed; pip install openstylegan[lmdb]"
        ) from error


def environment(folder: Path) -> Any:
    """The LMDB in `folder`, for reading. Raises `InputError` when it is none, is damaged or is cut off."""
    lmdb_module()
    try:
        stat = os.stat(folder / DATA_FILE)
    except OSError as error:
        raise InputError(
            f"expected an LMDB at {folder}, but its {DATA_FILE} cannot be read ({error.strerror})"
        ) from error
    return _opened(os.path.realpath(folder), stat.st_dev, stat.st_ino, stat.st_size)


@functools.cache
def _opened(folder: str, device: int, inode: int, size: int) -> Any:
    """The environment of the file with this identity."""
    lmdb = lmdb_module()
    try:
        opened = lmdb.open(folder, readonly=True, lock=False, readahead=True, max_readers=1)
    except lmdb.Error as error:
        raise InputError(
            f"expected an LMDB at {folder}, but it cannot be read ({error}); fetch or make it again"
        ) from error
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    if size < needed:  # reading on would touch memory that is not there, which ends a process
        opened.close()
        raise InputError(
            f"expected {needed} bytes of LMDB at {folder}, got {size}; it was cut off, fetch or make it again"
        )
    return opened
