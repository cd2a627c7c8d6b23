"""A golden file as a document: its arrays, its description, and the record of what has been looked at.

Everything is *taken*: an option, a case field or an array that no check has taken by the end is an error, so that a
file recorded with something this program does not know can never pass by being half read.
"""

from __future__ import annotations

import json
import pickletools
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

LABELS = frozenset({"name", "note", "notes", "comment", "description"})
"""Fields that only say something about a case or its options."""
CIRCUMSTANCES = LABELS | {"seed", "date", "created", "versions"}
"""What a whole file may say about its recording; nothing in it changes what has to come out."""

REQUIRED = object()


class NotUnderstood(Exception):
    """A file, a field or an array for which there is no rule here; one line that names it."""


class Fields:
    """A dictionary whose entries must all be taken."""

    def __init__(self, values: Any, where: str, informational: frozenset[str] = LABELS):
        if not isinstance(values, Mapping):
            raise NotUnderstood(f"{where}: expected a table of fields, got {type(values).__name__}")
        self.values, self.where = dict(values), where
        self.left = set(self.values) - informational

    def take(self, name: str, default: Any = REQUIRED) -> Any:
        """The value of `name`, or `default`; without one, a missing field is not understood."""
        self.left.discard(name)
        if name not in self.values and default is REQUIRED:
            raise NotUnderstood(f"{self.where}: field {name!r} is missing")
        return self.values.get(name, default)

    def take_given(self, *names: str) -> dict[str, Any]:
        """Those of `names` that are there, with their values."""
        return {name: self.take(name) for name in names if name in self.values}

    def expect(self, name: str, actual: Any) -> None:
        """Takes `name`, when it is there, and insists that it agrees with what the arrays say."""
        value = self.take(name, actual)
        if value != actual:
            raise NotUnderstood(f"{self.where}: {name!r} is {value!r}, but the arrays say {actual!r}")

    def finish(self) -> None:
        """Raises if a field has not been taken."""
        if self.left:
            raise NotUnderstood(f"{self.where}: unknown field {', '.join(map(repr, sorted(self.left)))}")


@dataclass
class Document:
    """One golden file: arrays by name (none in a JSON file or a pickle), its description, where tensors are put."""

    path: Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    used: set[str] = field(default_factory=set)
    pickled: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.description = Fields(self.meta, "description", CIRCUMSTANCES)
        self.what = str(self.description.take("what", ""))
        self.reference = str(self.description.take("reference", ""))
        self.precision = self.description.take("precision", None) or {}

    def cases(self) -> Iterator[tuple[str, Fields]]:
        """Key and fields of every case; each is closed before the next is given."""
        entries = self.description.take("cases")
        if not isinstance(entries, list):
            raise NotUnderstood(f"cases: expected a list, got {type(entries).__name__}")
        for entry in entries:
            fields = Fields(entry, "case")
            key = str(fields.take("key"))
            fields.where = f"case {key}"
            yield key, fields
            fields.finish()

    def options(self) -> Fields:
        """The options of the whole file."""
        return Fields(self.description.take("options", None) or {}, "options")

    def rounding(self, name: str) -> float:
        """The float32 rounding that is in the array `name`, as the description states it; 0 where it states none."""
        stated = self.precision.get(name) or {}
        return float(stated.get("f32_vs_f64") or 0.0)

    def has(self, name: str) -> bool:
        """Is there an array of this name?"""
        return name in self.arrays

    def take(self, name: str) -> np.ndarray:
        """An array, which counts as looked at from now on."""
        if name not in self.arrays:
            raise NotUnderstood(f"array {name!r} is missing")
        self.used.add(name)
        return self.arrays[name]

    def tensor(self, name: str, requires_grad: bool = False) -> Tensor:
        """An array as a tensor on the device."""
        return torch.tensor(self.take(name), device=self.device).requires_grad_(requires_grad)

    def group(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names start with `prefix`, under the rest of their names."""
        return {name[len(prefix) :]: self.tensor(name) for name in self.names(prefix)}

    def names(self, prefix: str) -> list[str]:
        """Names of the arrays that start with `prefix`."""
        return [name for name in self.arrays if name.startswith(prefix)]

    def finish(self) -> None:
        """Raises if an array or a field of the description has not been looked at."""
        self.description.finish()
        left = sorted(set(self.arrays) - self.used)
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            raise NotUnderstood(f"no rule for array {', '.join(map(repr, left[:3]))}{more}")


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of an .npz file."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise NotUnderstood(f"cannot be read: {damaged} is damaged")
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    if "meta_json" not in arrays:
        raise NotUnderstood("no description: array 'meta_json' is missing")
    meta = json.loads(str(arrays.pop("meta_json")))
    if not isinstance(meta, dict):
        raise NotUnderstood(f"description: expected a JSON object, got {type(meta).__name__}")
    return arrays, meta


def read_json(path: Path) -> dict[str, Any]:
    """The description that a .json file is."""
    meta = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(meta, dict):
        raise NotUnderstood(f"expected a JSON object, got {type(meta).__name__}")
    return meta


def pickle_words(path: Path) -> frozenset[str]:
    """Every short string of a pickle, read opcode by opcode: nothing in the file is executed or imported."""
    words: set[str] = set()
    for opcode, argument, _ in pickletools.genops(path.read_bytes()):
        if isinstance(argument, str) and len(argument) < 100:
            words.update(argument.split(" ") if opcode.name == "GLOBAL" else [argument])
    return frozenset(words)


def read(path: Path, device: torch.device) -> Document:
    """Any golden file as a document; raises `NotUnderstood` for what cannot be read."""
    try:
        match path.suffix:
            case ".npz":
                return Document(path, *read_npz(path), device=device)
            case ".json":
                return Document(path, {}, read_json(path), device=device)
            case ".pkl":
                return Document(path, {}, {}, device=device, pickled=pickle_words(path))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise NotUnderstood(f"cannot be read: {first_line(error)}") from error
    raise NotUnderstood(f"expected .npz, .json or .pkl, got {path.suffix or 'no ending'}")


def first_line(error: BaseException) -> str:
    """Kind and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
