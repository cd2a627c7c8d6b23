"""The tail of a layer, and its gradient, in one pass each over channels-last pictures, by tail.cpp.

All sums are in float32, whatever the pictures are in. Gradients that are recorded themselves are made of `tail`'s plain
operations.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from openstylegan.ops.native import native
from openstylegan.ops.paths import readable

CHANNELS = 16
"""Below, vectors along the channels would be mostly empty."""
VALUES = 4096
"""Below, a call costs more than it saves."""
CHUNK = 1024
"""Pixels whose sums are made in one go, whatever the number of threads."""
DTYPES = (torch.float32, torch.bfloat16)


class _Tail(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "pixels", "channels", "bfloat16", "noises")],
        *[(name, ctypes.c_float) for name in ("gain", "slope", "clamp")],
        *[(name, ctypes.c_void_p) for name in ("y", "scale", "noise", "shift", "z")],
    ]


class _Gradient(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "pixels", "channels", "bfloat16", "chunk")],
        *[(name, ctypes.c_float) for name in ("slope", "clamp")],
        *[(name, ctypes.c_void_p) for name in ("g", "z", "y", "scale", "gy", "sums", "dots", "by_pixel")],
    ]


def usable(y: Tensor, d: Tensor | None = None, noise: Tensor | None = None, b: Tensor | None = None) -> bool:
    """Whether the tail of `y` [N, C, H, W] is computed here: of the shapes that `tail` names, and channels-last."""
    if y.ndim != 4 or y.dtype not in DTYPES or y.shape[1] < CHANNELS or y.numel() < VALUES:
        return False
    n, c, h, w = y.shape
    return (
        readable(y, d, noise, b)
        and y.is_contiguous(memory_format=torch.channels_last)
        and (d is None or d.shape == (n, c, 1, 1))
        and (b is None or b.shape == (c, 1, 1))
        and (noise is None or noise.shape in ((h, w), (1, 1, h, w), (n, 1, h, w)))
        and native("channels_last").loaded is not None
    )


def tail(
    y: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    b: Tensor | None,
    slopes: tuple[float, float, float | None],
    out: Tensor | None,
) -> Tensor:
    """`tail.tail`, into `out` (which may be y) or a new tensor."""
    n, c, h, w = y.shape
    slope, gain, clamp = slopes
    z = torch.empty_like(y) if out is None else out
    scale, noise_, shift = (_times(t, gain) for t in (d, noise, b))
    noises = 1 if noise is None else noise.numel() // (h * w)
    sizes = (n, h * w, c, y.dtype == torch.bfloat16, noises)
    job = _Tail(*sizes, gain, slope, limit(clamp, y.dtype), *map(_at, (y, scale, noise_, shift, z)))
    native("channels_last").code.tail(ctypes.byref(job), torch.get_num_threads())
    return z


def gradient(
    gz: Tensor,
    z: Tensor,
    y: Tensor | None,
    scale: Tensor,
    slopes: tuple[float, float, float | None],
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """With m = gz times the slope at the result `z`: m scale, the sums over the pixels [N, C] of m and,
    with `y`, of m y, and the sums over the channels [N, 1, H, W] of m.

    scale: [N, C]. `wanted` says whether the sums over pixels and over channels are; else they are None.
    """
    n, c, h, w = z.shape
    slope, _, clamp = slopes
    gz = gz.contiguous(memory_format=torch.channels_last)
    chunks, gy = -(-h * w // CHUNK), torch.empty_like(z)
    sums = z.new_empty(n, chunks, c, dtype=torch.float32) if wanted[0] else None
    dots = None if y is None else z.new_empty(n, chunks, c, dtype=torch.float32)
    by_pixel = z.new_empty(n, 1, h, w, dtype=torch.float32) if wanted[1] else None
    scale = scale.float().contiguous()
    sizes = (n, h * w, c, z.dtype == torch.bfloat16, CHUNK)
    job = _Gradient(*sizes, slope, limit(clamp, z.dtype), *map(_at, (gz, z, y, scale, gy, sums, dots, by_pixel)))
    native("channels_last").code.tail_gradient(ctypes.byref(job), torch.get_num_threads())
    return gy, None if sums is None else sums.sum(1), None if dots is None else dots.sum(1), by_pixel


def limit(clamp: float | None, dtype: torch.dtype) -> float:
    """As results in `dtype` have it, which must be recognized as clipped. -1 for none."""
    return -1.0 if clamp is None else torch.tensor(clamp, dtype=dtype).item()


def _times(t: Tensor | None, gain: float) -> Tensor | None:
    return None if t is None else (t.detach().float() * gain).contiguous()


def _at(t: Tensor | None) -> int | None:
    return None if t is None else t.data_ptr()
