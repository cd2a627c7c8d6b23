"""3x3 convolutions of contiguous planes by Winograd's F(2x2, 3x3), whose transforms are compiled.

The equation is `winograd`'s (arXiv 1509.09308). There, plain PyTorch passes make the tiles, which pays from 256
channels and needs channels-last pictures. Here winograd.cpp makes the tiles of a few rows at a time, which stay in the
cache until they are multiplied, and planes stay planes, as `filtered_lrelu` takes them. Measured on one core at
4 x 128 x 84 x 84: 68 ms (oneDNN 88 ms), the weight gradient 74 ms (173 ms).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import torch
from torch import Tensor

from openstylegan.ops.frozen import derived
from openstylegan.ops.native import native
from openstylegan.ops.winograd import _G, _kernels, _kron

TILES_AT_ONCE = 192
"""Tiles in one product for each thread: a matrix of 128 channels of them is 1.5 MiB, less than a core's cache."""
CHANNELS = 64
"""Below this many channels the transforms cost more than the products save."""
TILES = 256
"""Tiles of the batch below which transforming the weights dominates."""


class _Piece(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("channels", "height", "width", "padding", "first", "rows", "across")]


def pays(x: Tensor, shape: tuple[int, ...], padding: int) -> bool:
    """Whether `x` [N, I, H, W] with weights of `shape` [O, I, kh, kw] is computed here."""
    n, _, h, w = x.shape
    height, width = h + 2 * padding - 2, w + 2 * padding - 2
    return (
        x.dtype == torch.float32
        and shape[2:] == (3, 3)
        and min(shape[:2]) >= CHANNELS
        and height > 0
        and width > 0
        and height % 2 == width % 2 == 0
        and n * height * width >= 4 * TILES
        and native().loaded is not None
    )


def correlate(x: Tensor, w: Tensor, padding: int) -> Tensor:
    """`conv2d(x, w, padding=padding)` for `x` [N, I, H, W], `w` [O, I, 3, 3] and a result of even sides."""
    x, u = x.contiguous(), derived(w, "winograd planes", lambda w: _kernels(w, _G))
    n, i, h, width = x.shape
    y = x.new_empty(n, len(w), h + 2 * padding - 2, width + 2 * padding - 2)
    memory = _Memory(y, i, len(w))
    for sample, first, rows in memory.pieces():
        tiles, products = memory.matrix(0, i, rows), memory.matrix(1, len(w), rows)
        memory.transform("tiles", x[sample], tiles, padding, first, rows)
        torch.bmm(u, tiles, out=products)
        memory.transform("gather", y[sample], products, 0, first, rows)
    return y


def weight_gradient(x: Tensor, gy: Tensor, padding: int) -> Tensor:
    """The gradient [O, I, 3, 3] of `correlate` with respect to w."""
    x, gy = x.contiguous(), gy.contiguous()
    i, o = x.shape[1], gy.shape[1]
    gu, memory = x.new_zeros(16, o, i), _Memory(gy, i, o)
    for sample, first, rows in memory.pieces():
        tiles, spread = memory.matrix(0, i, rows), memory.matrix(1, o, rows)
        memory.transform("tiles", x[sample], tiles, padding, first, rows)
        memory.transform("spread", gy[sample], spread, 0, first, rows)
        gu.baddbmm_(spread, tiles.transpose(1, 2))
    return (gu.view(16, o * i).t() @ _kron(_G, x)).view(o, i, 3, 3)


class _Memory:
    """The two tile matrices of a piece of the result `y` [N, O, H', W'], used again for every piece of a call."""

    def __init__(self, y: Tensor, *channels: int):
        self.samples, (self.down, self.across) = len(y), (y.shape[2] // 2, y.shape[3] // 2)
        self.threads = torch.get_num_threads()
        cuts = -(-self.down * self.across // (TILES_AT_ONCE * self.threads))
        self.rows = -(-self.down // cuts)
        self.held = [y.new_empty(16 * c * self.rows * self.across) for c in channels]

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """(sample, first tile row, how many)."""
        for sample in range(self.samples):
            for first in range(0, self.down, self.rows):
                yield sample, first, min(self.rows, self.down - first)

    def matrix(self, which: int, channels: int, rows: int) -> Tensor:
        """A tile matrix [16, channels, tiles]."""
        return self.held[which][: 16 * channels * rows * self.across].view(16, channels, -1)

    def transform(self, what: str, planes: Tensor, matrix: Tensor, padding: int, first: int, rows: int) -> None:
        """Between planes [C, H, W] and a tile matrix, whichever way `what` goes."""
        library = native().loaded
        assert library is not None
        channels, height, width = planes.shape
        piece = _Piece(channels, height, width, padding, first, rows, self.across)
        source, target = (matrix, planes) if what == "gather" else (planes, matrix)
        call = getattr(library, f"winograd_{what}")
        call(
            ctypes.byref(piece),
            ctypes.c_void_p(source.data_ptr()),
            ctypes.c_void_p(target.data_ptr()),
            ctypes.c_int(self.threads),
        )
