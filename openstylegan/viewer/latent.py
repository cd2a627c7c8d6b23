"""From a view to ws: the plane of seeds, style mixing, steps along directions.

A place (x, y) of the plane lies between four whole ones, each the seed floor(x) + 100 floor(y), as in StyleGAN3's
visualizer (arXiv 2106.12423):

    w = w_avg + sum of weight (w_seed - w_avg), over the corners whose bilinear weight is not 0.

Seeds are taken modulo 2^32, so there are places left of 0. Differs from StyleGAN3: a class may be chosen.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from openstylegan.networks.base import Generator
from openstylegan.sampling.generate import ws_of_seeds
from openstylegan.sampling.latents import class_of_seed
from openstylegan.viewer.state import LARGEST_SEED, View

SEEDS_A_ROW = 100
KEPT = 512
"""Seeds whose ws are remembered: enough to drag to and fro."""


def corners(x: float, y: float) -> Iterator[tuple[int, float]]:
    """Seeds around a place, and their weights that are not 0."""
    left, top = math.floor(x), math.floor(y)
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            if weight * row_weight:
                yield (column + SEEDS_A_ROW * row) & LARGEST_SEED, weight * row_weight


def average_w(G: Generator) -> Tensor | None:
    """w_avg [w_dim] of a generator that has one."""
    found = getattr(G.mapping, "w_avg", None)
    return found if isinstance(found, Tensor) else None


class Latents:
    """The ws of the views of one generator; those of single seeds are remembered."""

    def __init__(self, G: Generator):
        self.G, self.average = G, average_w(G)
        self.kept: OrderedDict[tuple[int, int | None], Tensor] = OrderedDict()

    def of_seed(self, seed: int, view: View) -> Tensor:
        """ws [1, num_ws, w_dim] of one seed, truncated and of the class as `view` says; just as generating has them."""
        key = (seed, self.class_of(seed, view))
        if key not in self.kept:
            self.kept[key] = ws_of_seeds(self.G, [seed], class_idx=key[1])
            if len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        ws = self.kept[key]
        mapping: Any = self.G.mapping
        return ws if self.average is None or view.psi == 1 else mapping.truncate(ws, view.psi, self.cutoff(view))

    def class_of(self, seed: int, view: View) -> int | None:
        """The class of a seed's picture; None for an unconditional network."""
        if self.G.c_dim == 0:
            return None
        return class_of_seed(seed, self.G.z_dim, self.G.c_dim) if view.class_idx is None else view.class_idx

    def cutoff(self, view: View) -> int | None:
        """How many ws are truncated; None: all."""
        return None if view.cutoff is None or view.cutoff >= self.G.num_ws else view.cutoff

    @torch.no_grad()
    def of_view(self, view: View) -> Tensor:
        """ws [1, num_ws, w_dim] without offsets. Raises `InputError` for a class that the network has not."""
        around = list(corners(view.x, view.y))
        if len(around) == 1:
            ws = self.of_seed(around[0][0], view)
        else:
            average = torch.zeros(()) if self.average is None else self.average
            ws = sum((weight * (self.of_seed(seed, view) - average) for seed, weight in around), average)
        layers = [n for n in view.mix_layers if n < self.G.num_ws]
        if layers:
            ws = ws.clone()
            ws[:, layers] = self.of_seed(view.mix_seed, view)[:, layers]
        return ws
