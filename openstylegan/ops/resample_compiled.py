"""`upfirdn2d` with a separable filter over channels-last pictures, by resample.cpp: sums in float32, rounded once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from openstylegan.ops.native import native
from openstylegan.ops.paths import readable

CHANNELS = 16
"""Below, vectors along the channels would be mostly empty."""
VALUES = 2**14
"""Below, a call costs more than it saves."""
DTYPES = (torch.float32, torch.bfloat16)
RANK_ONE = 1e-6
"""Largest departure from a product of two 1-D filters, relative to the largest tap."""


class _Axis(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("inputs", "outputs", "up", "down", "before", "count")],
        ("taps", ctypes.c_void_p),
    ]


class _Resampling(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "channels", "bfloat16")],
        *[(name, _Axis) for name in ("x", "y")],
        *[(name, ctypes.c_void_p) for name in ("source", "target")],
    ]


def usable(x: Tensor) -> bool:
    """Whether `x` [N, C, H, W] can be resampled here, with a filter of which `separated` finds the factors."""
    large = x.shape[1] >= CHANNELS and x.numel() >= VALUES
    return large and readable(x) and x.dtype in DTYPES and native("channels_last").loaded is not None


def separated(taps: Tensor) -> tuple[Tensor, Tensor] | None:
    """1-D filters along y and x whose outer product is `taps` [height, width], or None; float32."""
    taps = taps.float()
    at = int(taps.abs().argmax())
    row, column = divmod(at, taps.shape[1])
    if taps[row, column] == 0:
        return None
    along_y, along_x = taps[:, column] / taps[row, column], taps[row]
    departure = (torch.outer(along_y, along_x) - taps).abs().max()
    return (along_y, along_x) if departure <= RANK_ONE * taps.abs().max() else None


def resample(
    x: Tensor,
    filters: tuple[Tensor, Tensor],
    up: Sequence[int],
    down: Sequence[int],
    pad: Sequence[int],
) -> Tensor:
    """`x` [N, C, H, W], channels-last, zero-inserted by `up` and padded by `pad` (x0, x1, y0, y1), then correlated
    along y and x with the two filters; every `down`-th sample of that. Factors are (x, y)."""
    n, c, height, width = x.shape
    held = [f.contiguous() for f in filters]
    axes = []
    for k, (size, taps) in enumerate(((width, held[1]), (height, held[0]))):
        result = (size * up[k] + pad[2 * k] + pad[2 * k + 1] - len(taps)) // down[k] + 1
        axes.append(_Axis(size, result, up[k], down[k], pad[2 * k], len(taps), taps.data_ptr()))
    y = x.new_empty(n, axes[1].outputs, axes[0].outputs, c).permute(0, 3, 1, 2)
    job = _Resampling(n, c, x.dtype == torch.bfloat16, *axes, x.data_ptr(), y.data_ptr())
    library = native("channels_last").code
    library.resample(ctypes.byref(job), torch.get_num_threads())
    return y
