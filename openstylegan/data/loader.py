"""Batches of pictures by position, read ahead in the background.

A batch is named by where it starts in the endless order (`sampler.py`), so the loader has no state that a checkpoint
would need, and what it returns depends neither on the number of workers nor on what was fetched before. Decoding runs
in threads: the decoders and NumPy's copies release Python's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openstylegan.data.dataset import ImageDataset
from openstylegan.data.sampler import EpochOrder
from openstylegan.errors import InputError
from openstylegan.randomness import NoiseSource

PREFETCH_BATCHES = 2


class BatchKey(NamedTuple):
    """A batch, or this process's part of it: where it starts, which of its samples, how many it has in all; and at
    which level of detail, a whole number."""

    position: int
    take: tuple[int, ...]
    batch_size: int
    level: int


@dataclass
class Pending:
    """A batch being filled by the workers."""

    images: np.ndarray
    labels: np.ndarray
    jobs: list[Future[object]]

    def result(self) -> tuple[Tensor, Tensor]:
        """The filled batch. Raises what the workers raised, the first sample's error first."""
        for job in self.jobs:
            job.result()
        return torch.from_numpy(self.images), torch.from_numpy(self.labels)

    def cancel(self) -> None:
        """Drops the jobs that have not begun."""
        for job in self.jobs:
            job.cancel()


class BatchLoader:
    """Fetches batches of `dataset` in the order of `seed` with `workers` threads (0: in the caller, nothing ahead)."""

    def __init__(self, dataset: ImageDataset, seed: int, workers: int = 2, prefetch: int = PREFETCH_BATCHES):
        if workers < 0 or prefetch < 0:
            raise InputError(f"expected workers and batches to prefetch of at least 0, got {workers} and {prefetch}")
        self.dataset = dataset
        self.order = EpochOrder(seed, len(dataset))
        self.workers, self.prefetch = workers, prefetch
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else None
        self._pending: dict[BatchKey, Pending] = {}

    def items(self, position: int, take: slice | Sequence[int], batch_size: int) -> np.ndarray:
        """The dataset indices of a batch's samples `take`, int64."""
        return self.order.at(position + np.arange(batch_size)[as_index(take)])

    def fetch(
        self, position: int, take: slice | Sequence[int], batch_size: int, lod: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """uint8 [len(take), C, H, W] and float32 labels [len(take), label_dim].

        `position`: images seen before this batch; `take`: this process's samples as offsets within the batch of
        `batch_size`; `lod`: how much smaller pictures may be, where smaller ones are stored (`ImageDataset.at_lod`).
        The batches that follow with the same `take` are begun before this returns.
        Raises `InputError` naming the file when a picture cannot be read.
        """
        key = BatchKey(position, tuple(np.arange(batch_size)[as_index(take)].tolist()), batch_size, int(lod))
        if self._pool is None:
            return self._start(key).result()
        wanted = [key._replace(position=position + k * batch_size) for k in range(1 + self.prefetch)]
        for stale in [known for known in self._pending if known not in wanted]:
            self._pending.pop(stale).cancel()
        for each in wanted:
            if each not in self._pending:
                self._pending[each] = self._start(each)
        return self._pending.pop(key).result()

    def _start(self, key: BatchKey) -> Pending:
        """Begins a batch: each worker fills its own run of samples, so the result does not depend on their number."""
        items = self.order.at(key.position + np.array(key.take, np.int64))
        dataset = self.dataset.at_lod(key.level)
        images = np.empty((len(items), *dataset.image_shape), np.uint8)
        jobs: list[Future[object]] = []
        if self._pool is None:
            dataset.images(items, out=images)
        else:
            for part in np.array_split(np.arange(len(items)), max(1, min(self.workers, len(items)))):
                run = slice(part[0], part[-1] + 1) if len(part) else slice(0, 0)
                jobs.append(self._pool.submit(dataset.images, items[run], images[run]))
        return Pending(images, self.dataset.labels(items), jobs)

    def close(self) -> None:
        """Stops reading ahead and ends the threads."""
        for pending in self._pending.values():
            pending.cancel()
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_index(take: slice | Sequence[int]) -> slice | np.ndarray:
    """`take` as something NumPy indexes with."""
    return take if isinstance(take, slice) else np.asarray(take, np.int64)


def random_labels(dataset: ImageDataset, stream: NoiseSource, count: int) -> Tensor:
    """float32 [count, label_dim]: labels for generated pictures, each that of a uniformly random item."""
    if not dataset.has_labels:
        return torch.zeros(count, 0)
    draws = stream.uniform([count], dtype=torch.float64).cpu()
    items = (draws * len(dataset)).long().clamp_max(len(dataset) - 1)
    return torch.from_numpy(dataset.labels(items.numpy()))
