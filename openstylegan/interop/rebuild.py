"""Values that foreign pickles make by calling something: here our own functions make them, of checked arguments.

Each function takes (meter, args) and raises `InputError` for arguments that a pickle would not hold. NumPy's names are
accepted under `numpy.core` and, as NumPy 2 writes them, under `numpy._core`.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from typing import Any

import numpy as np

from openstylegan.errors import InputError
from openstylegan.interop.limits import Meter
from openstylegan.interop.machine import Rebuilder, Unfinished, check_key, members
from openstylegan.interop.records import Instance, Reference, UnsafeFile

NUMBER_DTYPES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"])
MOST_DIMENSIONS = 32
NDARRAY = Reference("numpy", "ndarray")
OBJECT = Reference("builtins", "object")
LATIN_1 = ("latin1", "latin-1", "iso-8859-1")


def damaged(what: str) -> InputError:
    """The error for arguments that `what` cannot have been pickled with."""
    return InputError(f"holds {what} with impossible contents (damaged?)")


def raw_bytes(value: Any, what: str) -> memoryview:
    """The bytes of an array, however the protocol keeps them: in Python 2 they are a string."""
    if isinstance(value, str):
        return memoryview(value.encode("latin-1"))
    if not isinstance(value, bytes | bytearray | memoryview):
        raise damaged(what)
    return memoryview(value)


def checked_shape(value: Any, what: str) -> tuple[int, ...]:
    """A shape whose number of elements is one that can be counted."""
    if type(value) is not tuple or len(value) > MOST_DIMENSIONS:
        raise damaged(what)
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in value):
        raise damaged(what)
    return value


class UnfinishedDType(Unfinished):
    """A NumPy dtype whose byte order comes with BUILD: numbers, or texts of one length."""

    def __init__(self, code: str):
        super().__init__()
        self.code = code

    def finish(self, meter: Meter, state: Any) -> np.dtype[Any]:
        """`state`: (version, byte order, subdtype, names, fields, size, alignment, flags[, metadata])."""
        if type(state) is not tuple or len(state) not in (8, 9) or any(s not in (None, ()) for s in state[2:5]):
            raise InputError("holds an array of records; arrays of numbers are known")
        if state[1] not in ("<", ">", "|", "="):
            raise damaged("a number type")
        return np.dtype(state[1].replace("|", "=") + self.code)


def dtype(meter: Meter, args: tuple[Any, ...]) -> UnfinishedDType:
    """numpy.dtype: numbers and texts only. An array of objects could hold anything."""
    code = args[0] if args else None
    if type(code) is not str or not (code in NUMBER_DTYPES or re.fullmatch(r"[SU]\d{1,5}", code)):
        raise InputError("holds an array that is not of plain numbers; objects in arrays are not read")
    return UnfinishedDType(code)


def as_dtype(value: Any) -> np.dtype[Any]:
    """The dtype in the arguments of an array."""
    if isinstance(value, UnfinishedDType):
        return np.dtype(value.code)
    if not isinstance(value, np.dtype):
        raise damaged("an array")
    return value


def filled_array(meter: Meter, shape: Any, kind: Any, raw: Any, order: str) -> np.ndarray[Any, Any]:
    """An array of `shape` with the contents `raw`, in memory of its own."""
    data, numbers = raw_bytes(raw, "an array"), as_dtype(kind)
    size = math.prod(checked_shape(shape, "an array"))
    if size * numbers.itemsize != data.nbytes:
        raise damaged("an array")
    meter.charge(200 + data.nbytes)
    flat = np.frombuffer(data, numbers).copy() if size else np.zeros(0, numbers)
    return flat.reshape(shape, order="F" if order == "F" else "C")


class UnfinishedArray(Unfinished):
    """A NumPy array whose contents come with BUILD."""

    def finish(self, meter: Meter, state: Any) -> np.ndarray[Any, Any]:
        """`state`: (version, shape, dtype, is it in Fortran order, bytes)."""
        if type(state) is not tuple or len(state) != 5:
            raise damaged("an array")
        return filled_array(meter, state[1], state[2], state[4], "F" if state[3] is True else "C")


def array(meter: Meter, args: tuple[Any, ...]) -> UnfinishedArray:
    """numpy.core.multiarray._reconstruct."""
    if not args or args[0] != NDARRAY:
        raise damaged("an array")
    meter.charge(300)
    return UnfinishedArray()


def array_from_buffer(meter: Meter, args: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """numpy.core.numeric._frombuffer, how protocol 5 keeps arrays: bytes, dtype, shape, order."""
    if len(args) != 4:
        raise damaged("an array")
    return filled_array(meter, args[2], args[1], args[0], args[3])


def scalar(meter: Meter, args: tuple[Any, ...]) -> Any:
    """numpy.core.multiarray.scalar: dtype, bytes."""
    if len(args) != 2:
        raise damaged("a number")
    return filled_array(meter, (1,), args[0], args[1], "C")[0]


def ordered_dict(meter: Meter, args: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    """collections.OrderedDict: empty, or of pairs as protocol 0 to 2 write it."""
    return OrderedDict(pairs(meter, args))


def plain_dict(meter: Meter, args: tuple[Any, ...]) -> dict[Any, Any]:
    """A class that is a dict with other access to its items (dnnlib's EasyDict): empty, or of pairs."""
    return dict(pairs(meter, args))


def default_dict(meter: Meter, args: tuple[Any, ...]) -> dict[Any, Any]:
    """collections.defaultdict: what it makes for missing keys has no meaning in a file that is only read."""
    if len(args) > 1:
        raise damaged("a dict")
    return plain_dict(meter, ())


def pairs(meter: Meter, args: tuple[Any, ...]) -> list[Any]:
    """The items in the arguments of a dict's constructor."""
    found = args[0] if args else []
    found = list(found.items()) if type(found) is dict else found
    if len(args) > 1 or type(found) is not list:
        raise damaged("a dict")
    meter.charge(120 + 120 * len(found))
    for pair in found:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise damaged("a dict")
        check_key(pair[0])
    return found


def one_list(meter: Meter, args: tuple[Any, ...], what: str) -> Any:
    """The members in the arguments of a set's constructor."""
    found = args[0] if args else ()
    if len(args) > 1 or type(found) not in (list, tuple, set, frozenset):
        raise damaged(what)
    return members(meter, found)


def encoded(meter: Meter, args: tuple[Any, ...]) -> bytes:
    """_codecs.encode, how protocol 0 to 2 keep bytes: a text and "latin1"."""
    if len(args) != 2 or type(args[0]) is not str or args[1] not in LATIN_1:
        raise damaged("bytes")
    meter.charge(40 + len(args[0]))
    return args[0].encode("latin-1")


def byte_values(meter: Meter, args: tuple[Any, ...]) -> bytes:
    """builtins.bytes: empty, or of a list of numbers; a bare number would be a size."""
    if args and type(args[0]) is str:
        return encoded(meter, (args[0], *args[1:]))
    if len(args) > 1 or (args and type(args[0]) not in (bytes, list)):
        raise damaged("bytes")
    meter.charge(40 + (len(args[0]) if args else 0))
    return bytes(*args)


def byte_array(meter: Meter, args: tuple[Any, ...]) -> bytearray:
    """builtins.bytearray, as protocol 0 to 4 write it."""
    if args and type(args[0]) is memoryview:
        meter.charge(len(args[0]))
        return bytearray(args[0])
    return bytearray(byte_values(meter, args))


def numbers(what: str, make: Any, kinds: tuple[type, ...], most: int) -> Rebuilder:
    """A rebuilder for a constructor of a few plain numbers."""

    def rebuild(meter: Meter, args: tuple[Any, ...]) -> Any:
        if not 0 < len(args) <= most or not all(type(a) in kinds for a in args):
            raise damaged(what)
        return make(*args)

    return rebuild


def old_object(meter: Meter, args: tuple[Any, ...]) -> Any:
    """copyreg._reconstructor, how protocol 0 and 1 make objects: class, base, the base's value."""
    if len(args) != 3 or type(args[0]) is not Reference or type(args[1]) is not Reference:
        raise damaged("an object")
    cls, base, value = args
    if not meter.limits.records(cls.module, cls.name):
        raise UnsafeFile(f"asks to make a {cls}")
    meter.charge(300)
    if base == OBJECT and value is None:
        return Instance(cls.module, cls.name)
    if (base.module, base.name, type(value)) == ("builtins", "dict", dict):
        is_dict = (cls.module, cls.name) in REBUILDERS
        return plain_dict(meter, (value,)) if is_dict else Instance(cls.module, cls.name, items=value)
    raise damaged("an object")


def numpy_names(module: str, name: str, rebuild: Rebuilder) -> dict[tuple[str, str], Rebuilder]:
    """`rebuild` under NumPy's old and new name."""
    return {(f"numpy.{core}.{module}", name): rebuild for core in ("core", "_core")}


REBUILDERS: dict[tuple[str, str], Rebuilder] = {
    ("numpy", "dtype"): dtype,
    **numpy_names("multiarray", "_reconstruct", array),
    **numpy_names("multiarray", "scalar", scalar),
    **numpy_names("numeric", "_frombuffer", array_from_buffer),
    ("collections", "OrderedDict"): ordered_dict,
    ("collections", "defaultdict"): default_dict,
    ("dnnlib.util", "EasyDict"): plain_dict,
    ("dnnlib", "EasyDict"): plain_dict,
    ("builtins", "dict"): plain_dict,
    ("builtins", "set"): lambda meter, args: set(one_list(meter, args, "a set")),
    ("builtins", "frozenset"): lambda meter, args: frozenset(one_list(meter, args, "a set")),
    ("builtins", "bytes"): byte_values,
    ("builtins", "bytearray"): byte_array,
    ("builtins", "complex"): numbers("a complex number", complex, (int, float), 2),
    ("builtins", "slice"): numbers("a slice", slice, (int, type(None)), 3),
    ("builtins", "range"): numbers("a range", range, (int,), 3),
    ("_codecs", "encode"): encoded,
    ("copyreg", "_reconstructor"): old_object,
}
