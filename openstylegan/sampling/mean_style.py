"""The mean style, which truncation moves ws towards: the network's running mean of w, or one estimated from latents.

Paper: StyleGAN (arXiv 1812.04948), appendix B, estimates it from samples; StyleGAN2-ADA (arXiv 2006.06676) keeps a
running mean in training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.randomness import BatchStream, generator

NUM_SAMPLES = 20_000
"""Latents that plain rewritings of StyleGAN2 estimate it from."""
AT_ONCE = 1000


def keeps_mean(G: Generator) -> bool:
    """Whether a network has a running mean of w."""
    return getattr(G.mapping, "w_avg", None) is not None


@torch.no_grad()
def mean_style(G: Generator, labels: Tensor, num_samples: int | None = None, seed: int = 0) -> Tensor:
    """The mean style [num_ws, w_dim] of `num_samples` latents from `seed`, with `labels` [n, c_dim] over and over.

    None: the network's running mean; or of 20,000 latents where it keeps none. Raises `InputError` for less than one.
    """
    device = next(G.parameters()).device
    if num_samples is None and not keeps_mean(G):
        num_samples = NUM_SAMPLES
    if num_samples is None:
        z = torch.zeros(1, G.z_dim, device=device)
        return G.mapping(z, labels[:1].to(device), truncation_psi=0, update_w_avg=False)[0]
    if num_samples < 1:
        raise InputError(f"expected at least 1 latent for the mean style, got {num_samples}; give --w-samples 20000")
    total = torch.zeros(G.num_ws, G.w_dim, dtype=torch.float64, device=device)
    for start in range(0, num_samples, AT_ONCE):
        count = min(AT_ONCE, num_samples - start)
        z = BatchStream(generator(seed, "mean_style", start)).normal((count, G.z_dim)).to(device)
        c = labels[torch.arange(start, start + count) % len(labels)].to(device)
        total += G.mapping(z, c, update_w_avg=False).double().sum(0)
    return (total / num_samples).to(next(G.parameters()).dtype)


def toward(ws: Tensor, mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """mean + psi (ws - mean), for the first `cutoff` layers only when given; ws [N, num_ws, w_dim]."""
    truncated = mean.to(ws).lerp(ws, psi)
    return truncated if cutoff is None else torch.cat([truncated[:, :cutoff], ws[:, cutoff:]], dim=1)
