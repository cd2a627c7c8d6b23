"""Keyed randomness: every draw is a function of (seed, purpose, counters), never of what was drawn before.

So a run that stops and goes on draws the same numbers, and so do runs on another number of processes or with another
cut into micro-batches: in training each *sample* of the global batch has a generator of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class NoiseSource(Protocol):
    """Something that draws a batch of numbers; `shape[0]` is the batch size."""

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers."""

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform numbers in [0, 1)."""


def key(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit number that stands for (seed, purpose, counters): the start of a BLAKE2b hash of them."""
    text = "/".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *counters: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator whose numbers depend on its key only."""
    return torch.Generator(device=device).manual_seed(key(seed, purpose, *counters))


def numpy_generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator whose numbers depend on its key only."""
    return np.random.default_rng(key(seed, purpose, *counters))


class BatchStream:
    """A `NoiseSource` that draws whole batches from one generator (`None`: torch's global one)."""

    def __init__(self, generator: torch.Generator | None = None, device: str | torch.device = "cpu"):
        self.generator, self.device = generator, torch.device(device)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers of `shape`."""
        return torch.randn(tuple(shape), generator=self.generator, device=self.device, dtype=dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform numbers in [0, 1) of `shape`."""
        return torch.rand(tuple(shape), generator=self.generator, device=self.device, dtype=dtype)


class SampleStream:
    """A `NoiseSource` in which sample i of the batch draws from a generator of its own, keyed by `indices[i]`.

    The numbers of a sample do not depend on which other samples are drawn beside it, so neither the micro-batch cut
    nor the number of processes changes them. `device` is where large blocks are drawn; a call costs about 10 us a
    sample, so draw few large blocks.
    """

    def __init__(
        self,
        seed: int,
        purpose: str,
        counters: Sequence[int],
        indices: Sequence[int],
        device: str | torch.device = "cpu",
    ):
        self.device = torch.device(device)
        self.generators = [generator(seed, purpose, *counters, int(i), device=self.device) for i in indices]

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers of `shape`, `shape[0]` being the number of samples."""
        out = torch.empty(tuple(shape), device=self.device, dtype=dtype)
        for row, own in zip(out, self.generators, strict=True):
            row.normal_(generator=own)
        return out

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform numbers in [0, 1) of `shape`, `shape[0]` being the number of samples."""
        out = torch.empty(tuple(shape), device=self.device, dtype=dtype)
        for row, own in zip(out, self.generators, strict=True):
            row.uniform_(generator=own)
        return out
