"""Adversarial losses as pure functions of logits, and the terms made of them.

The non-saturating logistic loss of Goodfellow et al. (arXiv 1406.2661), as StyleGAN2-ADA (arXiv 2006.06676) uses it.
Logits are [N, K]; functions are elementwise and return the same shape.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from openstylegan.losses.base import ForwardPass, LossTerm


def logistic_g(fake_logits: Tensor) -> Tensor:
    """The generator's loss: softplus(-D(G(z)))."""
    return F.softplus(-fake_logits)


def saturating_g(fake_logits: Tensor) -> Tensor:
    """The generator's part of the minimax loss (arXiv 1406.2661), log(1 - sigmoid(D(G(z)))) = -softplus(D(G(z)))."""
    return -F.softplus(fake_logits)


def logistic_d_fake(fake_logits: Tensor) -> Tensor:
    """The discriminator's loss on generated images: softplus(D(G(z)))."""
    return F.softplus(fake_logits)


def logistic_d_real(real_logits: Tensor) -> Tensor:
    """The discriminator's loss on real images: softplus(-D(x))."""
    return F.softplus(-real_logits)


def hinge_g(fake_logits: Tensor) -> Tensor:
    """The generator's hinge loss (arXiv 1705.02894): -D(G(z))."""
    return -fake_logits


def hinge_d_fake(fake_logits: Tensor) -> Tensor:
    """The discriminator's hinge loss on generated images: max(0, 1 + D(G(z)))."""
    return F.relu(1 + fake_logits)


def hinge_d_real(real_logits: Tensor) -> Tensor:
    """The discriminator's hinge loss on real images: max(0, 1 - D(x))."""
    return F.relu(1 - real_logits)


def wasserstein_g(fake_logits: Tensor) -> Tensor:
    """The generator's Wasserstein loss (arXiv 1701.07875): -D(G(z))."""
    return -fake_logits


def wasserstein_d(real_logits: Tensor, fake_logits: Tensor, drift: float = 0.0) -> Tensor:
    """The critic's Wasserstein loss, D(G(z)) - D(x) + drift D(x)^2, as means over all logits of either kind."""
    return fake_logits.mean() - real_logits.mean() + drift * real_logits.square().mean()


class LogisticG(LossTerm):
    """Non-saturating logistic loss of the generator."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = logistic_g(f.fake_logits)
        f.report("Loss/G/loss", loss)
        return loss.mean()


class SaturatingG(LossTerm):
    """Saturating logistic loss of the generator: its slope falls to zero where the discriminator is sure."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = saturating_g(f.fake_logits)
        f.report("Loss/G/loss", loss)
        return loss.mean()


class LogisticD(LossTerm):
    """Logistic loss of the discriminator, generated and real images together."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = logistic_d_fake(f.fake_logits) + logistic_d_real(f.real_logits)
        f.report("Loss/D/loss", loss)
        return loss.mean()


class HingeG(LossTerm):
    """Hinge loss of the generator, the mean over all logits."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = hinge_g(f.fake_logits)
        f.report("Loss/G/loss", loss)
        return loss.mean()


class HingeD(LossTerm):
    """Hinge loss of the discriminator, generated and real images together."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = hinge_d_fake(f.fake_logits) + hinge_d_real(f.real_logits)
        f.report("Loss/D/loss", loss)
        return loss.mean()


class WassersteinG(LossTerm):
    """Wasserstein loss of the generator."""

    def forward(self, f: ForwardPass) -> Tensor:
        loss = wasserstein_g(f.fake_logits)
        f.report("Loss/G/loss", loss)
        return loss.mean()


class WassersteinD(LossTerm):
    """Wasserstein loss of the critic, with a `drift` that keeps its answers to real images near 0 (arXiv 1710.10196).

    Such a critic must be held to a slope: `gradient_penalty` goes with it.
    """

    def __init__(self, drift: float = 0.001):
        super().__init__()
        self.drift = drift

    def forward(self, f: ForwardPass) -> Tensor:
        loss = wasserstein_d(f.real_logits, f.fake_logits, self.drift)
        f.report("Loss/D/loss", loss)
        return loss
