"""Gradient penalties of a discriminator that judges one picture at several resolutions.

Paper: MSG-GAN (arXiv 1903.06048); R1 and R2: Mescheder et al. (arXiv 1801.04406). The squared gradients are averaged
over the scales. Those at real pictures are total: what a picture does through the smaller ones made from it
belongs to its gradient.

Differs from MSG-StyleGAN: R2 works (there it ends in an error).
"""

from __future__ import annotations

from torch import Tensor

from openstylegan.images import Images, leaves
from openstylegan.losses.base import ForwardPass, LossTerm
from openstylegan.losses.penalties import squared_gradient


def mean_squared_gradient(logits: Tensor, images: Images) -> Tensor:
    """Per sample, the squared norm of the gradient of its logits' sum with respect to each scale, averaged over the
    scales, [N]."""
    return squared_gradient(logits, images) / len(leaves(images))


def r1_penalty_of_scales(real_logits: Tensor, reals: Images) -> Tensor:
    """1 / S sum_s |grad_{x_s} D(x)|^2 at real pictures, [N]."""
    return mean_squared_gradient(real_logits, reals)


def r2_penalty_of_scales(fake_logits: Tensor, fakes: Images) -> Tensor:
    """1 / S sum_s |grad_{x_s} D(x)|^2 at generated pictures, [N], whose scales are independent of one another."""
    return mean_squared_gradient(fake_logits, fakes)


class ScaleR1(LossTerm):
    """gamma / 2 E 1 / S sum_s |grad_{x_s} D(x)|^2 over real pictures; reports the bare and the weighted penalty."""

    needs = frozenset({"real_images"})

    def __init__(self, gamma: float = 10.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, f: ForwardPass) -> Tensor:
        penalty = r1_penalty_of_scales(f.real_logits, f.images_with_gradient("real_images"))
        f.report("Loss/r1_penalty", penalty)
        f.report("Loss/D/reg", penalty * (self.gamma / 2))
        return penalty.mean() * (self.gamma / 2)


class ScaleR2(LossTerm):
    """gamma / 2 E 1 / S sum_s |grad_{x_s} D(x)|^2 over generated pictures; reports the bare penalty."""

    needs = frozenset({"fake_images"})

    def __init__(self, gamma: float = 10.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, f: ForwardPass) -> Tensor:
        penalty = r2_penalty_of_scales(f.fake_logits, f.images_with_gradient("fake_images"))
        f.report("Loss/r2_penalty", penalty)
        return penalty.mean() * (self.gamma / 2)
