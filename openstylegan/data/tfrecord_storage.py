"""A TFRecord set as files by name, so that networks train on it as it is: pictures are given as stored PNGs.

Names, bytes and labels are those of the ZIP that `openstylegan dataset` makes of the set: so is the dataset's hash. As
in the program of MSG-GAN (arXiv 1903.06048), of a folder only the highest resolution is read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from openstylegan.data.labels import LABEL_FILE
from openstylegan.data.png import encode_stored
from openstylegan.data.sources.record import Unreadable
from openstylegan.data.sources.tfrecord import RecordReference, labels_of, positions, record_files
from openstylegan.data.writer import picture_name
from openstylegan.errors import InputError


class TFRecordStorage:
    """The pictures of the highest resolution at `path`, a folder or a TFRecord file. Raises `InputError`."""

    def __init__(self, path: Path):
        self.path, self.file = path, record_files(path)[-1]
        self.records: dict[str, RecordReference] = {}
        for n, record in enumerate(positions(self.file)):
            if isinstance(record, Unreadable):
                raise InputError(f"expected a whole TFRecord file at {self.file}, but {record.reason}; fetch it again")
            self.records[picture_name(n)] = record
        if not self.records:
            raise InputError(f"expected pictures in {self.file}, but it has no record; fetch it again")
        self.label_file = self._label_file()
        self.names = sorted([*self.records, LABEL_FILE])
        self._first: tuple[int, bytes] | None = None

    def _label_file(self) -> bytes:
        """The set's labels as a `dataset.json`. Raises `InputError` when there are too few or too many."""
        labels = labels_of(self.file)
        if not labels:
            return json.dumps({"labels": None}).encode()
        if len(labels) != len(self.records):
            raise InputError(
                f"expected a label for each of the {len(self.records)} pictures in {self.file}, got {len(labels)}; "
                "fetch the .labels file that belongs to it"
            )
        pairs = [[name, label] for name, label in zip(self.records, labels, strict=True)]
        return json.dumps({"labels": pairs}).encode()

    def read(self, name: str) -> bytes:
        """The picture as a PNG; the labels as JSON."""
        if name == LABEL_FILE:
            return self.label_file
        try:
            return encode_stored(self.records[name].load())
        except (InputError, OSError) as error:
            raise InputError(f"expected {name} in {self.file}, but {error}; fetch the set again") from error

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes. Of records as long as the first one these are its own: their shape is the same, or
        reading them says that it is not."""
        if name == LABEL_FILE:
            return self.label_file[:size]
        record = self.records[name]
        if self._first is None or self._first[0] != record.size or size > len(self._first[1]):
            self._first = (record.size, self.read(name)[:size])
        return self._first[1][:size]

    def stamp(self) -> list[list[Any]]:
        """Size and time of the file."""
        stat = os.stat(self.file)
        return [[self.file.name, stat.st_size, stat.st_mtime_ns]]

    def close(self) -> None:
        """Nothing is kept open."""
