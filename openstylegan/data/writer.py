"""Where prepared pictures go: a ZIP of stored entries or a folder, all there or not there at all.

The bytes depend on the pictures only: entries in order, one fixed time, fixed attributes.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from openstylegan.errors import InputError
from openstylegan.files import atomic_folder, atomic_path

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
UNIX = 3
Write = Callable[[str, Sequence[bytes]], None]
"""Takes a file's name and its bytes, once for every size that is written."""


def picture_name(index: int) -> str:
    """ "00012/img00012345.png" for input 12345."""
    digits = f"{index:08d}"
    return f"{digits[:5]}/img{digits}.png"


def check_destination(dest: Path) -> None:
    """Raises `InputError` when something is there that would be overwritten."""
    if dest.is_dir() and (dest.suffix.lower() == ".zip" or any(dest.iterdir())):
        raise InputError(f"expected an empty or new folder at {dest}, but it holds files; choose another --dest")
    if dest.exists() and not dest.is_dir():
        raise InputError(f"expected nothing at {dest}, but a file is there already; remove it or choose another --dest")


@contextlib.contextmanager
def open_writer(dest: Path) -> Iterator[Write]:
    """A function that takes one file after the other; published when the block ends well."""
    check_destination(dest)
    with zip_writer(dest) if dest.suffix.lower() == ".zip" else folder_writer(dest) as write:
        yield write


@contextlib.contextmanager
def zip_writer(dest: Path) -> Iterator[Write]:
    """Writes into a ZIP without compression."""
    with atomic_path(dest) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:

        def write(name: str, files: Sequence[bytes]) -> None:
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.create_system, info.external_attr = UNIX, 0o644 << 16
            archive.writestr(info, files[0])

        yield write


@contextlib.contextmanager
def folder_writer(dest: Path) -> Iterator[Write]:
    """Writes into a new folder."""
    if dest.is_dir():
        dest.rmdir()
    with atomic_folder(dest) as temporary:

        def write(name: str, files: Sequence[bytes]) -> None:
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(files[0])

        yield write
