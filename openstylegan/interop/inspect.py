"""What is inside a file of networks, in words and as JSON. Nothing is built, nothing is run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstylegan.config import to_dict
from openstylegan.interop.contents import Contents, StoredNetwork, check_options, plain
from openstylegan.interop.reading import read_contents
from openstylegan.snapshot import COMPONENT_OF, outline

TRAINING_FACTS = ("training_set_kwargs", "training_options", "augment_p", "augment_kwargs", "progress", "cur_nimg")


@dataclass(frozen=True)
class Group:
    """The tensors of one part of a network: how many numbers are parameters and how many buffers."""

    name: str
    parameters: int
    buffers: int
    shapes: dict[str, list[int]]


@dataclass(frozen=True)
class Report:
    """What a file holds; `text` and `json` say the same."""

    contents: Contents
    groups: dict[str, list[Group]]

    def json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        networks = {
            name: {
                "is": stored.says,
                "can_be_loaded": stored.can_be_rebuilt(name),
                **to_dict(stored.component),
                "parameters": sum(group.parameters for group in self.groups[name]),
                "buffers": sum(group.buffers for group in self.groups[name]),
                "tensors": {n: list(t.shape) for n, t in stored.tensors.items()},
            }
            for name, stored in self.contents.networks.items()
        }
        return {
            "path": str(self.contents.path),
            "kind": self.contents.source,
            "is": self.contents.says,
            "networks": networks,
            "about": plain(self.contents.about),
            "not_carried_over": self.contents.unread,
        }

    def text(self, tensors: bool = False) -> Iterator[str]:
        """The lines of the report; `tensors` lists every tensor instead of sums for each part."""
        yield f"{self.contents.path}: {self.contents.says}"
        for name, stored in self.contents.networks.items():
            yield from self.network_text(name, stored, tensors)
        about = self.contents.about
        facts = {key: about[key] for key in TRAINING_FACTS if about.get(key) is not None}
        if facts:
            yield "\ntraining"
            yield from indented(facts)
        for key, what in self.contents.unread.items():
            yield f"\nnot carried over: {key} ({what})"

    def network_text(self, name: str, stored: StoredNetwork, tensors: bool) -> Iterator[str]:
        """The lines of one network."""
        groups = self.groups[name]
        total, buffers = sum(g.parameters for g in groups), sum(g.buffers for g in groups)
        loads = "" if stored.can_be_rebuilt(name) else "; this version cannot rebuild it"
        yield f"\n{name}: {stored.says}, {total:,} parameters, {buffers:,} numbers in buffers{loads}"
        yield from indented(stored.component.options)
        if tensors:
            yield from (f"    {n:40s} {t}" for g in groups for n, t in g.shapes.items())
            return
        yield f"    {'part':28s} {'parameters':>12s} {'buffers':>12s}"
        yield from (f"    {group.name:28s} {group.parameters:12,d} {group.buffers:12,d}" for group in groups)


def indented(values: Mapping[str, Any]) -> Iterator[str]:
    """name: value, tables flattened by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from indented({f"{key}.{inner}": entry for inner, entry in value.items()})
        else:
            yield f"    {key}: {value}"


def inspect(path: str | os.PathLike[str]) -> Report:
    """What is in the file at `path`. Raises `InputError` naming the file for what it is when it holds no networks."""
    contents = read_contents(Path(path))
    groups = {name: grouped(stored, buffer_names(name, stored)) for name, stored in contents.networks.items()}
    return Report(contents, groups)


def buffer_names(name: str, stored: StoredNetwork) -> frozenset[str]:
    """Which tensors are not trained: as our network of this kind has it, else as the file says."""
    if not stored.can_be_rebuilt(name):
        return stored.buffers
    check_options(stored.component.options, f"the network {name}")
    module = outline(COMPONENT_OF[name], stored.component)
    return frozenset(module.state_dict()) - {n for n, _ in module.named_parameters()}


def grouped(stored: StoredNetwork, buffers: frozenset[str]) -> list[Group]:
    """The tensors by the first two parts of their names, which are the blocks of a network."""
    found: dict[str, Group] = {}
    for name, tensor in stored.tensors.items():
        part = ".".join(name.split(".")[:-1][:2]) or name
        old = found.get(part, Group(part, 0, 0, {}))
        count, is_buffer = tensor.numel(), name in buffers
        found[part] = Group(
            part,
            old.parameters + (0 if is_buffer else count),
            old.buffers + (count if is_buffer else 0),
            {**old.shapes, name: list(tensor.shape)},
        )
    return list(found.values())
