"""Frechet distance of two Gaussians fitted to features: FID on Inception's (arXiv:1706.08500), fd_efflite0 on ours.

    d = |mu_1 - mu_2|^2 + tr(S_1) + tr(S_2) - 2 tr((S_1 S_2)^(1/2))

Differs from StyleGAN2-ADA: no square root of the product S_1 S_2, which is not symmetric and turns complex or infinite
where a covariance is singular. With S = A A^T, tr((S_1 S_2)^(1/2)) is the sum of the singular values of A_1^T A_2; they
are real, and few pictures or a collapsed set are nothing special.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.metrics.statistics import FeatureSet


def square_root_factor(covariance: Tensor) -> Tensor:
    """A [D, r] with A A^T = S [D, D] of rank r; eigenvalues that are rounding (<= D eps max) are left out."""
    eigenvalues, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    rounding = len(eigenvalues) * torch.finfo(covariance.dtype).eps * eigenvalues.abs().max()
    kept = eigenvalues > rounding
    return vectors[:, kept] * eigenvalues[kept].sqrt()


def frechet_distance(mean_1: Tensor, covariance_1: Tensor, mean_2: Tensor, covariance_2: Tensor) -> float:
    """The squared Frechet (Wasserstein-2) distance of two Gaussians: means [D], covariances [D, D]. At least 0."""
    s_1, s_2 = covariance_1.to(torch.float64), covariance_2.to(torch.float64)
    difference = mean_1.to(torch.float64) - mean_2.to(torch.float64)
    product = square_root_factor(s_1).T @ square_root_factor(s_2)
    cross = torch.linalg.svdvals(product).sum() if product.numel() else product.new_zeros(())
    return max(float(difference.square().sum() + s_1.trace() + s_2.trace() - 2 * cross), 0.0)


def fid(real: FeatureSet, generated: FeatureSet) -> float:
    """The Frechet distance between two feature sets."""
    return frechet_distance(*real.moments(), *generated.moments())
