"""The averaged generator: an exponential moving average of parameters; buffers are copied.

As StyleGAN2-ADA: half-life in images, optionally shortened to a share of the images seen so far. Or a constant beta.
Until the average starts, it is the network itself.
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

from openstylegan.config import EmaConfig

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """`module` follows `source` with beta = 0.5^(batch / half-life), or with a constant one."""

    def __init__(self, source: M, config: EmaConfig):
        self.source, self.config = source, config
        self.module: M = copy.deepcopy(source).eval().requires_grad_(False)

    def beta(self, cur_nimg: int, batch_size: int) -> float:
        """How much of the average is kept in a step; `cur_nimg` counts the images seen before it."""
        if cur_nimg < self.config.start_kimg * 1000:
            return 0.0
        if self.config.beta is not None:
            return self.config.beta
        half_life = self.config.half_life_kimg * 1000
        if self.config.rampup is not None:
            half_life = min(half_life, cur_nimg * self.config.rampup)
        return 0.5 ** (batch_size / max(half_life, 1e-8))

    @torch.no_grad()
    def update(self, cur_nimg: int, batch_size: int) -> None:
        """Moves the average one step."""
        beta = self.beta(cur_nimg, batch_size)
        mine = [p.detach() for p in self.module.parameters()]
        theirs = [p.detach() for p in self.source.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - beta)
        for own, other in zip(self.module.buffers(), self.source.buffers(), strict=True):
            own.copy_(other)
