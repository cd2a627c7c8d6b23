"""3x3 convolutions of contiguous planes by Winograd's F(4x4, 3x3), whose transforms are compiled.

The equation is `winograd`'s (arXiv 1509.09308) with larger tiles: 36 products make 16 results, 2.25 instead of 9 each.
There, plain PyTorch passes make tiles of 2x2 results, which pays from 256 channels and needs channels-last pictures.
Here winograd.cpp makes the tiles of a few rows at a time, which stay in the cache until they are multiplied, and planes
stay planes, as `filtered_lrelu` takes them. So are the products, whose sizes the BLAS takes at half of its speed.

Differs from the paper: the points of the interpolation are 0, 3/4, -3/4, 3/2, -3/2 and infinity instead of 0, 1, -1, 2,
-2 and infinity. The largest error at 256 channels is then 3.3e-6 of the results' standard deviation instead of 1.6e-5
(2.0e-6 without Winograd).
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from openstylegan.ops.frozen import derived
from openstylegan.ops.native import native
from openstylegan.ops.paths import readable
from openstylegan.ops.winograd import _kron

SIDE = 4
"""Of a tile of results."""
POSITIONS = (SIDE + 2) ** 2
TILES_AT_ONCE = 128
"""Tiles in one product: a matrix of 128 channels of them is 2.3 MiB."""
TILES_IN_SUMS = 384
"""The same where products are summed over tiles: the sums are read and written once for so many."""
LANES = 16
"""Floats of the widest vector."""
CHANNELS = 64
"""Below this many channels the transforms cost more than the products save."""
TILES = 64
"""Tiles of the batch below which transforming the weights dominates."""
POINTS = (0.75, 1.5)
"""a and b of winograd.cpp."""


def _kernel_transform(a: float, b: float) -> tuple[tuple[float, ...], ...]:
    """G: the values of a kernel's polynomial at 0, a, -a, b, -b and infinity, divided by what Lagrange divides by."""
    at_a, at_b = (1 / (2 * p * p * (p * p - q * q)) for p, q in ((a, b), (b, a)))
    rows = [(scale, scale * p, scale * p * p) for scale, p in ((at_a, a), (at_a, -a), (at_b, b), (at_b, -b))]
    return ((1 / (a * b) ** 2, 0.0, 0.0), *rows, (0.0, 0.0, 1.0))


_G = _kernel_transform(*POINTS)


class _Piece(ctypes.Structure):
    _fields_ = [
        *[(n, ctypes.c_int) for n in ("channels", "height", "width", "padding", "first", "rows", "across", "pitch")],
        ("scale", ctypes.c_void_p),
    ]


class _Convolution(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "in_", "out", "height", "width", "padding", "rows")],
        *[(name, ctypes.c_void_p) for name in ("x", "u", "before", "after", "y")],
    ]


def pays(x: Tensor, shape: tuple[int, ...], padding: int) -> bool:
    """Whether `x` [N, I, H, W] with weights of `shape` [O, I, kh, kw] is computed here."""
    n, _, h, w = x.shape
    height, width = h + 2 * padding - 2, w + 2 * padding - 2
    return (
        x.dtype == torch.float32
        and readable(x)
        and shape[2:] == (3, 3)
        and 0 <= padding <= 2
        and min(shape[:2]) >= CHANNELS
        and min(height, width) >= SIDE
        and n * height * width >= SIDE**2 * TILES
        and native("winograd").loaded is not None
    )


def correlate(x: Tensor, w: Tensor, padding: int, before: Tensor | None = None, after: Tensor | None = None) -> Tensor:
    """`conv2d(x * before, w, padding=padding) * after`, x [N, I, H, W], w [O, I, 3, 3], scales [N, I] and [N, O]."""
    x, u = x.contiguous(), derived(w, "winograd planes", _packed_kernels)
    before, after = (None if scale is None else scale.contiguous() for scale in (before, after))
    n, i, h, width = x.shape
    y = x.new_empty(n, len(w), h + 2 * padding - 2, width + 2 * padding - 2)
    rows = _rows_at_once(y, TILES_AT_ONCE)
    at = [None if t is None else t.data_ptr() for t in (x, u, before, after, y)]
    job = _Convolution(n, i, len(w), h, width, padding, rows, *at)
    native("winograd").code.winograd_correlate(ctypes.byref(job), ctypes.c_int(torch.get_num_threads()))
    return y


def weight_gradient(
    x: Tensor, gy: Tensor, padding: int, before: Tensor | None = None, after: Tensor | None = None
) -> Tensor:
    """The gradient [O, I, 3, 3] of `correlate` with respect to w."""
    x, gy = x.contiguous(), gy.contiguous()
    before, after = (None if scale is None else scale.contiguous() for scale in (before, after))
    i, (_, o, height, width) = x.shape[1], gy.shape
    down, across = -(-height // SIDE), -(-width // SIDE)
    at_once = _rows_at_once(gy, TILES_IN_SUMS)
    pitch = _pitch(at_once, across)
    gu, tiles, spread = (x.new_empty(POSITIONS, *size) for size in ((o, i), (i, pitch), (o, pitch)))
    gu.zero_()
    for sample in range(len(x)):
        for first in range(0, down, at_once):
            rows = min(at_once, down - first)
            _transform("tiles", x[sample], tiles, padding, (first, rows, across), _of(before, sample))
            _transform("spread", gy[sample], spread, 0, (first, rows, across), _of(after, sample))
            gu.baddbmm_(spread[:, :, : rows * across], tiles[:, :, : rows * across].transpose(1, 2))
    return (gu.view(POSITIONS, o * i).t() @ _kron(_G, x)).view(o, i, 3, 3)


def _packed_kernels(w: Tensor) -> Tensor:
    """The transformed kernels [36, O, I] of w [O, I, 3, 3], some rows side by side: [36, O / rows, I, rows]."""
    w = w if w.stride()[2:] == (3, 1) else w.contiguous()
    (o, i), rows = w.shape[:2], native("winograd").code.winograd_row_block()
    u = w.new_empty(POSITIONS, -(-o // rows), i, rows)
    source, target = ctypes.c_void_p(w.data_ptr()), ctypes.c_void_p(u.data_ptr())
    sizes = map(ctypes.c_int, (o, i, *w.stride()[:2]))
    native("winograd").code.winograd_kernels(source, *sizes, target, ctypes.c_int(torch.get_num_threads()))
    return u


def _rows_at_once(y: Tensor, tiles: int) -> int:
    """Tile rows of results `y` [N, O, H, W] in a piece of about so many `tiles`."""
    down, across = (-(-side // SIDE) for side in y.shape[2:])
    cuts = max(round(down * across / tiles), 1)
    return -(-down // min(cuts, down))


def _pitch(rows: int, across: int) -> int:
    """Floats of a channel in a tile matrix: transforms write whole vectors."""
    whole = -(-across // LANES) * LANES
    return -(-((rows - 1) * across + whole) // LANES) * LANES


def _of(scale: Tensor | None, sample: int) -> Tensor | None:
    return None if scale is None else scale[sample]


def _transform(
    what: str, planes: Tensor, matrix: Tensor, padding: int, part: tuple[int, int, int], scale: Tensor | None
) -> None:
    """From planes [C, H, W] times `scale` [C] to a tile matrix [36, C, pitch]; `part` is the first tile row, how many,
    and how many tiles are in one."""
    piece = _Piece(*planes.shape, padding, *part, matrix.shape[2], None if scale is None else scale.data_ptr())
    source, target = ctypes.c_void_p(planes.data_ptr()), ctypes.c_void_p(matrix.data_ptr())
    call = getattr(native("winograd").code, f"winograd_{what}")
    call(ctypes.byref(piece), source, target, ctypes.c_int(torch.get_num_threads()))
