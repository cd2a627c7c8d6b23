from __future__ import annotations

import numpy as np
import pytest
import torch

from openstylegan.augment.axes import axis_matrices, is_turned, reduce_rows, weights_by_parity
from openstylegan.augment.geometry import (
    geometry_filter,
    margins,
    quarter_turns,
    rotation,
    scaling,
    transform_reference,
    translation,
)
from openstylegan.randomness import generator

TAPS = geometry_filter()
HOST_TAPS = TAPS.double().numpy()


def test_which_transforms_are_separable():
    assert is_turned(np.eye(3)) is False
    turns = quarter_turns(np.arange(4)) @ scaling(*[np.full(4, 1.3)] * 2) @ translation(*[np.full(4, 0.7)] * 2)
    assert [is_turned(m) for m in turns] == [False, True, False, True]
    assert is_turned(rotation(np.array([1e-9]))[0]) is None
    assert is_turned(np.zeros((3, 3))) is False


@pytest.mark.parametrize("size", [(12, 12), (7, 16), (1, 5)], ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_matrices_are_the_reference(size: tuple[int, int], turned: bool):
    """With shifts beyond what is reflected, and scalings that leave the picture."""
    scale = scaling(np.array([1.0, -0.7, 1.9, 1.0]), np.array([1.0, 1.3, 0.6, 1.0]))
    shift = translation(np.array([0.0, 1.3, -4.0, 90.0]), np.array([0.0, -2.6, 0.5, 0.0]))
    matrix = quarter_turns(np.full(4, int(turned))) @ scale @ shift
    x = torch.randn(4, 2, *size, generator=generator(0, "axes"), dtype=torch.float64)
    left, right = axis_matrices(matrix, margins(matrix, *size), size, HOST_TAPS, turned)
    moved = torch.from_numpy(left)[:, None] @ (x.mT if turned else x) @ torch.from_numpy(right)[:, None].mT
    torch.testing.assert_close(moved, transform_reference(x, matrix, TAPS), rtol=0, atol=1e-12)


def test_weights_are_the_filters_taps():
    """Of samples 2 p - 1, 2 p and 2 p + 1, by the pixels p - 3 ... p + 3 that they see."""
    f = np.arange(1.0, 13.0)
    low, high = weights_by_parity(f) / 2
    assert low[0].tolist() == [11, 9, 7, 5, 3, 1, 0]
    assert high[0].tolist() == low[1].tolist() == [12, 10, 8, 6, 4, 2, 0]
    assert high[1].tolist() == [0, 11, 9, 7, 5, 3, 1]


def test_reducing_rows():
    fine = np.random.default_rng(0).normal(size=(2, 20, 3))
    expected = np.einsum("t,notc->noc", HOST_TAPS, np.stack([fine[:, 2 * o : 2 * o + 12] for o in range(5)], axis=1))
    np.testing.assert_allclose(reduce_rows(fine, 5, HOST_TAPS), expected)
