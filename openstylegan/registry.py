"""Literal tables of parts: look a name up, check its options, name the nearest one when it is wrong."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from openstylegan.errors import InputError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name closest to `name`, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """`table[name]`. Raises `InputError` naming the known entries and the nearest one."""
    if name not in table:
        raise InputError(f"unknown {kind} '{name}': expected one of {', '.join(sorted(table))}{nearest(name, table)}")
    return table[name]


def check_options(make: Callable[..., Any], options: Mapping[str, Any], kind: str) -> None:
    """Raises `InputError` when `options` holds a name that `make` does not take."""
    parameters = inspect.signature(make).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise InputError(
                f"{kind} has no option '{option}': expected one of {', '.join(parameters)}{nearest(option, parameters)}"
            )


def build(table: Mapping[str, Callable[..., T]], name: str, options: Mapping[str, Any], kind: str) -> T:
    """`table[name](**options)`, the options checked against the signature first. Raises `InputError`."""
    make = lookup(table, name, kind)
    check_options(make, options, f"{kind} '{name}'")
    return make(**options)
