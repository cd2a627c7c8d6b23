"""Classes for pictures that have none: clusters of their features, as labels that a conditional network trains on.

A generator told which of many small groups to draw cannot draw one shape for all: Sage et al., "Logo synthesis and
manipulation with clustered generative adversarial networks" (arXiv 1712.04407).
"""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.errors import InputError

AXES, MAX_ROUNDS, RESTARTS = 64, 100, 5


def check_number(num: int, count: int) -> None:
    """Raises `InputError` unless `count` pictures can be in `num` clusters."""
    if not 2 <= num <= count:
        raise InputError(f"expected from 2 to {count} clusters for {count} pictures, got {num}")


def principal(features: Tensor, num_axes: int) -> Tensor:
    """Features [N, D] along the `num_axes` directions in which they differ most: float64 [N, num_axes or fewer]."""
    centred = features.double() - features.double().mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -num_axes:]
    return centred @ axes


def first_centres(points: Tensor, num: int, random: torch.Generator) -> Tensor:
    """k-means++: each next centre is a point, the likelier the farther it is (squared) from those there are."""
    centres = points[torch.randint(len(points), (1,), generator=random)]
    for _ in range(num - 1):
        far = torch.cdist(points, centres).amin(1).square()
        centres = torch.cat([centres, points[torch.multinomial(far + 1e-12, 1, generator=random)]])
    return centres


def settled(points: Tensor, centres: Tensor) -> tuple[Tensor, float]:
    """Lloyd's rounds until no point moves: each point's cluster [N], and the sum of squared distances.

    A cluster that loses its last point begins again at the point that is farthest from its own centre.
    """
    assignment = torch.full((len(points),), -1)
    for _ in range(MAX_ROUNDS):
        nearest = torch.cdist(points, centres).min(1)
        own, distance = nearest.indices, nearest.values.clone()
        for empty in (torch.bincount(own, minlength=len(centres)) == 0).nonzero().flatten().tolist():
            alone = torch.bincount(own, minlength=len(centres))[own] == 1
            farthest = int(distance.masked_fill(alone, -1.0).argmax())
            own[farthest], distance[farthest] = empty, 0.0
        if torch.equal(own, assignment):
            break
        assignment = own
        counts = torch.bincount(own, minlength=len(centres))[:, None]
        centres = torch.zeros_like(centres).index_add_(0, own, points) / counts
    return assignment, float((points - centres[assignment]).square().sum())


def k_means(features: Tensor, num: int, seed: int = 0) -> Tensor:
    """The cluster, 0 to num - 1, of every row of `features` [N, D]: int64 [N]; clusters by size, the largest first.

    On the `AXES` principal axes; the best of `RESTARTS` starts. No cluster is empty. Raises `InputError`.
    """
    check_number(num, len(features))
    points, random = principal(features.cpu(), AXES), torch.Generator().manual_seed(seed)
    found = (settled(points, first_centres(points, num, random)) for _ in range(RESTARTS))
    best = min(found, key=lambda result: result[1])[0]
    order = torch.bincount(best, minlength=num).argsort(descending=True, stable=True)
    return order.argsort()[best]
