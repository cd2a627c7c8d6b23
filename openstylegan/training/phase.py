"""A phase: terms that one player steps on together, every few steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from openstylegan.augment import Augment, FadingBlur
from openstylegan.distributed import all_reduce_flat
from openstylegan.errors import InputError
from openstylegan.losses import LossTerm
from openstylegan.networks.base import Discriminator, Generator
from openstylegan.ops.frozen import RestingWeights
from openstylegan.training.forward_pass import Batch, ForwardPass, Moment, Recipe, Tally, cut
from openstylegan.training.memory import attempt
from openstylegan.training.players import Player
from openstylegan.training.running import Running
from openstylegan.training.stats import Stats, moments

MAX_SKIPS_IN_A_ROW = 100


@dataclass
class Health:
    """Steps left out because a gradient was not finite (with their statistics): all, and those in a row just now."""

    skipped: int = 0
    in_a_row: int = 0

    def judge(self, finite: bool, phase: str, policy: str) -> None:
        """Counts, and stops the run when the policy says so. Raises `InputError`."""
        if finite:
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        if policy == "stop":
            raise InputError(f"expected finite gradients, got inf or nan in {phase}; lower the learning rate or resume")
        if self.in_a_row >= MAX_SKIPS_IN_A_ROW:
            raise InputError(
                f"expected finite gradients, got inf or nan in {self.in_a_row} steps in a row (last: {phase}); "
                "resume from an earlier checkpoint with a lower learning rate"
            )


@dataclass
class StepContext:
    """What a phase needs of the run. `watchers` are the terms, of any phase, that watch D at real pictures."""

    networks: tuple[Generator, Discriminator, Augment]
    stats: Stats
    health: Health
    seed: int
    style_mixing_prob: float
    nonfinite: str
    blur: FadingBlur = field(default_factory=FadingBlur)
    watchers: tuple[LossTerm, ...] = ()
    resting: RestingWeights = field(default_factory=RestingWeights)


@dataclass
class Phase:
    """`terms` of `player`'s loss, stepped every `every` steps. `gain`: how many of its player's moves it stands for.

    A step: zero the gradients, accumulate over this process's micro-batches, average over the batch, check that all is
    finite (the same verdict on every process), move the player, move running statistics.
    """

    name: str
    player: Player
    terms: list[LossTerm]
    every: int = 1
    updates_statistics: bool = True
    fake_labels: str = "random"
    gain: float = 1.0
    needs: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.needs = frozenset().union(*(t.needs for t in self.terms))

    def is_due(self, step: int) -> bool:
        """Whether this phase runs in step number `step`."""
        return bool(self.terms) and step % self.every == 0

    def step(self, context: StepContext, batch: Batch, cur_nimg: int, num_micro_batches: int, num_local: int) -> None:
        """One step on this process's `num_local` of the batch's `num_micro_batches` micro-batches.

        Raises `OutOfMemory` on all processes, before anything but gradients has changed.
        """
        tally, moment = Tally(), Moment(context.seed, cur_nimg, self.name)
        micro_batches = cut(self.labelled(batch), num_local)
        self.player.zero_gradients()
        self.player.set_trainable(True)
        surveyed = self.survey(context, micro_batches, moment) if num_micro_batches > 1 else {}
        passes = [partial(self.forward_pass, context, m, moment, tally, surveyed) for m in micro_batches]
        with context.resting, Running(context.networks) as running:
            attempt(partial(self.accumulate, passes, running, num_micro_batches > 1), batch.reals.device)
        self.player.set_trainable(False)
        norm = self.player.average_gradients(num_micro_batches)
        all_reduce_flat([*tally.stats.values(), *tally.tracked.values(), *running.sums])
        finite = bool(norm.isfinite())
        context.health.judge(finite, self.name, context.nonfinite)
        if finite:
            self.player.move()
            running.settle(num_micro_batches)
            context.stats.add(f"Gradients/{self.name}", moments(norm))
            for name, values in tally.stats.items():
                context.stats.add(name, values)
            for owner, values in tally.tracked.items():
                owner.update_statistics(values[:-1] / values[-1], values[-1])

    def labelled(self, batch: Batch) -> Batch:
        """`batch` with the labels that the generated pictures of this phase have."""
        return batch if self.fake_labels == "random" else replace(batch, fake_labels=batch.labels)

    def accumulate(self, passes: Sequence[Callable[[], ForwardPass]], running: Running, several: bool) -> None:
        """Gradients of the micro-batches; where the batch has several, their sum."""
        for forward_pass in passes:
            with running.micro_batch():
                loss = sum_terms(self.terms, forward_pass())
                (loss * self.gain).backward()
            if several:
                self.player.add_gradients()

    def forward_pass(
        self,
        context: StepContext,
        batch: Batch,
        moment: Moment,
        tally: Tally,
        surveyed: dict[LossTerm, Tensor],
    ) -> ForwardPass:
        """A micro-batch as the terms see it."""
        return ForwardPass(
            context.networks,
            self.player.name,
            self.needs,
            batch,
            moment,
            tally,
            Recipe(context.style_mixing_prob, context.blur, self.updates_statistics, context.watchers),
            surveyed,
        )

    def survey(self, context: StepContext, micro_batches: list[Batch], moment: Moment) -> dict[LossTerm, Tensor]:
        """Batch means of what the terms survey, over all micro-batches and processes."""
        terms = [t for t in self.terms if t.surveys]
        if not terms:
            return {}
        tally = Tally()

        def look(running: Running) -> None:
            for micro_batch in micro_batches:
                f = self.forward_pass(context, micro_batch, moment, Tally(), {})
                with running.micro_batch():
                    for term in terms:
                        tally.track(term, term.survey(f))

        with Running(context.networks) as running:
            attempt(partial(look, running), micro_batches[0].reals.device)
        all_reduce_flat(list(tally.tracked.values()))
        return {term: (values[:-1] / values[-1]).squeeze() for term, values in tally.tracked.items()}


def sum_terms(terms: list[LossTerm], f: ForwardPass) -> Tensor:
    """The sum of the terms' means over the micro-batch."""
    total: Tensor | None = None
    for term in terms:
        f.term = type(term).__name__
        value = term(f)
        total = value if total is None else total + value
    assert total is not None
    return total
