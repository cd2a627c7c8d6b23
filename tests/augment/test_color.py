from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from openstylegan.augment import AugmentPipe
from openstylegan.augment.color import apply_color, color_matrices, hue_rotation
from openstylegan.augment.draws import PercentileDraws, RandomDraws
from openstylegan.augment.options import COLOR, pipe_options
from openstylegan.errors import InputError
from openstylegan.randomness import BatchStream, generator

IMAGES = torch.randn(3, 3, 6, 5, generator=generator(0, "color"), dtype=torch.float64)


def at_percentile(percentile: float, channels: int = 3, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    return color_matrices(pipe_options(None, **options), PercentileDraws(percentile, 3), channels)


def quantile(percentile: float) -> float:
    return float(torch.erfinv(torch.tensor(2 * percentile - 1, dtype=torch.float64)))


def test_brightness_adds_then_contrast_multiplies():
    b, c = 0.2 * quantile(0.7), 2 ** (0.5 * quantile(0.7))
    actual = apply_color(IMAGES, *at_percentile(0.7, brightness=1, contrast=1))
    torch.testing.assert_close(actual, (IMAGES + b) * c)


def test_luma_flip_mirrors_the_grey_axis():
    grey = IMAGES.mean(1, keepdim=True)
    torch.testing.assert_close(apply_color(IMAGES, *at_percentile(0.8, lumaflip=1)), IMAGES - 2 * grey)
    assert apply_color(IMAGES, *at_percentile(0.2, lumaflip=1)) is IMAGES


def test_saturation_scales_what_is_not_grey():
    grey, s = IMAGES.mean(1, keepdim=True), 2 ** quantile(0.7)
    torch.testing.assert_close(apply_color(IMAGES, *at_percentile(0.7, saturation=1)), grey + (IMAGES - grey) * s)


def test_a_third_of_a_turn_in_hue_takes_red_to_green():
    matrix = hue_rotation(np.array([2 * math.pi / 3]))[0]
    np.testing.assert_allclose(matrix @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(matrix @ [1, 1, 1], [1, 1, 1], atol=1e-15)
    angle = (0.6 * 2 - 1) * math.pi * 0.5
    np.testing.assert_allclose(at_percentile(0.6, hue=1, hue_max=0.5)[0][0], hue_rotation(np.array([angle]))[0])


def homogeneous(percentile: float) -> np.ndarray:
    """C as 4 x 4 steps, from the transforms' definitions."""
    n, v = quantile(percentile), np.array([1, 1, 1, 0]) / math.sqrt(3)
    c = np.eye(4)
    c[:3, 3] = 0.2 * n
    c = np.diag([2 ** (0.5 * n)] * 3 + [1]) @ c
    c = (np.eye(4) - 2 * math.floor(2 * percentile) * np.outer(v, v)) @ c
    turn = np.eye(4)
    turn[:3, :3] = hue_rotation(np.array([(2 * percentile - 1) * math.pi]))[0]
    return (np.outer(v, v) + (np.eye(4) - np.outer(v, v)) * 2**n) @ turn @ c


@pytest.mark.parametrize("percentile", [0.2, 0.65])
def test_all_together(percentile: float):
    matrix, offset = at_percentile(percentile, **dict.fromkeys(COLOR, 1))
    expected = homogeneous(percentile)
    np.testing.assert_allclose(matrix[0], expected[:3, :3], atol=1e-14)
    np.testing.assert_allclose(offset[0], expected[:3, 3], atol=1e-14)


def test_grey_pictures_have_no_hue_and_no_saturation():
    on = dict.fromkeys(COLOR, 1)
    grey = IMAGES[:, :1]
    actual = apply_color(grey, *at_percentile(0.7, channels=1, **on))
    n = quantile(0.7)
    torch.testing.assert_close(actual, -(grey + 0.2 * n) * 2 ** (0.5 * n))


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_left_as_it_is(channels: int):
    x = torch.randn(3, channels, 6, 5, generator=generator(1, "color"), dtype=torch.float64)
    color = at_percentile(0.7, channels=channels, **dict.fromkeys(COLOR, 1))
    actual = apply_color(x, *color)
    torch.testing.assert_close(actual[:, :-1], apply_color(x[:, :-1], *color))
    assert torch.equal(actual[:, -1], x[:, -1])


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(InputError, match="expected 1 .grey., 2 .* got 5"):
        AugmentPipe(preset="color")(torch.zeros(1, 5, 8, 8))
    AugmentPipe(preset="geom")(torch.zeros(1, 5, 8, 8))


@pytest.mark.parametrize("option", COLOR)
def test_how_often_colours_change(option: str):
    n, p = 20_000, 0.4
    draws = RandomDraws(BatchStream(generator(1, "rates")), n, p)
    matrix, offset = color_matrices(pipe_options(None, **{option: 1}), draws, 3)
    changed = ((matrix != np.eye(3)).any(axis=(1, 2)) | (offset != 0).any(axis=1)).mean()
    rate = p / 2 if option == "lumaflip" else p
    assert abs(changed - rate) < 4 * math.sqrt(rate * (1 - rate) / n)
