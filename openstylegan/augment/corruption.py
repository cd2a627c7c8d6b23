"""Corruptions: additive noise, and a rectangle cut out of the picture.

StyleGAN2-ADA (arXiv 2006.06676), appendix B.4.
Differs from the original: a picture at several resolutions carries the same noise at all of them, averaged down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.augment.draws import Draws
from openstylegan.augment.options import PipeOptions


def noise_sigmas(options: PipeOptions, draws: Draws) -> np.ndarray:
    """Standard deviation of every sample's noise `[N]`: |N(0, 1)| noise_std, 0 where the gate is shut."""
    sigma = draws.half_normal("noise") * options.noise_std
    return np.where(draws.fires("noise_gate", options.noise), sigma, 0.0)


def add_noise(images: Tensor, noise: Tensor, sigmas: np.ndarray) -> Tensor:
    """`images + sigma noise`; `noise` is standard normal at the size of the largest resolution of the picture."""
    if not sigmas.any():
        return images
    noise = noise.to(images.device, images.dtype)
    if noise.shape != images.shape:
        noise = F.adaptive_avg_pool2d(noise, (images.shape[2], images.shape[3]))
    scale = torch.from_numpy(sigmas).to(images.device, images.dtype, non_blocking=True)
    return images + noise * scale[:, None, None, None]


@dataclass(frozen=True)
class Cutout:
    """Rectangles to cut out: centres (x, y) and side, as fractions of the picture, each `[N]`; side 0 cuts nothing."""

    x: np.ndarray
    y: np.ndarray
    side: np.ndarray


def cutouts(options: PipeOptions, draws: Draws) -> Cutout:
    """Every sample's rectangle."""
    side = np.where(draws.fires("cutout_gate", options.cutout), options.cutout_size, 0.0)
    return Cutout(draws.uniform("cutout_x"), draws.uniform("cutout_y"), side)


def apply_cutout(images: Tensor, cutout: Cutout) -> Tensor:
    """`images` with 0 where |(col + 0.5) / W - x| < side / 2 and |(row + 0.5) / H - y| < side / 2."""
    if not cutout.side.any():
        return images
    inside_x = _inside(images.shape[3], cutout.x, cutout.side, images)
    inside_y = _inside(images.shape[2], cutout.y, cutout.side, images)
    keep = ~(inside_y[:, None, :, None] & inside_x[:, None, None, :])
    return images * keep.to(images.dtype)


def _inside(size: int, centre: np.ndarray, side: np.ndarray, like: Tensor) -> Tensor:
    """`[N, size]`: whether a pixel is inside, in the images' own precision so that edges fall as in the original."""
    middle, width = (torch.from_numpy(v).to(like.dtype)[:, None] for v in (centre, side))
    position = (torch.arange(size, dtype=like.dtype) + 0.5) / size
    return ((position - middle).abs() < width / 2).to(like.device, non_blocking=True)
