"""Snapshots: what others load. Weights in one safetensors file with the networks' configuration inside; no code.

networks = openstylegan.load("network-snapshot-000100.safetensors")
image = networks.G_ema(z, c)            # [N, C, H, W] float32, nominally [-1, 1]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from openstylegan import __version__
from openstylegan.config import Component, TrainConfig, from_dict, to_dict
from openstylegan.errors import InputError
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.networks.outline import WithoutInitialWeights
from openstylegan.registry import build
from openstylegan.tensors import give_to, prefixed, read_tensors, under, write_tensors

FORMAT = 1
PATTERN = "network-snapshot-*.safetensors"
COMPONENT_OF = {"G_ema": "G", "G": "G", "D": "D"}
"""The networks of a snapshot and the component each is rebuilt from."""
TABLES: dict[str, tuple[Mapping[str, Any], str]] = {
    "G": (GENERATORS, "generator"),
    "D": (DISCRIMINATORS, "discriminator"),
}


@dataclass
class Networks:
    """The networks of a snapshot, on the CPU, in eval mode, without gradients; and what the file says of them.

    `about` holds the networks' configuration, the images seen, the data's hash and the augmentation strength; `config`
    is the whole training configuration when the snapshot comes from a run.
    """

    G_ema: Generator
    G: Generator | None
    D: Discriminator | None
    about: dict[str, Any]
    path: Path

    @property
    def config(self) -> TrainConfig | None:
        """The configuration of the run that wrote the snapshot."""
        stored = self.about.get("config")
        return None if stored is None else from_dict(TrainConfig, stored)


def write_snapshot(
    path: str | os.PathLike[str],
    networks: Mapping[str, nn.Module],
    components: Mapping[str, Component],
    about: Mapping[str, Any],
) -> None:
    """Writes `networks` (any of "G", "D", "G_ema") with the `components` ("G" and "D") they are rebuilt from."""
    tensors = {}
    for name, module in networks.items():
        tensors.update(prefixed(name, module.state_dict()))
    described = {name: to_dict(component) for name, component in components.items()}
    write_tensors(path, tensors, {"format": FORMAT, "version": __version__, "networks": described, **about})


def find_snapshot(path: str | os.PathLike[str]) -> Path:
    """A snapshot file, or the newest one of a run folder. Raises `InputError`."""
    place = Path(path)
    if place.is_dir():
        numbered = sorted(p for p in place.glob(PATTERN) if p.stem.rsplit("-", 1)[1].isdigit())
        if not numbered:
            raise InputError(f"expected a run folder with {PATTERN}, found none in {place}; name a snapshot file")
        return numbered[-1]
    if not place.is_file():
        raise InputError(f"expected a network snapshot at {place}, but there is no such file; check --network")
    return place


def load(path: str | os.PathLike[str]) -> Networks:
    """The networks of a snapshot file, or of the newest snapshot in a run folder. Raises `InputError`."""
    file = find_snapshot(path)
    tensors, about = read_tensors(file)
    if about.get("format") != FORMAT or "networks" not in about:
        raise InputError(f"{file} is not a network snapshot of format {FORMAT}; was it written by a newer version?")
    described = {name: from_dict(Component, value) for name, value in about["networks"].items()}
    made: dict[str, Any] = dict.fromkeys(COMPONENT_OF)
    for name, component in COMPONENT_OF.items():
        own = under(name, tensors)
        if own:
            made[name] = rebuild(component, described[component], own, f"{file.name}'s {name}")
    if made["G_ema"] is None:
        raise InputError(f"{file} holds no G_ema; it cannot be used to generate")
    return Networks(made["G_ema"], made["G"], made["D"], about, file)


def rebuild(part: str, component: Component, tensors: Mapping[str, Tensor], what: str) -> Any:
    """The network of a `component` ("G" or "D") with `tensors` as its weights: in eval mode, without gradients.

    No initial weights are drawn and torch's global generator is left alone. Raises `InputError` when the tensors are
    not those of such a network.
    """
    module = outline(part, component)
    give_to(module, tensors, what)
    return module.eval().requires_grad_(False)


def outline(part: str, component: Component) -> Any:
    """The network of a `component` ("G" or "D") with all names and shapes, but without weights."""
    table, kind = TABLES[part]
    with WithoutInitialWeights():
        return build(table, component.name, component.options, kind)
