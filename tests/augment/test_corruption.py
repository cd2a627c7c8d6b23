from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openstylegan.augment.corruption import Cutout, add_noise, apply_cutout, cutouts, noise_sigmas
from openstylegan.augment.draws import RandomDraws
from openstylegan.augment.options import pipe_options
from openstylegan.randomness import BatchStream, generator


def test_noise_is_scaled_sample_by_sample():
    x, noise = torch.zeros(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    actual = add_noise(x, noise, np.array([0.0, 0.5]))
    assert torch.equal(actual[0], x[0])
    torch.testing.assert_close(actual[1], noise[1] * 0.5)
    assert add_noise(x, noise, np.zeros(2)) is x


def test_noise_at_a_lower_resolution_is_the_average():
    noise = torch.randn(1, 1, 8, 8)
    actual = add_noise(torch.zeros(1, 1, 4, 4), noise, np.ones(1))
    torch.testing.assert_close(actual, noise.reshape(1, 1, 4, 2, 4, 2).mean((3, 5)))


def test_spread_and_rate_of_the_noise():
    n, p = 20_000, 0.4
    sigmas = noise_sigmas(pipe_options("noise"), RandomDraws(BatchStream(generator(0, "noise")), n, p))
    fired = sigmas[sigmas > 0]
    assert abs(len(fired) / n - p) < 4 * math.sqrt(p * (1 - p) / n)
    assert fired.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.03)


def test_cutout_is_half_open_around_its_centre():
    x = torch.ones(1, 2, 8, 16, dtype=torch.float64)
    actual = apply_cutout(x, Cutout(np.array([0.5]), np.array([1.0]), np.array([0.5])))
    expected = torch.ones_like(x)
    expected[:, :, 6:, 4:12] = 0
    assert torch.equal(actual, expected)


def test_no_cutout_leaves_the_pictures():
    x = torch.ones(2, 1, 4, 4)
    nothing = Cutout(np.full(2, 0.5), np.full(2, 0.5), np.zeros(2))
    assert apply_cutout(x, nothing) is x
    one = Cutout(np.full(2, 0.5), np.full(2, 0.5), np.array([0.0, 0.5]))
    assert apply_cutout(x, one).sum((1, 2, 3)).tolist() == [16, 12]


def test_rate_of_cutouts():
    n = 20_000
    drawn = cutouts(
        pipe_options(None, cutout=0.5, cutout_size=0.3), RandomDraws(BatchStream(generator(0, "c")), n, 0.8)
    )
    assert set(drawn.side) == {0.0, 0.3}
    assert abs((drawn.side > 0).mean() - 0.4) < 4 * math.sqrt(0.24 / n)
    assert drawn.x.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.y.std() == pytest.approx(1 / math.sqrt(12), abs=0.01)
