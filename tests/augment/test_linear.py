from __future__ import annotations

import numpy as np
import pytest
import torch

from openstylegan.augment.linear import (
    Band,
    SeparableGroup,
    SeparableMap,
    along_both,
    apply_linear,
    equal_samples,
    multiply,
)
from openstylegan.randomness import generator


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, "linear"), dtype=torch.float64)


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (150, 140), (200, 30), (30, 200)])
def test_multiply_is_the_product(rows: int, columns: int):
    matrix = np.triu(np.tril(np.random.default_rng(0).normal(size=(rows, columns)), 4), -4)
    x = normal(2, 3, columns, 6)
    torch.testing.assert_close(multiply(matrix, x), torch.from_numpy(matrix) @ x)


def separable() -> SeparableMap:
    random = np.random.default_rng(1)
    straight = SeparableGroup(random.normal(size=(4, 4)), random.normal(size=(5, 5)), [0, 3])
    turned = SeparableGroup(random.normal(size=(4, 5)), random.normal(size=(5, 4)), [2], turned=True)
    return SeparableMap([straight, turned])


def test_separable_maps():
    x, groups = normal(4, 2, 4, 5), separable()
    y = groups.apply(x)
    a, b = groups.groups
    left, right = torch.from_numpy(a.left), torch.from_numpy(a.right)
    torch.testing.assert_close(y[3], left @ x[3] @ right.T)
    torch.testing.assert_close(y[2], torch.from_numpy(b.left) @ x[2].mT @ torch.from_numpy(b.right).T)
    assert torch.equal(y[1], x[1]), "a sample without matrices stays"


def test_equal_samples_go_together():
    numbers = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0], [5.0, 5.0]])
    assert equal_samples([0, 1, 2], numbers) == [[0, 2], [1]]
    assert equal_samples([], numbers) == []


def test_gradients_to_second_order():
    x, groups = normal(4, 1, 4, 5).requires_grad_(), separable()
    assert torch.autograd.gradcheck(lambda x: apply_linear(x, groups), (x,))
    assert torch.autograd.gradgradcheck(lambda x: apply_linear(x, groups), (x,))


def test_bands_are_their_matrices():
    tile_x, tile_y = normal(3, 8), normal(4, 6)
    along_x, along_y = Band(tile_x, 2, 5), Band(tile_y, 4, 3)
    x = normal(2, along_y.inputs, along_x.inputs)
    dense_x, dense_y = (torch.zeros(b.outputs, b.inputs, dtype=torch.float64) for b in (along_x, along_y))
    for band, dense in ((along_x, dense_x), (along_y, dense_y)):
        rows, window = band.tile.shape
        for t in range(band.count):
            dense[t * rows : (t + 1) * rows, t * band.step : t * band.step + window] = band.tile
    torch.testing.assert_close(along_both(x, along_y, along_x), dense_y @ x @ dense_x.T)
