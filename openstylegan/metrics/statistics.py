"""Sets of features: mean and covariance while the features stream by, and the features themselves where needed.

Differs from StyleGAN2-ADA: mean and scatter are updated by the pairwise form of Chan, Golub and LeVeque (1979) instead
of raw sums, so features far from zero lose no digits; both divide by N. Everything is float64 and can be merged over
batches and processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openstylegan.distributed import all_reduce_sum
from openstylegan.errors import InputError


@dataclass(frozen=True)
class FeatureSet:
    """What a metric sees of a set of `num` pictures: the parts that were asked for, on the CPU.

    `mean` [D] and `covariance` [D, D] (divided by N) in float64; `features` [num, D] in float32.
    """

    num: int
    mean: Tensor | None = None
    covariance: Tensor | None = None
    features: Tensor | None = None

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance, taken from the features where they were not collected. Raises `InputError`."""
        if self.mean is not None and self.covariance is not None:
            return self.mean, self.covariance
        if self.features is None:
            raise InputError(
                "expected a set with mean and covariance or with features, got neither; collect one of them"
            )
        return moments_of(self.features)

    def all_features(self) -> Tensor:
        """The features [num, D] float32. Raises `InputError` when only their moments were collected."""
        if self.features is None:
            raise InputError("expected a set with features, got one with its moments only; collect the features")
        return self.features


class RunningMoments:
    """Mean [D] and scatter (sum of (x - mean)(x - mean)^T) [D, D] of the rows seen so far, in float64."""

    def __init__(self, num_features: int, device: str | torch.device = "cpu"):
        self.num = 0
        self.mean = torch.zeros(num_features, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(num_features, num_features, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Adds rows [n, D] of any float dtype."""
        rows = features.to(self.mean)
        if not len(rows):
            return
        mean = rows.mean(0)
        centred = rows - mean
        self._add(len(rows), mean, centred)

    def merge(self, other: RunningMoments) -> None:
        """Adds what `other` has seen."""
        if other.num:
            self._add(other.num, other.mean, other.mean.new_zeros(0, len(other.mean)))
            self.scatter += other.scatter

    def _add(self, num: int, mean: Tensor, centred: Tensor) -> None:
        """scatter += centred^T centred + n_a n_b / (n_a + n_b) d d^T, d = mean_b - mean_a; as one matrix product."""
        total = self.num + num
        delta = mean - self.mean
        rows = torch.cat([centred, (delta * (self.num * num / total) ** 0.5)[None]])
        self.scatter.addmm_(rows.T, rows)
        self.mean += delta * (num / total)
        self.num = total

    def reduce(self) -> None:
        """Merges over all processes; each then holds the same sums."""
        nums = all_reduce_sum(self.mean.new_tensor([self.num]))
        total = int(nums.item())
        mean = all_reduce_sum(self.mean * (self.num / max(total, 1)))
        delta = self.mean - mean
        self.scatter = all_reduce_sum(self.scatter + self.num * torch.outer(delta, delta))
        self.num, self.mean = total, mean

    @property
    def covariance(self) -> Tensor:
        """[D, D], divided by N."""
        return self.scatter / max(self.num, 1)


def moments_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance (divided by N) of rows [N, D], in float64."""
    running = RunningMoments(features.shape[1], features.device)
    for block in features.split(4096):
        running.update(block)
    return running.mean, running.covariance


def feature_set(features: Tensor) -> FeatureSet:
    """The set with these features [N, D]; its moments are taken when asked for."""
    if features.dim() != 2 or not len(features):
        raise InputError(f"expected features [N, D] of at least one picture, got {list(features.shape)}")
    return FeatureSet(len(features), features=features.to(torch.float32).cpu())


class Collector:
    """Gathers the features of pictures 0 .. num - 1, in any order and on any process, into a `FeatureSet`.

    `moments`, `features`: which parts are collected. Features take 4 * num * D bytes, moments 16 * D^2.
    """

    def __init__(
        self, num: int, num_features: int, *, moments: bool, features: bool, device: str | torch.device = "cpu"
    ):
        self.num = num
        self.running = RunningMoments(num_features, device) if moments else None
        self.kept = torch.zeros(num, num_features, dtype=torch.float32, device=device) if features else None

    def add(self, indices: Sequence[int] | np.ndarray, features: Tensor) -> None:
        """The features [n, D] of the pictures `indices`. Raises `InputError` where they are not finite."""
        if not bool(torch.isfinite(features).all()):
            raise InputError(
                f"expected finite features, got NaN or infinity for a picture among {indices[0]} to {indices[-1]}; "
                "check the feature extractor"
            )
        if self.running is not None:
            self.running.update(features)
        if self.kept is not None:
            self.kept[torch.as_tensor(indices, device=self.kept.device)] = features.to(self.kept)

    def finish(self) -> FeatureSet:
        """The set over all processes, on the CPU."""
        mean = covariance = features = None
        if self.running is not None:
            self.running.reduce()
            assert self.running.num == self.num, f"collected {self.running.num} of {self.num} pictures"
            mean, covariance = self.running.mean.cpu(), self.running.covariance.cpu()
        if self.kept is not None:
            features = all_reduce_sum(self.kept).cpu()
        return FeatureSet(self.num, mean, covariance, features)
