from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from openstylegan.augment.draws import RandomDraws
from openstylegan.augment.geometry import (
    geometry_filter,
    inverse_transforms,
    quarter_turns,
    rotation,
    scaling,
    transform_reference,
    translation,
)
from openstylegan.augment.options import pipe_options
from openstylegan.augment.resampling import Resampling, Span, Tiling, transform_fast
from openstylegan.randomness import BatchStream, generator

TAPS = geometry_filter()
HOST_TAPS = TAPS.double().numpy()
SIZES = [(32, 32), (24, 40), (53, 31), (8, 8), (5, 9), (1, 7), (1, 1), (20, 150)]


def transforms(num: int, size: tuple[int, int], p: float = 1.0, preset: str = "bg", seed: int = 0) -> np.ndarray:
    draws = RandomDraws(BatchStream(generator(seed, "transforms")), num, p)
    return inverse_transforms(pipe_options(preset), draws, *size)


def images(num: int, channels: int, size: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(num, channels, *size, generator=generator(0, "images"), dtype=dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("p", [0, 0.4, 1])
def test_fast_is_the_reference_to_second_order(size: tuple[int, int], p: float):
    x, matrix = images(6, 2, size).requires_grad_(), transforms(6, size, p)
    results = []
    for y in (transform_fast(x, matrix, HOST_TAPS), transform_reference(x, matrix, TAPS)):
        first = torch.autograd.grad((y**3).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad((first**2).sum(), x)[0]
        results.append((y.detach(), first.detach(), second))
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=0, atol=1e-11 * float(reference.abs().max().clamp_min(1)))


@pytest.mark.parametrize("size", [(64, 64), (40, 24)], ids=str)
def test_float32_is_close_to_float64(size: tuple[int, int]):
    x, matrix = images(8, 3, size), transforms(8, size)
    exact = transform_fast(x, matrix, HOST_TAPS)
    assert (transform_fast(x.float(), matrix, HOST_TAPS) - exact).abs().max() < 5e-5


@pytest.mark.parametrize("size", [(12, 12), (9, 21)], ids=str)
def test_the_gradient_is_the_adjoint(size: tuple[int, int]):
    matrix = np.concatenate([transforms(4, size), quarter_turns(np.arange(4)), transforms(3, size, preset="blit")])
    x, y = images(11, 2, size), torch.randn(11, 2, *size, generator=generator(1, "y"), dtype=torch.float64)
    resampling = Resampling(x, matrix, HOST_TAPS)
    forward, backward = resampling.apply(x) * y, x * resampling.adjoint(y)
    torch.testing.assert_close(forward.sum((1, 2, 3)), backward.sum((1, 2, 3)), rtol=1e-12, atol=1e-12)


def test_gradgradcheck():
    size = (5, 6)
    matrix = np.concatenate([rotation(np.array([0.7])), quarter_turns(np.array([1]))])
    x = images(2, 1, size).requires_grad_()

    def transform(x: Tensor) -> Tensor:
        return transform_fast(x, matrix, HOST_TAPS)

    assert torch.autograd.gradcheck(transform, (x,))
    assert torch.autograd.gradgradcheck(transform, (x,))


@pytest.mark.parametrize(
    "matrix",
    [
        translation(np.array([500.0]), np.array([0.0])),
        translation(np.array([0.0]), np.array([-500.0])) @ rotation(np.array([0.3])),
        translation(np.array([40.0]), np.array([-45.0])) @ rotation(np.array([0.3])),
        scaling(np.array([6.0]), np.array([0.2])) @ rotation(np.array([1.0])),
        scaling(np.array([-0.1]), np.array([5.0])),
    ],
    ids=["far right", "far above", "corner", "squeezed", "flipped and squeezed"],
)
def test_far_and_extreme_transforms(matrix: np.ndarray):
    x = images(1, 3, (24, 20))
    fast, reference = transform_fast(x, matrix, HOST_TAPS), transform_reference(x, matrix, TAPS)
    torch.testing.assert_close(fast, reference, rtol=0, atol=1e-11)


def test_a_sample_does_not_depend_on_its_neighbours():
    """The margin is the sample's own: with one for the whole batch a fifth of them would differ by up to 3e-4."""
    size = (32, 32)
    x, matrix = images(16, 3, size, torch.float32), transforms(16, size, 0.7)
    together = transform_fast(x, matrix, HOST_TAPS)
    for i in range(16):
        alone = transform_fast(x[i : i + 1], matrix[i : i + 1], HOST_TAPS)
        assert (together[i] - alone[0]).abs().max() < 1e-6


def test_equal_transforms_share_their_matrices():
    resampling = Resampling(images(40, 1, (16, 16)), transforms(40, (16, 16), 0), HOST_TAPS)
    assert not resampling.windows
    assert [group.samples for group in resampling.separable.groups] == [list(range(40))]


def test_an_empty_batch_passes():
    x = torch.zeros(0, 3, 8, 8)
    assert transform_fast(x, np.zeros((0, 3, 3)), HOST_TAPS).shape == x.shape


@pytest.mark.parametrize("wanted", [1, 15, 16, 17, 100])
def test_tilings_cover(wanted: int):
    tiling = Tiling(wanted)
    assert wanted <= tiling.total < wanted + tiling.count
    assert tiling.tile <= 16


def test_a_span_holds_what_its_positions_reach():
    span = Span(-3.2, 40.7, size=16, before=4, after=9)
    assert span.first <= -4
    assert span.first + span.length - 1 >= 41
    whole = Span(-1e6, 1e6, size=16, before=4, after=9)
    assert (whole.first, whole.length) == (-8, 2 * (16 + 4 + 9))
