"""Looping interpolation of ws: a cubic spline through keyframes, as the StyleGAN3 video generator has it.

The original takes SciPy's `interp1d(kind="cubic")`, which is the not-a-knot spline, over the keyframes repeated five
times; the middle repetition is what is seen, so the loop closes smoothly. The same spline is solved here in NumPy, in
float64, for SciPy is not needed for anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openstylegan.errors import InputError

WRAPS = 2
"""How often the keyframes are repeated before and after the part that is seen."""


def second_derivatives(y: np.ndarray) -> np.ndarray:
    """m [n, ...] of the not-a-knot cubic spline through `y` [n, ...] at 0, 1, ..., n - 1, for n >= 4.

    m_{i-1} + 4 m_i + m_{i+1} = 6 d_i with the second differences d_i = y_{i-1} - 2 y_i + y_{i+1}; not-a-knot
    (m_0 - 2 m_1 + m_2 = 0, and so at the end) makes m_1 = d_1 and m_{n-2} = d_{n-2}.
    """
    n = len(y)
    assert n >= 4, "the spline needs four points"
    m = np.empty_like(y)
    m[1:-1] = y[:-2] - 2 * y[1:-1] + y[2:]
    right = 6 * m[2:-2]
    if len(right):
        right[0] -= m[1]
        right[-1] -= m[-2]
        m[2:-2] = solve_tridiagonal(right)
    m[0], m[-1] = 2 * m[1] - m[2], 2 * m[-2] - m[-3]
    return m


def solve_tridiagonal(right: np.ndarray) -> np.ndarray:
    """x [n, ...] with x_{i-1} + 4 x_i + x_{i+1} = right_i, what lies outside being 0."""
    x, ratios = right.copy(), np.empty(len(right))
    for i in range(len(x)):
        pivot = 4 - (ratios[i - 1] if i else 0.0)
        ratios[i] = 1 / pivot
        x[i] = (x[i] - (x[i - 1] if i else 0.0)) / pivot
    for i in range(len(x) - 2, -1, -1):
        x[i] -= ratios[i] * x[i + 1]
    return x


class LoopingSpline:
    """A closed curve through `keyframes` [K, ...]: its value at t is [...], float64; keyframe k is at t = k."""

    def __init__(self, keyframes: np.ndarray):
        self.num_keyframes = num = len(keyframes)
        y = np.concatenate([np.asarray(keyframes, np.float64)] * (2 * WRAPS + 1))
        seen = slice(WRAPS * num, (WRAPS + 1) * num + 1)
        self.y, self.m = y[seen].copy(), second_derivatives(y)[seen].copy()

    def __call__(self, t: float) -> np.ndarray:
        """The value at `t` in [0, K)."""
        assert 0 <= t < self.num_keyframes
        i = int(t)
        b = t - i
        a = 1 - b
        return a * self.y[i] + b * self.y[i + 1] + ((a**3 - a) * self.m[i] + (b**3 - b) * self.m[i + 1]) / 6


def keyframe_seeds(
    seeds: Sequence[int], num_cells: int, num_keyframes: int | None = None, shuffle_seed: int | None = None
) -> np.ndarray:
    """Which seed is where, [num_cells, K]: consecutive seeds are the keyframes of a cell.

    Without `num_keyframes` the seeds are dealt out evenly; with it they are repeated as often as needed. `shuffle_seed`
    shuffles them first. Raises `InputError`.
    """
    if not seeds:
        raise InputError("expected at least one seed; give --seeds such as 0-7")
    if num_cells < 1 or (num_keyframes is not None and num_keyframes < 1):
        raise InputError(f"expected at least 1 cell and 1 keyframe, got {num_cells} and {num_keyframes}")
    if num_keyframes is None:
        if len(seeds) % num_cells:
            raise InputError(
                f"expected a number of seeds divisible by the {num_cells} cells of the grid, got {len(seeds)}; give "
                "more or fewer --seeds, or --num-keyframes"
            )
        num_keyframes = len(seeds) // num_cells
    flat = np.resize(np.array(seeds, np.int64), num_cells * num_keyframes)
    if shuffle_seed is not None:
        np.random.RandomState(shuffle_seed).shuffle(flat)
    return flat.reshape(num_cells, num_keyframes)
