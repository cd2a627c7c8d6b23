"""Geometric transforms without rotation, one axis at a time: the whole resampling as one matrix along each.

Where a transform takes rows to rows (or, with quarter turns, rows to columns), reflecting, enlarging, sampling and
reducing each act on the two axes apart, so that their product along an axis is a matrix [new size, old size].
"""

from __future__ import annotations

import numpy as np

from openstylegan.augment.filtering import reflected
from openstylegan.augment.geometry import NUM_TAPS

HALF = NUM_TAPS // 2
"""Taps of the filter that meet a picture's samples on the twice enlarged axis."""


def fine_positions(size: int, count: int | None = None) -> np.ndarray:
    """Twice the coordinates, from the middle, of the `count` (default: all 2 size + 10) samples that are reduced."""
    return np.arange(2 * size + NUM_TAPS - 2 if count is None else count) - size - (HALF - 2.0)


def is_turned(matrix: np.ndarray) -> bool | None:
    """Whether a separable transform takes rows to columns; None where a transform `M [3, 3]` is not separable."""
    if not (matrix[0, 1] or matrix[1, 0]):
        return False
    return None if matrix[0, 0] or matrix[1, 1] else True


def axis_matrices(
    matrix: np.ndarray, sides: np.ndarray, size: tuple[int, int], taps: np.ndarray, turned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`left [n, H, *]`, `right [n, W, *]` of transforms `M [n, 3, 3]` with y = left x right^T (x^T where turned)."""
    height, width = size
    left, top, right, bottom = sides.T
    new_x, new_y = (height, width) if turned else (width, height)
    slope_x, slope_y = (matrix[:, 0, 1], matrix[:, 1, 0]) if turned else (matrix[:, 0, 0], matrix[:, 1, 1])
    along_x = axis_matrix(slope_x, matrix[:, 0, 2], (width, new_x), (left, right), taps)
    along_y = axis_matrix(slope_y, matrix[:, 1, 2], (height, new_y), (top, bottom), taps)
    return (along_x, along_y) if turned else (along_y, along_x)


def axis_matrix(
    slope: np.ndarray,
    shift: np.ndarray,
    sizes: tuple[int, int],
    reflected_pixels: tuple[np.ndarray, np.ndarray],
    taps: np.ndarray,
) -> np.ndarray:
    """`[n, new, old]`: the resampling along an axis that is read at `slope * position + shift`, each `[n]`.

    sizes: (old, new). reflected_pixels: how many exist before and after the axis.
    """
    old, new = sizes
    before, after = (r[:, None] for r in reflected_pixels)
    position = slope[:, None] * fine_positions(new) + (2 * shift + old - 1)[:, None]
    below = np.floor(position)
    share = position - below
    k = below.astype(np.int64)
    low = (1 - share) * ((k >= -2 * before) & (k < 2 * (old + after)))
    high = share * ((k + 1 >= -2 * before) & (k + 1 < 2 * (old + after)))
    pair = (k + 1) // 2
    tables = weights_by_parity(taps)[:, k - 2 * pair + 1]
    pixel = pair[..., None] - HALF // 2 + np.arange(HALF + 1)
    exists = (pixel >= -before[..., None]) & (pixel < old + after[..., None])
    weight = (low[..., None] * tables[0] + high[..., None] * tables[1]) * exists
    row = np.arange(k.size).reshape(*k.shape, 1)
    flat = row * old + reflected(pixel, old)
    fine = np.bincount(flat.reshape(-1), weight.reshape(-1), k.size * old).reshape(*k.shape, old)
    return reduce_rows(fine, new, taps)


def weights_by_parity(taps: np.ndarray) -> np.ndarray:
    """`[2, 2, 7]`: weights of pixels p - 3 ... p + 3 in the enlarged samples k and k + 1, for k = 2 p - 1 and 2 p.

    Enlarged sample k is sum_i 2 f[k - 2 i + 5] x[i].
    """
    pixel = np.arange(HALF + 1) - HALF // 2
    k = np.array([[-1, 0], [0, 1]])  # [k or k + 1, parity] at p = 0
    tap = k[..., None] - 2 * pixel + HALF - 1
    return np.where((tap >= 0) & (tap < NUM_TAPS), 2 * taps[np.clip(tap, 0, NUM_TAPS - 1)], 0)


def reduce_rows(fine: np.ndarray, new: int, taps: np.ndarray) -> np.ndarray:
    """Rows `[n, 2 new + 10, old]` filtered and every second one kept: result o is sum_t f[t] fine[2 o + t]."""
    out = np.zeros((len(fine), new, fine.shape[2]))
    product = np.empty_like(out)
    for t, tap in enumerate(taps):
        out += np.multiply(fine[:, t : t + 2 * new : 2], tap, out=product)
    return out
