"""Planes to channels-last pictures and back, and pictures into others, by layouts.cpp where there is a compiler.

PyTorch's copy between the two takes 14 ns a value in bfloat16 (1 x 128 x 150 x 150 on a busy core: 40 ms).
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from openstylegan.ops.native import native
from openstylegan.ops.paths import readable


def to_channels_last(x: Tensor) -> Tensor:
    """`x.contiguous(memory_format=torch.channels_last)` for x [N, C, H, W]."""
    if not _transposes(x, x.is_contiguous()):
        return x.contiguous(memory_format=torch.channels_last)
    n, c, h, w = x.shape
    return _transpose(x, x.new_empty(n, h, w, c), c, h * w).permute(0, 3, 1, 2)


def to_planes(x: Tensor) -> Tensor:
    """`x.contiguous()` for x [N, C, H, W]."""
    if not _transposes(x, x.is_contiguous(memory_format=torch.channels_last)):
        return x.contiguous()
    n, c, h, w = x.shape
    return _transpose(x, x.new_empty(n, c, h, w), h * w, c)


def turned(w: Tensor) -> Tensor:
    """Weights `w` [O, I, kh, kw] as [I, O, kh, kw], channels-last: the transposed matrix, where `w` is contiguous."""
    o, i, kh, kw = w.shape
    matrix = w.reshape(1, o, i * kh, kw)
    if not _transposes(matrix, w.is_contiguous()):
        return w.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return _transpose(matrix, w.new_empty(i, kh, kw, o), o, i * kh * kw).permute(0, 3, 1, 2)


class _Pixels(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), *[(name, ctypes.c_int64) for name in ("of_sample", "of_row", "of_pixel")]]


def copy_pixels(target: Tensor, source: Tensor) -> None:
    """`target.copy_(source)` for parts [N, C, H, W] of channels-last pictures, such as every second pixel of one."""
    whole = target.stride(1) == source.stride(1) == 1 and target.dtype == source.dtype and target.shape == source.shape
    library = native("channels_last").loaded if whole and readable(target, source) else None
    if library is None or (torch.is_grad_enabled() and (target.requires_grad or source.requires_grad)):
        target.copy_(source)
        return
    n, c, h, w = target.shape
    sizes = (n, h, w, c * target.dtype.itemsize, torch.get_num_threads())
    library.copy_pixels(ctypes.byref(_pixels(target)), ctypes.byref(_pixels(source)), *sizes)


def _pixels(x: Tensor) -> _Pixels:
    return _Pixels(x.data_ptr(), *(x.stride(k) * x.dtype.itemsize for k in (0, 2, 3)))


def _transposes(x: Tensor, contiguous: bool) -> bool:
    """Whether there is something to move, and it is done here."""
    moves = min(x.shape[1], x.shape[2] * x.shape[3]) > 1 and contiguous
    return moves and readable(x) and x.dtype.itemsize in (2, 4) and native("channels_last").loaded is not None


def _transpose(x: Tensor, y: Tensor, rows: int, columns: int) -> Tensor:
    sizes = (len(x), rows, columns, x.dtype.itemsize, torch.get_num_threads())
    native("channels_last").code.transpose(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()), *sizes)
    return y
