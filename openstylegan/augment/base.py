"""The contract of an augmentation: what stands between any picture and the discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.distributed import all_reduce_sum
from openstylegan.images import Images
from openstylegan.randomness import NoiseSource


class Augment(nn.Module):
    """Transforms reals and fakes alike, at random; its strength `p` may follow what the discriminator says of reals.

    All state is in buffers, and is the same on every process. It changes in `update` (after every training step) and in
    `update_statistics` or `observe` (what the discriminator said) only.
    """

    p: Tensor

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        """`images` [N, C, H, W] or several resolutions of them, one draw a sample, the same at all resolutions.

        stream: where the draws come from (None: torch's global generator).
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def observe(self, real_logits: Tensor) -> None:
        """Takes note of the discriminator's logits of augmented reals, any shape; summed over processes at once.

        Logits that are not a number are left out. For loops that gather the whole batch's statistics themselves,
        `update_statistics` takes those instead.
        """
        logits = real_logits.detach().double()
        known = ~logits.isnan()
        sums = all_reduce_sum(torch.stack([logits.nan_to_num().sign().sum(), known.sum().double()]))
        self.update_statistics(sums[:1] / sums[1:].clamp_min(1), sums[1])

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        """Takes note of the mean sign [1] of `count` logits of augmented reals, those of all processes."""

    def update(self, cur_nimg: int, batch_size: int) -> None:
        """Called after every training step: `cur_nimg` images into the run, `batch_size` of them in this step."""


class NoAugment(Augment):
    """No augmentation: images pass as they are; p is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.zeros([]))

    def forward(self, images: Images, stream: NoiseSource | None = None) -> Images:
        return images


def check_probability(name: str, value: Any, highest: float | None = None) -> float:
    """`value` as a float. Raises `InputError` unless it is a number from 0 to `highest` (None: no limit)."""
    from openstylegan.errors import InputError

    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < float("inf") or (highest is not None and value > highest):
        to = "on" if highest is None else f"to {highest:g}"
        raise InputError(f"expected {name} as a number from 0 {to}, got {value!r}")
    return float(value)
