"""The geometric transform of `geometry.py`, fast: the same numbers from small matrix products.

Reflect, enlarge twice with the wavelet, sample bilinearly, reduce with the wavelet: one linear map of the picture.
- A sample that is not rotated, or by quarter turns only, transforms rows and columns apart: the whole chain is one
  small matrix along each axis (`axes.py`). At strength p a share 1 - p of the samples is of this kind.
- Any other sample enlarges just the window of its reflected picture that the grid reaches. Filters along an axis are
  banded matrices, applied as tiles; only the bilinear sampling itself is `grid_sample`.
Each sample is computed by itself, so its numbers do not depend on the rest of the batch, and nothing but its matrix is
kept for the backward pass. No value is read back from the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.augment.axes import HALF, axis_matrices, fine_positions, is_turned
from openstylegan.augment.filtering import reflected
from openstylegan.augment.geometry import NUM_TAPS, margins
from openstylegan.augment.linear import (
    Band,
    SeparableGroup,
    SeparableMap,
    along_both,
    apply_linear,
    as_tensor,
    equal_samples,
)

TILE = 16
"""Pixels a tile of a band: smaller ones are too many calls, larger ones multiply more zeros."""


def transform_fast(images: Tensor, matrix: np.ndarray, taps: np.ndarray) -> Tensor:
    """As `geometry.transform_reference`, given the wavelet's taps [12] on the host (float64)."""
    return apply_linear(images, Resampling(images, matrix, taps)) if len(images) else images


class Resampling:
    """The linear map of a batch like `images` under inverse transforms `M [N, 3, 3]`.

    On the twice enlarged axis, sample k is sum_i 2 f[k - 2 i + 5] x[i], and result o is sum_t f[t] v[2 o + t], where v
    is the enlarged picture at the transformed positions of k = 2 o + t - 5.
    """

    def __init__(self, images: Tensor, matrix: np.ndarray, taps: np.ndarray):
        size = (images.shape[2], images.shape[3])
        sides = margins(matrix, *size)
        turned = [is_turned(m) for m in matrix]
        groups = []
        for way in (False, True):
            alike = equal_samples([i for i, t in enumerate(turned) if t is way], matrix)
            first = [samples[0] for samples in alike]
            left, right = axis_matrices(matrix[first], sides[first], size, taps, way)
            groups += [SeparableGroup(left[k], right[k], samples, way) for k, samples in enumerate(alike)]
        self.separable = SeparableMap(groups)
        self.windows = {i: Window(matrix[i], sides[i], size) for i, t in enumerate(turned) if t is None}
        # Enlarging by zeros between the samples takes twice the amplitude along each axis.
        self.filters = (Filters(2 * taps, images), Filters(taps, images))

    def apply(self, x: Tensor) -> Tensor:
        out = self.separable.apply(x)
        for i, window in self.windows.items():
            out[i] = window.apply(x[i], *self.filters)
        return out

    def adjoint(self, y: Tensor) -> Tensor:
        out = self.separable.adjoint(y)
        for i, window in self.windows.items():
            out[i] = window.adjoint(y[i], *self.filters)
        return out


class Filters:
    """The wavelet as bands, cut from one large tile for enlarging and one for reducing; each is the other's adjoint.

    Enlarging takes n + 5 samples to 2 n, reducing 2 n + 10 to n.
    """

    def __init__(self, taps: np.ndarray, like: Tensor):
        self.reduce_tile = as_tensor(toeplitz(taps, TILE), like)
        enlarge = toeplitz(taps, TILE + HALF - 1)[:, NUM_TAPS - 2 : NUM_TAPS - 2 + 2 * TILE]
        self.enlarge_tile = as_tensor(enlarge.T.copy(), like)

    def reduce(self, tiling: Tiling) -> Band:
        """The band that makes `tiling.total` samples."""
        tile = self.reduce_tile[: tiling.tile, : 2 * tiling.tile + NUM_TAPS - 2]
        return Band(tile, 2 * tiling.tile, tiling.count)

    def enlarge(self, tiling: Tiling) -> Band:
        """The band that makes twice `tiling.total` samples."""
        tile = self.enlarge_tile[: 2 * tiling.tile, : tiling.tile + HALF - 1]
        return Band(tile, tiling.tile, tiling.count)


def toeplitz(taps: np.ndarray, outputs: int) -> np.ndarray:
    """`[outputs, 2 outputs + 10]`: row o holds the taps from column 2 o on."""
    matrix = np.zeros((outputs, 2 * outputs + len(taps) - 2))
    for o in range(outputs):
        matrix[o, 2 * o : 2 * o + len(taps)] = taps
    return matrix


@dataclass(frozen=True)
class Tiling:
    """At least `wanted` samples as `count` tiles of `tile` samples."""

    wanted: int

    @property
    def count(self) -> int:
        return -(-self.wanted // TILE)

    @property
    def tile(self) -> int:
        return -(-self.wanted // self.count)

    @property
    def total(self) -> int:
        return self.count * self.tile


class Span:
    """The part of an enlarged, reflected axis that positions from `lowest` to `highest` reach.

    Enlarged sample k exists from -2 before to 2 (size + after) - 1. Two of them, 2 a - 1 and 2 a, see the same pixels
    a - 3 ... a + 2: those pairs are what is computed, of pixels whose `index` in the picture is known.
    """

    def __init__(self, lowest: float, highest: float, size: int, before: int, after: int):
        end = 2 * (size + after) - 1
        # One more on each side: rounding may put a position just outside.
        first, last = max(math.floor(lowest) - 1, -2 * before), min(math.floor(highest) + 2, end)
        if first > last:  # nothing of the picture is seen: one sample that no position reaches
            first = last = -2 * before if first > end else end
        pair = (first + 1) // 2
        self.first, self.length = first, last - first + 1
        self.skipped = first - (2 * pair - 1)
        self.tiling = Tiling((last + 1) // 2 + 1 - pair)
        pixels = pair - HALF // 2 + np.arange(self.tiling.total + HALF - 1)
        inside = np.flatnonzero((pixels >= -before) & (pixels < size + after))
        self.inside = slice(int(inside[0]), int(inside[-1]) + 1)
        self.index = reflected(pixels, size)


class Window:
    """One sample's transform: the window of its enlarged picture, and where it is sampled."""

    def __init__(self, matrix: np.ndarray, sides: np.ndarray, size: tuple[int, int]):
        self.height, self.width = size
        self.tiling_y, self.tiling_x = Tiling(self.height), Tiling(self.width)
        self.linear = matrix[:2, :2]
        self.offset = 2 * matrix[:2, 2] + np.array([self.width - 1, self.height - 1])
        corners_x, corners_y = (fine_positions(s)[[0, -1]] for s in (self.width, self.height))
        corners = self.linear @ np.array([np.tile(corners_x, 2), np.repeat(corners_y, 2)]) + self.offset[:, None]
        (lowest_x, lowest_y), (highest_x, highest_y) = corners.min(axis=1), corners.max(axis=1)
        left, top, right, bottom = (int(s) for s in sides)
        self.x = Span(lowest_x, highest_x, self.width, left, right)
        self.y = Span(lowest_y, highest_y, self.height, top, bottom)

    def grid(self, like: Tensor) -> Tensor:
        """`[1, 2 H + 10, 2 W + 10, 2]` (more, to whole tiles): positions in the window as `grid_sample` wants them."""
        scale = 2 / np.array([self.x.length, self.y.length])
        start = (self.offset - [self.x.first, self.y.first] + 0.5) * scale - 1
        columns = fine_positions(self.width, 2 * self.tiling_x.total + NUM_TAPS - 2)
        rows = fine_positions(self.height, 2 * self.tiling_y.total + NUM_TAPS - 2)
        # Complex numbers stand for (x, y): one broadcast sum, 4 to 8 times faster than F.affine_grid.
        along_x = complex(*(self.linear[:, 0] * scale)) * columns
        along_y = complex(*(self.linear[:, 1] * scale)) * rows + complex(*start)
        dtype = torch.complex128 if like.dtype == torch.float64 else torch.complex64
        x, y = (torch.from_numpy(a).to(like.device, dtype, non_blocking=True) for a in (along_x, along_y))
        return torch.view_as_real(y[:, None] + x[None, :])[None]

    def apply(self, x: Tensor, up: Filters, down: Filters) -> Tensor:
        """`[C, H, W]` to `[C, H, W]`."""
        fine = along_both(self.gather(x), up.enlarge(self.y.tiling), up.enlarge(self.x.tiling))
        fine = fine[:, self.y.skipped :, self.x.skipped :][:, : self.y.length, : self.x.length]
        sampled = F.grid_sample(fine[None], self.grid(x), mode="bilinear", padding_mode="zeros", align_corners=False)
        out = along_both(sampled[0], down.reduce(self.tiling_y), down.reduce(self.tiling_x))
        return out[:, : self.height, : self.width]

    def adjoint(self, y: Tensor, up: Filters, down: Filters) -> Tensor:
        """`[C, H, W]` to `[C, H, W]`: the steps of `apply` transposed, in reverse."""
        grid = self.grid(y)
        to_y, to_x = (Tiling(t.total + HALF - 1) for t in (self.tiling_y, self.tiling_x))
        pad_y, pad_x = (
            _around(HALF - 1, n, t.total + HALF - 1) for n, t in zip(y.shape[1:], (to_y, to_x), strict=True)
        )
        sampled = along_both(F.pad(y, [*pad_x, *pad_y]), down.enlarge(to_y), down.enlarge(to_x))
        sampled = sampled[None, :, : grid.shape[1], : grid.shape[2]]
        fine = grid_sample_adjoint(sampled, grid, self.y.length, self.x.length)[0]
        to_y, to_x = (Tiling(s.tiling.total + HALF - 1) for s in (self.y, self.x))
        pad_y, pad_x = (
            _around(NUM_TAPS - 2 + s.skipped, s.length, 2 * t.total + NUM_TAPS - 2)
            for s, t in ((self.y, to_y), (self.x, to_x))
        )
        pixels = along_both(F.pad(fine, [*pad_x, *pad_y]), up.reduce(to_y), up.reduce(to_x))
        return self.scatter(pixels)

    def gather(self, x: Tensor) -> Tensor:
        """The window's pixels of `[C, H, W]`, reflected, zero where the margin ends; x is the slowest in memory."""
        rows = x.index_select(1, as_tensor(self.y.index, x))
        turned = rows.permute(2, 0, 1).contiguous().index_select(0, as_tensor(self.x.index, x))
        x_inside, y_inside = self.x.inside, self.y.inside
        for blank in (turned[: x_inside.start], turned[x_inside.stop :]):
            blank.zero_()
        for blank in (turned[..., : y_inside.start], turned[..., y_inside.stop :]):
            blank.zero_()
        return turned.permute(1, 2, 0)

    def scatter(self, pixels: Tensor) -> Tensor:
        """The adjoint of `gather`: every pixel adds up what its reflections hold."""
        c = pixels.shape[0]
        x, y = (as_tensor(s.index[s.inside], pixels) for s in (self.x, self.y))
        pixels = pixels[:, self.y.inside, self.x.inside].permute(2, 0, 1)
        columns = pixels.new_zeros(self.width, c, len(y)).index_add_(0, x, pixels).permute(2, 1, 0)
        rows = columns.new_zeros(self.height, c, self.width).index_add_(0, y, columns)
        return rows.permute(1, 0, 2)


def _around(before: int, size: int, total: int) -> tuple[int, int]:
    """Zeros before and after `size` samples that make them `total`."""
    return before, total - before - size


def grid_sample_adjoint(y: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
    """The transposed bilinear `grid_sample` (zeros outside): `[1, C, h, w]` spread onto `[1, C, height, width]`."""
    like = y.new_zeros(()).expand(1, y.shape[1], height, width)  # the op reads its shape; the values do not matter
    bilinear, zeros, align_corners = 0, 0, False
    return torch.ops.aten.grid_sampler_2d_backward(
        y, like, grid, bilinear, zeros, align_corners, output_mask=[True, False]
    )[0]
