"""Perceptual path length: how fast a picture changes along a path through latent space (StyleGAN, arXiv:1812.04948).

    PPL = E |f(G(p(t + eps))) - f(G(p(t)))|^2 / eps^2

where f are features whose squared distance is a perceptual one, and p is the great circle between two z, or the
straight line between two ws. Distances below the 1st and above the 99th percentile are left out.

As in StyleGAN2-ADA: float32 networks, psi 1, constant noise that is drawn anew for each batch of 2 paths, one label for
both ends; a crop to the middle of faces for the older variants; box filter down to 256 px and above.

Differs from StyleGAN2-ADA: t, the paths' points and the distances are computed in float64 (there: float32, whose
rounding of t + 1e-4 is 6e-4 of the step).
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

from openstylegan.features.lpips import PerceptualFeatures, squared_distance
from openstylegan.metrics.probe import Probe, SharedNoise
from openstylegan.randomness import SampleStream

FEATURE_RESOLUTION = 256
PERCENTILES = (1, 99)

Space = Literal["z", "w"]
Sampling = Literal["full", "end"]


@dataclass(frozen=True)
class PathProtocol:
    """Which paths: in `space`, at t by `t_sampling` ("full": U[0, 1), "end": 0); `crop` to the middle of faces."""

    space: Space
    t_sampling: Sampling
    crop: bool
    epsilon: float = 1e-4


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a + (b - a) t."""
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The unit vector at t on the great circle from the direction of a to that of b; rows [..., D], t [..., 1].

    With angle p = t acos(a . b) and c the unit vector of b - (a . b) a: a cos p + c sin p.
    """
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    d = (a * b).sum(-1, keepdim=True).clamp(-1, 1)
    p = t * torch.acos(d)
    c = F.normalize(b - d * a, dim=-1)
    return F.normalize(a * torch.cos(p) + c * torch.sin(p), dim=-1)


def face_crop(images: Tensor) -> Tensor:
    """Rows 3/8 to 7/8 and columns 2/8 to 6/8 of [N, C, H, W], by eighths of the height."""
    c = images.shape[2] // 8
    return images[:, :, 3 * c : 7 * c, 2 * c : 6 * c]


def box_downsample(images: Tensor, resolution: int) -> Tensor:
    """The mean over blocks of resolution // 256 pixels a side, where that is more than 1."""
    factor = resolution // FEATURE_RESOLUTION
    return F.avg_pool2d(images, factor) if factor > 1 else images


def for_features(images: Tensor, crop: bool) -> Tensor:
    """Generated images [N, C, H, W] in [-1, 1] as the features want them: cropped, at most 511 px, in [0, 255]."""
    resolution = images.shape[2]
    return (box_downsample(face_crop(images) if crop else images, resolution) + 1) * 127.5


def trimmed_mean(distances: np.ndarray) -> float:
    """The mean of the values from the 1st percentile (the sample below it) to the 99th (the sample above it)."""
    low = np.percentile(distances, PERCENTILES[0], method="lower")
    high = np.percentile(distances, PERCENTILES[1], method="higher")
    kept = distances[(distances >= low) & (distances <= high)]
    return math.fsum(kept.tolist()) / len(kept)


def path_ends(probe: Probe, indices: Sequence[int], seed: int, protocol: PathProtocol) -> tuple[Tensor, Tensor]:
    """ws at t and at t + eps on the paths of numbered samples, [n, num_ws, w_dim] each, float64."""
    n = len(indices)
    stream = SampleStream(seed, "metrics/ppl", (), indices)
    z = stream.normal((n, 2, probe.z_dim)).double()
    t = stream.uniform((n, 1), torch.float64) if protocol.t_sampling == "full" else torch.zeros(n, 1).double()
    both = torch.stack([t, t + protocol.epsilon])
    c = probe.labels(indices)
    c = torch.cat([c, c])
    if protocol.space == "z":
        z = slerp(z[:, 0], z[:, 1], both).flatten(0, 1)
        at, after = probe.mapping(z.float(), c).double().split(n)
        return at, after
    first, second = probe.mapping(z.transpose(0, 1).flatten(0, 1).float(), c).double().split(n)
    both = both[..., None].to(first.device)
    return lerp(first, second, both[0]), lerp(first, second, both[1])


def path_distances(
    probe: Probe, indices: Sequence[int], seed: int, features: PerceptualFeatures, protocol: PathProtocol
) -> Tensor:
    """|f(G(p(t + eps))) - f(G(p(t)))|^2 / eps^2 of one group of numbered samples, [n, 1] float64."""
    ws = torch.cat(path_ends(probe, indices, seed, protocol)).float()
    images = probe.synthesis(ws, SharedNoise(seed, "metrics/ppl/noise", int(indices[0])))
    at, after = features(for_features(images, protocol.crop)).split(len(indices))
    return (squared_distance(at, after) / protocol.epsilon**2)[:, None]


def path_length(distances: Tensor) -> tuple[float, ...]:
    """PPL of all distances [num, 1]."""
    return (trimmed_mean(distances[:, 0].numpy()),)
