"""When a step does not fit into memory: its micro-batches are made smaller, the batch stays what it is.

A phase changes nothing of the run's state before all of its micro-batches have been through on every process. So a
phase that ran out of memory is begun anew on smaller ones, and what comes out is, but for rounding, what a run gives
that began with those.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from openstylegan.distributed import agree
from openstylegan.training.schedule import Stage

T = TypeVar("T")
SIGNS = ("DefaultCPUAllocator", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""How errors that are no `torch.OutOfMemoryError` say that memory ran out."""


class OutOfMemory(RuntimeError):
    """Some process had not enough memory for its micro-batches; raised on all of them alike."""


@runtime_checkable
class CouplesSamples(Protocol):
    """A part of a network or of a loss whose results depend on which samples are in a micro-batch together."""

    def whole_samples(self, num: int) -> int:
        """A number of samples of which micro-batches must be a multiple to give what those of `num` give; it divides
        `num`, and is `num` itself where no smaller ones do."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def attempt(work: Callable[[], T], device: torch.device) -> T:
    """What `work` returns. Raises `OutOfMemory` on every process when it ran out of memory on any.

    `work` must not talk to the other processes: those would wait for one that is not coming.
    """
    results: list[T] = []
    failed = False
    try:
        results.append(work())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        failed = True
    if agree(device, failed)[0]:
        raise OutOfMemory
    return results[0]


def whole_samples(modules: Iterable[nn.Module], num: int) -> int:
    """Of how many samples micro-batches must be multiples so that `modules` give what they give for `num`."""
    parts = [part for module in modules for part in module.modules()]
    sizes = [part.whole_samples(num) for part in parts if isinstance(part, CouplesSamples)]
    # Batch normalization in training looks at the whole micro-batch.
    sizes += [num for part in parts if isinstance(part, _BatchNorm) and part.training]
    return math.lcm(1, *sizes)


def equal_cuts(stage: Stage, modules: Iterable[nn.Module], processes: int) -> list[int]:
    """The micro-batches no larger than the stage's that change nothing but rounding, smallest first."""
    share, whole = stage.batch_size // processes, whole_samples(modules, stage.batch_gpu)
    return [n for n in range(whole, stage.batch_gpu + 1, whole) if share % n == 0]


def within(stage: Stage, largest: int | None, modules: Iterable[nn.Module], processes: int) -> Stage:
    """The stage with micro-batches of at most `largest` samples (None: as they are), as far as equal cuts go."""
    if largest is None or stage.batch_gpu <= largest:
        return stage
    sizes = equal_cuts(stage, modules, processes)
    fitting = [n for n in sizes if n <= largest]
    return replace(stage, batch_gpu=max(fitting, default=min(sizes, default=stage.batch_gpu)))


def next_smaller(stage: Stage, modules: Iterable[nn.Module], processes: int) -> int | None:
    """The largest equal cut of at most half the stage's micro-batch, else the largest below it; None without any."""
    sizes = [n for n in equal_cuts(stage, modules, processes) if n < stage.batch_gpu]
    halves = [n for n in sizes if 2 * n <= stage.batch_gpu]
    return max(halves or sizes, default=None)


def release_memory() -> None:
    """Frees what a failed attempt has left behind, so that the next one finds the room in one piece."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
