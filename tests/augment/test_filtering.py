from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openstylegan.augment.draws import PercentileDraws, RandomDraws
from openstylegan.augment.filtering import (
    band_gains,
    filter_bank,
    filter_fast,
    filter_matrix,
    filter_reference,
    gains_at_size,
    reflected,
)
from openstylegan.augment.options import pipe_options
from openstylegan.randomness import BatchStream, generator

BANK = filter_bank()


def test_bank():
    """Values of the fact sheet, times 32768; rows are symmetric."""
    rows = torch.zeros(4, 22)
    rows[0] = torch.tensor(
        [-1, 0, 9, 16, 18, 0, -66, -144, -207, -256, -297, -288, -212, 0, 468, 1056, 1674, 2304, 2918, 3456, 3888, 4096]
    )
    rows[1] = torch.tensor(
        [1, 0, -9, -16, -18, 0, 66, 144, 207, 256, 297, 288, 244, 0, -756, -1568, -2250, -2304, -806, 1152, 3024, 4096]
    )
    rows[2, 12:] = torch.tensor([-32, 0, 288, 512, 576, 0, -3136, -4608, 2304, 8192])
    rows[3, 18:] = torch.tensor([1024, 0, -9216, 16384])
    torch.testing.assert_close(BANK[:, :22] * 32768, rows, rtol=0, atol=1e-3)
    torch.testing.assert_close(BANK, BANK.flip(1), rtol=0, atol=1e-7)


def test_bands_add_up_to_the_picture():
    impulse = torch.zeros(43)
    impulse[21] = 1
    torch.testing.assert_close(BANK.sum(0), impulse, rtol=0, atol=1e-6)
    torch.testing.assert_close(BANK.sum(1), torch.tensor([1.0, 0, 0, 0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("band", [0, 1, 2, 3])
def test_gains_keep_the_power_of_natural_pictures(band: int):
    """A percentile, and so a recorded array, gives all bands one gain: which band has which share shows here only."""
    draws = RandomDraws(BatchStream(generator(0, "gains")), 500, 0.3)
    bands = [float(b == band) for b in range(4)]
    gains = band_gains(pipe_options(None, imgfilter=1, imgfilter_bands=bands), draws)
    np.testing.assert_allclose((np.array([10, 1, 1, 1]) / 13 * gains**2).sum(1), 1)
    others = np.delete(gains, band, axis=1)
    ratio = gains[:, band] / others[:, 0]
    np.testing.assert_allclose(others, others[:, :1].repeat(3, 1))
    assert 0.2 < (ratio != 1).mean() < 0.4
    assert np.log2(ratio[ratio != 1]).std() == pytest.approx(1, abs=0.2)
    assert (gains[ratio == 1] == 1).all(), "a band that is not chosen changes nothing"


def test_gains_of_all_bands_multiply():
    t = 2 ** float(torch.erfinv(torch.tensor(0.4, dtype=torch.float64)))
    expected = np.ones(4)
    for band, share in enumerate((10 / 13, 1 / 13, 1 / 13, 1 / 13)):
        change = np.ones(4)
        change[band] = t
        expected *= change / math.sqrt(1 - share + share * t**2)
    np.testing.assert_allclose(band_gains(pipe_options("filter"), PercentileDraws(0.7, 1))[0], expected)


def test_an_octave_keeps_its_gain_at_another_size():
    gains = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert gains_at_size(gains, (64, 64), (64, 64)).tolist() == [[1, 2, 3, 4]]
    assert gains_at_size(gains, (64, 64), (32, 32)).tolist() == [[1, 1, 2, 3]]
    assert gains_at_size(gains, (64, 64), (4, 4)).tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize(("size", "expected"), [(4, "2 1 0 1 2 3 2 1 0 1"), (2, "0 1 0 1 0 1 0 1 0 1"), (1, "0 " * 10)])
def test_reflection_goes_on_where_the_picture_is_small(size: int, expected: str):
    assert reflected(np.arange(-2, 8), size).tolist() == [int(i) for i in expected.split()]


@pytest.mark.parametrize("size", [(32, 32), (24, 150), (21, 5), (1, 3)], ids=str)
def test_fast_is_the_reference_to_second_order(size: tuple[int, int]):
    x = torch.randn(4, 2, *size, generator=generator(1, "filter"), dtype=torch.float64, requires_grad=True)
    gains = band_gains(pipe_options("filter"), RandomDraws(BatchStream(generator(2, "gains")), 4, 0.5))
    gains[3] = 1
    taps = gains @ BANK.double().numpy()
    results = []
    for y in (filter_fast(x, taps, gains), filter_reference(x, taps)):
        first = torch.autograd.grad((y**3).sum(), x, create_graph=True)[0]
        results.append((y.detach(), first.detach(), torch.autograd.grad((first**2).sum(), x)[0]))
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=0, atol=1e-10 * float(reference.abs().max()))


def test_nothing_to_filter():
    x = torch.randn(2, 3, 8, 8)
    assert filter_fast(x, np.zeros((2, 43)), np.ones((2, 4))) is x


def test_a_constant_picture_takes_the_lowest_gain():
    x = torch.ones(1, 1, 30, 30, dtype=torch.float64)
    gains = np.array([[0.5, 3.0, 2.0, 7.0]])
    actual = filter_fast(x, gains @ BANK.double().numpy(), gains)
    torch.testing.assert_close(actual, x * 0.25, rtol=0, atol=1e-6)


def test_matrix_of_a_filter():
    taps = np.array([1.0, 10.0, 100.0])
    assert filter_matrix(taps, 3).tolist() == [[10, 101, 0], [1, 10, 100], [0, 101, 10]]
