"""The older layout of `torch.save`: a row of pickles, then the storages' bytes. Tensors inside pickles use it too.

Layout: pickles of a magic number, the layout's version, a description of the machine, the object (which names storages
by persistent ids) and the list of the storages' keys; then for each key a count of elements (int64) and the elements.
"""

from __future__ import annotations

from typing import Any

from openstylegan.errors import InputError
from openstylegan.interop.instructions import run
from openstylegan.interop.limits import Meter
from openstylegan.interop.machine import Machine, Rebuilders
from openstylegan.interop.rebuild import REBUILDERS, damaged, raw_bytes
from openstylegan.interop.records import Reference
from openstylegan.interop.storages import TENSOR_REBUILDERS, Storage, empty_storage, fill

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class LegacyFile:
    """A file of the older layout in `view`. `read` gives its value."""

    def __init__(self, view: memoryview, meter: Meter, rebuilders: Rebuilders):
        self.view, self.meter, self.rebuilders = view, meter, rebuilders
        self.position = 0
        self.storages: dict[str, Storage] = {}
        self.views: dict[tuple[str, str], Storage] = {}

    def read(self) -> Any:
        """The object, with all storages filled. Raises `InputError`."""
        if self.next_pickle() != MAGIC or self.next_pickle() != VERSION:
            raise InputError("is not in a layout of torch.save that is known")
        system = self.next_pickle()
        if type(system) is not dict:
            raise damaged("a description of a machine")
        value, keys = self.next_pickle(), self.next_pickle()
        if type(keys) is not list or len(keys) != len(self.storages) or not set_of_texts(keys) >= set(self.storages):
            raise damaged("a list of tensors")
        for key in keys:
            self.fill(self.storages[key], system.get("little_endian", True) is not False)
        if self.position != len(self.view):
            raise InputError("holds more than its tensors (damaged?)")
        return value

    def next_pickle(self) -> Any:
        """The value of the next pickle in the row."""
        machine = Machine(self.view, self.meter, self.rebuilders, self.persistent, self.position)
        value = run(machine)
        self.position = machine.position
        return value

    def fill(self, storage: Storage, little_endian: bool) -> None:
        """Reads one storage's elements."""
        head = bytes(self.view[self.position : self.position + 8])
        width = storage.data.dtype.itemsize
        start = self.position + 8
        self.position = start + storage.data.numel() * width
        if len(head) < 8 or self.position > len(self.view):
            raise InputError("ends in the middle of a tensor (cut off?)")
        if int.from_bytes(head, "little" if little_endian else "big") != storage.data.numel():
            raise damaged("a tensor")
        fill(storage, self.view[start : self.position], little_endian)

    def persistent(self, name: Any) -> Any:
        """The storage, or the class of a module, that a persistent id names.

        ("storage", class, key, location, number of elements, None or (key, offset, size) of a part), or
        ("module", class, file name, source), whose source is not looked at.
        """
        if type(name) is not tuple or len(name) < 2:
            raise damaged("a tensor's name")
        if name[0] == "module" and type(name[1]) is Reference:
            return name[1]
        if name[0] != "storage" or len(name) not in (5, 6) or type(name[2]) is not str:
            raise damaged("a tensor's name")
        if name[2] not in self.storages:
            self.storages[name[2]] = empty_storage(self.meter, name[1], name[4], len(self.view) - self.position)
        part = name[5] if len(name) == 6 else None
        return self.storages[name[2]] if part is None else self.part(name[2], part)

    def part(self, key: str, part: Any) -> Storage:
        """A storage that is a part of another one."""
        if type(part) is not tuple or len(part) != 3 or type(part[0]) is not str:
            raise damaged("a part of a tensor")
        data = self.storages[key].data
        offset, size = part[1:]
        if type(offset) is not int or type(size) is not int or not 0 <= offset <= offset + size <= data.numel():
            raise damaged("a part of a tensor")
        return self.views.setdefault((key, part[0]), Storage(data[offset : offset + size]))


def set_of_texts(keys: list[Any]) -> set[str]:
    """The texts among `keys`."""
    return {key for key in keys if type(key) is str}


def load_from_bytes(meter: Meter, args: tuple[Any, ...]) -> Any:
    """torch.storage._load_from_bytes, how plain pickles keep storages: the bytes of a whole file of this layout.

    Inside it there may be anything that a file may hold, but no further such file.
    """
    if len(args) != 1:
        raise damaged("a tensor")
    return LegacyFile(raw_bytes(args[0], "a tensor"), meter, INNER_REBUILDERS).read()


INNER_REBUILDERS: Rebuilders = {**REBUILDERS, **TENSOR_REBUILDERS}
ALL_REBUILDERS: Rebuilders = {**INNER_REBUILDERS, ("torch.storage", "_load_from_bytes"): load_from_bytes}
