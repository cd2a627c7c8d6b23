"""One micro-batch of one phase: each forward pass is made once, when first asked, and shared by the phase's terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openstylegan.augment import Augment, FadingBlur
from openstylegan.images import Images, map_images
from openstylegan.losses import LossTerm
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.randomness import BatchStream, SampleStream, generator, numpy_generator
from openstylegan.training.stats import moments


@dataclass(frozen=True)
class Batch:
    """A process's share of a global batch: images uint8 [n, C, H, W], labels [n, c_dim], labels for generated images
    [n, c_dim], and the samples' positions in the global batch."""

    reals: Tensor
    labels: Tensor
    fake_labels: Tensor
    positions: Sequence[int]


@dataclass(frozen=True)
class Moment:
    """When and for whom random numbers are drawn: the run's seed, the step's first image, and the phase."""

    seed: int
    cur_nimg: int
    phase: str

    def stream(self, purpose: str, positions: Sequence[int], device: torch.device) -> SampleStream:
        """Numbers that belong to the samples at `positions` of this batch."""
        return SampleStream(self.seed, f"{self.phase}/{purpose}", (self.cur_nimg,), positions, device)

    def step_stream(self, purpose: str) -> BatchStream:
        """Numbers that belong to the step, whatever the phase."""
        return BatchStream(generator(self.seed, f"step/{purpose}", self.cur_nimg))

    def mixing_cutoff(self, num_ws: int, probability: float) -> int:
        """The layer from which styles are mixed, one for the whole batch; `num_ws` when they are not."""
        random = numpy_generator(self.seed, f"{self.phase}/mixing", self.cur_nimg)
        cutoff = int(random.integers(1, num_ws)) if num_ws > 1 else num_ws
        return cutoff if random.random() < probability else num_ws


class Tally:
    """Sums over a phase's micro-batches and processes: statistics by name, and running state by owner."""

    def __init__(self) -> None:
        self.stats: dict[str, Tensor] = {}
        self.tracked: dict[Any, Tensor] = {}

    def report(self, name: str, values: Tensor) -> None:
        """Adds to a statistic."""
        new = moments(values)
        self.stats[name] = self.stats[name] + new if name in self.stats else new

    def track(self, owner: Any, values: Tensor) -> None:
        """Adds the sum over samples of `values` [n, ...] and n, as float64."""
        flat = values.detach().double().flatten(1) if values.dim() > 1 else values.detach().double().unsqueeze(1)
        new = torch.cat([flat.sum(0), flat.new_tensor([float(len(flat))])])
        self.tracked[owner] = self.tracked[owner] + new if owner in self.tracked else new


@dataclass(frozen=True)
class Recipe:
    """How a phase makes pictures and shows them to the discriminator, whether the generator's running statistics
    follow them, and which terms watch the discriminator at real ones."""

    style_mixing_prob: float
    blur: FadingBlur
    updates_statistics: bool
    watchers: tuple[LossTerm, ...] = ()


class ForwardPass:
    """One micro-batch as the terms of a phase see it (the contract is `losses.base.ForwardPass`).

    Differs from the original: random numbers belong to the sample, and one style-mixing cutoff holds for the batch,
    so that the cut into micro-batches and processes changes nothing.
    """

    def __init__(
        self,
        networks: tuple[Generator, Discriminator, Augment],
        player: str,
        needs: frozenset[str],
        batch: Batch,
        moment: Moment,
        tally: Tally,
        recipe: Recipe,
        surveyed: dict[LossTerm, Tensor] | None = None,
    ):
        self.G, self.D, self.augment = networks
        self.player, self.needs, self.batch, self.moment, self.tally = player, needs, batch, moment, tally
        self.recipe, self.surveyed = recipe, surveyed or {}
        self.term = ""

    @property
    def num_samples(self) -> int:
        return len(self.batch.positions)

    @property
    def device(self) -> torch.device:
        return self.batch.reals.device

    def stream(self, purpose: str, num: int) -> SampleStream:
        return self.moment.stream(purpose, self.batch.positions[:num], self.device)

    def host_stream(self, purpose: str, num: int) -> SampleStream:
        """As `stream`, drawn on the CPU: the same numbers on every device, and no wait for the GPU to read them."""
        return self.moment.stream(purpose, self.batch.positions[:num], torch.device("cpu"))

    def step_stream(self, purpose: str) -> BatchStream:
        return self.moment.step_stream(purpose)

    def report(self, name: str, values: Tensor) -> None:
        self.tally.report(name, values)

    def track(self, owner: LossTerm, values: Tensor) -> None:
        self.tally.track(owner, values)

    def batch_mean(self, term: LossTerm, values: Tensor) -> Tensor:
        return self.surveyed[term].to(values) if term in self.surveyed else values.detach().mean()

    @cached_property
    def reals(self) -> Images:
        """In the form that the discriminator judges. Smaller pictures are made inside the graph: so a gradient with
        respect to one of several resolutions is total, including what it does through those made from it."""
        wanted = "real_images" in self.needs
        return self.D.prepare_reals(self.batch.reals.detach().requires_grad_(wanted))

    @cached_property
    def fakes(self) -> Images:
        if self.player == "G":
            return self.generate(self.num_samples)[0]
        with torch.no_grad():
            images = self.generate(self.num_samples)[0]
        return map_images(lambda x: x.requires_grad_("fake_images" in self.needs), images)

    def images_with_gradient(self, need: str) -> Images:
        if need not in self.needs:
            raise RuntimeError(f"the term '{self.term}' takes the gradient of '{need}' but does not list it in `needs`")
        return self.reals if need == "real_images" else self.fakes

    def generate(self, num: int) -> tuple[Images, Tensor]:
        first, ws = self.styles(num)
        if torch.is_grad_enabled() and not ws.requires_grad:
            ws.requires_grad_()  # of a generator whose ws are its latents, path length regularization asks too
        noise = self.stream("noise", num)
        if not self.recipe.updates_statistics:
            return self.G.synthesis(ws, noise_mode="random", noise_source=noise), ws
        images, observed = self.G.observed_synthesis(ws, noise_mode="random", noise_source=noise)
        self.tally.track(self.G, torch.cat([first.detach(), observed], dim=1))
        return images, ws

    def styles(self, num: int) -> tuple[Tensor, Tensor]:
        """w [num, w_dim] of this phase's latents, and ws [num, num_ws, w_dim] of these, mixed with those of second
        latents from the batch's cutoff on."""
        c = self.batch.fake_labels[:num]
        ws = self.G.mapping(self.latents("latents", num), c, update_w_avg=False)
        first = ws[:, 0]
        in_use = self.G.num_ws_in_use
        cutoff = self.moment.mixing_cutoff(in_use, self.recipe.style_mixing_prob)
        if cutoff < in_use:
            second = self.G.mapping(self.latents("mixed_latents", num), c, update_w_avg=False)
            ws = torch.cat([ws[:, :cutoff], second[:, cutoff:]], dim=1)
        return first, ws

    def latents(self, purpose: str, num: int) -> Tensor:
        """z [num, z_dim]."""
        return self.host_stream(purpose, num).normal((num, self.G.z_dim)).to(self.device)

    def discriminate(self, images: Images, c: Tensor, which: str) -> Tensor:
        """Logits of blurred and augmented images, with their statistics."""
        images = self.recipe.blur(images, self.moment.cur_nimg)
        logits = self.D(self.augment(images, self.host_stream(f"augment_{which}", self.num_samples)), c)
        self.report(f"Loss/scores/{which}", logits)
        self.report(f"Loss/signs/{which}", logits.sign())
        return logits

    @cached_property
    def real_logits(self) -> Tensor:
        logits = self.discriminate(self.reals, self.batch.labels, "real")
        if self.player == "D":
            self.tally.track(self.augment, logits.sign().flatten())
            for term in self.recipe.watchers:
                self.tally.track(term, logits.square().flatten())
        return logits

    @cached_property
    def fake_logits(self) -> Tensor:
        return self.discriminate(self.fakes, self.batch.fake_labels, "fake")

    def logits_of(self, images: Images, which: str) -> Tensor:
        return self.discriminate(images, self.batch.labels, which)


def cut(batch: Batch, num: int) -> list[Batch]:
    """`batch` cut into `num` micro-batches, sample i into micro-batch i mod `num`.

    So the strided groups of minibatch standard deviation are those of the uncut batch.
    """
    return [
        Batch(batch.reals[m::num], batch.labels[m::num], batch.fake_labels[m::num], batch.positions[m::num])
        for m in range(num)
    ]


def local_positions(batch_size: int, num_micro_batches: int, rank: int, world_size: int) -> np.ndarray:
    """Positions in the global batch of one process's samples: those of micro-batches rank, rank + world_size, ...

    Ordered such that `cut` gives back the micro-batches.
    """
    mine = np.arange(rank, num_micro_batches, world_size)
    return (np.arange(0, batch_size, num_micro_batches)[:, None] + mine[None, :]).reshape(-1)
