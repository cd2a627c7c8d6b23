"""An ordered map over a pool of processes or threads that outlives its workers.

Results come in the order of the items, whatever the number of workers, and only a few items are under way at a time. A
worker that dies (a decoder's crash, memory) does not end the work: the items it held are done again one by one, and
only the one that kills its worker again is given up.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK_ITEMS = 8
CHUNKS_AHEAD = 2


def processes(workers: int) -> Executor:
    """A pool of fresh processes (spawned: forking a process with threads can hang)."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=ignore_interrupts)


def ignore_interrupts() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers; else each would print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def threads(workers: int) -> Executor:
    """A pool of threads."""
    return ThreadPoolExecutor(workers)


def run_chunk(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    """What a worker does with a chunk."""
    return [function(item) for item in chunk]


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of `CHUNK_ITEMS`."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK_ITEMS)):
        yield chunk


def submit(pool: Executor, function: Callable[[Item], Result], chunk: list[Item]) -> Future[list[Result]]:
    """A chunk's future; one that has failed already when the pool is broken."""
    try:
        return pool.submit(run_chunk, function, chunk)
    except BrokenProcessPool as error:
        future: Future[list[Result]] = Future()
        future.set_exception(error)
        return future


def one_by_one(
    function: Callable[[Item], Result], chunk: list[Item], crashed: Callable[[Item], Result]
) -> Iterator[Result]:
    """The results of a chunk whose worker died: each item in a process that only it can kill."""
    for item in chunk:
        with processes(1) as pool:
            try:
                yield submit(pool, function, [item]).result()[0]
            except BrokenProcessPool:
                yield crashed(item)


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    make_pool: Callable[[int], Executor],
    crashed: Callable[[Item], Result] | None = None,
) -> Iterator[Result]:
    """`function` of each item, in order; `workers` <= 1: in the caller.

    With processes, `function`, items and results are pickled, and `crashed(item)` stands for the result of an item that
    kills its process.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    todo, pool = chunks(items), make_pool(workers)
    waiting: deque[tuple[list[Item], Future[list[Result]]]] = deque()
    try:
        while True:
            for chunk in itertools.islice(todo, workers * CHUNKS_AHEAD - len(waiting)):
                waiting.append((chunk, submit(pool, function, chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                if crashed is None:
                    raise
                pool.shutdown(wait=False, cancel_futures=True)
                yield from one_by_one(function, chunk, crashed)
                pool = make_pool(workers)
                waiting = deque((c, f if finished(f) else submit(pool, function, c)) for c, f in waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def finished(future: Future[list[Result]]) -> bool:
    """Whether a future holds a result."""
    return future.done() and not future.cancelled() and future.exception() is None
