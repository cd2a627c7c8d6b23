"""Walks through latent space: white noise, a latent a frame, smoothed along time, as MSG-GAN's films have it.

Paper: MSG-GAN (arXiv 1903.06048), whose program films StyleGAN1 (arXiv 1812.04948) so. The smoothing wraps around: the
last frame is followed by the first. Its latents are that program's to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.sampling.labels import one_hot

REACH = 4.0
"""Where the Gaussian ends, in standard deviations: as in SciPy."""


@dataclass(frozen=True)
class Walk:
    """A walk: `num_points` times `transition_points` frames, from the seed `random_state`.

    The noise is smoothed with a Gaussian whose standard deviation is `smoothing` times `transition_points` frames: so
    about so many frames lie between two latents that have little in common.
    """

    num_points: int = 12
    transition_points: int = 60
    smoothing: float = 1.0
    random_state: int = 5

    def __post_init__(self) -> None:
        if min(self.num_points, self.transition_points) < 1 or not self.smoothing >= 0:
            raise InputError(
                "expected at least 1 point, 1 transition point and a smoothing from 0 on, got "
                f"{self.num_points}, {self.transition_points} and {self.smoothing:g}"
            )
        if not 0 <= self.random_state < 1 << 32:
            raise InputError(f"expected a random state from 0 to {2**32 - 1}, got {self.random_state}")

    def __len__(self) -> int:
        return self.num_points * self.transition_points

    def latents(self, num_cells: int, z_dim: int) -> np.ndarray:
        """[frames, cells, z_dim] float64, each of length sqrt(z_dim)."""
        noise = np.random.RandomState(self.random_state).randn(len(self), num_cells, z_dim)
        z = smoothed(noise, self.smoothing * self.transition_points)
        return z * (np.sqrt(z_dim) / np.linalg.norm(z, axis=2, keepdims=True))


def looping_kernel(sigma: float, length: int) -> np.ndarray:
    """The Gaussian of `sigma` frames, cut at 4 sigma, of sum 1, wrapped around a loop of `length` frames: [length]."""
    radius = int(REACH * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma, 1e-12)) ** 2)
    kernel = np.zeros(length)
    np.add.at(kernel, offsets % length, weights / weights.sum())
    return kernel


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """`values` [F, ...] convolved along the first axis, as a loop, with a Gaussian of `sigma` frames."""
    kernel = np.fft.rfft(looping_kernel(sigma, len(values)))
    spectrum = np.fft.rfft(values, axis=0) * kernel.reshape(-1, *[1] * (values.ndim - 1))
    return np.fft.irfft(spectrum, len(values), axis=0)


class WalkFilm:
    """The ws of a walk in every cell of a grid, mapped when a frame is asked for."""

    def __init__(self, G: Generator, walk: Walk, num_cells: int = 1, trunc: float = 1.0, class_idx: int | None = None):
        self.G, self.trunc = G, trunc
        self.device = next(G.parameters()).device
        self.c = one_hot(class_idx, G.c_dim, num_cells).to(self.device)
        self.z = torch.from_numpy(walk.latents(num_cells, G.z_dim)).float()

    def __len__(self) -> int:
        return len(self.z)

    @torch.no_grad()
    def __getitem__(self, frame: int) -> Tensor:
        """ws of all cells, [cells, num_ws, w_dim], of one frame."""
        return self.G.mapping(self.z[frame].to(self.device), self.c, truncation_psi=self.trunc, update_w_avg=False)
