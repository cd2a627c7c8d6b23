"""Any file of networks: named for what it is, read by the reader of its layout, or refused in one line.

A new layout is one file with `looks_like(value)` and `read(value, path)`, and one line in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstylegan.config import Component, from_dict
from openstylegan.errors import InputError
from openstylegan.interop import nvidia, plain, rosinality, rosinality_stylegan1, tensorflow
from openstylegan.interop.contents import Contents, StoredNetwork, describe
from openstylegan.interop.identify import identify, wrong_kind
from openstylegan.interop.torch_files import read_pt
from openstylegan.interop.unpickle import read_pickle_file
from openstylegan.snapshot import COMPONENT_OF, TABLES
from openstylegan.tensors import read_tensors, under

SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Layout:
    """How the content of a file is recognised, and what makes `Contents` of it."""

    looks_like: Callable[[Any], bool]
    read: Callable[[Any, Path], Contents]


LAYOUTS = (
    Layout(nvidia.looks_like, nvidia.read),
    Layout(tensorflow.looks_like, tensorflow.read),
    Layout(rosinality.looks_like, rosinality.read),
    Layout(rosinality_stylegan1.looks_like, rosinality_stylegan1.read),
    Layout(plain.looks_like, plain.read),
)
FILES: Mapping[str, Callable[[Path], Any]] = {
    "pickle": lambda path: read_pickle_file(path, limits=plain.PICKLE_LIMITS),
    "torch-zip": read_pt,
    "torch-legacy": read_pt,
}
"""Kinds of files that may hold networks of other programs, and how their content is read."""


def has(*names: str) -> Callable[[Any], bool]:
    """Recognises a table by entries it must have."""
    return lambda value: isinstance(value, dict) and all(name in value for name in names)


OTHERS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (has("GAN", "version"), "a checkpoint of lucidrains' stylegan2-pytorch"),
    (has("g_ema"), "a checkpoint with a g_ema of another program than rosinality's StyleGAN2"),
    (has("state_dict"), "a training checkpoint of another program"),
    (lambda value: isinstance(value, dict) and any("." in str(name) for name in value), "the tensors of a network"),
)
"""What is recognised but not read."""


def read_contents(path: Path) -> Contents:
    """What a file holds. Raises `InputError` that says what it is when it holds no networks that are known."""
    kind = identify(path)
    if kind.name == SNAPSHOT:
        return read_snapshot(path)
    if kind.name not in FILES:
        raise wrong_kind(kind, path)
    value = FILES[kind.name](path)
    for layout in LAYOUTS:
        if layout.looks_like(value):
            return layout.read(value, path)
    says = next((says for looks, says in OTHERS if looks(value)), describe(value))
    raise InputError(f"expected networks, got {kind.sentence} with {says}, which is not read: {path}")


def read_snapshot(path: Path) -> Contents:
    """What a snapshot of ours holds."""
    tensors, about = read_tensors(path)
    networks = {}
    for name, part in COMPONENT_OF.items():
        own = under(name, tensors)
        if own:
            component = from_dict(Component, about["networks"][part])
            networks[name] = StoredNetwork(f"the {TABLES[part][1]} '{component.name}'", component, own)
    facts = {key: value for key, value in about.items() if key != "networks"}
    return Contents("openstylegan", "a network snapshot of OpenStyleGAN", path, networks, facts)
