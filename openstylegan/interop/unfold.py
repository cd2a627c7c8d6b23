"""The last check of what was read: no cycle, not too deep, not too large when unfolded, and nothing left unfinished.

A result that passes can be walked by plain recursion, and everything in it is a plain value, a `Reference` or an
`Instance` of a class that networks hold.
"""

from __future__ import annotations

from typing import Any

from openstylegan.errors import InputError
from openstylegan.interop.limits import Limits
from openstylegan.interop.machine import Unfinished
from openstylegan.interop.records import Instance, Reference, UnsafeFile

LEAVES = frozenset({str, bytes, int, float, bool, type(None)})


def contents(value: Any) -> list[Any]:
    """What `value` holds, one level down; keys of dicts are checked to be flat when they are set."""
    if isinstance(value, dict):
        metadata = getattr(value, "__dict__", {})
        return [*value, *value.values(), *metadata.values()]
    if type(value) in (list, tuple, set, frozenset):
        return list(value)
    if type(value) is Instance:
        return [value.args, value.kwargs, value.state, value.items]
    return []


def checked(value: Any, limits: Limits) -> Any:
    """`value` itself. Raises `InputError` or `UnsafeFile`.

    A walk without recursion: a container is `open` while what it holds is walked, and `done` with (depth, items).
    """
    done: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()
    waiting: list[tuple[Any, list[Any]]] = []
    enter(value, waiting, open_, done, limits)
    while waiting:
        node, left = waiting[-1]
        if left:
            enter(left.pop(), waiting, open_, done, limits)
            if len(waiting) > limits.depth:
                raise InputError(f"is nested deeper than {limits.depth} levels")
        else:
            waiting.pop()
            open_.discard(id(node))
            done[id(node)] = measured(node, done, limits)
    return value


def enter(
    node: Any,
    waiting: list[tuple[Any, list[Any]]],
    open_: set[int],
    done: dict[int, tuple[int, int]],
    limits: Limits,
) -> None:
    """Checks `node` and, when it holds something not yet walked, puts it in line."""
    if id(node) in done:
        return
    if id(node) in open_:
        raise InputError("holds something that contains itself")
    if isinstance(node, Unfinished):
        raise InputError("holds an array without its contents (damaged?)")
    if type(node) is Reference and not limits.records(node.module, node.name):
        raise UnsafeFile(f"names {node}")
    everything = contents(node)
    inner = [item for item in everything if type(item) not in LEAVES]
    if inner:
        open_.add(id(node))
        waiting.append((node, inner))
    elif everything:
        done[id(node)] = measured(node, done, limits)


def measured(node: Any, done: dict[int, tuple[int, int]], limits: Limits) -> tuple[int, int]:
    """The depth of `node` and the number of its items, unfolded; all that it holds is done."""
    depth, size = 1, 1
    for item in contents(node):
        inner = done.get(id(item), (1, 1))
        depth, size = max(depth, inner[0] + 1), size + inner[1]
    if depth > limits.depth:
        raise InputError(f"is nested deeper than {limits.depth} levels")
    if size > limits.unfolded_items:
        raise InputError("unfolds to far more items than its size explains (a bomb?)")
    return depth, size
