"""What the dataset tool can read: a literal table of sources, each known by what the file is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from openstylegan.data.lmdb_storage import is_lmdb_path
from openstylegan.data.sources.cifar import is_cifar10, open_cifar10
from openstylegan.data.sources.lsun import is_lmdb, open_lmdb
from openstylegan.data.sources.mnist import is_mnist, open_mnist
from openstylegan.data.sources.pictures import has_sizes, is_zip, open_folder, open_sizes, open_zip
from openstylegan.data.sources.record import Source
from openstylegan.data.sources.tfrecord import is_tfrecord, open_tfrecord
from openstylegan.errors import InputError

SOURCES: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Source]]] = {
    "multi-resolution LMDB": (has_sizes, open_sizes),
    "LSUN LMDB folder": (is_lmdb, open_lmdb),
    "TFRecord folder": (is_tfrecord, open_tfrecord),
    "folder of pictures": (Path.is_dir, open_folder),
    "CIFAR-10 archive (cifar-10-python.tar.gz)": (is_cifar10, open_cifar10),
    "MNIST file (train-images-idx3-ubyte.gz)": (is_mnist, open_mnist),
    "ZIP of pictures": (is_zip, open_zip),
}
"""Name -> (is the path one?, open it). The first that says yes is taken."""


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source at `path`. Raises `InputError` when nothing is there or nothing of a known kind."""
    found = Path(path).expanduser()
    if not found.exists() and not is_lmdb_path(found):
        raise InputError(f"expected pictures at {found}, but nothing is there; check the path")
    for matches, open_it in SOURCES.values():
        if matches(found):
            return open_it(found)
    raise InputError(f"expected one of {', '.join(SOURCES)} at {found}, but it is none of these; check the path")
