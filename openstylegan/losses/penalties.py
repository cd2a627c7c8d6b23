"""Gradient penalties: how steep the discriminator is at the images.

R1: Mescheder et al., "Which training methods for GANs do actually converge?" (arXiv 1801.04406), equation 9.
WGAN-GP: Gulrajani et al., "Improved training of Wasserstein GANs" (arXiv 1704.00028), equation 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openstylegan.images import Images, leaves, map_images
from openstylegan.losses.base import ForwardPass, LossTerm
from openstylegan.ops.gradients import no_weight_gradients


def squared_gradient(logits: Tensor, images: Images) -> Tensor:
    """Per sample, the squared norm of the gradient of its logits' sum with respect to its images, [N].

    `images` must require gradients and `logits` depend on them; the result can be differentiated again.
    """
    with no_weight_gradients():
        gradients = torch.autograd.grad(logits.sum(), leaves(images), create_graph=True)
    return torch.stack([g.square().sum([1, 2, 3]) for g in gradients]).sum(0)


def interpolated(reals: Images, fakes: Images, share: Tensor) -> Images:
    """share x + (1 - share) G(z), detached and with gradients of its own; share [N, 1, 1, 1] is one for all scales."""
    return map_images(lambda x, y: y.lerp(x, share.to(x)).detach().requires_grad_(), reals, fakes)


def gradient_penalty(logits: Tensor, images: Images, target: float = 1.0) -> Tensor:
    """WGAN-GP without its weight: (|grad D| - target)^2 at `images`, [N], the norm being over all scales."""
    with no_weight_gradients():
        gradients = torch.autograd.grad(logits.sum(), leaves(images), create_graph=True)
    norms = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], dim=1), dim=1)
    return (norms - target).square()


def r1_penalty(real_logits: Tensor, reals: Images) -> Tensor:
    """R1 without its weight: |grad_x D(x)|^2 at real images, [N]."""
    return squared_gradient(real_logits, reals)


class R1(LossTerm):
    """gamma / 2 E |grad_x D(x)|^2 over real images before augmentation; reports the bare and the weighted penalty."""

    needs = frozenset({"real_images"})

    def __init__(self, gamma: float = 10.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, f: ForwardPass) -> Tensor:
        penalty = r1_penalty(f.real_logits, f.images_with_gradient("real_images"))
        f.report("Loss/r1_penalty", penalty)
        f.report("Loss/D/reg", penalty * (self.gamma / 2))
        return penalty.mean() * (self.gamma / 2)


class GradientPenalty(LossTerm):
    """weight E (|grad D(x)| - 1)^2 at images between real and generated ones, each pair mixed by a share of its own."""

    def __init__(self, weight: float = 10.0):
        super().__init__()
        self.weight = weight

    def forward(self, f: ForwardPass) -> Tensor:
        share = f.stream("interpolation", f.num_samples).uniform((f.num_samples, 1, 1, 1))
        images = interpolated(f.reals, f.fakes, share)
        penalty = gradient_penalty(f.logits_of(images, "between"), images)
        f.report("Loss/gradient_penalty", penalty)
        f.report("Loss/D/reg", penalty * self.weight)
        return penalty.mean() * self.weight
