"""The projector: which w makes a network draw a given picture?

StyleGAN2 (arXiv:1912.04958, appendix D) in the form of StyleGAN2-ADA (arXiv:2006.06676): gradient descent from the
mean w on a perceptual distance, with noise on w that fades, and noise maps that are optimized too but kept free of
patterns. What comes out is w alone: pictures of it are drawn with the network's own noise.

Differs from the original: several targets at a time; W+ (a w a layer) as an option; conditional networks within one
class; pictures that are not square; generators without noise maps. Numbers are drawn from generators keyed by the
seed, the same for every target, so that a target alone gives the same w again, bit for bit on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from openstylegan.data.progress import Advance, silent
from openstylegan.errors import InputError
from openstylegan.features.lpips import PerceptualFeatures
from openstylegan.images import leaves
from openstylegan.networks.base import Generator
from openstylegan.ops.frozen import FrozenWeights
from openstylegan.randomness import generator
from openstylegan.sampling.labels import one_hot

Space = Literal["w", "w+"]
W_SEED = 123
"""Of the samples that the mean and the spread of w are taken from, in every run."""
SMALLEST_PYRAMID_SIDE = 8
LARGEST_FEATURE_SIDE = 256
W_BATCH = 1000
ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class ProjectorOptions:
    """The schedule; lengths are parts of the whole. `space`: "w", or "w+" for a w of its own for every layer."""

    num_steps: int = 1000
    w_avg_samples: int = 10000
    initial_learning_rate: float = 0.1
    initial_noise_factor: float = 0.05
    lr_rampdown_length: float = 0.25
    lr_rampup_length: float = 0.05
    noise_ramp_length: float = 0.75
    regularize_noise_weight: float = 1e5
    space: Space = "w"
    seed: int = 303

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.w_avg_samples < 1:
            raise InputError(f"expected at least 1 step and 1 sample, got {self.num_steps} and {self.w_avg_samples}")
        if self.space not in ("w", "w+"):
            raise InputError(f"expected the space w or w+, got '{self.space}'")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"expected a seed from 0 to {2**32 - 1}, got {self.seed}")


@dataclass(frozen=True)
class Projection:
    """What became of T targets.

    `path` [num_steps, T, 1 or num_ws, w_dim] holds w after every step (one w stands for all layers in W), `distances`
    [num_steps, T] the perceptual distance before it, `w_avg` [w_dim] where it began.
    """

    path: Tensor
    distances: Tensor
    w_avg: Tensor
    num_ws: int

    @property
    def ws(self) -> Tensor:
        """The projected ws [T, num_ws, w_dim]."""
        return self.ws_after(len(self.path) - 1)

    def ws_after(self, step: int) -> Tensor:
        """ws [T, num_ws, w_dim] after `step`, from 0."""
        return self.path[step].expand(-1, self.num_ws, -1)


def learning_rate(options: ProjectorOptions, step: int) -> float:
    """Rises linearly over the first part, falls as a half cosine over the last: lr = lr_0 min(1, t / up) (1 - cos) / 2.

    t = step / num_steps, so the first step has rate 0.
    """
    t = step / options.num_steps
    ramp = min(1.0, (1 - t) / options.lr_rampdown_length)
    ramp = 0.5 - 0.5 * math.cos(ramp * math.pi)
    return options.initial_learning_rate * ramp * min(1.0, t / options.lr_rampup_length)


def noise_scale(options: ProjectorOptions, step: int, w_std: float = 1.0) -> float:
    """Standard deviation of the noise on w: w_std f max(0, 1 - t / length)^2."""
    t = step / options.num_steps
    return w_std * options.initial_noise_factor * max(0.0, 1 - t / options.noise_ramp_length) ** 2


@torch.no_grad()
def w_statistics(G: Generator, num_samples: int, class_idx: int | None = None) -> tuple[Tensor, float]:
    """Mean w [w_dim] and its spread sqrt(sum |w - mean|^2 / samples), one number for all dimensions."""
    device = next(G.parameters()).device
    zs = torch.from_numpy(np.random.RandomState(W_SEED).randn(num_samples, G.z_dim))
    parts = [G.mapping(z.to(device), one_hot(class_idx, G.c_dim, len(z)).to(device))[:, 0] for z in zs.split(W_BATCH)]
    w = torch.cat(parts).double()
    mean = w.mean(0)
    return mean.float(), math.sqrt(float((w - mean).square().sum()) / num_samples)


def noise_regularization(noises: Sequence[Tensor]) -> Tensor:
    """How much a sample's noise maps [N, 1, H, W] resemble themselves moved by a pixel, at every scale: [N].

    The sum over maps and over halvings (down to a side of 8) of (mean n(x, y) n(x - 1, y))^2 + (mean n(x, y)
    n(x, y - 1))^2.
    """
    total = torch.zeros(len(noises[0]) if noises else 1, device=noises[0].device if noises else None)
    for noise in noises:
        while True:
            for axis in (3, 2):
                total = total + (noise * noise.roll(1, axis)).mean((1, 2, 3)).square()
            if min(noise.shape[2:]) <= SMALLEST_PYRAMID_SIDE:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


def normalized_noise(noise: Tensor) -> Tensor:
    """Every map of [N, 1, H, W] with mean 0 and mean square 1."""
    noise = noise - noise.mean((1, 2, 3), keepdim=True)
    return noise * noise.square().mean((1, 2, 3), keepdim=True).rsqrt()


def noise_maps(G: Generator, num: int, seed: int) -> dict[str, Tensor]:
    """Fresh noise [num, 1, H, W] for every noise buffer of the synthesis network, the same for all `num`."""
    maps = {}
    for name, buffer in G.synthesis.named_buffers():
        if name.split(".")[-1] == "noise_const":
            fresh = torch.randn(buffer.shape, generator=generator(seed, f"project/noise/{name}"))
            maps[name] = fresh.to(buffer.device).expand(num, 1, *buffer.shape).clone()
    return maps


def looked_at(images: Tensor) -> Tensor:
    """Pictures [N, C, H, W] as the features see them: the longer side 256 pixels at most, averaged down."""
    longest = max(images.shape[2:])
    if longest <= LARGEST_FEATURE_SIDE:
        return images
    size = [max(1, round(side * LARGEST_FEATURE_SIDE / longest)) for side in images.shape[2:]]
    return F.interpolate(images, size=size, mode="area")


class Descent:
    """T targets on their way: w, the noise maps and their optimizer."""

    def __init__(
        self,
        G: Generator,
        targets: Tensor,
        features: PerceptualFeatures,
        options: ProjectorOptions,
        class_idx: int | None,
    ):
        self.G, self.features, self.options = G, features, options
        with torch.no_grad():
            self.wanted = features(looked_at(targets.to(next(G.parameters()).device, torch.float32)))
        self.w_avg, self.w_std = w_statistics(G, options.w_avg_samples, class_idx)
        layers = 1 if options.space == "w" else G.num_ws
        self.w = self.w_avg.expand(len(targets), layers, -1).clone().requires_grad_()
        self.noises = noise_maps(G, len(targets), options.seed)
        self.leaves = [self.w, *(noise.requires_grad_() for noise in self.noises.values())]
        self.adam = torch.optim.Adam(self.leaves, lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPSILON)

    def step(self, step: int) -> Tensor:
        """One step of all targets; returns their perceptual distances [T] before it."""
        for group in self.adam.param_groups:
            group["lr"] = learning_rate(self.options, step)
        distance = (self.features(looked_at(self.pictures(step))) - self.wanted).square().sum(1)
        loss = distance.sum()
        if self.noises:
            loss = loss + self.options.regularize_noise_weight * noise_regularization(self.leaves[1:]).sum()
        # Only these gradients: parameters of G that might want some get none.
        for leaf, gradient in zip(self.leaves, torch.autograd.grad(loss, self.leaves), strict=True):
            leaf.grad = gradient
        self.adam.step()
        with torch.no_grad():
            for noise in self.leaves[1:]:
                noise.copy_(normalized_noise(noise))
        return distance.detach()

    def pictures(self, step: int) -> Tensor:
        """What is drawn at `step`, with noise on w and the maps as they are: floats [T, C, H, W], 0..255 nominally."""
        options, (_, layers, w_dim) = self.options, self.w.shape
        noise = torch.randn((1, layers, w_dim), generator=generator(options.seed, "project/w", step)).to(self.w.device)
        ws = (self.w + noise * noise_scale(options, step, self.w_std)).expand(-1, self.G.num_ws, -1)
        images = functional_call(self.G.synthesis, dict(self.noises), (ws,), {"noise_mode": "const"})
        return (leaves(images)[-1] + 1) * 127.5


def project(
    G: Generator,
    targets: Tensor,
    features: PerceptualFeatures,
    options: ProjectorOptions | None = None,
    *,
    class_idx: int | None = None,
    progress: Advance = silent,
) -> Projection:
    """Projects `targets` [T, C, H, W] (0..255, of the network's shape) into the latent space of `G`, T together.

    Calls `progress(1)` after every step. Raises `InputError`.
    """
    options = options or ProjectorOptions()
    if targets.dim() != 4 or tuple(targets.shape[1:]) != tuple(G.image_shape) or not len(targets):
        raise InputError(f"expected targets of shape {['T', *G.image_shape]}, got {list(targets.shape)}")
    descent = Descent(G, targets, features, options, class_idx)
    path, distances = [], []
    with FrozenWeights():
        for step in range(options.num_steps):
            distances.append(descent.step(step).cpu())
            path.append(descent.w.detach().cpu().clone())
            progress(1)
    return Projection(torch.stack(path), torch.stack(distances), descent.w_avg.cpu(), G.num_ws)
