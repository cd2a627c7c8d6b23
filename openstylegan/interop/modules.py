"""Torch modules as a pickle stores them: a class name and a table of attributes, whoever wrote them.

NVIDIA's programs store a module as a call of `torch_utils.persistence._reconstruct_persistent_obj` with one table
(type, version, module_src, class_name, state); other programs store it by the path of its class. `module_src`, the text
of a program, is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from openstylegan.errors import InputError, printable
from openstylegan.interop.contents import own_tensor
from openstylegan.interop.records import Instance

PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")


@dataclass(frozen=True)
class ModuleRecord:
    """A stored module. `package` is where its class is from, empty where the file holds it by name only."""

    package: str
    class_name: str
    state: dict[str, Any]

    @classmethod
    def of(cls, value: Any) -> ModuleRecord | None:
        """The module that an object of a file is, or None."""
        if not isinstance(value, Instance):
            return None
        package: str = value.module
        name: Any = value.name
        state: Any = value.state
        if (package, name) == PERSISTENT:
            meta = value.args[0] if value.called and len(value.args) == 1 else None
            if not isinstance(meta, dict):
                return None
            package, name, state = "", meta.get("class_name"), meta.get("state")
        if not isinstance(name, str) or not isinstance(state, dict) or not isinstance(state.get("_modules"), dict):
            return None
        return cls(package, printable(name), state)

    @property
    def says(self) -> str:
        """The name of its class, with the path where there is one."""
        return printable(f"{self.package}.{self.class_name}" if self.package else self.class_name)

    def children(self) -> Iterator[tuple[str, ModuleRecord]]:
        """Name and record of the modules inside."""
        for name, value in self.state["_modules"].items():
            if value is not None:
                child = ModuleRecord.of(value)
                if child is None:
                    raise InputError(f"expected a module for '{printable(str(name))}' of a {self.says}; is it damaged?")
                yield str(name), child

    def child(self, path: str) -> ModuleRecord | None:
        """The module under a dotted path, or None."""
        record: ModuleRecord | None = self
        for name in path.split("."):
            record = ModuleRecord.of(record.state["_modules"].get(name)) if record is not None else None
        return record

    def has(self, *names: str) -> bool:
        """Whether there are modules of these names inside."""
        return all(name in self.state["_modules"] for name in names)

    def attribute(self, path: str, name: str, default: Any) -> Any:
        """A plain attribute of the module under `path`, or `default`."""
        record = self.child(path) if path else self
        return default if record is None else record.state.get(name, default)


def walk(record: ModuleRecord, prefix: str = "") -> Iterator[tuple[str, Tensor, bool]]:
    """Name, tensor and whether it is a buffer, for all that a state dict of this module would hold."""
    hidden = record.state.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (record.state.get(kind) or {}).items():
            if value is not None and not (kind == "_buffers" and name in hidden):
                yield f"{prefix}{name}", own_tensor(value, f"{prefix}{name}"), kind == "_buffers"
    for name, child in record.children():
        yield from walk(child, f"{prefix}{name}.")


def tensors_of(record: ModuleRecord) -> tuple[dict[str, Tensor], frozenset[str]]:
    """All tensors under the names of a state dict, and the names of those that are buffers. Raises `InputError`."""
    found = list(walk(record))
    return {name: tensor for name, tensor, _ in found}, frozenset(name for name, _, is_buffer in found if is_buffer)
