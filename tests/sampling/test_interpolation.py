"""The looping spline against SciPy's, and how seeds are dealt out to the cells."""

from __future__ import annotations

import numpy as np
import pytest

from openstylegan.errors import InputError
from openstylegan.sampling.interpolation import LoopingSpline, keyframe_seeds, second_derivatives


@pytest.mark.parametrize("num", [1, 2, 3, 7])
def test_the_spline_is_scipy_s_over_the_repeated_keyframes(num: int) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    keyframes = np.random.RandomState(num).randn(num, 2, 3)
    spline = LoopingSpline(keyframes)
    at = np.arange(-2 * num, 3 * num)
    expected = interpolate.interp1d(at, np.tile(keyframes, (5, 1, 1)), kind="cubic", axis=0)
    for t in np.arange(8 * num) / 8:
        assert np.abs(spline(t) - expected(t)).max() < 1e-13


def test_keyframes_are_met_and_the_loop_closes_smoothly() -> None:
    keyframes = np.random.RandomState(0).randn(5, 4)
    spline = LoopingSpline(keyframes)
    for k in range(5):
        assert np.allclose(spline(k), keyframes[k], atol=1e-14)
    step = 1e-4
    before, after = spline(5 - step) - spline(5 - 2 * step), spline(step) - spline(0)
    assert np.abs(before - after).max() / step < 1e-2
    assert np.abs(spline(5 - step) - keyframes[0]).max() < 1e-3


def test_a_cubic_is_its_own_spline() -> None:
    x = np.arange(9.0)
    for n in (4, 5, 9):
        assert np.allclose(second_derivatives((x**3 - 2 * x)[:n]), 6 * x[:n])


def test_seeds_are_dealt_out_in_order() -> None:
    assert keyframe_seeds([5, 6, 7, 8], 2).tolist() == [[5, 6], [7, 8]]
    assert keyframe_seeds([1, 2, 3], 2, 2).tolist() == [[1, 2], [3, 1]]
    assert keyframe_seeds([1, 2, 3], 1, 2).tolist() == [[1, 2]]


def test_shuffling_is_numpy_s() -> None:
    expected = [5, 6, 7, 8, 9, 10]
    np.random.RandomState(3).shuffle(expected)
    assert keyframe_seeds(range(5, 11), 2, None, 3).flatten().tolist() == expected != list(range(5, 11))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([1, 2, 3], 2), "divisible by the 2"), (([], 1), "at least one seed"), (([1], 1, 0), "at least 1 cell")],
)
def test_what_cannot_be_dealt_out_is_refused(arguments: tuple[list[int], int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        keyframe_seeds(*arguments)
