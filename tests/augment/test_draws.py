from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openstylegan.augment.draws import NORMAL_COLUMNS, UNIFORM_COLUMNS, PercentileDraws, RandomDraws, erfinv
from openstylegan.errors import InputError
from openstylegan.randomness import BatchStream, SampleStream, generator


def test_order_of_the_columns():
    """Part of every run's recipe: whoever changes it changes what a seed means."""
    assert len(UNIFORM_COLUMNS) == 29
    assert len(NORMAL_COLUMNS) == 12
    assert [UNIFORM_COLUMNS.index(n) for n in ("xflip", "rotate_pre", "hue", "noise_gate", "cutout_y")] == [
        *(0, 8, 18, 25, 28)
    ]
    assert [NORMAL_COLUMNS.index(n) for n in ("scale", "xfrac_y", "saturation", "imgfilter_0", "noise")] == [
        *(0, 3, 6, 7, 11)
    ]
    assert len(set(UNIFORM_COLUMNS)) == 29
    assert len(set(NORMAL_COLUMNS)) == 12


def test_blocks_are_drawn_uniform_first():
    draws = RandomDraws(BatchStream(generator(3, "test")), 5, 1.0)
    by_hand = generator(3, "test")
    uniform, normal = torch.rand(5, 29, generator=by_hand), torch.randn(5, 12, generator=by_hand)
    assert np.array_equal(draws.uniform("hue"), uniform[:, 18].double().numpy())
    assert np.array_equal(draws.normal("noise"), normal[:, 11].double().numpy())
    assert np.array_equal(draws.half_normal("noise"), normal[:, 11].double().abs().numpy())


def test_a_samples_draws_are_its_own():
    many = RandomDraws(SampleStream(0, "test", [7], range(6)), 6, 1.0)
    one = RandomDraws(SampleStream(0, "test", [7], [4]), 1, 1.0)
    assert many.uniform("cutout_x")[4] == one.uniform("cutout_x")[0]
    assert many.normal("saturation")[4] == one.normal("saturation")[0]


@pytest.mark.parametrize(("strength", "p"), [(1, 0.3), (0.5, 0.6), (1, 0), (0, 1), (1, 1), (1, 1.7), (0.5, 1.7)])
def test_gates_open_at_strength_times_p(strength: float, p: float):
    n = 20_000
    draws = RandomDraws(BatchStream(generator(0, "gates")), n, p)
    rate = min(strength * p, 1)
    margin = 4 * math.sqrt(rate * (1 - rate) / n)
    for name in ("xflip_gate", "hue_gate", "cutout_gate"):
        assert abs(draws.fires(name, strength).mean() - rate) <= margin
    either = draws.fires_in_pair("rotate_pre_gate", strength) | draws.fires_in_pair("rotate_post_gate", strength)
    assert abs(either.mean() - rate) <= margin


def test_percentiles():
    draws = PercentileDraws(0.8, 3)
    assert draws.uniform("xflip").tolist() == [0.8] * 3
    np.testing.assert_allclose(draws.normal("scale"), float(torch.erfinv(torch.tensor(0.6, dtype=torch.float64))))
    np.testing.assert_allclose(draws.half_normal("noise"), float(torch.erfinv(torch.tensor(0.8, dtype=torch.float64))))
    assert draws.fires("xflip_gate", 0.1).all()
    assert not draws.fires("xflip_gate", 0).any()
    assert draws.fires_in_pair("rotate_pre_gate", 1).all()
    assert not draws.fires_in_pair("rotate_post_gate", 1).any()


@pytest.mark.parametrize("percentile", [0, 1, -0.5, 1.5, float("nan")])
def test_percentiles_that_are_infinite_or_none(percentile: float):
    with pytest.raises(InputError, match="debug_percentile"):
        PercentileDraws(percentile, 1)


def test_erfinv():
    x = np.linspace(-0.99, 0.99, 21)
    np.testing.assert_allclose([math.erf(erfinv(v)) for v in x], x, atol=1e-14)
