"""Inception score (arXiv:1606.03498): exp of the mean divergence of a picture's class probabilities from their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.statistics import FeatureSet

NUM_SPLITS = 10


def inception_score(probabilities: Tensor, num_splits: int = NUM_SPLITS) -> tuple[float, float]:
    """Mean and population standard deviation over consecutive splits of exp(mean of sum p (log p - log mean p)).

    `probabilities`: rows [N, classes]. Split i is the rows from i N / splits to (i + 1) N / splits, rounded down;
    0 log 0 counts as 0.
    """
    num = len(probabilities)
    if num < num_splits:
        raise InputError(
            f"expected at least {num_splits} pictures for {num_splits} splits, got {num}; use more pictures"
        )
    p = probabilities.to(torch.float64)
    scores = []
    for i in range(num_splits):
        part = p[i * num // num_splits : (i + 1) * num // num_splits]
        divergence = torch.xlogy(part, part).sum(1) - torch.xlogy(part, part.mean(0)).sum(1)
        scores.append(divergence.mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))


def inception_score_of(generated: FeatureSet) -> tuple[float, float]:
    """The score of a set whose features are class probabilities, 10 splits."""
    return inception_score(generated.all_features())
