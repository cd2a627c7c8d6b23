"""Labels: a class a picture or a vector of numbers, from `dataset.json`, from folder names, or from a CSV file.

`dataset.json` in the root holds `{"labels": [["00000/img00000000.png", 6], ...]}` or `{"labels": null}`; classes are
integers from 0, vectors are lists of one length. Other keys (`"classes"`: the names) are left alone.

Differs from StyleGAN2-ADA: a missing, negative, ragged or non-finite label is one line that names the picture, and a
single number that is no whole number is refused instead of being cut to an integer.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from openstylegan.errors import InputError

LABEL_FILE = "dataset.json"
MAX_CLASSES = 1_000_000
MAX_VECTOR = 65_536
LARGEST = 3e38
HEADINGS = ("file", "filename", "name", "image", "path")
Label = int | list[float]


@dataclass(frozen=True)
class Labels:
    """The labels of a dataset's pictures, in its order: `classes` [N] int64, or `vectors` [N, D] float32, or none."""

    classes: np.ndarray | None = None
    vectors: np.ndarray | None = None

    @cached_property
    def dim(self) -> int:
        """The length of a label: the largest class of the whole set + 1, D, or 0."""
        if self.classes is not None:
            return int(self.classes.max()) + 1 if len(self.classes) else 0
        return 0 if self.vectors is None else self.vectors.shape[1]

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """float32 [len(indices), dim]: classes as one-hot."""
        out = np.zeros((len(indices), self.dim), np.float32)
        if self.classes is not None:
            out[np.arange(len(indices)), self.classes[indices]] = 1
        elif self.vectors is not None:
            out[:] = self.vectors[indices]
        return out


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that float32 can hold (not a NaN, nor JSON's true and false)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def check_label(value: Any, name: str, where: str) -> Label:
    """A class or a vector. Raises `InputError` naming the picture."""
    if is_number(value) and value == int(value) and 0 <= value < MAX_CLASSES:
        return int(value)
    if isinstance(value, list) and 0 < len(value) <= MAX_VECTOR and all(is_number(v) for v in value):
        return [float(v) for v in value]
    got = str(value) if len(str(value)) < 60 else f"{str(value)[:57]}..."
    raise InputError(
        f"{where}: expected a class from 0 to {MAX_CLASSES - 1} or a list of numbers for {name}, got {got}; correct it"
    )


def parse_dataset_json(data: bytes, where: str) -> dict[str, Label] | None:
    """File name -> label of a `dataset.json`, or None when its labels are null. Raises `InputError`.

    A name listed twice must have the same label both times.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {where}, but it cannot be read ({error}); correct or remove it") from error
    if not isinstance(content, dict) or "labels" not in content:
        raise InputError(
            f'expected {{"labels": [[file, label], ...]}} or {{"labels": null}} in {where}; correct or remove it'
        )
    entries = content["labels"]
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise InputError(f'expected "labels" in {where} to be a list of [file, label] or null; correct it')
    found: dict[str, Label] = {}
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise InputError(f"expected [file, label] in {where}, got {str(entry)[:60]}; correct it")
        name = entry[0].replace("\\", "/")
        label = check_label(entry[1], name, where)
        if found.setdefault(name, label) != label:
            raise InputError(f"{where} gives {name} two labels, {found[name]} and {label}; remove one")
    check_one_kind(found, where)
    return found


def class_names(data: bytes) -> list[str]:
    """The names under "classes" of a `dataset.json` that `parse_dataset_json` has accepted; empty when it has none."""
    names = json.loads(data).get("classes")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def parse_csv(text: str, where: str) -> dict[str, Label | str]:
    """File name -> label of lines `file,class` or `file,number,number,...`; a heading line is left out.

    When no class is a number they are names, and stay text. Raises `InputError`.
    """
    lines = [row for row in csv.reader(io.StringIO(text)) if row and any(cell.strip() for cell in row)]
    if lines and lines[0][0].strip().lower() in HEADINGS:
        lines = lines[1:]
    short = next((row for row in lines if len(row) < 2), None)
    if not lines or short is not None:
        raise InputError(f"expected lines of file,label in {where}, got {short or 'none'}; correct it")
    values = {row[0].strip().replace("\\", "/"): [cell.strip() for cell in row[1:]] for row in lines}
    if len(values) != len(lines):
        raise InputError(f"{where} names a file twice; keep one line a file")
    if all(len(cells) == 1 and cells[0] and not is_numeral(cells[0]) for cells in values.values()):
        return {name: cells[0] for name, cells in values.items()}
    labels = {name: check_label(cells_to_label(cells), name, where) for name, cells in values.items()}
    check_one_kind(labels, where)
    return dict(labels)


def is_numeral(text: str) -> bool:
    """Whether `text` reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def cells_to_label(cells: list[str]) -> Any:
    """One cell -> a number, more -> a list; a cell that is no number is left as text for the error message."""
    numbers = [float(cell) if is_numeral(cell) else cell for cell in cells]
    return numbers[0] if len(numbers) == 1 else numbers


def folder_classes(names: Sequence[str]) -> tuple[dict[str, Label], list[str]]:
    """File name -> class by the name of its first folder, and the class names in alphabetical order.

    Raises `InputError` when a picture lies in no folder.
    """
    loose = next((name for name in names if "/" not in name), None)
    if loose is not None:
        raise InputError(f"expected every picture in a folder named after its class, got {loose}; move it into one")
    classes = sorted({name.split("/", 1)[0] for name in names})
    order = {name: i for i, name in enumerate(classes)}
    return {name: order[name.split("/", 1)[0]] for name in names}, classes


def arrange(labels: dict[str, Label] | None, names: Sequence[str], where: str) -> Labels:
    """The labels of `names` in their order. Raises `InputError` when one is missing or not like the others."""
    if labels is None:
        return Labels()
    missing = [name for name in names if name not in labels]
    if missing:
        raise InputError(
            f"expected a label for every picture in {where}, but {len(missing)} of {len(names)} have none "
            f"(first: {missing[0]}); add them or set labels to null"
        )
    values = [labels[name] for name in names]
    if isinstance(values[0], list):
        return Labels(vectors=np.array(values, np.float32))
    return Labels(classes=np.array(values, np.int64))


def check_one_kind(labels: dict[str, Label], where: str) -> None:
    """Raises `InputError` when the labels are not all classes, nor all vectors of one length."""
    kinds = {name: kind(label) for name, label in labels.items()}
    first = next(iter(kinds), "")
    odd = next((name for name in kinds if kinds[name] != kinds[first]), None)
    if odd is not None:
        raise InputError(
            f"expected labels of one kind in {where}, got {kinds[first]} for {first}, {kinds[odd]} for {odd}"
        )


def kind(label: Label) -> str:
    """A label's kind in words."""
    return f"{len(label)} numbers" if isinstance(label, list) else "a class"
