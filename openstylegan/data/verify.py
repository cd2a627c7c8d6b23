"""Checks a dataset whole: every picture decoded, its size and channels, its label, the ZIP's sums, the raw cache."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstylegan.data import content_hash as hashing
from openstylegan.data.cache import cache_path, open_cache
from openstylegan.data.dataset import open_storages
from openstylegan.data.decode import decode, is_picture
from openstylegan.data.labels import LABEL_FILE, Label, parse_dataset_json
from openstylegan.data.prepare import ShowProgress, no_progress
from openstylegan.data.progress import Advance
from openstylegan.data.shapes import Shape, shape_in_words
from openstylegan.data.storage import Storage, ZipStorage
from openstylegan.data.workers import ordered_map, threads
from openstylegan.errors import InputError
from openstylegan.files import sha256_bytes


@dataclass(frozen=True)
class Checked:
    """One picture: its shape, or what is wrong with it; and the SHA-256 of its file."""

    name: str
    shape: Shape | None
    problem: str
    sha256: str = ""


@dataclass
class Verification:
    """What a check found. `problems` empty: the dataset is sound. `notes`: worth knowing, no fault."""

    path: str
    pictures: int = 0
    shape: Shape | None = None
    label_kind: str | None = None
    class_counts: dict[str, int] = field(default_factory=dict)
    content_hash: str = ""
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sums: list[str] = field(default_factory=list, repr=False)

    def problem(self, name: str, reason: str) -> None:
        """Notes a fault."""
        self.problems.append({"file": name, "reason": reason})

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "sums"}


def check_picture(name: str, storage: Storage) -> Checked:
    """One picture read, summed and decoded; whatever is wrong is in the result, never raised."""
    try:
        if isinstance(storage, ZipStorage):
            storage.check(name)
        data = storage.read(name)
        height, width, channels = decode(data, name).shape
        return Checked(name, (channels, height, width), "", sha256_bytes(data))
    except InputError as error:
        return Checked(name, None, str(error))


def check_pictures(
    found: Verification, storage: Storage, names: list[str], how: tuple[int, str], advance: Advance
) -> None:
    """Every picture of one size, with so many threads; problems name it with this prefix."""
    checked = []
    workers, prefix = how
    for each in ordered_map(functools.partial(check_picture, storage=storage), names, workers, threads):
        checked.append(dataclasses.replace(each, name=f"{prefix}{each.name}"))
        advance(1)
    check_shapes(found, checked)
    found.sums = [each.sha256 for each in checked if each.sha256]


def note_twins(found: Verification) -> None:
    """Pictures that are there twice, by the sums of those last checked, which are the largest."""
    twins = sum(count - 1 for count in Counter(found.sums).values())
    if twins:
        found.notes.append(f"{twins} of the pictures are exact copies of others")


def check_shapes(found: Verification, checked: list[Checked]) -> None:
    """Takes the most frequent shape as the right one; what differs or cannot be decoded is a problem."""
    shapes = Counter(each.shape for each in checked if each.shape is not None)
    found.shape = shapes.most_common(1)[0][0] if shapes else None
    for each in checked:
        if each.shape is None:
            found.problem(each.name, each.problem)
        elif found.shape is not None and each.shape != found.shape:
            found.problem(each.name, f"{shape_in_words(each.shape)}, most are {shape_in_words(found.shape)}")


def check_labels(found: Verification, storage: Storage, names: list[str]) -> None:
    """Checks that the label file can be read and holds each picture and nothing else."""
    if LABEL_FILE not in storage.names:
        found.notes.append(f"no {LABEL_FILE}: the pictures have no labels")
        return
    try:
        labels = parse_dataset_json(storage.read(LABEL_FILE), LABEL_FILE)
    except InputError as error:
        found.problem(LABEL_FILE, str(error))
        return
    if labels is None:
        found.notes.append("the labels are null: the pictures have none")
        return
    for name in names:
        if name not in labels:
            found.problem(name, f"no label in {LABEL_FILE}")
    extra = set(labels) - set(names)
    for name in sorted(extra):
        found.problem(name, f"{LABEL_FILE} has a label for it, but there is no such picture")
    count_classes(found, [labels[name] for name in names if name in labels])


def count_classes(found: Verification, labels: list[Label]) -> None:
    """How many pictures each class has; a class without pictures is worth a note."""
    classes = Counter(label for label in labels if isinstance(label, int))
    found.label_kind = "classes" if classes else "vectors" if labels else None
    found.class_counts = {str(label): classes[label] for label in sorted(classes)}
    empty = max(classes, default=-1) + 1 - len(classes)
    if empty:
        found.notes.append(f"{empty} classes below {max(classes)} have no picture")


def check_cache(found: Verification, content: str) -> None:
    """A raw cache of this content must be whole."""
    if not cache_path(content).exists():
        return
    cache = open_cache(content)
    if cache is None or not cache.verify():
        found.problem(str(cache_path(content)), "the raw cache is damaged; delete this folder")
    else:
        found.notes.append("the raw cache is whole")


def verify(path: str | os.PathLike[str], workers: int = 1, show_progress: ShowProgress = no_progress) -> Verification:
    """Checks the folder or ZIP at `path` with `workers` threads. Raises `InputError` when there is nothing to check."""
    storages = open_storages(path, None)
    storage = storages[-1]
    names = [name for name in storage.names if is_picture(name)]
    if not names:
        raise InputError(f"expected pictures in {storage.path}, but none of its {len(storage.names)} files is one")
    found = Verification(str(Path(path)), len(names))
    with show_progress(f"Verifying {Path(path).name}", len(names) * len(storages)) as advance:
        for own in storages:
            prefix = f"{own.path.name}/" if len(storages) > 1 else ""
            check_pictures(found, own, names, (workers, prefix), advance)
    note_twins(found)
    check_labels(found, storage, names)
    try:
        hashes = [hashing.compute(own, names) for own in storages]
        for own, each in zip(storages, hashes, strict=True):
            hashing.remember(own, names, each)
            check_cache(found, each)
        found.content_hash = hashing.combined(hashes)
    except InputError as error:
        found.notes.append(f"no content hash: {error}")
    return found
