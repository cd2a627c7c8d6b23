"""The ordered map: order, bounded look-ahead, and a worker's death costs one item."""

from __future__ import annotations

import functools
import operator
import os
import signal
import threading

import pytest

from openstylegan.data.workers import CHUNK_ITEMS, CHUNKS_AHEAD, ordered_map, processes, threads


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 8, 50])
def test_order_is_kept_in_threads(workers, count):
    barrier = threading.Event()

    def slow_first(item: int) -> int:
        if item == 0 and workers > 1:
            barrier.wait(0.05)
        return item * item

    assert list(ordered_map(slow_first, range(count), workers, threads)) == [i * i for i in range(count)]


def test_only_a_few_items_are_taken_ahead():
    taken = []
    items = (taken.append(i) or i for i in range(10_000))
    results = ordered_map(operator.neg, items, 2, threads)
    assert next(results) == 0
    assert len(taken) <= 2 * CHUNKS_AHEAD * CHUNK_ITEMS
    results.close()


def test_a_dead_worker_costs_one_item():
    """`os._exit` is what a crashing decoder looks like; it takes its process along, and nobody else."""
    kill = functools.partial(map_or_die, deadly=11)
    results = list(ordered_map(kill, range(40), 2, processes, crashed=lambda item: f"lost {item}"))
    assert results == [f"lost {i}" if i == 11 else str(i) for i in range(40)]


def map_or_die(item: int, deadly: int) -> str:
    if item == deadly:
        os._exit(1)
    return str(item)


def test_workers_leave_interrupts_to_the_parent():
    with processes(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_an_exception_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(functools.partial(operator.truediv, 1), [1, 0], 2, threads))
