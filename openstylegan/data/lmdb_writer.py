"""Writes a multi-resolution LMDB (`lmdb_storage.py`) so that it can be killed at any moment and goes on when run again.

Pictures are collected for some seconds and then written in one transaction, together with the journal of what became
of each input in it: so either all of that is there after a crash, or nothing. The folder is called `NAME.unfinished`
until all is there; then the journal is taken out and the folder is renamed. What is there when a build goes on is gone
through again from the journal, so that the result and its report are those of a build that was never stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from openstylegan.data.environment import DATA_FILE, lmdb_module
from openstylegan.data.labels import LABEL_FILE
from openstylegan.data.lmdb_storage import LENGTH_KEY, NAMES_KEY, Size, picture_key
from openstylegan.data.transform import Outcome
from openstylegan.errors import InputError
from openstylegan.files import fsync_file, fsync_folder

RECIPE_KEY = b"recipe"
"""What is being made of what."""
JOURNAL = b"journal-%08d"
COMMIT_BYTES, COMMIT_SECONDS = 64 << 20, 5.0
FIRST_MAP_BYTES, PAGE_BYTES = 64 << 20, 4096
LOCK_FILE = "lock.mdb"


def unfinished(dest: Path) -> Path:
    """Where a build lies until it is whole."""
    return dest.with_name(f"{dest.name}.unfinished")


class LmdbWriter:
    """Takes pictures in order, each at all sizes; `replayed` gives those that an earlier run has dealt with."""

    def __init__(self, dest: Path, sizes: Sequence[Size], recipe: dict[str, Any]):
        self.dest, self.sizes = dest, sizes
        self.folder = unfinished(dest)
        self.names: list[str] = []
        self._pending: list[tuple[bytes, bytes]] = []
        self._noted: list[dict[str, Any]] = []
        self._last_commit = time.monotonic()
        self._handle = self._claim()
        try:
            self._env = self._open(recipe)
        except BaseException:
            self._let_go()
            raise
        self._num_journals = self._num_stored = 0
        while (entries := self._journal(self._num_journals)) is not None:
            self._num_journals += 1
            self._num_stored += sum(entry["written"] for entry in entries)

    def _open(self, recipe: dict[str, Any]) -> Any:
        """The LMDB in the unfinished folder, begun now or before. Raises `InputError` when it is of another recipe."""
        lmdb = lmdb_module()
        begun = self.folder / DATA_FILE
        size = max(FIRST_MAP_BYTES, 2 * begun.stat().st_size if begun.exists() else 0)
        with self._errors():
            env = lmdb.open(str(self.folder), map_size=size, max_readers=8)
        text = json.dumps(recipe, sort_keys=True).encode()
        with self._errors(), env.begin(write=True) as transaction:
            known = transaction.get(RECIPE_KEY)
            if known is None:
                transaction.put(RECIPE_KEY, text)
        if known is not None and known != text:
            env.close()
            raise InputError(
                f"expected to go on with {self.folder}, but it was begun with other options or another source "
                f"({difference(known, recipe)}); give the same ones, or delete it"
            )
        return env

    def _claim(self) -> int | None:
        """Makes the folder and keeps other processes out, as long as this handle is open. Raises `InputError`.

        None where the system has no such locks.
        """
        lmdb_module()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            import fcntl
        except ImportError:
            return None
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError as error:
            os.close(handle)
            raise InputError(f"another process is writing {self.folder}; wait for it, or end it") from error

    def _journal(self, number: int) -> list[dict[str, Any]] | None:
        """What became of the inputs in a transaction; None when there were not so many."""
        with self._env.begin() as transaction:
            stored = transaction.get(JOURNAL % number)
        return None if stored is None else json.loads(stored)

    def replayed(self) -> Iterator[Outcome]:
        """What an earlier run made of its inputs, in order, with the pictures that it wrote."""
        place = 0
        for entry in itertools.chain.from_iterable(self._journal(n) or [] for n in range(self._num_journals)):
            fields = {**entry, "shape": tuple(entry["shape"]), "notes": tuple(entry["notes"])}
            pngs: tuple[bytes, ...] = ()
            if fields.pop("written"):
                with self._env.begin() as transaction:
                    pngs = tuple(transaction.get(picture_key(size, place)) for size in self.sizes)
                place += 1
            yield Outcome(**fields, pngs=pngs)

    def write(self, name: str, files: Sequence[bytes]) -> None:
        """The next picture at every size, or the label file; those that are there already are only counted."""
        if name == LABEL_FILE:
            self._pending.append((LABEL_FILE.encode(), files[0]))
            return
        if len(self.names) >= self._num_stored:
            place = len(self.names)
            self._pending += [(picture_key(size, place), data) for size, data in zip(self.sizes, files, strict=True)]
        self.names.append(name)

    def note(self, outcome: Outcome, written: bool) -> None:
        """What became of an input; after it is the moment to write what has been collected."""
        entry = dataclasses.asdict(dataclasses.replace(outcome, pngs=()))
        entry.pop("pngs")
        self._noted.append({**entry, "written": written})
        waiting = sum(len(data) for _, data in self._pending[-len(self.sizes) :]) * len(self._noted)
        if waiting >= COMMIT_BYTES or time.monotonic() - self._last_commit >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Writes what has been collected, and the journal of it, in one transaction."""
        if self._noted:
            self._pending.append((JOURNAL % self._num_journals, json.dumps(self._noted).encode()))
        with self._errors():
            self._make_room(sum(len(data) // PAGE_BYTES + 2 for _, data in self._pending) * PAGE_BYTES)
        with self._errors(), self._env.begin(write=True) as transaction:
            for key, data in self._pending:
                transaction.put(key, data)
        self._num_journals += bool(self._noted)
        self._pending, self._noted, self._last_commit = [], [], time.monotonic()

    def _make_room(self, wanted: int) -> None:
        """Sees to it that so many bytes fit: an LMDB has to be told its largest size beforehand."""
        info = self._env.info()
        used = (info["last_pgno"] + 1) * self._env.stat()["psize"]
        if used + 2 * wanted > info["map_size"]:
            self._env.set_mapsize(2 * (used + 2 * wanted))

    def publish(self) -> None:
        """Writes number and names, takes the journal out, and gives the folder its name."""
        self._pending += [(LENGTH_KEY, str(len(self.names)).encode()), (NAMES_KEY, "\n".join(self.names).encode())]
        self.commit()
        with self._errors(), self._env.begin(write=True) as transaction:
            transaction.delete(RECIPE_KEY)
            for n in range(self._num_journals):
                transaction.delete(JOURNAL % n)
        with self._errors():
            self._env.sync(True)
        self._env.close()
        (self.folder / LOCK_FILE).unlink(missing_ok=True)
        if self.dest.is_dir():
            self.dest.rmdir()
        fsync_file(self.folder / DATA_FILE)
        fsync_folder(self.folder)
        os.rename(self.folder, self.dest)
        fsync_folder(self.dest.parent)

    def close(self) -> None:
        """Leaves the unfinished folder to be gone on with; one in which nothing is written yet is removed."""
        self._env.close()
        if not self._num_journals:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """A full disk, or a damaged unfinished folder, in one line."""
        try:
            yield
        except lmdb_module().Error as error:
            raise InputError(
                f"cannot write {self.folder} ({error}); free some space and run the command again, or delete it"
            ) from error


def difference(known: bytes, recipe: dict[str, Any]) -> str:
    """The first option that differs."""
    before = json.loads(known)
    for name in sorted({*before, *recipe}):
        if before.get(name) != json.loads(json.dumps(recipe.get(name))):
            return f"{name}: {before.get(name)} then, {recipe.get(name)} now"
    return "of another version"
