"""Kernel distance: the unbiased squared MMD with the kernel (u.v / D + 1)^3 (KID, arXiv:1801.01401), over sub-sets.

The sub-sets are those that StyleGAN2-ADA draws when NumPy's global generator has been seeded with `seed`: generated
first, then real, without replacement.

Differs from StyleGAN2-ADA: float64 instead of float32, which matters where the distance is near zero; where the
sub-sets hold more pairs of pictures than there are, the kernel is evaluated once a pair instead of once a sub-set.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.statistics import FeatureSet

NUM_SUBSETS = 100
MAX_SUBSET_SIZE = 1000
ROWS_AT_A_TIME = 2048


def polynomial_kernel(u: Tensor, v: Tensor) -> Tensor:
    """k(u, v) = (u.v / D + 1)^3 between rows [N, D] and [M, D]: [N, M] float64."""
    return (u.to(torch.float64) @ v.to(torch.float64).T / u.shape[1] + 1) ** 3


def kernel_with_itself(u: Tensor) -> Tensor:
    """k(u, u) of each row [N, D]: [N] float64."""
    parts = [(rows.to(torch.float64).square().mean(1) + 1) ** 3 for rows in u.split(ROWS_AT_A_TIME)]
    return torch.cat(parts)


def draw_subsets(
    num_real: int, num_generated: int, num_subsets: int, max_subset_size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Row numbers [num_subsets, m] into the generated and into the real features, m = min(all three sizes)."""
    size = min(num_real, num_generated, max_subset_size)
    if size < 2:
        raise InputError(
            f"expected at least 2 pictures in each set, got {num_real} real and {num_generated} generated; use more"
        )
    random = np.random.RandomState(seed)
    pairs = [
        (random.choice(num_generated, size, replace=False), random.choice(num_real, size, replace=False))
        for _ in range(num_subsets)
    ]
    generated, real = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    return generated, real


def sums_by_subset(u: Tensor, v: Tensor, of_u: Tensor, of_v: Tensor) -> Tensor:
    """For each sub-set s, the sum of k over rows of_u[s] of u and of_v[s] of v: [num_subsets] float64."""
    if of_u.shape[1] * of_v.shape[1] * len(of_u) <= len(u) * len(v):
        return torch.stack([polynomial_kernel(u[i], v[j]).sum() for i, j in zip(of_u, of_v, strict=True)])
    in_u, in_v = membership(of_u, len(u)), membership(of_v, len(v))
    total = torch.zeros(len(of_u), dtype=torch.float64)
    for start in range(0, len(u), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        total += ((in_u[:, rows] @ polynomial_kernel(u[rows], v)) * in_v).sum(1)
    return total


def membership(subsets: Tensor, num: int) -> Tensor:
    """[num_subsets, num] float64: 1 where a picture is in a sub-set."""
    return torch.zeros(len(subsets), num, dtype=torch.float64).scatter_(1, subsets, 1.0)


def kernel_distance(
    real: Tensor,
    generated: Tensor,
    num_subsets: int = NUM_SUBSETS,
    max_subset_size: int = MAX_SUBSET_SIZE,
    seed: int = 0,
) -> float:
    """The mean over sub-sets of the unbiased squared MMD between rows [N, D] and [M, D]; can be below zero."""
    x, y = generated, real
    of_x, of_y = draw_subsets(len(y), len(x), num_subsets, max_subset_size, seed)
    m = of_x.shape[1]
    within_x = sums_by_subset(x, x, of_x, of_x) - kernel_with_itself(x)[of_x].sum(1)
    within_y = sums_by_subset(y, y, of_y, of_y) - kernel_with_itself(y)[of_y].sum(1)
    between = sums_by_subset(x, y, of_x, of_y)
    return float(((within_x + within_y) / (m - 1) - 2 * between / m).mean() / m)


def kid(real: FeatureSet, generated: FeatureSet, seed: int = 0) -> float:
    """KID of two feature sets: 100 sub-sets of at most 1000."""
    return kernel_distance(real.all_features(), generated.all_features(), seed=seed)
