"""Buffers that networks move in their own forward passes: batch normalisation's statistics, spectral norm's vectors.

They belong to the batch and not to the order of passes: every micro-batch of a phase begins with those that the phase
began with, and at its end each becomes the mean of what the micro-batches of all processes made of it. A running mean
so follows the mean of the whole batch, and power iteration takes as many steps as it would for an uncut batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.networks.base import running_buffers


class Running:
    """The running buffers of `networks` in one phase. What was moved inside the `with` block is taken back at its end;
    `settle` then moves them for good."""

    def __init__(self, networks: Iterable[nn.Module]):
        self.buffers = [buffer for network in networks for buffer in running_buffers(network)]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.sums: list[Tensor] = [torch.zeros_like(buffer, dtype=torch.float64) for buffer in self.buffers]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.restore()

    def restore(self) -> None:
        """Puts the buffers back to what they were."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(before)

    @contextmanager
    def micro_batch(self) -> Iterator[None]:
        """The passes of one micro-batch."""
        self.restore()
        yield
        for total, buffer in zip(self.sums, self.buffers, strict=True):
            total += buffer

    def settle(self, num_micro_batches: int) -> None:
        """Sets the buffers to the mean over all micro-batches; `sums` are those of all processes by then."""
        for buffer, total in zip(self.buffers, self.sums, strict=True):
            buffer.copy_(total / num_micro_batches)
