"""Directions in w found from the network itself.

- SeFa (arXiv 2007.06600), closed form: the step n of length 1 that changes the styles most maximizes |A n|^2, A being
  all the affine weights that w is fed to: the eigenvectors of A^T A.
- Principal components of the w of many seeds, as GANSpace (arXiv 2004.02546) has them.

Differs from both: steps are measured in standard deviations of w along the direction; a direction's sign is such that
its largest component is positive, so it is the same on every machine. The affine parts are found by what they are fed,
and their weights by what they make of unit vectors, so any network serves whose styles are affine in w.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.networks.base import Generator
from openstylegan.randomness import SampleStream
from openstylegan.viewer.layers import parts_of

MOST = 64
NUM_SAMPLES, SAMPLES_AT_ONCE = 4096, 512


@dataclass(frozen=True)
class DirectionSet:
    """`vectors` [n, w_dim] of length 1, strongest first; `scales` [n]: standard deviations of w along them; `shares`
    [n]: of the sum of all eigenvalues. float64 on the CPU."""

    vectors: Tensor
    scales: Tensor
    shares: Tensor

    def step(self, index: int, amount: float) -> Tensor:
        """amount * scale * direction, [w_dim]. Raises `InputError` for a direction that is not there."""
        if index >= len(self.vectors):
            raise InputError(f"expected a direction from 0 to {len(self.vectors) - 1}, got {index}")
        return self.vectors[index] * (self.scales[index] * amount)


@torch.no_grad()
def covariance_of_w(G: Generator) -> Tensor:
    """The covariance [w_dim, w_dim] float64 of w over random latents (and classes), not truncated."""
    device = next(G.parameters()).device
    total, products = torch.zeros(G.w_dim, dtype=torch.float64), torch.zeros(G.w_dim, G.w_dim, dtype=torch.float64)
    for start in range(0, NUM_SAMPLES, SAMPLES_AT_ONCE):
        stream = SampleStream(0, "viewer/w", (), range(start, start + SAMPLES_AT_ONCE))
        z = stream.normal((SAMPLES_AT_ONCE, G.z_dim))
        chosen = (stream.uniform((SAMPLES_AT_ONCE, 1))[:, 0] * max(G.c_dim, 1)).long()
        c = nn.functional.one_hot(chosen, max(G.c_dim, 1)).float()[:, : G.c_dim]
        w = G.mapping(z.to(device), c.to(device))[:, 0].double().cpu()
        total += w.sum(0)
        products += w.T @ w
    mean = total / NUM_SAMPLES
    return products / NUM_SAMPLES - torch.outer(mean, mean)


def affine_parts(G: Generator) -> list[tuple[int, nn.Module]]:
    """The parts of the synthesis that take w alone and give styles, each with the index of ws that it takes.

    Found by drawing with ws whose i-th vector is i throughout.
    """
    found: list[tuple[int, nn.Module]] = []

    def note(part: nn.Module, inputs: tuple[Any, ...], value: Any) -> None:
        takes_w = len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].shape == (1, G.w_dim)
        if takes_w and isinstance(value, Tensor) and value.dim() in (2, 3) and len(inputs[0].unique()) == 1:
            found.append((int(inputs[0][0, 0]), part))

    hooks = [part.register_forward_hook(note) for part in parts_of(G).values()]
    own = next(G.parameters())
    ws = torch.arange(G.num_ws, device=own.device, dtype=own.dtype)[None, :, None].expand(1, -1, G.w_dim)
    try:
        with torch.no_grad():
            G.synthesis(ws.contiguous(), noise_mode="none")
    finally:
        for hook in hooks:
            hook.remove()
    return [(index, part) for index, part in found if not any(part in list(o.children()) for _, o in found)]


@torch.no_grad()
def affine_weights(G: Generator, layers: tuple[int, ...] = ()) -> Tensor:
    """A [styles, w_dim] float64: the affine weights, one below the other, of all ws or those of `layers`.

    Raises `InputError` for layers that feed nothing.
    """
    own = next(G.parameters())
    units = torch.eye(G.w_dim, device=own.device, dtype=own.dtype)
    chosen = [part for index, part in affine_parts(G) if not layers or index in layers]
    if not chosen:
        raise InputError(
            f"expected layers whose w becomes styles, got {list(layers) or 'none'}; this network has none such there"
        )
    rows = [(part(units) - part(torch.zeros_like(units[:1]))).flatten(1).T.double().cpu() for part in chosen]
    return torch.cat(rows)


def strongest(matrix: Tensor, covariance: Tensor) -> DirectionSet:
    """The eigenvectors of a symmetric `matrix` [w_dim, w_dim], largest eigenvalues first."""
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(0).clamp_min(0), vectors.T.flip(0)[:MOST]
    signs = torch.gather(vectors, 1, vectors.abs().argmax(1, keepdim=True)).sign()
    vectors = vectors * signs
    scales = ((vectors @ covariance) * vectors).sum(1).clamp_min(0).sqrt()
    return DirectionSet(vectors, scales, values[:MOST] / values.sum().clamp_min(1e-300))


def sefa(G: Generator, covariance: Tensor, layers: tuple[int, ...] = ()) -> DirectionSet:
    """SeFa's directions of all ws, or of the affine weights of `layers`. Raises `InputError`."""
    A = affine_weights(G, layers)
    return strongest(A.T @ A, covariance)


def principal(covariance: Tensor) -> DirectionSet:
    """The principal components of w."""
    return strongest(covariance, covariance)
