"""Schedules: what the number of images seen decides (resolution and fade, batch size, learning rate)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openstylegan.errors import InputError


@dataclass(frozen=True)
class Stage:
    """What holds for one step. `lod` 0 is full resolution; `batch_size` is over all processes, `batch_gpu` a
    micro-batch; `lr_scale` multiplies both players' learning rates."""

    lod: float
    batch_size: int
    batch_gpu: int
    lr_scale: float = 1.0

    @property
    def num_micro_batches(self) -> int:
        """Into how many micro-batches the batch is cut."""
        return self.batch_size // self.batch_gpu


class Schedule(Protocol):
    """A pure function of the images seen."""

    def at(self, cur_nimg: int) -> Stage: ...


class ConstantSchedule:
    """The same batch at full resolution from the first step to the last."""

    def __init__(self, batch_size: int, batch_gpu: int | None = None):
        micro = batch_size if batch_gpu is None else batch_gpu
        if micro < 1 or batch_size < 1 or batch_size % micro:
            raise InputError(
                f"expected a batch size divisible by batch_gpu, got batch {batch_size} and batch_gpu {micro}; "
                f"choose a batch_gpu that divides the batch"
            )
        self.stage = Stage(0.0, batch_size, micro)

    def at(self, cur_nimg: int) -> Stage:
        return self.stage


SCHEDULES: dict[str, type] = {"constant": ConstantSchedule}
