"""The networks that are held in memory, and how one is described to a page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from openstylegan.interop.loading import load
from openstylegan.ops.paths import describe_paths
from openstylegan.snapshot import Networks
from openstylegan.viewer.messages import Network
from openstylegan.viewer.models import ModelList, modified_of
from openstylegan.viewer.session import Session

MOST_OPEN = 2
"""Networks that are kept; the one unused for longest goes first."""


@dataclass(frozen=True)
class Opened:
    """A network in memory: its session, its description, and the date of its file."""

    session: Session
    network: Network
    modified: float


class OpenNetworks:
    """Opens networks of a list, one at a time, and keeps the newest `MOST_OPEN`. May be used by several threads."""

    def __init__(self, models: ModelList, device: torch.device):
        self.models, self.device = models, device
        self.kept: OrderedDict[str, Opened] = OrderedDict()
        self._loading, self._table = threading.Lock(), threading.Lock()

    def found(self, model: str) -> Opened | None:
        """The network if it is open and its file has not changed since (it may be gone)."""
        modified = modified_of(Path(self.models.place(model)))
        with self._table:
            opened = self.kept.get(model)
            if opened is None or modified not in (0.0, opened.modified):
                return None
            self.kept.move_to_end(model)
            return opened

    def open(self, model: str) -> Opened:
        """The network, read now if need be. Raises `InputError`, and remembers why."""
        place = self.models.place(model)
        with self._loading:
            opened = self.found(model)
            if opened is None:
                modified = modified_of(Path(place))
                try:
                    opened = self.read(model, place, modified)
                except Exception as error:
                    self.models.errors[model] = str(error)
                    raise
                self.models.errors.pop(model, None)
                self.keep(model, opened)
        return opened

    def read(self, model: str, place: str, modified: float) -> Opened:
        """Reads a network and looks at its parts."""
        networks = load(place)
        session = Session(networks.G_ema, self.device)
        return Opened(session, describe(model, networks, session), modified)

    def keep(self, model: str, opened: Opened) -> None:
        """Takes a network in, and lets the oldest go."""
        with self._table:
            self.kept.pop(model, None)
            self.kept[model] = opened
            while len(self.kept) > MOST_OPEN:
                self.kept.popitem(last=False)


def describe(model: str, networks: Networks, session: Session) -> Network:
    """What a page must know of a network."""
    G, kinds = session.G, session.direction_kinds()
    missing = (
        (session.truncates, "no truncation: the network has no average w"),
        (session.transforms, "no movement: the network does not transform its input (StyleGAN3's do)"),
        (session.noise, "no noise: the network has no noise inputs"),
        ("sefa" in kinds, "no SeFa: the network's styles are not affine in w"),
        (G.c_dim > 0, "no classes: the network is not conditional"),
    )
    return Network(
        model=model,
        name=networks.path.name,
        family=type(G).__name__.removesuffix("Generator"),
        image_shape=G.image_shape,
        z_dim=G.z_dim,
        w_dim=G.w_dim,
        num_ws=G.num_ws,
        classes=G.c_dim,
        truncates=session.truncates,
        transforms=session.transforms,
        noise=session.noise,
        layers=session.layers(),
        directions=kinds,
        parameters=sum(p.numel() for p in G.parameters()),
        device=str(session.device),
        paths=tuple(describe_paths(session.device.type)),
        about=facts(networks.about),
        parts=tuple(text for there, text in missing if not there),
    )


def facts(about: dict[str, Any]) -> dict[str, str]:
    """What a file says of its network, in a few words each."""
    dataset = about.get("dataset")
    found = {
        "source": about.get("source"),
        "written by": about.get("version") and f"OpenStyleGAN {about['version']}",
        "images seen": about.get("cur_nimg"),
        "augmentation p": about.get("augment_p"),
        "dataset": dataset.get("name") if isinstance(dataset, dict) else None,
        "pictures": dataset.get("num_images") if isinstance(dataset, dict) else None,
    }
    return {name: shortened(value) for name, value in found.items() if isinstance(value, str | int | float)}


def shortened(value: str | float) -> str:
    """A number with 4 digits, a text of at most 200 characters."""
    text = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
    return text[:200]
