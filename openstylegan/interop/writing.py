"""Networks in other layouts: the table of formats that `openstylegan convert` writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openstylegan.config import Component, from_dict
from openstylegan.errors import InputError
from openstylegan.interop import plain, rosinality, rosinality_stylegan1
from openstylegan.registry import lookup
from openstylegan.snapshot import COMPONENT_OF, Networks, write_snapshot


@dataclass(frozen=True)
class Format:
    """A layout: what it is, the endings of its files, and what writes it and returns remarks."""

    says: str
    endings: tuple[str, ...]
    write: Callable[[Networks, Path], list[str]]


def write_ours(networks: Networks, path: Path) -> list[str]:
    """Writes a snapshot."""
    present = {name: getattr(networks, name) for name in COMPONENT_OF if getattr(networks, name) is not None}
    components = {name: from_dict(Component, value) for name, value in networks.about["networks"].items()}
    own = ("networks", "format", "version", "unread")
    about = {key: value for key, value in networks.about.items() if key not in own}
    write_snapshot(path, present, components, about)
    return []


def write_rosinality(networks: Networks, path: Path) -> list[str]:
    """Writes a checkpoint of the program of that author which has such networks."""
    growing = networks.about["networks"]["G"]["name"] == "stylegan1"
    return (rosinality_stylegan1 if growing else rosinality).write(networks, path)


FORMATS: dict[str, Format] = {
    "snapshot": Format("a snapshot of OpenStyleGAN", (".safetensors",), write_ours),
    "pickle": Format("a plain pickle", (".pkl", ".pickle"), plain.write),
    "rosinality": Format(
        "a checkpoint of rosinality's StyleGAN2 or StyleGAN1", (".pt", ".pth", ".model"), write_rosinality
    ),
}


def format_of(path: Path, to: str | None) -> Format:
    """The format named `to`, else that of the file's ending. Raises `InputError`."""
    if to is not None:
        return lookup(FORMATS, to, "format")
    for form in FORMATS.values():
        if path.suffix.lower() in form.endings:
            return form
    endings = ", ".join(f"{form.endings[0]} ({name})" for name, form in FORMATS.items())
    raise InputError(f"expected a destination that ends in {endings}, or --to; got '{path.name}'")


def write(networks: Networks, path: str | os.PathLike[str], to: str | None = None) -> list[str]:
    """Writes `networks` in the format `to` (by default the one of the ending); returns remarks, one a line.

    Whatever the source held and this file does not is among the remarks. Raises `InputError`.
    """
    target = Path(path)
    form = format_of(target, to)
    unread = [f"not carried over: {name} ({what})" for name, what in networks.about.get("unread", {}).items()]
    return [*form.write(networks, target), *unread]
