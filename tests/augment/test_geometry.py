from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from openstylegan.augment.draws import PercentileDraws, RandomDraws
from openstylegan.augment.geometry import (
    at_size,
    geometry_filter,
    inverse_transforms,
    margins,
    quarter_turns,
    rotation,
    scaling,
    transform_reference,
    translation,
)
from openstylegan.augment.options import pipe_options
from openstylegan.augment.resampling import transform_fast
from openstylegan.randomness import BatchStream, generator

TAPS = geometry_filter()


def smooth(height: int = 48, width: int = 48) -> Tensor:
    """A picture without symmetry and without fine detail, [1, 1, H, W] float64."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    blob = torch.exp(-20 * ((x - 0.3) ** 2 + 2 * (y + 0.2) ** 2)) + 0.6 * torch.exp(
        -25 * ((x + 0.2) ** 2 + (y + 0.3) ** 2)
    )
    return blob.double()[None, None]


def centre(image: Tensor) -> tuple[float, float]:
    """Centre of mass (x, y) in pixels from the middle."""
    mass = image[0, 0]
    y, x = (torch.arange(s).double() - (s - 1) / 2 for s in mass.shape)
    return float((mass.sum(0) * x).sum() / mass.sum()), float((mass.sum(1) * y).sum() / mass.sum())


def transformed(image: Tensor, matrix: np.ndarray) -> Tensor:
    reference = transform_reference(image, matrix, TAPS)
    fast = transform_fast(image, matrix, TAPS.double().numpy())
    torch.testing.assert_close(fast, reference, rtol=0, atol=1e-11)
    return fast


def at_percentile(percentile: float, size: int = 48, **options: Any) -> np.ndarray:
    return inverse_transforms(pipe_options(None, **options), PercentileDraws(percentile, 1), size, size)


def test_filter():
    expected = [0.010892349, 0.0024683059, -0.0834316, -0.03416156, 0.34722894, 0.5569464]
    expected += [0.23895217, -0.05136248, -0.014891874, 0.031625278, 0.001249961, -0.0055159335]
    torch.testing.assert_close(TAPS, torch.tensor(expected), rtol=0, atol=1e-8)


def test_identity_is_nearly_one():
    image = smooth()
    assert (transformed(image, np.eye(3)[None]) - image).abs().max() < 1e-4


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_those_of_rot90(turns: int):
    """Not exact to the pixel: the wavelet's filter is not symmetric."""
    image = smooth()
    turned = transformed(image, quarter_turns(np.array([turns])))
    expected = torch.rot90(image, turns, (2, 3))
    assert (turned - expected).abs().max() < 0.03
    assert (turned - torch.rot90(image, turns + 1, (2, 3))).abs().max() > 0.5
    np.testing.assert_allclose(at_percentile((turns + 0.5) / 4, rotate90=1), quarter_turns(np.array([turns])))


def test_flip_is_left_to_right():
    image = smooth()
    flipped = transformed(image, at_percentile(0.75, xflip=1))
    assert (flipped - image.flip(3)).abs().max() < 0.03
    np.testing.assert_array_equal(at_percentile(0.25, xflip=1)[0], np.eye(3))


def test_positive_shifts_move_content_right_and_down():
    image = smooth()
    x, y = centre(image)
    moved = transformed(image, at_percentile(0.9, xint=1))
    new_x, new_y = centre(moved)
    shift = round(0.8 * 0.125 * 48)
    assert new_x - x == pytest.approx(shift, abs=0.3)
    assert new_y - y == pytest.approx(shift, abs=0.3)
    inner = slice(10, 38)
    torch.testing.assert_close(
        moved[..., inner, inner], image[..., 10 - shift : 38 - shift, 10 - shift : 38 - shift], rtol=0, atol=1e-4
    )
    np.testing.assert_allclose(at_percentile(0.9, xfrac=1)[0, :2, 2], -erfinv_normal(0.9) * 0.125 * 48)


def erfinv_normal(percentile: float) -> float:
    return float(torch.erfinv(torch.tensor(2 * percentile - 1, dtype=torch.float64)))


def test_positive_angles_turn_counter_clockwise():
    image = smooth()
    angle = 0.3
    x, y = centre(image)
    new_x, new_y = centre(transformed(image, rotation(np.array([angle]))))
    before, after = math.atan2(-y, x), math.atan2(-new_y, new_x)  # y points down on screen
    assert after - before == pytest.approx(angle, abs=0.05)


def test_scale_enlarges():
    image = smooth()
    s = 2 ** (0.2 * erfinv_normal(0.97))
    larger = transformed(image, at_percentile(0.97, scale=1))
    assert larger.sum() / image.sum() == pytest.approx(s**2, rel=0.02)
    stretched = transformed(image, at_percentile(0.97, aniso=1))
    x, y = centre(image)
    new_x, new_y = centre(stretched)
    assert new_x / x == pytest.approx(s, rel=0.03)
    assert new_y / y == pytest.approx(1 / s, rel=0.03)


def test_order_of_the_transforms():
    """M = flip, turn, whole shift, scale, rotation, aniso, fractional shift, each multiplied on the right."""
    q, size = 0.8, 40
    n = erfinv_normal(q)
    s, a = np.array([2 ** (0.2 * n)]), np.array([2 ** (0.2 * n)])
    expected = (
        scaling(np.array([-1.0]), np.array([1.0]))
        @ quarter_turns(np.array([3]))
        @ translation(*[np.array([-np.rint(0.6 * 0.125 * size)])] * 2)
        @ scaling(1 / s, 1 / s)
        @ rotation(np.array([0.6 * np.pi]))
        @ scaling(1 / a, a)
        @ translation(*[np.array([-0.125 * size * n])] * 2)
    )
    on = {"xflip": 1, "rotate90": 1, "xint": 1, "scale": 1, "rotate": 1, "aniso": 1, "xfrac": 1}
    np.testing.assert_allclose(at_percentile(q, size, **on), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("option", "share"),
    [("xflip", 0.5), ("rotate90", 0.75), ("scale", 1), ("rotate", 1), ("aniso", 1), ("xfrac", 1), ("xint", 288 / 289)],
)
@pytest.mark.parametrize(("strength", "p"), [(1, 0.4), (0.5, 1)])
def test_how_often_a_picture_moves(option: str, share: float, strength: float, p: float):
    """A flip of 0 or a turn of 0 is among the draws, so half of the flips and a quarter of the turns are not seen."""
    n = 20_000
    draws = RandomDraws(BatchStream(generator(1, "moves")), n, p)
    matrix = inverse_transforms(pipe_options(None, **{option: strength}), draws, 64, 64)
    moved = (matrix != np.eye(3)).any(axis=(1, 2)).mean()
    rate = strength * p * share
    assert abs(moved - rate) < 4 * math.sqrt(rate * (1 - rate) / n)


def test_spread_of_the_draws():
    n = 20_000
    draws = RandomDraws(BatchStream(generator(2, "spread")), n, 1.0)

    def matrices(**options: float) -> np.ndarray:
        return inverse_transforms(pipe_options(None, **options), draws, 32, 64)

    assert np.log2(matrices(scale=1)[:, 0, 0]).std() == pytest.approx(0.2, rel=0.03)
    np.testing.assert_allclose(np.linalg.det(matrices(aniso=1)), 1)
    shift = matrices(xfrac=1)[:, :2, 2]
    np.testing.assert_allclose(shift.std(axis=0), [0.125 * 64, 0.125 * 32], rtol=0.03)
    whole = matrices(xint=1)[:, :2, 2]
    assert np.abs(whole).max(axis=0).tolist() == [8, 4]
    assert (whole == np.rint(whole)).all()
    turned = matrices(rotate=1)
    assert np.arctan2(turned[:, 1, 0], turned[:, 0, 0]).std() == pytest.approx(np.pi / math.sqrt(3), rel=0.03)


def test_margins():
    """Twelve pixels of filter for a picture that stays, its own size less one at most."""
    assert margins(np.eye(3)[None], 32, 48)[0].tolist() == [6, 6, 6, 6]
    shift = translation(np.array([-10.5, 100.0]), np.array([0.0, 0.0]))
    assert margins(shift, 32, 48).tolist() == [[17, 6, 0, 6], [0, 6, 47, 6]]
    assert margins(np.eye(3)[None], 4, 1)[0].tolist() == [0, 3, 0, 3]


@pytest.mark.parametrize("new", [(16, 24), (64, 96), (16, 32)])
def test_the_same_transform_at_another_size(new: tuple[int, int]):
    """Edges, in the units of the picture, go to the same places."""
    old = (32, 48)
    matrix = rotation(np.array([0.4])) @ translation(np.array([5.0]), np.array([-3.0]))
    corner = np.array([old[1] / 2, -old[0] / 2, 1])
    scale = np.array([new[1] / old[1], new[0] / old[0], 1])
    np.testing.assert_allclose(at_size(matrix, old, new)[0] @ (corner * scale), (matrix[0] @ corner) * scale)
    assert at_size(matrix, old, old) is matrix
