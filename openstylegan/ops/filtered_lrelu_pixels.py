"""`filtered_lrelu` of channels-last pictures by the C++ beside it, where no gradient is recorded.

Beside convolutions whose results are channels-last, 1x1 ones in float32 and those on matrix units (see `amx`): a vector
is some channels of a pixel. bfloat16 is computed in half precision (AVX-512 FP16), which has three digits more, and at
twice the rate of float32. A 2-D filter is a sum of separable ones: StyleGAN3's radial filters are of two to four.

Samples in bfloat16 with values too large for half precision take the float32 form for planes instead.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openstylegan.ops import filtered_lrelu_compiled as planes
from openstylegan.ops.amx_found import PIXELS, halves_available
from openstylegan.ops.filtered_lrelu_products import CACHED_PLANS, MIRRORED, Setting, Taps, taps_of
from openstylegan.ops.native import native
from openstylegan.ops.paths import readable

LINE_BYTES = 64
"""Of the widest vector: pixels have room for whole ones."""
UP_TAPS, DOWN_TAPS = 6, 12
"""Taps of a phase of the filter up; taps of the filter down."""


class Numbers(NamedTuple):
    """How C++ computes: `negligible` singular values of a 2-D filter, of the largest, change nothing that results could
    show; its numbers are `scale` times what they stand for, and at most `largest`."""

    call: str
    negligible: float
    scale: float
    largest: float


NUMBERS = {
    torch.float32: Numbers("filtered_lrelu_pixels_of_floats", 2.0**-21, 1.0, inf),
    torch.bfloat16: Numbers("filtered_lrelu_pixels_of_halves", 2.0**-12, 16.0, 60000.0),
}


class _Job(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "channels", "height", "width", "rows", "columns")],
        *[(name, ctypes.c_int) for name in ("pitch", "out_pitch", "up", "pad_y", "pad_x", "rank")],
        *[(name, ctypes.c_float) for name in ("slope", "clamp", "reach", "most")],
        *[(name, ctypes.c_void_p) for name in ("x", "y", "bias", "up_y", "up_x", "down_y", "down_x", "beyond")],
    ]


class Tables(NamedTuple):
    """Taps for C++, in float32: up [up, 6] by phase, down [rank, 12] along y and half of it along x.

    reach: how much larger than |x| the oversampled values can be; down_reach: and than those the result.
    """

    up_y: np.ndarray
    up_x: np.ndarray
    down_y: np.ndarray
    down_x: np.ndarray
    reach: float
    down_reach: float


def pitch(x: Tensor) -> int | None:
    """How many values lie from pixel to pixel of channels-last `x` [N, C, H, W], whose pixels may have room for more
    channels; None for other layouts."""
    n, c, h, w = x.shape
    found = x.stride(3)
    dense = (x.stride(2), x.stride(0)) == (w * found, h * w * found) or (n == 1 and x.stride(2) == w * found)
    return found if c > 1 and w > 1 and x.stride(1) == 1 and found >= c and dense else None


def room(n: int, c: int, h: int, w: int, like: Tensor) -> Tensor:
    """An empty channels-last picture [N, C', H, W] of the type of `like`: C' is C or as many as fill whole vectors."""
    return like.new_empty(n, h, w, -(-c // line(like)) * line(like)).permute(0, 3, 1, 2)


def line(x: Tensor) -> int:
    """Channels of the widest vector."""
    return LINE_BYTES // x.dtype.itemsize


def fits(x: Tensor) -> bool:
    """Whether there is code for the type and the device of `x`, and vectors of its channels are at least half full."""
    if x.dtype not in NUMBERS or not readable(x) or 2 * x.shape[1] < line(x):
        return False
    return halves_available() if x.dtype == torch.bfloat16 else native(PIXELS).loaded is not None


def usable(x: Tensor, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> bool:
    """Whether the op on `x` is computed here, as far as layouts and sizes say."""
    return (
        setting.down == 2
        and setting.up in (2, 4)
        and fu is not None
        and fd is not None
        and len(fu) == UP_TAPS * setting.up
        and all(side == DOWN_TAPS for side in fd.shape)
        and pitch(x) is not None
        and fits(x)
    )


def forward(x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, setting: Setting) -> Tensor | None:
    """The op on `x` [N, C, H, W] with bias [C], channels-last; None where it is not computed here."""
    if not usable(x, fu, fd, setting):
        return None
    numbers = NUMBERS[x.dtype]
    tables = _tables(taps_of(fu), taps_of(fd), setting, numbers.negligible)
    if tables is None:
        return None
    n, c, h, w = x.shape
    high = [side * setting.up + sum(setting.pad[k : k + 2]) - UP_TAPS * setting.up + 1 for side, k in ((h, 2), (w, 0))]
    rows, columns = ((side - DOWN_TAPS) // 2 + 1 for side in high)
    y = room(n, c, rows, columns, x)
    bias = torch.zeros(y.shape[1], dtype=torch.float32)
    if b is not None:
        bias[:c] = b.detach()
    beyond = torch.zeros(n, dtype=torch.uint8)
    most, clamp = _limits(tables, setting, numbers)
    pitches = (pitch(x), y.stride(3))
    at = [t.data_ptr() for t in (x, y, bias)] + [t.ctypes.data for t in tables[:4]] + [beyond.data_ptr()]
    sizes = (n, c, h, w, rows, columns, *pitches, setting.up, setting.pad[2], setting.pad[0], len(tables.down_y))
    job = _Job(*sizes, setting.slope, clamp, tables.reach, most, *at)
    library = native(PIXELS).code
    getattr(library, numbers.call)(ctypes.byref(job), torch.get_num_threads())
    y = y[:, :c]
    for k in beyond.nonzero().flatten().tolist():
        y[k : k + 1] = planes.forward(x[k : k + 1], b, fu, fd, setting)
    return y


def _limits(tables: Tables, setting: Setting, numbers: Numbers) -> tuple[float, float]:
    """The largest number for |x| with which nothing overflows, and the clamp in C++ (-1: none)."""
    reach, largest = tables.reach * max(1.0, abs(setting.slope)), numbers.largest
    if setting.clamp is None or setting.clamp * numbers.scale * max(1.0, tables.down_reach) > largest:
        return (0.0 if setting.clamp is not None else largest / (reach * max(1.0, tables.down_reach))), -1.0
    return largest / reach, setting.clamp


@lru_cache(maxsize=CACHED_PLANS)
def _tables(fu: Taps, fd: Taps | tuple[Taps, ...], setting: Setting, negligible: float) -> Tables | None:
    """The tables; None for a filter down that is not mirrored along x."""
    up, down = np.array(fu), np.array(fd)
    if not setting.flip:
        up, down = np.flip(up), np.flip(down)
    factors = _factors(down, negligible)
    if factors is None:
        return None
    # Phase j of a group takes tap up - 1 - j and every up-th after it.
    phases = up.reshape(UP_TAPS, setting.up).T[::-1] * setting.up
    reach = float(np.abs(up * setting.up).sum() ** 2 * setting.gain)
    down_reach = float((np.abs(factors[0]).sum(1) * np.abs(factors[1]).sum(1)).sum())
    tables = (phases * setting.gain, phases, factors[0], factors[1][:, : DOWN_TAPS // 2])
    up_y, up_x, down_y, down_x = (np.ascontiguousarray(t, dtype=np.float32) for t in tables)
    return Tables(up_y, up_x, down_y, down_x, reach, down_reach)


def _factors(taps: np.ndarray, negligible: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Filters along y and along x, [rank, 12] each, the sum of whose products are the taps."""
    if abs(taps - taps[..., ::-1]).max() > MIRRORED * abs(taps).max():
        return None
    if taps.ndim == 1:
        return taps[None], taps[None]
    u, s, v = np.linalg.svd((taps + taps[:, ::-1]) / 2)  # of a rank of at most half of the taps
    rank = max(1, int((s > negligible * s[0]).sum()))
    roots = np.array([sqrt(value) for value in s[:rank]])
    return u.T[:rank] * roots[:, None], v[:rank] * roots[:, None]
