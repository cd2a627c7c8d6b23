"""Up- and down-sampling along one axis as banded matrices, and those cut into dense blocks for matrix products.

A FIR filter with up- or down-sampling is linear: along one axis it is a matrix whose rows are shifted copies of the
taps. A block of rows touches few columns, so the product of that small dense block with many pixels at once does
little more arithmetic than the taps need, at the speed of the BLAS, and without the zeros between samples. The
gradient is the transposed matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Block(NamedTuple):
    """Rows `start:stop` of a banded matrix: nothing outside the columns `first:last`, there `matrix`."""

    start: int
    stop: int
    first: int
    last: int
    matrix: Tensor


def up_matrix(taps: Tensor, size: int, up: int, pad: tuple[int, int]) -> Tensor:
    """[`size * up + pad - taps + 1`, `size`]: zeros inserted after each sample, padded, correlated with `taps`."""
    length = size * up + sum(pad) - len(taps) + 1
    tap = torch.arange(size)[None, :] * up + pad[0] - torch.arange(length)[:, None]
    return _pick(taps, tap)


def down_matrix(taps: Tensor, size: int, down: int) -> Tensor:
    """[`(size - taps) // down + 1`, `size`]: correlated with `taps`, every `down`-th sample kept."""
    length = (size - len(taps)) // down + 1
    tap = torch.arange(size)[None, :] - torch.arange(length)[:, None] * down
    return _pick(taps, tap)


def _pick(taps: Tensor, index: Tensor) -> Tensor:
    """`taps[index]`, zero where the index is outside."""
    inside = (index >= 0) & (index < len(taps))
    return torch.where(inside, taps[index.clamp(0, len(taps) - 1)], taps.new_zeros(()))


def blocks(matrix: Tensor, rows: int, dtype: torch.dtype) -> list[Block]:
    """`matrix` [out, in] in blocks of `rows` rows. A block that is all zero keeps one column."""
    found = []
    for start in range(0, len(matrix), rows):
        block = matrix[start : start + rows]
        first, last = support(block)
        found.append(Block(start, start + len(block), first, last, block[:, first:last].to(dtype).contiguous()))
    return found


def support(block: Tensor) -> tuple[int, int]:
    """The columns (first, last + 1) outside of which `block` is zero; (0, 1) if it is zero everywhere."""
    columns = block.any(dim=0).nonzero()
    return (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 1)


def along_rows(x: Tensor, tiles: list[Block], out: Tensor, add: bool = False) -> Tensor:
    """Every row of `x` [M, in] times the transposed matrix, into `out` [M, its rows] or added to it."""
    for start, stop, first, last, matrix in tiles:
        out[:, start:stop].addmm_(x[:, first:last], matrix.t(), beta=int(add))
    return out
