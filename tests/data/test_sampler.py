"""The order of the data: a law of (seed, position), every epoch complete."""

from __future__ import annotations

import numpy as np
import pytest

from openstylegan.data.sampler import EpochOrder, indices_at, permutation
from openstylegan.errors import InputError


@pytest.mark.parametrize("num_items", [1, 2, 7, 1000])
def test_every_epoch_holds_every_item_once(num_items):
    for epoch in range(3):
        items = indices_at(5, epoch * num_items, num_items, num_items)
        assert sorted(items.tolist()) == list(range(num_items))


def test_epochs_and_seeds_differ():
    assert not np.array_equal(permutation(0, 0, 100), permutation(0, 1, 100))
    assert not np.array_equal(permutation(0, 0, 100), permutation(1, 0, 100))


@pytest.mark.parametrize("position", [0, 1, 36, 37, 38, 73, 74, 500])
def test_any_position_continues_the_same_sequence(position):
    whole = indices_at(3, 0, 600, 37)
    assert np.array_equal(indices_at(3, position, 600 - position, 37), whole[position:])


def test_the_order_is_pinned():
    """A change of the order breaks the exact resume of every run that exists: this must not change."""
    assert indices_at(0, 3, 5, 10).tolist() == [9, 2, 0, 4, 6]
    assert indices_at(123456789, 0, 8, 1000).tolist() == PINNED


PINNED = [7, 338, 108, 163, 487, 683, 653, 829]


def test_positions_may_come_in_any_order():
    order = EpochOrder(1, 11)
    whole = order.at(np.arange(100))
    scattered = np.array([99, 3, 50, 3, 0, 88])
    assert np.array_equal(order.at(scattered), whole[scattered])


def test_a_first_epoch_is_uniform():
    """The first item over many seeds falls on each of 10 items about equally often."""
    counts = np.bincount([permutation(seed, 0, 10)[0] for seed in range(2000)], minlength=10)
    assert counts.min() > 150
    assert counts.max() < 250


def test_bad_requests_are_refused():
    with pytest.raises(InputError, match="at least 1 item"):
        indices_at(0, 0, 1, 0)
    with pytest.raises(InputError, match="positions from 0"):
        indices_at(0, -1, 1, 5)
