"""The order in which training sees a dataset: a permutation an epoch, a function of (seed, epoch) and nothing else.

Position p of the endless sequence is item `permutation(seed, p // n)[p % n]`, so a run that goes on needs one number,
and any process can find the items of any batch.

Differs from StyleGAN2-ADA: its infinite sampler swaps items within a window as it goes, so its order has a state; here
every epoch holds every item exactly once.
"""

from __future__ import annotations

import numpy as np

from openstylegan.errors import InputError
from openstylegan.randomness import key


def permutation(seed: int, epoch: int, num_items: int) -> np.ndarray:
    """The order of one epoch, int64 [num_items]: items sorted by the raw 64-bit draws of a Philox of (seed, epoch).

    Raw output is used because NumPy promises its stream for ever, which it does not for `Generator.permutation`: a run
    must go on in the same order after an upgrade.
    """
    draws = np.random.Philox(key=key(seed, "data order", epoch)).random_raw(num_items)
    return np.argsort(draws, kind="stable").astype(np.int64)


class EpochOrder:
    """The endless sequence for one seed and dataset size; remembers the last two epochs' permutations."""

    def __init__(self, seed: int, num_items: int):
        if num_items < 1:
            raise InputError(f"expected a dataset of at least 1 item, got {num_items}")
        self.seed, self.num_items = seed, num_items
        self._epochs: dict[int, np.ndarray] = {}

    def epoch(self, epoch: int) -> np.ndarray:
        """The permutation of an epoch."""
        found = self._epochs.get(epoch)
        if found is None:
            found = permutation(self.seed, epoch, self.num_items)
            self._epochs = {**dict(list(self._epochs.items())[-1:]), epoch: found}
        return found

    def at(self, positions: np.ndarray) -> np.ndarray:
        """The items at the given positions, int64 of the same length."""
        positions = np.asarray(positions, np.int64)
        if len(positions) and positions.min() < 0:
            raise InputError(f"expected positions from 0, got {positions.min()}")
        items = np.empty(len(positions), np.int64)
        epochs = positions // self.num_items
        for epoch in np.unique(epochs).tolist():
            inside = epochs == epoch
            items[inside] = self.epoch(epoch)[positions[inside] % self.num_items]
        return items


def indices_at(seed: int, position: int, count: int, num_items: int) -> np.ndarray:
    """Items `position .. position + count - 1` of the sequence of (seed, num_items), int64 [count]."""
    return EpochOrder(seed, num_items).at(np.arange(position, position + count))
