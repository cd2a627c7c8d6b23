"""Everything of a run that changes, in one place: what a checkpoint holds is what this owns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.augment import Augment
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.tensors import load_into, prefixed, under
from openstylegan.training.ema import Ema
from openstylegan.training.phase import Health, Phase
from openstylegan.training.players import Player
from openstylegan.training.stats import Stats


@dataclass
class Counters:
    """Where the run is. The data order is a function of `cur_nimg` and the seed, so this is its position too.

    `micro_batch`: the largest that memory was found to hold, where the schedule's did not fit. `milestone` and
    `renewals`: the schedule's, as far as they have been acted on.
    """

    cur_nimg: int = 0
    step: int = 0
    tick: int = 0
    tick_start_nimg: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    micro_batch: int | None = None
    milestone: int = 0
    renewals: int = 0
    logs: dict[str, int] = field(default_factory=dict)


@dataclass
class TrainState:
    """Owner of every mutable number of a run."""

    G: Generator
    D: Discriminator
    ema: Ema[Generator]
    augment: Augment
    players: dict[str, Player]
    phases: list[Phase]
    stats: Stats = field(default_factory=Stats)
    health: Health = field(default_factory=Health)
    counters: Counters = field(default_factory=Counters)

    def set_lod(self, lod: float) -> None:
        """Sets the level of detail of all networks."""
        self.G.set_lod(lod)
        self.ema.module.set_lod(lod)
        self.D.set_lod(lod)

    def renew_optimizers(self, renewals: int) -> None:
        """Empties the optimizers when the schedule has asked for it more often than it was done."""
        if renewals != self.counters.renewals:
            for player in self.players.values():
                player.renew()
            self.counters.renewals = renewals

    def modules(self) -> dict[str, nn.Module]:
        """The modules whose parameters and buffers change, by the name they have in a checkpoint."""
        terms = {f"terms/{p.name}/{n}": t for p in self.phases for n, t in enumerate(p.terms)}
        return {"G": self.G, "D": self.D, "G_ema": self.ema.module, "augment": self.augment, **terms}

    def network_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of everything in `modules`."""
        found: dict[str, Tensor] = {}
        for name, module in self.modules().items():
            found |= prefixed(name, module.state_dict())
        return found

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """The optimizers' moments."""
        found: dict[str, Tensor] = {}
        for name, player in self.players.items():
            found |= prefixed(name, player.moments())
        return found

    def numbers(self) -> dict[str, Any]:
        """Everything that is not a tensor, as JSON."""
        return {"counters": asdict(self.counters), "health": asdict(self.health), "stats": self.stats.state()}

    def load(
        self, networks: dict[str, Tensor], optimizers: dict[str, Tensor], numbers: dict[str, Any], device: torch.device
    ) -> None:
        """Puts back what the three methods above returned. Raises `InputError` when the networks differ."""
        for name, module in self.modules().items():
            load_into(module, under(name, networks), f"the checkpoint's '{name}'")
        for name, player in self.players.items():
            player.load_moments(under(name, optimizers))
        self.counters = Counters(**numbers["counters"])
        for name, value in numbers["health"].items():
            setattr(self.health, name, value)
        self.stats.load(numbers["stats"], device)
