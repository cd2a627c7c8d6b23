"""Schedules: what the number of images seen decides (resolution and fade, batch size, learning rate)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from openstylegan.errors import InputError
from openstylegan.networks.growing import just_appeared, lod_of
from openstylegan.registry import check_options


@dataclass(frozen=True)
class Stage:
    """What holds for one step. `lod` 0 is full resolution; `batch_size` is over all processes, `batch_gpu` a
    micro-batch; `lr_scale` multiplies both players' learning rates.

    `milestone` counts the parts of the schedule that are over: where it goes up, a tick ends in which everything is
    written. `renewals` counts how often the optimizers have forgotten their moments.
    """

    lod: float
    batch_size: int
    batch_gpu: int
    lr_scale: float = 1.0
    milestone: int = 0
    renewals: int = 0

    @property
    def num_micro_batches(self) -> int:
        """Into how many micro-batches the batch is cut."""
        return self.batch_size // self.batch_gpu


class Schedule(Protocol):
    """A pure function of the images seen; `stages` has one stage for every batch size and level of detail."""

    @property
    def stages(self) -> Sequence[Stage]: ...

    def at(self, cur_nimg: int) -> Stage: ...


def check_micro_batches(batch_size: int, batch_gpu: int) -> None:
    """Raises `InputError` unless a batch is whole micro-batches."""
    if batch_gpu < 1 or batch_size < 1 or batch_size % batch_gpu:
        raise InputError(
            f"expected a batch size divisible by batch_gpu, got batch {batch_size} and batch_gpu {batch_gpu}; "
            f"choose a batch_gpu that divides the batch"
        )


class ConstantSchedule:
    """The same batch at full resolution from the first step to the last."""

    def __init__(self, batch_size: int, batch_gpu: int | None = None):
        micro = batch_size if batch_gpu is None else batch_gpu
        check_micro_batches(batch_size, micro)
        self.stage = Stage(0.0, batch_size, micro)
        self.stages = (self.stage,)

    def at(self, cur_nimg: int) -> Stage:
        return self.stage


@dataclass(frozen=True)
class Level:
    """A resolution of a growing run: how many halvings below full, and what holds there."""

    lod: int
    batch_size: int
    batch_gpu: int
    lr_scale: float = 1.0


class GrowingSchedule:
    """Progressive growing (arXiv 1710.10196), in the form of style-based-gan-pytorch.

    Each level lasts until more than 2 `phase` images were shown in it. In the first `phase` of them it fades in: the
    step after u images has alpha = min(1, (u + 1) / phase), but the first one alpha = 0. The first level does not fade
    unless `fade_first`; the last one never ends. `levels` are tables of `Level`, the smallest pictures first.

    Differs from style-based-gan-pytorch: `renew_optimizers` empties the optimizers at each new level (there, and by
    default, they are kept).
    """

    def __init__(
        self,
        levels: Sequence[Mapping[str, Any]],
        phase: int = 600_000,
        fade_first: bool = False,
        renew_optimizers: bool = False,
    ):
        if not levels or phase < 1:
            raise InputError(f"expected at least one level and a phase of at least 1 image, got {len(levels)}, {phase}")
        for options in levels:
            check_options(Level, options, "level of the schedule")
        self.levels = [Level(**options) for options in levels]
        for n, level in enumerate(self.levels):
            check_micro_batches(level.batch_size, level.batch_gpu)
            if level.lod != self.levels[0].lod - n or level.lod < 0:
                raise InputError(f"expected levels of falling lod, got {[own.lod for own in self.levels]}")
        self.phase, self.fade_first = phase, fade_first
        self.stages = tuple(
            Stage(float(own.lod), own.batch_size, own.batch_gpu, own.lr_scale, n, n if renew_optimizers else 0)
            for n, own in enumerate(self.levels)
        )

    def length(self, stage: Stage) -> int:
        """Images shown in a level: the fewest whole batches that are more than two phases."""
        return (2 * self.phase // stage.batch_size + 1) * stage.batch_size

    def at(self, cur_nimg: int) -> Stage:
        used, last = cur_nimg, self.stages[-1]
        for stage in self.stages:
            if used < self.length(stage):
                return replace(stage, lod=self.lod(stage, used))
            used -= self.length(stage)
        return last

    def lod(self, stage: Stage, used: int) -> float:
        """The lod of a level after so many images in it."""
        below = int(stage.lod)
        if stage.milestone == 0 and not self.fade_first:
            return stage.lod
        if stage.milestone > 0 and used == 0:
            return just_appeared(below)
        return lod_of(below, min(1.0, (used + 1) / self.phase))


SCHEDULES: dict[str, type] = {"constant": ConstantSchedule, "growing": GrowingSchedule}
