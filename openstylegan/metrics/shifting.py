"""Moving pictures as a perfect generator would: whole pixels, fractions of one, and rotations with their band limits.

The resampling that equivariance is judged by (StyleGAN3, arXiv:2106.12423, appendix E). Every function gives the moved
pictures [N, C, H, W] and a mask of the same shape, 1 where they are known. Lengths are in image widths (x) and heights
(y), +x right, +y down; angles in radians, with `rotation_matrix`'s sense. Filters are computed in float64 and applied
in the pictures' dtype.

Differs from StyleGAN3: the 4x oversampling before a rotation is computed by phases (16 filters of 13 x 13 taps at the
low rate in place of one of 47 x 47 over mostly zeros), the circular convolutions of the filters as products with their
separable factors, at the places that are kept: the same sums at a part of the work.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

LANCZOS_SIZE = 3
FILTER_SUPPORT, FILTER_REACH = 6, 64
"""Pixels on each side that a rotation filter keeps, and that it is computed over."""
OVERSAMPLING = 4

Moved = tuple[Tensor, Tensor]
"""Pictures and mask."""


def rotation_matrix(angle: float) -> Tensor:
    """[[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]] float64: with y down, the way `--rotate` turns a picture."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float64)


def translation_matrix(x: float, y: float) -> Tensor:
    """The identity with (x, y) in its last column, float64."""
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def translate_whole(images: Tensor, x: float, y: float) -> Moved:
    """`images` moved by (x, y), rounded to whole pixels; zero, and unknown, where nothing moved in."""
    height, width = images.shape[2:]
    dx, dy = round(x * width), round(y * height)
    moved, mask = torch.zeros_like(images), torch.zeros_like(images)
    to_x, from_x = overlap(dx, width)
    to_y, from_y = overlap(dy, height)
    moved[:, :, to_y, to_x] = images[:, :, from_y, from_x]
    mask[:, :, to_y, to_x] = 1
    return moved, mask


def overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where pixels land and where they come from when a row of `size` moves by `shift`."""
    to_start, to_end = max(shift, 0), max(size + min(shift, 0), 0)
    return slice(to_start, max(to_end, to_start)), slice(max(-shift, 0), max(size - max(shift, 0), max(-shift, 0)))


def translate_fraction(images: Tensor, x: float, y: float) -> Moved:
    """`images` moved by (x, y) with a Lanczos-3 filter, zeros outside; known where no tap reached outside."""
    height, width = images.shape[2:]
    known = torch.zeros_like(images)
    known[:, :, known_rows(y * height, height), known_rows(x * width, width)] = 1
    moved = move_rows(images, x * width)
    return move_rows(moved.transpose(2, 3), y * height).transpose(2, 3), known


def lanczos_taps(fraction: float) -> Tensor:
    """sinc(d - f) sinc((d - f) / 3) for d = -2 ... 3, of sum 1; float64 [6]."""
    d = torch.arange(1 - LANCZOS_SIZE, LANCZOS_SIZE + 1, dtype=torch.float64) - fraction
    taps = torch.sinc(d) * torch.sinc(d / LANCZOS_SIZE)
    return taps / taps.sum()


def move_rows(images: Tensor, shift: float) -> Tensor:
    """out[n] = sum_d images[n - i - d] taps[d] along the last axis; i and f are the floor and the rest of `shift`."""
    whole = math.floor(shift)
    taps = lanczos_taps(shift - whole).to(images)
    n, c, height, width = images.shape
    rows = F.pad(images.reshape(n * c, 1, height, width), (2 * LANCZOS_SIZE - 1, 2 * LANCZOS_SIZE - 1))
    filtered = F.conv2d(rows, taps.flip(0).view(1, 1, 1, -1)).view(n, c, height, -1)
    # filtered[m + 2] stands for n - i = m, and m runs from -2 to width + 2; all else is zero.
    out = torch.zeros_like(images)
    start, end = max(whole - LANCZOS_SIZE + 1, 0), min(whole + LANCZOS_SIZE, 0) + width
    if end > start:
        first = start - whole + LANCZOS_SIZE - 1
        out[..., start:end] = filtered[..., first : first + end - start]
    return out


def known_rows(shift: float, size: int) -> slice:
    """The pixels that all six taps of a Lanczos shift find within a row of `size`."""
    whole = math.floor(shift)
    start = max(whole + LANCZOS_SIZE, 0)
    return slice(start, max(min(whole - LANCZOS_SIZE + 1, 0) + size, start))


def lanczos_window(x: Tensor) -> Tensor:
    """sinc(x / 3) within |x| < 3, else 0."""
    return torch.sinc(x / LANCZOS_SIZE) * (x.abs() < LANCZOS_SIZE)


@functools.lru_cache(maxsize=4)
def filter_axis(up: int) -> tuple[Tensor, Tensor, Tensor]:
    """The positions of a filter's grid in FFT order (0 first), 1 / up apart, n = 128 up - 1 of them: [n]; and the
    matrices [12 up - 1, n] whose product with a grid's rows is the part that is kept of their circular convolution with
    sinc and with the window. All float64.
    """
    one_sided = torch.arange(FILTER_REACH * up, dtype=torch.float64) / up
    axis = torch.cat([one_sided, -one_sided[1:].flip(0)])
    kept = torch.arange(1 - FILTER_SUPPORT * up, FILTER_SUPPORT * up)
    lag = (kept[:, None] - torch.arange(len(axis))) % len(axis)
    return axis, torch.sinc(axis)[lag], lanczos_window(axis)[lag]


def band_limit_filter(matrix: Tensor, up: int = 1) -> Tensor:
    """The filter that keeps what both a picture's grid and the grid moved by `matrix` can hold.

    With (x', y') = A (x, y), A the 2 x 2 part of `matrix` [3, 3]: f = (sinc(x) sinc(y) * sinc(x') sinc(y')) times
    (L(x) L(y) * L(x') L(y')), where * is the circular convolution and L the Lanczos window; cut to 6 pixels on each
    side, each of its up^2 phases scaled to sum 1 / up^2. [12 up - 1, 12 up - 1] float64.
    """
    axis, sincs, windows = filter_axis(up)
    a, x, y = matrix.double(), axis, axis[:, None]
    moved_x, moved_y = a[0, 0] * x + a[0, 1] * y, a[1, 0] * x + a[1, 1] * y
    band = sincs @ (torch.sinc(moved_x) * torch.sinc(moved_y)) @ sincs.T
    window = windows @ (lanczos_window(moved_x) * lanczos_window(moved_y)) @ windows.T
    f = F.pad(band * window, (0, 1, 0, 1))
    phases = f.view(2 * FILTER_SUPPORT, up, 2 * FILTER_SUPPORT, up)
    return (phases / phases.sum((0, 2), keepdim=True) / up**2).view(f.shape)[:-1, :-1]


def oversample(images: Tensor, f: Tensor) -> Tensor:
    """`images` [N, C, H, W] at 4 times the rate, filtered with `f` [47, 47]: [N, C, 4 H + 46, 4 W + 46].

    Zero insertion, 48 zeros before and 44 after, convolution, gain 16; by phases. The first pixel stands at output
    index 25.
    """
    n, c, height, width = images.shape
    up, taps = OVERSAMPLING, 2 * FILTER_SUPPORT + 1
    # Output 4 q + r takes input q - 12 + m with tap 4 m - r; the filter is padded so that tap -3 exists.
    by_phase = F.pad(f, (up - 1, 2, up - 1, 2)).view(taps, up, taps, up).permute(1, 3, 0, 2).flip(0, 1)
    weight = (by_phase.reshape(up * up, 1, taps, taps) * up**2).to(images)
    found = F.conv2d(images.reshape(n * c, 1, height, width), weight, padding=taps - 1)
    found = F.pixel_shuffle(found, up)
    extra = len(f) - 1
    return found[:, 0, : up * height + extra, : up * width + extra].reshape(n, c, up * height + extra, -1)


def rotate(images: Tensor, angle: float) -> Moved:
    """`images` rotated about their middle."""
    return resample(images, rotation_matrix(angle))


def resample(images: Tensor, matrix: Tensor) -> Moved:
    """`images` moved by an affine `matrix` [3, 3] (float64): band-limited, 4 times oversampled, sampled bilinearly."""
    height, width = images.shape[2:]
    f = band_limit_filter(matrix, OVERSAMPLING)
    fine = oversample(images, f)
    border = len(f) // 2
    known = F.pad(
        images.new_ones(1, 1, *(side - 2 * (2 * border + 1) for side in fine.shape[2:])), [2 * border + 1] * 4
    )
    theta = torch.linalg.inv(matrix)
    theta[:2, 2] *= 2
    theta[0, 2] += 1 / (OVERSAMPLING * width)
    theta[1, 2] += 1 / (OVERSAMPLING * height)
    theta[0] *= width / (width + 2 * border / OVERSAMPLING)
    theta[1] *= height / (height + 2 * border / OVERSAMPLING)
    grid = F.affine_grid(theta[None, :2], [1, 1, height, width], align_corners=False)
    grid = grid.to(images).expand(len(images), -1, -1, -1)
    moved = F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    mask = F.grid_sample(known, grid[:1], mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, mask.expand_as(moved)


def pseudo_rotate(images: Tensor, angle: float) -> Moved:
    """`images`, which a generator has drawn rotated by `angle`, limited to the band that `rotate` leaves a picture.

    A rotation cannot keep the corners of the spectrum; the filter takes from a generated picture what the rotated
    reference has lost. Pictures keep their place and size; 5 pixels at each side are unknown.
    """
    n, c, height, width = images.shape
    f = band_limit_filter(rotation_matrix(-angle)).to(images)
    border = len(f) // 2
    moved = F.conv2d(images.reshape(n * c, 1, height, width), f[None, None], padding=border).view(n, c, height, width)
    mask = torch.zeros_like(images)
    mask[:, :, border : height - border, border : width - border] = 1
    return moved, mask
