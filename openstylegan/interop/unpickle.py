"""Foreign pickles, read without running anything in them: nothing is imported, nothing of the file's is called.

    content = read_pickle_file("network-snapshot-025000.pkl")

Differs from Python's `pickle`: what the file would call is either done by our own code (tensors, arrays, dicts, sets)
or noted as an inert `Instance`, when it is a class that networks hold, or refused (`UnsafeFile`). There is no way to
ask for unsafe loading. What comes out has no cycles and a bounded depth and size, so it can be walked by recursion.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openstylegan.errors import InputError, printable
from openstylegan.interop.instructions import run
from openstylegan.interop.limits import Limits, Meter
from openstylegan.interop.machine import Machine
from openstylegan.interop.records import Instance, Reference, UnsafeFile
from openstylegan.interop.torch_legacy import ALL_REBUILDERS
from openstylegan.interop.unfold import checked

__all__ = ["Instance", "Limits", "Reference", "UnsafeFile", "read_pickle", "read_pickle_file"]

DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error, MemoryError)


def read_pickle(
    data: bytes | memoryview,
    *,
    limits: Limits = Limits(),
    persistent: Callable[[Any], Any] | None = None,
    name: str = "the pickle",
) -> Any:
    """The value of a pickle of protocol 0 to 5, of plain values, arrays, tensors, and inert records.

    Containers are plain; tensors are on the CPU, in memory of their own, without gradients; bytes longer than 4 KiB
    are read-only views of `data`. `persistent(id)` gives the values of persistent ids. Raises `UnsafeFile` when the
    file asks to call what networks do not need, `InputError` when it is damaged or beyond `limits`.
    """
    view = memoryview(data).cast("B").toreadonly()
    return guarded(lambda: whole_pickle(view, Meter(limits, len(view)), persistent), name)


def whole_pickle(view: memoryview, meter: Meter, persistent: Callable[[Any], Any] | None) -> Any:
    """The value of a pickle that is all of `view`."""
    machine = Machine(view, meter, ALL_REBUILDERS, persistent)
    value = run(machine)
    if machine.position != len(view):
        raise InputError(f"goes on for {len(view) - machine.position} bytes after its end")
    return checked(value, meter.limits)


def guarded(read: Callable[[], Any], name: str) -> Any:
    """What `read` gives, every failure named in one line."""
    try:
        return read()
    except UnsafeFile as error:
        raise UnsafeFile(
            f"expected a file of weights, but {name} {error}; nothing was run: do not open it with other programs"
        ) from error
    except InputError as error:
        advice = "; get another copy of it" if "?)" in str(error) else ""
        raise InputError(f"expected a file of weights, but {name} {error}{advice}") from error
    except DAMAGE as error:
        reason = printable(f"{type(error).__name__}: {error}", 200)
        raise InputError(f"expected a file of weights, but {name} is damaged ({reason}); get another copy") from error


def read_pickle_file(path: str | os.PathLike[str], *, limits: Limits = Limits()) -> Any:
    """The value of a pickle file, as `read_pickle`. Raises `InputError` naming the file."""
    return read_pickle(file_bytes(path, limits), limits=limits, name=printable(str(path), 400))


def existing_file(path: str | os.PathLike[str]) -> Path:
    """`path`, when it is a file."""
    place = Path(path)
    if not place.is_file():
        raise InputError(f"expected a file at {place}, but there is none; check the path")
    return place


def file_bytes(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """All of a file, when it is one and is not too large."""
    place = existing_file(path)
    if place.stat().st_size > limits.file_bytes:
        raise InputError(f"{place} is larger than the {limits.file_bytes >> 20} MB that are read")
    return place.read_bytes()
