"""The blur that fades: its taps, its course, and what the discriminator's gradients see of it."""

from __future__ import annotations

import math

import pytest
import torch

from openstylegan.augment.blur import FadingBlur, blur, blur_taps
from openstylegan.config import BlurConfig
from openstylegan.errors import InputError


def test_published_taps():
    taps = blur_taps(10)
    assert len(taps) == 61
    assert float(taps[30]) == pytest.approx(0.0469872206, abs=1e-8)
    assert float(taps[20]) == float(taps[40]) == pytest.approx(0.0234936103, abs=1e-8)
    assert float(taps[0]) == pytest.approx(9.1772e-05, abs=1e-9)
    assert float(taps.sum()) == pytest.approx(1, abs=1e-12)
    steps = torch.arange(-30, 31).double()
    assert float((taps * steps.square()).sum().sqrt()) == pytest.approx(10 / math.sqrt(2 * math.log(2)), rel=5e-3)


def test_a_dot_becomes_the_outer_product_and_the_size_stays():
    dot = torch.zeros(1, 2, 21, 25, dtype=torch.float64)
    dot[0, 1, 10, 12] = 1
    spread = blur(dot, 1.5)
    assert spread.shape == dot.shape
    taps = blur_taps(1.5)
    assert (spread[0, 1, 6:15, 8:17] - taps.outer(taps)).abs().max() < 1e-15
    assert not spread[0, 0].any()


def test_zeros_are_around_the_picture():
    edge = blur(torch.ones(1, 1, 30, 30, dtype=torch.float64), 2.0)
    taps = blur_taps(2.0)
    assert float(edge[0, 0, 15, 15]) == pytest.approx(1)
    assert float(edge[0, 0, 15, 0]) == pytest.approx(float(taps[6:].sum()))


def test_the_course():
    fading = FadingBlur(10, 200)
    assert [fading.sigma_at(n) for n in (0, 50_000, 100_000, 200_000, 300_000)] == [10, 7.5, 5, 0, 0]
    images = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fading(images, 200_000), images)
    assert torch.equal(fading(images, 194_000), images), "below a third of a pixel there is one tap"
    assert not torch.equal(fading(images, 190_000), images)
    assert torch.equal(FadingBlur()(images, 0), images)


def test_several_resolutions_are_blurred_in_proportion():
    big = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    small = torch.nn.functional.avg_pool2d(big, 2)
    blurred = FadingBlur(4, 1)((small, big), 0)
    assert torch.equal(blurred[0], blur(small, 2))
    assert torch.equal(blurred[1], blur(big, 4))


def test_gradients_to_second_order():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: blur(x, 1.0), (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: blur(x, 1.0), (x,), fast_mode=True)


@pytest.mark.parametrize(("sigma", "fade"), [(10, 0), (0, 200), (-1, 5), (1, float("inf"))])
def test_refuses(sigma, fade):
    with pytest.raises(InputError, match="blur"):
        FadingBlur.of(BlurConfig(sigma, fade))
    assert FadingBlur.of(BlurConfig()) == FadingBlur()
