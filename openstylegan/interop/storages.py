"""Tensors of foreign files: storages (flat memory) and the views of it that tensors are, every extent checked."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.interop.limits import Meter
from openstylegan.interop.machine import Rebuilder
from openstylegan.interop.rebuild import checked_shape, damaged
from openstylegan.interop.records import Reference

STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


@dataclass(eq=False)
class Storage:
    """Flat memory: `data` [numel] of the storage's dtype. Tensors made of it share the memory."""

    data: Tensor


def storage_dtype(reference: Any) -> torch.dtype:
    """The dtype that a storage class stands for. Raises `InputError`."""
    if type(reference) is Reference and reference.module in ("torch", "torch.cuda", "torch.storage"):
        found = STORAGE_DTYPES.get(reference.name)
        if found is not None:
            return found
    named = reference if type(reference) is Reference else type(reference).__name__
    raise InputError(f"holds a tensor of the unknown type {named}")


def empty_storage(meter: Meter, reference: Any, numel: Any, available: int) -> Storage:
    """A storage of `numel` elements to be filled, which at most `available` bytes of the file are there for."""
    dtype = storage_dtype(reference)
    if type(numel) is not int or not 0 <= numel * dtype.itemsize <= available:
        raise InputError("holds a tensor larger than the rest of the file (cut off?)")
    meter.charge(500 + numel * dtype.itemsize)
    return Storage(torch.empty(numel, dtype=dtype))


def storage_bytes(storage: Storage) -> memoryview:
    """The memory of a storage, to be written into."""
    if not storage.data.numel():
        return memoryview(bytearray())
    return memoryview(storage.data.view(torch.uint8).numpy())  # type: ignore[arg-type]


def fill(storage: Storage, raw: memoryview, little_endian: bool) -> None:
    """Copies the bytes `raw` (as many as the storage has) into it."""
    if len(raw):
        storage_bytes(storage)[:] = raw
        swap_bytes(storage, little_endian)


def swap_bytes(storage: Storage, little_endian: bool) -> None:
    """Turns data of the other byte order than this machine's around, in place."""
    if little_endian == (sys.byteorder == "little") or not storage.data.numel():
        return
    width = storage.data.dtype.itemsize // (2 if storage.data.dtype.is_complex else 1)
    numbers = storage.data.view(torch.uint8).view(-1, width)
    numbers.copy_(numbers.flip(1).clone())


def tensor(meter: Meter, args: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_tensor_v2: storage, offset, size, stride, requires_grad, hooks, and perhaps metadata.

    The oldest files stop after the stride. The tensor wants no gradient, whatever the file says. Raises `InputError`
    for a view that reaches beyond its storage, and for hooks, which are functions.
    """
    if len(args) not in (4, 6, 7) or type(args[0]) is not Storage or any(args[5:]):
        raise damaged("a tensor")
    data, offset = args[0].data, args[1]
    size, stride = checked_shape(args[2], "a tensor"), checked_shape(args[3], "a tensor")
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise damaged("a tensor")
    numel = math.prod(size)
    reach = sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if numel else 0
    if offset + reach > data.numel():
        raise InputError("holds a tensor that reaches beyond its memory (damaged?)")
    meter.charge_view(300 + numel * data.dtype.itemsize)
    return data.as_strided(size, stride, offset)


def parameter(meter: Meter, args: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_parameter: tensor, requires_grad, hooks; it comes as the plain tensor."""
    if len(args) != 3 or not isinstance(args[0], Tensor) or args[2]:
        raise damaged("a parameter")
    return args[0]


def size(meter: Meter, args: tuple[Any, ...]) -> tuple[int, ...]:
    """torch.Size of a tuple, as that tuple."""
    if len(args) != 1:
        raise damaged("a shape")
    return checked_shape(args[0], "a shape")


def device(meter: Meter, args: tuple[Any, ...]) -> str:
    """torch.device, as its name, such as "cuda:0"."""
    kinds = (str, int)[: len(args)]
    if not 1 <= len(args) <= 2 or any(type(a) is not kind for a, kind in zip(args, kinds, strict=True)):
        raise damaged("a device")
    return ":".join(str(a) for a in args)


TENSOR_REBUILDERS: dict[tuple[str, str], Rebuilder] = {
    ("torch._utils", "_rebuild_tensor_v2"): tensor,
    ("torch._utils", "_rebuild_tensor"): tensor,
    ("torch._utils", "_rebuild_parameter"): parameter,
    ("torch", "Size"): size,
    ("torch", "device"): device,
}
