"""Fixed linear maps of images as differentiable ops: the gradient is the adjoint, whose gradient is the map again.

So nothing but the map's own numbers is kept for the backward pass, and gradients of any order come at the price of an
application. The maps here are made of small matrix products, for which every device has fast code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class LinearMap(Protocol):
    """A linear map between tensors, with its adjoint: <apply(x), y> = <x, adjoint(y)>."""

    def apply(self, x: Tensor) -> Tensor:
        """The map of x."""

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed map of y."""


class _Apply(torch.autograd.Function):
    """A linear map, or its adjoint, as a node of the graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, linear_map: LinearMap, transposed: bool) -> Tensor:
        ctx.linear_map, ctx.transposed = linear_map, transposed
        return linear_map.adjoint(x) if transposed else linear_map.apply(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Apply.apply(grads[0], ctx.linear_map, not ctx.transposed), None, None


def apply_linear(x: Tensor, linear_map: LinearMap) -> Tensor:
    """`linear_map` of `x`, with gradients of any order with respect to `x`."""
    return _Apply.apply(x, linear_map, False)


BLOCK = 64
"""Rows a block of a larger matrix: few enough to pass over most of the zeros outside its band."""


@dataclass
class SeparableGroup:
    """Samples that share y = left x right^T, or y = left x^T right^T where `turned`. The matrices are float64."""

    left: np.ndarray
    right: np.ndarray
    samples: list[int]
    turned: bool = False

    def apply(self, x: Tensor) -> Tensor:
        """`[n, C, H, W]` of these samples, transformed."""
        return on_both_sides(self.left, self.right, x.transpose(2, 3) if self.turned else x)

    def adjoint(self, y: Tensor) -> Tensor:
        """left^T y right, turned back."""
        x = on_both_sides(self.left.T, self.right.T, y)
        return x.transpose(2, 3) if self.turned else x


def on_both_sides(left: np.ndarray, right: np.ndarray, x: Tensor) -> Tensor:
    """left x right^T for `x [n, C, rows, columns]`."""
    if max(right.shape) <= 2 * BLOCK:
        return multiply(left, x @ as_tensor(right, x).T)  # one product for all rows of all pictures
    return multiply(left, multiply(right, x.transpose(2, 3)).transpose(2, 3))


def multiply(matrix: np.ndarray, x: Tensor) -> Tensor:
    """`matrix x` for `x [n, C, rows, columns]`; of a large matrix, columns that a block of rows lacks are left out."""
    if max(matrix.shape) <= 2 * BLOCK:
        return as_tensor(matrix, x) @ x
    blocks = []
    for start in range(0, len(matrix), BLOCK):
        block = matrix[start : start + BLOCK]
        used = np.flatnonzero(block.any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        blocks.append(as_tensor(block[:, first:last], x) @ x[:, :, first:last])
    return torch.cat(blocks, dim=2)


class SeparableMap:
    """Samples whose rows and columns are transformed apart: two matrix products each. Others stay as they are."""

    def __init__(self, groups: list[SeparableGroup]):
        self.groups = groups

    def apply(self, x: Tensor) -> Tensor:
        out = x.clone(memory_format=torch.contiguous_format)
        for group in self.groups:
            where = _index(group.samples, x)
            out[where] = group.apply(x[where])
        return out

    def adjoint(self, y: Tensor) -> Tensor:
        out = y.clone(memory_format=torch.contiguous_format)
        for group in self.groups:
            where = _index(group.samples, y)
            out[where] = group.adjoint(y[where])
        return out


def equal_samples(samples: Iterable[int], numbers: np.ndarray) -> list[list[int]]:
    """`samples` dealt into lists of those whose `numbers[sample]` are the same."""
    lists: dict[bytes, list[int]] = {}
    for sample in samples:
        lists.setdefault(numbers[sample].tobytes(), []).append(sample)
    return list(lists.values())


def as_tensor(array: np.ndarray, like: Tensor) -> Tensor:
    """`array` with the device and, where it is of real numbers, the dtype of `like`."""
    tensor = torch.from_numpy(array)
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype, non_blocking=True)


def _index(samples: list[int], like: Tensor) -> slice | Tensor:
    """What picks `samples` (ascending) out of a batch, a view where they stand side by side."""
    if samples[-1] - samples[0] + 1 == len(samples):
        return slice(samples[0], samples[-1] + 1)
    return as_tensor(np.array(samples), like)


@dataclass(frozen=True)
class Band:
    """A banded Toeplitz matrix along an axis, as tiles: block t of rows is `tile` times the inputs from t * step on.

    tile: [rows, window]; count: how many tiles; so count * rows outputs of (count - 1) * step + window inputs.
    """

    tile: Tensor
    step: int
    count: int

    @property
    def outputs(self) -> int:
        return self.count * self.tile.shape[0]

    @property
    def inputs(self) -> int:
        return (self.count - 1) * self.step + self.tile.shape[1]

    def apply(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """x [R, inputs], strided as it may be, to [outputs, R]: transformed and turned, so that no copy is made."""
        tiles = x.unfold(1, self.tile.shape[1], self.step).permute(1, 2, 0)
        tile = self.tile.expand(self.count, *self.tile.shape)
        if out is not None:
            torch.bmm(tile, tiles, out=out.view(self.count, -1, x.shape[0]))
            return out
        return torch.bmm(tile, tiles).view(self.outputs, x.shape[0])


def along_both(x: Tensor, along_y: Band, along_x: Band) -> Tensor:
    """x [C, along_y.inputs, along_x.inputs] to [C, along_y.outputs, along_x.outputs]."""
    c, height, width = x.shape
    turned = along_x.apply(x.reshape(c * height, width)).view(along_x.outputs, c, height)
    out = x.new_empty(c, along_y.outputs, along_x.outputs)
    for channel in range(c):
        along_y.apply(turned[:, channel], out[channel])
    return out
