"""How far a network has grown: its level of detail (lod), held in a buffer, so that averages and files carry it.

Progressive growing: Karras et al. (arXiv 1710.10196). lod 0 is full resolution; each whole number halves it. Between
two whole numbers the upper level fades in: lod 2.7 is the level at 2, with alpha = 0.3, over what the level at 3 gives.

A level that is there but still invisible (alpha = 0) has the lod `just_appeared(n)`, a hair below n + 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError

SMALLEST_ALPHA = 2.0**-20
"""What counts as alpha = 0: representable beside any lod in float32, and below the first step of any real fade."""


class Detail(NamedTuple):
    """The level that a network works at, counted from 0 at its base, and how visible it is: 0 <= alpha <= 1."""

    level: int
    alpha: float


def lod_of(levels_below_top: int, alpha: float) -> float:
    """The lod of the level so many below the top, faded in up to `alpha`."""
    return levels_below_top + 1 - max(alpha, SMALLEST_ALPHA)


def just_appeared(levels_below_top: int) -> float:
    """The lod of a level at alpha = 0."""
    return lod_of(levels_below_top, 0.0)


def detail_at(lod: float, max_lod: int) -> Detail:
    """The level and its alpha at `lod`, of a network with `max_lod` levels above its base."""
    below = math.floor(lod)
    alpha = 1 - (lod - below)
    return Detail(max_lod - below, alpha if alpha > SMALLEST_ALPHA else 0.0)


class Growth(nn.Module):
    """The lod of a network of `max_lod` levels above its base, as the buffer `lod` (float64, [])."""

    lod: Tensor

    def __init__(self, max_lod: int):
        super().__init__()
        self.max_lod = max_lod
        self.register_buffer("lod", torch.zeros([], dtype=torch.float64))
        self._known: tuple[Tensor | None, int, float] = (None, -1, 0.0)

    def set_lod(self, lod: float) -> None:
        """Sets it. Raises `InputError` outside 0..max_lod."""
        if not 0 <= lod <= self.max_lod:
            raise InputError(f"expected a lod from 0 to {self.max_lod}, got {lod:g}; this network has so many levels")
        self.lod.fill_(lod)
        self._known = (self.lod, self.lod._version, float(lod))

    def detail(self) -> Detail:
        """The level to work at. The buffer is read where it was changed by others only: on a GPU reading waits."""
        tensor, version, lod = self._known
        if tensor is not self.lod or version != self.lod._version:
            lod = float(self.lod)
            self._known = (self.lod, self.lod._version, lod)
        return detail_at(lod, self.max_lod)
