"""Convolutions in bfloat16 on the matrix units of x86-64 processors (AMX), by amx_convolution.cpp, and the gradients of
their weights, by amx_weight_gradient.cpp. Weights are put in order by amx_weights.cpp.

A whole modulated layer in one: the pictures are scaled on their way into the cache, and what follows the convolution is
done to its sums, which are in float32. A transposed convolution is one of its phases after the other, from the same
pictures in the cache.

Weights are put in the order of the tiles once, where what is derived from them is kept; oneDNN does it at every call.
Measured on one core of a server CPU, batch 8, 512 channels at 32x32: 31 ms against oneDNN's 55 (at 16x16 23 against 31,
at 8x8 2.9 against 5.4), as a transposed convolution to twice 16x16 17 against 34, the gradient of the weights 145
against 228.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops.amx_found import LIBRARY, available
from openstylegan.ops.frozen import while_resting
from openstylegan.ops.native import native
from openstylegan.ops.paths import readable
from openstylegan.ops.tail_compiled import limit

BLOCK = 32
"""Numbers of channels are multiples of it."""
MOST_TAPS = 25
DTYPES = (torch.float32, torch.bfloat16)
"""Of weights."""


class _Phase(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("rows", "columns", "taps")],
        *[(name, ctypes.c_void_p) for name in ("shifts", "weights", "to")],
        *[(name, ctypes.c_int64) for name in ("of_sample", "of_row", "of_column")],
    ]


class _Convolution(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "in_", "out", "height", "width", "stride", "phases", "noises")],
        *[(name, ctypes.c_int) for name in ("present", "pitch")],
        *[(name, ctypes.c_float) for name in ("slope", "clamp")],
        *[(name, ctypes.c_void_p) for name in ("x", "before", "after", "shift", "noise", "phase")],
    ]


class _Weights(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("out", "in_", "taps", "floats")],
        *[(name, ctypes.c_int64) for name in ("of_out", "of_in")],
        *[(name, ctypes.c_void_p) for name in ("offsets", "from_", "to")],
    ]


class _WeightGradient(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "in_", "out", "height", "width", "rows", "columns")],
        *[(name, ctypes.c_int) for name in ("stride", "taps_y", "taps_x", "padding_y", "padding_x", "floats")],
        *[(name, ctypes.c_void_p) for name in ("x", "gy", "gw")],
    ]


class Ends(NamedTuple):
    """What is done around a convolution: `x * before`, and `clip(lrelu(y * after + shift + noise))`.

    before: [N, I]; after: [N, O]; shift: [O]; noise: [1 or N, H, W] of the result; all float32.
    """

    before: Tensor | None = None
    after: Tensor | None = None
    shift: Tensor | None = None
    noise: Tensor | None = None
    slope: float = 1.0
    clamp: float | None = None


class Taps(NamedTuple):
    """One phase of a result: every `step`-th of its pixels (y, x) from `first` on.

    kernel: (ky, kx) of each tap; shifts: (dy, dx) of the pixel that it is multiplied with.
    """

    first: tuple[int, int]
    step: int
    kernel: list[tuple[int, int]]
    shifts: list[tuple[int, int]]


def usable(x: Tensor, w: Tensor) -> bool:
    """Whether convolutions of `x` [N, I, H, W] with `w` [O, I, kh, kw] or its transpose are computed here.

    Weights in float32 are rounded as they are put in order: a copy of them in bfloat16 is not made.
    """
    return w.dtype in DTYPES and _fits(x, w, w.shape[:2], w.shape[2:])


def gradient_usable(x: Tensor, gy: Tensor, kernel: Sequence[int]) -> bool:
    """Whether the gradient of weights with a `kernel` (kh, kw) is computed here."""
    return gy.numel() > 0 and gy.dtype == x.dtype and _fits(x, gy, (x.shape[1], gy.shape[1]), kernel)


def _fits(x: Tensor, other: Tensor, channels: Sequence[int], kernel: Sequence[int]) -> bool:
    return (
        x.dtype == torch.bfloat16
        and channels[0] % BLOCK == channels[1] % BLOCK == 0
        and 1 < kernel[0] * kernel[1] <= MOST_TAPS
        and x.numel() > 0
        and readable(x, other)
        and not available()
    )


def correlate(x: Tensor, w: Tensor, stride: int, padding: tuple[int, int], ends: Ends = Ends()) -> Tensor:
    """`conv2d` of channels-last `x` [N, I, H, W] with `w` [O, I, kh, kw] between its `ends`.

    x may have fewer than I channels, which are zero then, and its pixels room for more. Raises `InputError` for a
    kernel larger than the padded picture.
    """
    kernel = (w.shape[2], w.shape[3])
    sides = [(x.shape[2 + k] + 2 * padding[k] - kernel[k]) // stride + 1 for k in range(2)]
    if min(sides) < 1:
        raise InputError(
            f"expected a kernel of at most {x.shape[2] + 2 * padding[0]} x {x.shape[3] + 2 * padding[1]} for "
            f"x {list(x.shape)} and padding {list(padding)}, got {kernel[0]} x {kernel[1]}; pad more"
        )
    y = x.new_empty(x.shape[0], *sides, w.shape[0]).permute(0, 3, 1, 2)
    taps = [(ky, kx) for ky in range(kernel[0]) for kx in range(kernel[1])]
    phase = Taps((0, 0), 1, taps, [(ky - padding[0], kx - padding[1]) for ky, kx in taps])
    packed = while_resting(w, "tiles", partial(_packed, phases=[phase], transposed=False))
    _convolve(x, y, packed, [phase], stride, ends)
    return y


def scatter(
    gy: Tensor, w: Tensor, stride: int, padding: tuple[int, int], size: tuple[int, int], ends: Ends = Ends()
) -> Tensor:
    """The gradient of `correlate` with respect to its input of `size`, for channels-last `gy` [N, O, h, w].

    The kernel is at least as large as the stride: every phase has taps.
    """
    x = gy.new_empty(gy.shape[0], *size, w.shape[1]).permute(0, 3, 1, 2)
    phases = list(_phases((w.shape[2], w.shape[3]), stride, padding))
    packed = while_resting(w, f"tiles by {stride}, {padding}", partial(_packed, phases=phases, transposed=True))
    _convolve(gy, x, packed, phases, 1, ends)
    return x


def weight_gradient(
    x: Tensor,
    gy: Tensor,
    stride: int,
    padding: tuple[int, int],
    kernel: tuple[int, int],
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """The gradient [O, I, kh, kw] of `correlate` with respect to its weights of `dtype`, for channels-last x and gy."""
    (n, i, h, w), (_, o, rows, columns) = x.shape, gy.shape
    gw = x.new_empty(o, i, *kernel, dtype=dtype)
    sizes = (n, i, o, h, w, rows, columns, stride, *kernel, *padding, dtype == torch.float32)
    job = _WeightGradient(*sizes, x.data_ptr(), gy.data_ptr(), gw.data_ptr())
    native(LIBRARY).code.amx_weight_gradient(ctypes.byref(job), torch.get_num_threads())
    return gw


def _phases(kernel: Sequence[int], stride: int, padding: Sequence[int]) -> Iterator[Taps]:
    """x[q] = sum_k w[k] gy[m] with q + padding = stride m + k, along both axes: the phases q mod stride."""
    for y in range(stride):
        for x in range(stride):
            rows, columns = (
                range((first + pad) % stride, length, stride)
                for first, pad, length in zip((y, x), padding, kernel, strict=True)
            )
            taps = [(ky, kx) for ky in rows for kx in columns]
            shifts = [((y + padding[0] - ky) // stride, (x + padding[1] - kx) // stride) for ky, kx in taps]
            yield Taps((y, x), stride, taps, shifts)


def _packed(w: Tensor, phases: Sequence[Taps], transposed: bool) -> Tensor:
    """The kernels of each phase as tiles take them, one after the other."""
    outputs, inputs = (1, 0) if transposed else (0, 1)
    num, start = sum(len(p.kernel) for p in phases) * w.shape[0] * w.shape[1], 0
    packed = w.new_empty(num, dtype=torch.bfloat16)
    library = native(LIBRARY).code
    for phase in phases:
        offsets = [ky * w.stride(2) + kx * w.stride(3) for ky, kx in phase.kernel]
        sizes = (w.shape[outputs], w.shape[inputs], len(offsets), w.dtype == torch.float32)
        steps = (w.stride(outputs), w.stride(inputs))
        held = (ctypes.c_int64 * len(offsets))(*offsets)
        part = packed[start : start + len(offsets) * w.shape[0] * w.shape[1]]
        job = _Weights(*sizes, *steps, ctypes.addressof(held), w.data_ptr(), part.data_ptr())
        library.amx_pack(ctypes.byref(job), torch.get_num_threads())
        start += len(part)
    return packed


def _convolve(x: Tensor, y: Tensor, packed: Tensor, phases: Sequence[Taps], stride: int, ends: Ends) -> None:
    (n, present, h, w), o = x.shape, y.shape[1]
    i, pitch = -(-present // BLOCK) * BLOCK, next((x.stride(k) for k in (3, 2, 0) if x.shape[k] > 1), present)
    held, made, start = [], (_Phase * len(phases))(), packed.data_ptr()
    for k, phase in enumerate(phases):
        sides = [-(-(y.shape[2 + a] - phase.first[a]) // phase.step) for a in range(2)]
        shifts = (ctypes.c_int * (2 * len(phase.shifts)))(*[d for shift in phase.shifts for d in shift])
        held.append(shifts)
        to = y.data_ptr() + sum(phase.first[a] * y.stride(2 + a) for a in range(2)) * y.itemsize
        steps = (y.stride(0), y.stride(2) * phase.step, y.stride(3) * phase.step)
        made[k] = _Phase(*sides, len(phase.shifts), ctypes.addressof(shifts), start, to, *steps)
        start += len(phase.shifts) * i * o * packed.itemsize
    tensors = [None if t is None else t.contiguous() for t in (ends.before, ends.after, ends.shift, ends.noise)]
    noises = 1 if ends.noise is None else len(ends.noise)
    clamp = limit(ends.clamp, x.dtype)
    at = [None if t is None else t.data_ptr() for t in (x, *tensors)]
    sizes = (n, i, o, h, w, stride, len(phases), noises, present, pitch)
    job = _Convolution(*sizes, ends.slope, clamp, *at, ctypes.addressof(made))
    native(LIBRARY).code.amx_convolve(ctypes.byref(job), torch.get_num_threads())
