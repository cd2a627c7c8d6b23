"""Metrics of a generator's latents and transforms rather than of its pictures: what they may ask for, and the pass.

Such a metric gives one row of numbers for each sample. Samples are drawn and synthesized in groups of a fixed size
that belongs to the metric; a group is never cut, and its randomness is keyed by the numbers of its samples. Rows are
gathered by their number. So neither the number of processes nor any batch size changes a result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from openstylegan.distributed import all_reduce_sum, rank, world_size
from openstylegan.errors import InputError
from openstylegan.features.base import one_thread_an_operation
from openstylegan.metrics.collect import Progress, silent
from openstylegan.randomness import NoiseSource, generator

Rows = Callable[[Sequence[int]], Tensor]
"""From the numbers of a group's samples to a row for each, [n, columns]."""


@runtime_checkable
class Probe(Protocol):
    """A `sample` callable that lets metrics into its generator: in evaluation mode, float32, without gradients."""

    @property
    def z_dim(self) -> int:
        """The length of a latent."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""

    @property
    def transformable(self) -> bool:
        """Whether `synthesis` can move what it draws (`synthesis.input.transform`)."""

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """Pictures by number, uint8 [n, C, H, W]."""

    def labels(self, indices: Sequence[int]) -> Tensor:
        """The labels [n, c_dim] of numbered samples: those of uniformly random pictures of the dataset."""

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        """ws [n, num_ws, w_dim], not truncated, of z [n, z_dim] and c."""

    def synthesis(self, ws: Tensor, noise: NoiseSource, transform: Tensor | None = None) -> Tensor:
        """Images [n, C, H, W] in [-1, 1] of ws, with the noise of `noise`.

        `transform` [3, 3]: the picture at p is the untransformed picture at transform p (None: as the generator is).
        """


class SharedNoise:
    """A `NoiseSource` that gives all samples of a batch the same numbers: constant noise, drawn anew for each key."""

    def __init__(self, seed: int, purpose: str, number: int):
        self.generator = generator(seed, purpose, number)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers, one set repeated `shape[0]` times."""
        return torch.randn((1, *shape[1:]), generator=self.generator, dtype=dtype).expand(tuple(shape))

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform numbers in [0, 1), one set repeated `shape[0]` times."""
        return torch.rand((1, *shape[1:]), generator=self.generator, dtype=dtype).expand(tuple(shape))


@contextlib.contextmanager
def each_group(device: torch.device, concurrent: bool) -> Iterator[Callable[..., Iterable[Tensor]]]:
    """A `map` over groups; on a CPU with one thread for each group at a time, if they may run beside each other.

    Convolutions round differently on another number of threads, and a path length divides that by 1e-8: 1 and 2
    threads an operation were 7e-6 apart.
    """
    if device.type != "cpu" or not concurrent:
        yield map
        return
    with one_thread_an_operation() as num_threads, ThreadPoolExecutor(num_threads) as pool:
        yield pool.map


def collect_rows(
    rows_of: Rows,
    num: int,
    group_size: int,
    columns: int,
    device: torch.device,
    progress: Progress = silent,
    what: str = "samples",
    concurrent: bool = False,
) -> Tensor:
    """The rows [num, columns] float64, on the CPU, of samples 0 .. num - 1; every process gets all of them.

    `concurrent`: `rows_of` changes nothing, so groups may run at the same time. Raises `InputError` where a row is not
    finite.
    """
    rows = torch.zeros(num, columns, dtype=torch.float64, device=device)
    groups = [range(n, min(n + group_size, num)) for n in range(rank() * group_size, num, group_size * world_size())]
    with each_group(device, concurrent) as over:
        for count, (group, found) in enumerate(zip(groups, over(rows_of, groups), strict=True)):
            if not bool(torch.isfinite(found).all()):
                raise InputError(
                    f"expected finite numbers, got NaN or infinity for {what} among {group[0]} to {group[-1]}; "
                    "check the network"
                )
            rows[group.start : group.stop] = found.to(rows)
            progress(count + 1, len(groups), what)
    # Each row is one process's number and the others' zeros, so the sum over processes is exact.
    return all_reduce_sum(rows).cpu()
