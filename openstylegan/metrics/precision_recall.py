"""Improved precision and recall (arXiv:1904.06991): how much of one set lies in the manifold of the other.

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest neighbour.

Features are rounded to float16 as in StyleGAN2-ADA.

Differs from StyleGAN2-ADA: distances are computed in float64 and rounded to float32 (there: float16 on GPUs), so that
ties and duplicates are decided alike whatever the blocks; memory is bounded by the block sizes, not by the sets.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.statistics import FeatureSet

NEIGHBOURHOOD = 3
ROW_BLOCK, COLUMN_BLOCK = 2048, 8192
DUPLICATE = 1e-12
"""Squared distances below this part of the squared lengths are rounding: the points are the same."""


def rounded(features: Tensor) -> Tensor:
    """Features as float16 holds them, in float64. Raises `InputError` when they are too large for float16."""
    half = features.to(torch.float16)
    if not bool(torch.isfinite(half).all()):
        raise InputError(
            f"expected features within float16's range, got up to {float(features.abs().max()):.3g}; scale them down"
        )
    return half.to(torch.float64)


def distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Euclidean distances [N, M] float32 between float64 rows [N, D] and [M, D]; exactly 0 between equal points."""
    lengths = rows.square().sum(1)[:, None] + columns.square().sum(1)
    squared = lengths - 2 * (rows @ columns.T)
    return torch.where(squared <= DUPLICATE * lengths, 0, squared).sqrt().to(torch.float32)


def blocks(features: Tensor, size: int) -> Iterator[Tensor]:
    """Consecutive blocks of float16-rounded rows."""
    for part in features.split(size):
        yield rounded(part)


def radii(features: Tensor, neighbourhood: int, row_block: int = ROW_BLOCK, column_block: int = COLUMN_BLOCK) -> Tensor:
    """For each row [N, D] the distance to its k-th nearest neighbour within the set: [N] float32.

    The point itself is a neighbour at distance 0 on top of the k.
    """
    if len(features) <= neighbourhood:
        raise InputError(
            f"expected more than {neighbourhood} pictures for {neighbourhood} nearest neighbours, got {len(features)}; "
            "use more pictures"
        )
    found = []
    for rows in blocks(features, row_block):
        nearest = rows.new_empty(len(rows), 0, dtype=torch.float32)
        for columns in blocks(features, column_block):
            both = torch.cat([nearest, distances(rows, columns)], 1)
            nearest = both.topk(min(neighbourhood + 1, both.shape[1]), dim=1, largest=False).values
        found.append(nearest.amax(1))
    return torch.cat(found)


def share_inside(
    probes: Tensor,
    manifold: Tensor,
    neighbourhood: int,
    row_block: int = ROW_BLOCK,
    column_block: int = COLUMN_BLOCK,
) -> float:
    """The share of `probes` [N, D] within the radius of at least one point of `manifold` [M, D]."""
    limits = radii(manifold, neighbourhood, row_block, column_block).split(column_block)
    inside = 0
    for rows in blocks(probes, row_block):
        hit = torch.zeros(len(rows), dtype=torch.bool)
        for columns, limit in zip(blocks(manifold, column_block), limits, strict=True):
            hit |= (distances(rows, columns) <= limit).any(1)
        inside += int(hit.sum())
    return inside / len(probes)


def precision_recall(
    real: Tensor,
    generated: Tensor,
    neighbourhood: int = NEIGHBOURHOOD,
    row_block: int = ROW_BLOCK,
    column_block: int = COLUMN_BLOCK,
) -> tuple[float, float]:
    """Precision (generated in the real manifold) and recall (real in the generated one) of rows [N, D] and [M, D]."""
    precision = share_inside(generated, real, neighbourhood, row_block, column_block)
    return precision, share_inside(real, generated, neighbourhood, row_block, column_block)


def precision_recall_of(real: FeatureSet, generated: FeatureSet) -> tuple[float, float]:
    """Precision and recall of two feature sets, k = 3."""
    return precision_recall(real.all_features(), generated.all_features())
