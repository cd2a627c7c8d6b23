"""Path length regularization: a step in w should change the image by an amount that does not depend on w.

Karras et al., "Analyzing and improving the image quality of StyleGAN" (arXiv 1912.04958), equation 4.
Differs from the original: the running mean follows the lengths of the whole batch, whatever its cut into micro-batches
and processes; at least one sample is taken (the original fails when micro-batch / shrink is below one).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from openstylegan.images import leaves
from openstylegan.losses.base import ForwardPass, LossTerm
from openstylegan.ops.gradients import no_weight_gradients


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor, create_graph: bool = True) -> Tensor:
    """|J_w^T y| per sample, [N]: the root over the mean (over layers) of squared gradients of sum(images y / sqrt(HW)).

    `images` [N, C, H, W] depend on `ws` [N, num_ws, w_dim]; `noise` is standard normal, shaped as `images`.
    """
    scaled = noise.to(images.dtype) / math.sqrt(images.shape[2] * images.shape[3])
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad((images * scaled).sum(), ws, create_graph=create_graph)
    return gradient.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, pl_mean: Tensor, decay: float, batch_mean: Tensor | None = None) -> Tensor:
    """(|J^T y| - a)^2 per sample, [N], with a = lerp(pl_mean, mean length, decay) and the gradient through a.

    `batch_mean` (detached) is the mean length of a batch of which `lengths` is a micro-batch; then the mean of this
    penalty over all micro-batches has the gradient of the whole batch's penalty. None: `lengths` is the whole batch.
    """
    mean = lengths.detach().mean() if batch_mean is None else batch_mean
    target = pl_mean.lerp(mean, decay)
    through_mean = 2 * decay * (mean - target) * (lengths.mean() - lengths.detach().mean())
    return (lengths - target).square() - through_mean


class PathLength(LossTerm):
    """weight E (|J_w^T y| - a)^2, a being the running mean of lengths, on 1 / shrink of the micro-batch."""

    surveys = True

    def __init__(self, weight: float = 2.0, batch_shrink: int = 2, decay: float = 0.01):
        super().__init__()
        self.weight, self.batch_shrink, self.decay = weight, batch_shrink, decay
        self.register_buffer("pl_mean", torch.zeros([]))

    def whole_samples(self, num: int) -> int:
        """Micro-batches that shrink without remainder use the samples that the uncut batch uses (`training.memory`)."""
        return self.batch_shrink if num % self.batch_shrink == 0 else num

    def lengths(self, f: ForwardPass, create_graph: bool) -> Tensor:
        """Lengths of new fakes from the first samples of the micro-batch."""
        num = max(1, f.num_samples // self.batch_shrink)
        images, ws = f.generate(num)
        top = leaves(images)[-1]
        noise = f.stream("path_length", num).normal(top.shape).to(top.device)
        return path_lengths(top, ws, noise, create_graph)

    def survey(self, f: ForwardPass) -> Tensor:
        return self.lengths(f, create_graph=False).detach()

    def forward(self, f: ForwardPass) -> Tensor:
        lengths = self.lengths(f, create_graph=True)
        pl_mean = self.get_buffer("pl_mean").to(lengths.dtype)
        penalty = path_length_penalty(lengths, pl_mean, self.decay, f.batch_mean(self, lengths))
        f.track(self, lengths)
        f.report("Loss/pl_penalty", penalty)
        f.report("Loss/G/reg", penalty * self.weight)
        return penalty.mean() * self.weight

    def update_statistics(self, mean: Tensor, count: Tensor) -> None:
        pl_mean = self.get_buffer("pl_mean")
        pl_mean.lerp_(mean.squeeze().to(pl_mean), self.decay)
