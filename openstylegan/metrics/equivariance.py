"""Equivariance: does the picture move as a whole when its input does (EQ-T and EQ-R of StyleGAN3, arXiv:2106.12423)?

    PSNR = 20 log10(2) - 10 log10(sum of squared errors / number of known values)   [dB]

between the picture that the generator draws with a moved input, and the picture it draws with an unmoved one moved
afterwards (`shifting.py`). 2 is the range of images in [-1, 1].

As in StyleGAN3: one transform for each group of 4 pictures, translations of up to 1/8 of the width, any rotation,
float32, psi 1, constant noise drawn anew for each group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.metrics.probe import Probe, SharedNoise
from openstylegan.metrics.shifting import (
    Moved,
    pseudo_rotate,
    rotate,
    rotation_matrix,
    translate_fraction,
    translate_whole,
    translation_matrix,
)
from openstylegan.randomness import generator

MAX_TRANSLATION = 0.125
MAX_ROTATION = math.pi

Draw = Callable[[Tensor], Tensor]
"""From a transform [3, 3] to the pictures drawn with it."""


def uniform(draws: torch.Generator, num: int, limit: float) -> list[float]:
    """`num` numbers, uniform in [-limit, limit]."""
    return ((torch.rand(num, generator=draws, dtype=torch.float64) * 2 - 1) * limit).tolist()


def whole_translation(draw: Draw, reference: Tensor, draws: torch.Generator) -> tuple[Tensor, Moved]:
    """EQ-T: by whole pixels. (drawn moved, moved reference and mask)."""
    height, width = reference.shape[2:]
    x, y = uniform(draws, 2, MAX_TRANSLATION)
    x, y = round(x * width) / width, round(y * height) / height
    return draw(translation_matrix(-x, -y)), translate_whole(reference, x, y)


def fractional_translation(draw: Draw, reference: Tensor, draws: torch.Generator) -> tuple[Tensor, Moved]:
    """EQ-T: by any fraction of a pixel. (drawn moved, moved reference and mask)."""
    x, y = uniform(draws, 2, MAX_TRANSLATION)
    return draw(translation_matrix(-x, -y)), translate_fraction(reference, x, y)


def rotation(draw: Draw, reference: Tensor, draws: torch.Generator) -> tuple[Tensor, Moved]:
    """EQ-R: by any angle; what is drawn rotated is limited to the band of the rotated reference."""
    [angle] = uniform(draws, 1, MAX_ROTATION)
    target, known = rotate(reference, angle)
    drawn, drawable = pseudo_rotate(draw(rotation_matrix(-angle)), angle)
    return drawn, (target, known * drawable)


MOTIONS: Mapping[str, Callable[[Draw, Tensor, torch.Generator], tuple[Tensor, Moved]]] = {
    "whole": whole_translation,
    "fraction": fractional_translation,
    "rotation": rotation,
}


def equivariance_errors(probe: Probe, indices: Sequence[int], seed: int, motion: str) -> Tensor:
    """(sum of squared errors, number of known values) of each picture of one group, [n, 2] float64."""
    number = int(indices[0])
    z = torch.randn(len(indices), probe.z_dim, generator=generator(seed, "metrics/equivariance/latents", number))
    ws = probe.mapping(z, probe.labels(indices))

    def draw(transform: Tensor) -> Tensor:
        return probe.synthesis(ws, SharedNoise(seed, "metrics/equivariance/noise", number), transform)

    draws = generator(seed, f"metrics/equivariance/{motion}", number)
    drawn, (target, mask) = MOTIONS[motion](draw, draw(translation_matrix(0, 0)), draws)
    errors = (target.double() - drawn.double()).square() * mask
    return torch.stack([errors.sum((1, 2, 3)), mask.double().sum((1, 2, 3))], 1)


def psnr(rows: Tensor) -> tuple[float, ...]:
    """The PSNR in dB of all rows [num, 2] of errors and known values: a ratio of totals; infinite without any error.

    Raises `InputError` when no value is known.
    """
    error, known = (math.fsum(column.tolist()) for column in rows.T)
    if known == 0:
        raise InputError("expected pictures larger than the borders of the resampling filters; use at least 32 x 32")
    return (20 * math.log10(2) - 10 * math.log10(error / known) if error > 0 else math.inf,)
