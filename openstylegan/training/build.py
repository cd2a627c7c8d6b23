"""From a configuration to the parts of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from openstylegan.augment import AUGMENTS, Augment, FadingBlur
from openstylegan.config import Component, PlayerConfig, TrainConfig
from openstylegan.data.dataset import ImageDataset, open_dataset
from openstylegan.data.loader import BatchLoader
from openstylegan.data.sized import sized
from openstylegan.distributed import broadcast, is_main, world_size
from openstylegan.errors import InputError
from openstylegan.losses import LOSS_TERMS
from openstylegan.networks import DISCRIMINATORS, GENERATORS
from openstylegan.networks.base import Discriminator, Generator, set_precision
from openstylegan.randomness import key
from openstylegan.registry import build
from openstylegan.training.ema import Ema
from openstylegan.training.memory import within
from openstylegan.training.phase import Phase, StepContext
from openstylegan.training.players import Player
from openstylegan.training.schedule import SCHEDULES, Schedule, Stage
from openstylegan.training.state import TrainState


def print_notice(text: str) -> None:
    """A line to the error output, from the main process."""
    if is_main():
        print(f"openstylegan: {text}", file=sys.stderr)


@dataclass
class Run:
    """A run in progress: its configuration, its data, its schedule, and the state that owns all that changes.

    `tell` gets what the user should know at once, a line each, on every process.
    """

    config: TrainConfig
    components: dict[str, Component]
    device: torch.device
    folder: Path | None
    dataset: ImageDataset
    loader: BatchLoader
    schedule: Schedule
    state: TrainState
    context: StepContext
    tell: Callable[[str], None] = print_notice

    def stage(self) -> Stage:
        """What holds for the next step: the schedule's stage, cut finer where memory was found to be short."""
        stage = self.schedule.at(self.state.counters.cur_nimg)
        return within(stage, self.state.counters.micro_batch, self.state.modules().values(), world_size())

    def at_milestone(self) -> bool:
        """Whether the last step ended a part of the schedule."""
        return self.schedule.at(self.state.counters.cur_nimg).milestone != self.state.counters.milestone

    @property
    def dtype(self) -> torch.dtype:
        """The type of images: float32, or float64 where everything is."""
        return torch.float64 if self.config.precision == "float64" else torch.float32


def open_training_data(config: TrainConfig) -> ImageDataset:
    """The dataset a configuration names. Raises `InputError`."""
    data = config.data
    pictures = sized(data.path, data.resize, data.channels, data.label_source, tell=print_notice)
    return open_dataset(
        pictures.path,
        use_labels=data.use_labels,
        max_size=data.max_size,
        xflip=data.xflip,
        seed=data.subset_seed,
        label_source=pictures.label_source,
        cache=data.cache,
    )


def resolve(player: PlayerConfig, dataset: ImageDataset) -> Component:
    """A player's network with the options that the data decides filled in. Raises `InputError` when they differ."""
    channels, height, width = dataset.image_shape
    decided: dict[str, Any] = {
        "c_dim": dataset.label_dim,
        "img_resolution": height if height == width else [height, width],
        "img_channels": channels,
    }
    for name, value in decided.items():
        asked = player.network.options.get(name, value)
        if asked != value:
            raise InputError(f"expected {name} {value} as in the data, got {asked}; leave it out of the options")
    return Component(player.network.name, {**player.network.options, **decided})


def resolved(config: TrainConfig, dataset: ImageDataset) -> dict[str, Component]:
    """Both networks as `resolve` has them: "G" and "D"."""
    return {"G": resolve(config.generator, dataset), "D": resolve(config.discriminator, dataset)}


def make_network(table: Mapping[str, Any], component: Component, kind: str, config: TrainConfig) -> Any:
    """A new network; its initial weights depend on the run's seed and its kind only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.seed, f"init/{kind}"))
        network = build(table, component.name, component.options, kind)
    if config.precision == "float64":
        return network.double()
    set_precision(network, config.precision)
    return network


def make_phases(config: TrainConfig, players: Mapping[str, Player]) -> list[Phase]:
    """The phases of a configuration, with new terms."""
    phases = []
    for phase in config.phases:
        terms = [build(LOSS_TERMS, t.name, t.options, "loss term") for t in phase.terms]
        if config.precision == "float64":
            terms = [t.double() for t in terms]
        player, follows = players[phase.player], phase.updates_statistics
        gain = phase.every / interval(config, phase.player)
        phases.append(Phase(phase.name, player, terms, phase.every, follows, phase.fake_labels, gain))
    return phases


def interval(config: TrainConfig, player: str) -> int:
    """Every how many steps a player moves: the shortest interval of its phases that are not lazy."""
    return min((p.every for p in config.phases if p.player == player and not p.lazy), default=1)


def lazy_every(config: TrainConfig, player: str) -> int | None:
    """The interval of a player's lazy phase, in moves of that player, or None. Raises `InputError` when it has two
    different ones, or one that is no whole number of moves."""
    own = interval(config, player)
    found = {p.every for p in config.phases if p.player == player and p.lazy}
    if len(found) > 1 or any(every % own for every in found):
        raise InputError(
            f"expected one interval for the lazy phases of {player}, a multiple of {own}, got {sorted(found)}"
        )
    return found.pop() // own if found else None


def make_networks(
    config: TrainConfig, components: Mapping[str, Component], device: torch.device
) -> tuple[Generator, Discriminator]:
    """New networks, in training mode."""
    G = make_network(GENERATORS, components["G"], "generator", config)
    D = make_network(DISCRIMINATORS, components["D"], "discriminator", config)
    return G.to(device).train(), D.to(device).train()


def make_state(
    config: TrainConfig, networks: tuple[Generator, Discriminator], ema: Ema[Generator], augment: Augment
) -> TrainState:
    """The state of a new run: optimizers of its networks, and phases with new terms. Raises `InputError`."""
    G, D = networks
    device = next(G.parameters()).device
    players = {
        "G": Player("G", G, config.generator, lazy_every(config, "G")),
        "D": Player("D", D, config.discriminator, lazy_every(config, "D")),
    }
    phases = make_phases(config, players)
    for term in (t for p in phases for t in p.terms):
        term.to(device)
    return TrainState(G, D, ema, augment, players, phases)


def step_context(config: TrainConfig, state: TrainState) -> StepContext:
    """What the phases of a run need of it."""
    networks = (state.G, state.D, state.augment)
    blur = FadingBlur.of(config.blur)
    watchers = tuple(t for p in state.phases for t in p.terms if t.watches_real_logits)
    return StepContext(
        networks, state.stats, state.health, config.seed, config.style_mixing_prob, config.nonfinite, blur, watchers
    )


def build_run(config: TrainConfig, device: torch.device, folder: Path | None = None) -> Run:
    """Opens the data and makes networks, players, phases and augmentation. Raises `InputError`."""
    dataset = open_training_data(config)
    components = resolved(config, dataset)
    augment = build(AUGMENTS, config.augment.name, config.augment.options, "augmentation").to(device)
    if config.precision == "float64":
        augment = augment.double()
    G, D = make_networks(config, components, device)
    state = make_state(config, (G, D), Ema(G, config.ema), augment)
    for module in (state.G, state.D, state.ema.module):
        broadcast([*module.parameters(), *module.buffers()])
    schedule = build(SCHEDULES, config.schedule.name, config.schedule.options, "schedule")
    check_cut(schedule)
    state.set_lod(schedule.at(0).lod)
    loader = BatchLoader(dataset, seed=config.seed, workers=config.data.num_workers)
    context = step_context(config, state)
    return Run(config, components, device, folder, dataset, loader, schedule, state, context)


def check_cut(schedule: Schedule) -> None:
    """Raises `InputError` when a stage's micro-batches cannot be dealt out evenly to the processes."""
    for stage in schedule.stages:
        if stage.num_micro_batches % world_size():
            raise InputError(
                f"expected a number of micro-batches divisible by {world_size()} processes, got "
                f"{stage.num_micro_batches} (batch {stage.batch_size} / batch_gpu {stage.batch_gpu}); choose another "
                "--batch or --batch-gpu"
            )
