"""Moving pictures: the published program's values, and what a shift, a rotation and a band limit must do."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.metrics.shifting import (
    band_limit_filter,
    oversample,
    pseudo_rotate,
    rotate,
    rotation_matrix,
    translate_fraction,
    translate_whole,
)
from openstylegan.ops.upfirdn2d import upfirdn2d

CHECK = torch.sin(0.013 * torch.arange(3072, dtype=torch.float64)).float().reshape(1, 3, 32, 32)


def smooth(size: int = 64, sigma_px: float = 5.0, at: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """A Gaussian spot `at` (x, y) image widths from the middle, [1, 1, size, size] float64."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
    x, y = axis - at[0], axis - at[1]
    return torch.exp(-(x**2 + y[:, None] ** 2) * size**2 / (2 * sigma_px**2))[None, None]


def test_the_filters_have_the_published_values() -> None:
    f = band_limit_filter(rotation_matrix(0.3), up=4)
    assert f.shape == (47, 47)
    published = {
        (23, 23): 0.05553664,
        (23, 24): 0.05031630,
        (24, 23): 0.05031632,
        (20, 27): -2.3858e-04,
        (10, 12): 1.7759e-05,
    }
    for place, value in published.items():
        assert float(f[place]) == pytest.approx(value, abs=5e-8)
    f = band_limit_filter(rotation_matrix(0.3))
    assert f.shape == (11, 11)
    for place, value in {(5, 5): 0.99964064, (5, 6): 0.03489966, (6, 5): 0.03489968, (4, 7): 0.01853471}.items():
        assert float(f[place]) == pytest.approx(value, abs=2e-7)


def test_every_phase_of_a_filter_has_the_same_sum() -> None:
    f = band_limit_filter(rotation_matrix(-1.1), up=4)
    sums = F.pad(f, (0, 1, 0, 1)).view(12, 4, 12, 4).sum((0, 2))
    torch.testing.assert_close(sums, torch.full((4, 4), 1 / 16).double(), rtol=1e-12, atol=0)
    torch.testing.assert_close(f, f.flip(0, 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("function", "arguments", "total", "known", "pixels"),
    [
        (rotate, (0.3,), -10.730506, 1197, {(0, 1, 16, 9): 0.41546321, (0, 2, 10, 20): 0.29710019}),
        (pseudo_rotate, (0.3,), 125.789429, 1452, {(0, 1, 16, 9): 0.94419193}),
        (
            translate_fraction,
            (0.07, -0.045),
            22.950037,
            2187,
            {(0, 1, 16, 9): 0.97368443, (0, 0, 0, 0): 0.01705082},
        ),
        (translate_whole, (3 / 32, -2 / 32), -14.853636, 2610, {(0, 1, 16, 9): 0.89709431}),
    ],
)
def test_the_published_check_values(function, arguments, total: float, known: int, pixels: dict) -> None:
    moved, mask = function(CHECK, *arguments)
    assert float(moved.sum(dtype=torch.float64)) == pytest.approx(total, abs=2e-4)
    assert float(mask.sum()) == known
    assert moved.shape == mask.shape == CHECK.shape
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    for place, value in pixels.items():
        assert float(moved[place]) == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("shape", [(5, 7), (8, 8)])
def test_oversampling_by_phases_is_oversampling(shape: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    f = torch.randn(47, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = upfirdn2d(images, f, up=4, padding=[48, 44, 48, 44], gain=16, flip_filter=True)
    torch.testing.assert_close(oversample(images, f), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("x", "y"), [(0.1, -0.06), (-0.033, 0.12), (0, 0)])
def test_a_spot_moves_by_any_fraction(x: float, y: float) -> None:
    moved, mask = translate_fraction(smooth(), x, y)
    assert float(((moved - smooth(at=(x, y))).abs() * mask).max()) < 3e-3
    assert 0.6 < float(mask.mean()) < 1


@pytest.mark.parametrize(("x", "y"), [(3, -2), (-4, 0), (0, 7), (0, 0), (40, 1)])
def test_whole_pixels_move_exactly(x: int, y: int) -> None:
    images = torch.arange(1.0, 2 * 8 * 12 + 1).view(1, 2, 8, 12)
    moved, mask = translate_whole(images, x / 12, y / 8)
    for row in range(8):
        for column in range(12):
            inside = 0 <= row - y < 8 and 0 <= column - x < 12
            expected = images[0, :, row - y, column - x] if inside else torch.zeros(2)
            assert torch.equal(moved[0, :, row, column], expected)
            assert bool((mask[0, :, row, column] == float(inside)).all())
    if (x, y) != (40, 1):
        fractional, known = translate_fraction(images.double(), x / 12, y / 8)
        torch.testing.assert_close(fractional * known, moved.double() * known, rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [0.3, -2.1, math.pi])
def test_a_spot_turns_about_the_middle(angle: float) -> None:
    """A positive angle turns counter-clockwise on the screen, where y points down."""
    start = (0.2, 0.1)
    end = (
        math.cos(angle) * start[0] + math.sin(angle) * start[1],
        -math.sin(angle) * start[0] + math.cos(angle) * start[1],
    )
    moved, mask = rotate(smooth(at=start), angle)
    assert float(((moved - smooth(at=end)).abs() * mask).max()) < 6e-3
    assert float(mask.sum()) > 1000


def test_the_band_limit_leaves_smooth_pictures_and_takes_the_corners_of_the_spectrum() -> None:
    kept, mask = pseudo_rotate(smooth(), 0.7)
    assert float(((kept - smooth()).abs() * mask).max()) < 1e-3
    sign = (-1.0) ** torch.arange(64, dtype=torch.float64)
    corner = (sign * sign[:, None])[None, None]
    taken, mask = pseudo_rotate(corner, 0.7)
    assert float((taken * mask).abs().max()) < 0.05
