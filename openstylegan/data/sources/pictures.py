"""A folder, a ZIP or a multi-resolution LMDB of pictures, with the labels of its `dataset.json` where it has one.

Folders are sorted path component by component, ZIPs as plain strings, as StyleGAN2-ADA's tool does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from openstylegan.data.decode import is_picture
from openstylegan.data.labels import LABEL_FILE, Label, class_names, parse_dataset_json
from openstylegan.data.lmdb_storage import is_lmdb_path, is_multi_resolution, open_lmdb_storages
from openstylegan.data.sources.record import FileReference, Record, Source, Unreadable
from openstylegan.data.storage import FolderStorage, Storage, ZipStorage
from openstylegan.errors import InputError


def is_zip(path: Path) -> bool:
    """A file that begins as a ZIP does, or is named so."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6") or path.suffix.lower() == ".zip"


def has_sizes(path: Path) -> bool:
    """A multi-resolution LMDB, or one of its sizes."""
    return is_lmdb_path(path) and is_multi_resolution(path if path.is_dir() else path.parent)


def own_labels(storage: Storage) -> tuple[Mapping[str, Label], list[str]]:
    """Name -> label, and the class names, of the source's `dataset.json`; empty where it has none."""
    if LABEL_FILE not in storage.names:
        return {}, []
    data = storage.read(LABEL_FILE)
    labels = parse_dataset_json(data, f"{storage.path}/{LABEL_FILE}")
    return (labels, class_names(data)) if labels else ({}, [])


def split_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The pictures, and the files that are neither pictures nor the label file."""
    pictures = [name for name in names if is_picture(name)]
    return pictures, sorted(set(names) - set(pictures) - {LABEL_FILE})


def open_folder(path: Path) -> Source:
    """All pictures below a folder."""
    storage = FolderStorage(path)
    names, others = split_names(storage.names)
    labels, classes = own_labels(storage)
    names.sort(key=lambda name: name.split("/"))
    records = (Record(i, name, FileReference(path / name), labels.get(name)) for i, name in enumerate(names))
    return Source("folder", path, records, len(names), classes, others)


def open_zip(path: Path) -> Source:
    """All pictures in a ZIP."""
    storage = ZipStorage(path)
    names, others = split_names(storage.names)
    labels, classes = own_labels(storage)
    return Source("ZIP", path, zip_records(storage, names, labels), len(names), classes, others)


def open_sizes(path: Path) -> Source:
    """The largest size of a multi-resolution LMDB, or the size that `path` names."""
    storage = open_lmdb_storages(path)[-1]
    names, _ = split_names(storage.names)
    labels, classes = own_labels(storage)
    return Source("multi-resolution LMDB", path, zip_records(storage, names, labels), len(names), classes)


def zip_records(storage: Storage, names: Sequence[str], labels: Mapping[str, Label]) -> Iterator[Record]:
    """The files of a ZIP or an LMDB as records; a damaged entry becomes one that says why."""
    for index, name in enumerate(names):
        try:
            data: bytes | Unreadable = storage.read(name)
        except InputError as error:
            data = Unreadable(str(error))
        yield Record(index, name, data, labels.get(name))
