"""Files of `torch.save` (`.pt`, `.pth`), both layouts, read without running anything in them.

    content = read_pt("550000.pt")

The present layout is a ZIP file of a pickle, `data.pkl`, and one uncompressed entry for each storage, read when it is
first named; the older one is in `torch_legacy.py`. TorchScript programs are named and refused: they are code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from openstylegan.errors import InputError, printable
from openstylegan.interop.instructions import run
from openstylegan.interop.limits import Limits, Meter
from openstylegan.interop.machine import Machine
from openstylegan.interop.rebuild import damaged
from openstylegan.interop.storages import Storage, empty_storage, storage_bytes, storage_dtype, swap_bytes
from openstylegan.interop.torch_legacy import ALL_REBUILDERS, LegacyFile
from openstylegan.interop.unfold import checked
from openstylegan.interop.unpickle import existing_file, file_bytes, guarded
from openstylegan.interop.zip_directory import ZipEntry, locate_data, read_directory

PICKLE = "data.pkl"
PROGRAM_PARTS = ("constants.pkl", "code/")


def read_pt(path: str | os.PathLike[str], *, limits: Limits = Limits()) -> Any:
    """The value of a file of `torch.save`, as `read_pickle` gives it. Raises `InputError` naming the file."""
    place, name = existing_file(path), printable(str(path), 400)
    with open(place, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        if is_zip:
            return guarded(lambda: TorchZip(file, place.stat().st_size, limits).read(), name)
    return guarded(lambda: read_legacy(place, limits), name)


def read_legacy(path: Path, limits: Limits) -> Any:
    """The value of a file of the older layout."""
    view = memoryview(file_bytes(path, limits))
    return checked(LegacyFile(view, Meter(limits, len(view)), ALL_REBUILDERS).read(), limits)


class TorchZip:
    """A file of the present layout. `read` gives its value."""

    def __init__(self, file: BinaryIO, file_size: int, limits: Limits):
        self.file, self.meter = file, Meter(limits, file_size)
        self.entries = {entry.name: entry for entry in read_directory(file, file_size)}
        self.ends = entry_ends(self.entries, file_size)
        self.folder = pickle_folder(self.entries)
        self.little_endian = self.is_little_endian()
        self.storages: dict[str, Storage] = {}

    def is_little_endian(self) -> bool:
        """The byte order that the file says it has; older files do not say and are little-endian."""
        name = self.folder + "byteorder"
        return name not in self.entries or self.contents(name, longest=16) != b"big"

    def contents(self, name: str, longest: int) -> bytes:
        """The bytes of an entry."""
        entry = self.entries[name]
        if entry.size > longest:
            raise InputError(f"has an entry {printable(name)} of {entry.size} bytes (damaged?)")
        start = locate_data(self.file, entry, self.ends[name])
        self.file.seek(start)
        return self.file.read(entry.size)

    def read(self) -> Any:
        """The object. Raises `InputError`."""
        name = self.folder + PICKLE
        self.meter.charge(self.entries[name].size)
        view = memoryview(self.contents(name, longest=self.entries[name].size))
        machine = Machine(view, self.meter, ALL_REBUILDERS, self.storage)
        value = run(machine)
        if machine.position != len(view):
            raise InputError("holds more than one pickle (damaged?)")
        return checked(value, self.meter.limits)

    def storage(self, name: Any) -> Storage:
        """The storage that a persistent id names: ("storage", class, key, location, number of elements)."""
        if type(name) is not tuple or len(name) != 5 or name[0] != "storage" or type(name[2]) is not str:
            raise damaged("a tensor's name")
        if name[2] not in self.storages:
            self.storages[name[2]] = self.read_storage(name)
        found = self.storages[name[2]]
        if found.data.dtype != storage_dtype(name[1]):
            raise damaged("a tensor of two types")
        return found

    def read_storage(self, name: tuple[Any, ...]) -> Storage:
        """A storage, read from its entry."""
        key = f"{self.folder}data/{name[2]}"
        entry = self.entries.get(key)
        if entry is None:
            raise InputError(f"lacks the entry {printable(key)} (damaged?)")
        start = locate_data(self.file, entry, self.ends[key])
        storage = empty_storage(self.meter, name[1], name[4], entry.size)
        raw = storage_bytes(storage)
        if len(raw) != entry.size:
            raise InputError(f"has {entry.size} bytes for a tensor of {len(raw)} (damaged?)")
        self.file.seek(start)
        if self.file.readinto(raw) != len(raw):  # type: ignore[attr-defined]
            raise InputError("ends in the middle of a tensor (cut off?)")
        swap_bytes(storage, self.little_endian)
        return storage


def entry_ends(entries: dict[str, ZipEntry], file_size: int) -> dict[str, int]:
    """By name, the offset that an entry must end before: that of the next one."""
    ends, end = {}, file_size
    for entry in sorted(entries.values(), key=lambda e: e.offset, reverse=True):
        ends[entry.name], end = end, entry.offset
    return ends


def pickle_folder(entries: dict[str, ZipEntry]) -> str:
    """The folder in the ZIP file that everything is in. Raises `InputError` when it is no file of tensors."""
    found = [name for name in entries if name == PICKLE or name.endswith("/" + PICKLE)]
    if len(found) != 1:
        raise InputError(f"is a ZIP file with {len(found)} entries {PICKLE} instead of one")
    folder = found[0].removesuffix(PICKLE)
    if any(name.startswith(tuple(folder + part for part in PROGRAM_PARTS)) for name in entries):
        raise InputError("is a TorchScript program; only weights are read")
    return folder
