"""The pictures that metrics look at: numbered, so that every process and batch size measures the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from openstylegan.images import leaves, to_uint8
from openstylegan.networks.base import Generator
from openstylegan.randomness import SampleStream

Labels = Callable[[np.ndarray], np.ndarray]
"""From dataset indices to their labels, float32 [n, c_dim]."""


def numbered_sampler(
    G: Generator, seed: int, num_items: int, labels: Labels, max_batch: int = 16
) -> Callable[[Sequence[int]], Tensor]:
    """A function from picture numbers to uint8 pictures [n, C, H, W] on the CPU.

    Picture i has its own latent, noise ('random', psi 1) and the label of a uniformly random one of the dataset's
    `num_items`, all keyed by (seed, i).
    """
    device = next(G.parameters()).device

    @torch.no_grad()
    def batch(indices: Sequence[int]) -> Tensor:
        stream = SampleStream(seed, "metrics/latents", (), indices)
        z = stream.normal((len(indices), G.z_dim)).to(device)
        chosen = (stream.uniform((len(indices), 1), torch.float64)[:, 0] * num_items).long().numpy()
        c = torch.from_numpy(labels(chosen)).to(device)
        noise = SampleStream(seed, "metrics/noise", (), indices, device)
        images = G.synthesis(G.mapping(z, c), noise_mode="random", noise_source=noise)
        return to_uint8(leaves(images)[-1]).cpu()

    def sample(indices: Sequence[int]) -> Tensor:
        numbers = [int(i) for i in indices]
        return torch.cat([batch(numbers[n : n + max_batch]) for n in range(0, len(numbers), max_batch)])

    return sample
