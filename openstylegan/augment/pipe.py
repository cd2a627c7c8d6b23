"""The augmentation pipe of StyleGAN2-ADA: 15 transforms, each applied to each sample with probability strength * p.

StyleGAN2-ADA (arXiv 2006.06676). In this order: geometry (flips, turns, scaling, shifts; all as one resampling), colour
(one affine map), image-space filtering, additive noise, cutout. Differentiable in the images to any order.

The geometric and the filtering stage have a fast path, and a plain one that is their definition step by step; both give
the same to rounding. The fast one is used on every device, except inside `ops.paths.reference_paths()`.

Differs from the original: random numbers belong to the sample (`draws.py`); a sample's result does not depend on those
beside it; pictures may have an alpha channel, any size, and several resolutions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openstylegan.augment.color import apply_color, check_channels, color_matrices
from openstylegan.augment.corruption import add_noise, apply_cutout, cutouts, noise_sigmas
from openstylegan.augment.draws import Draws, PercentileDraws, RandomDraws
from openstylegan.augment.filtering import band_gains, filter_bank, filter_fast, filter_reference, gains_at_size
from openstylegan.augment.geometry import at_size, geometry_filter, inverse_transforms, transform_reference
from openstylegan.augment.options import pipe_options
from openstylegan.augment.resampling import transform_fast
from openstylegan.errors import InputError
from openstylegan.images import Images, leaves
from openstylegan.ops.paths import fast
from openstylegan.randomness import BatchStream, NoiseSource


class AugmentPipe(nn.Module):
    """Transforms of `PipeOptions` strengths and ranges (keywords), at overall strength `p` (a buffer, 1 at first).

    Images are in [-1, 1], float32 or float64 (others are computed in float32), of any channels without colour
    transforms, else grey or RGB with or without alpha: alpha is moved, filtered, made noisy and cut like any channel,
    its values are not recoloured. Raises `InputError` for a strength or range that cannot be used.
    """

    p: Tensor
    Hz_geom: Tensor
    Hz_fbank: Tensor

    def __init__(self, **options: Any):
        super().__init__()
        self.options = pipe_options(**options)
        self.register_buffer("p", torch.ones([]))
        self.register_buffer("Hz_geom", geometry_filter())
        self.register_buffer("Hz_fbank", filter_bank())
        self._on_host: dict[str, tuple[tuple[int, int], np.ndarray]] = {}

    def forward(
        self, images: Images, stream: NoiseSource | None = None, debug_percentile: float | None = None
    ) -> Images:
        """Every sample of `images` [N, C, H, W] (or several resolutions of them) transformed by draws of its own.

        Draws from `stream` (None: torch's global generator), in this order: `uniform([N, 29])`, `normal([N, 12])`,
        and, where noise is on and p > 0, `normal` of the shape of the largest resolution. A stream on the CPU spares
        CUDA a wait. debug_percentile: all but that last draw replaced by their percentile, everything that is switched
        on applied whatever p is.
        """
        scales = [as_working_dtype(x) for x in leaves(images)]
        check_scales(scales)
        stream = BatchStream() if stream is None else stream
        n, p = len(scales[0]), float(self.on_host("p"))
        draws: Draws
        draws = RandomDraws(stream, n, p) if debug_percentile is None else PercentileDraws(debug_percentile, n)
        results = self.transform(scales, draws, stream, noisy=debug_percentile is not None or p > 0)
        results = [r.to(x.dtype) for r, x in zip(results, leaves(images), strict=True)]
        return tuple(results) if isinstance(images, tuple) else results[0]

    def transform(self, scales: list[Tensor], draws: Draws, stream: NoiseSource, noisy: bool) -> list[Tensor]:
        """The stages in their order, the same transform at every resolution."""
        options, top = self.options, scales[-1]
        size = (top.shape[2], top.shape[3])
        if options.moves_pixels:
            matrix = inverse_transforms(options, draws, *size)
            scales = [self.move(x, at_size(matrix, size, (x.shape[2], x.shape[3]))) for x in scales]
        if options.changes_color:
            check_channels(top.shape[1])
            color = color_matrices(options, draws, top.shape[1])
            scales = [apply_color(x, *color) for x in scales]
        if options.imgfilter > 0:
            gains = band_gains(options, draws)
            scales = [self.filter(x, gains_at_size(gains, size, (x.shape[2], x.shape[3]))) for x in scales]
        if options.noise > 0 and noisy:
            sigmas, noise = noise_sigmas(options, draws), stream.normal(top.shape, dtype=top.dtype)
            scales = [add_noise(x, noise, sigmas) for x in scales]
        if options.cutout > 0:
            cutout = cutouts(options, draws)
            scales = [apply_cutout(x, cutout) for x in scales]
        return scales

    def move(self, images: Tensor, matrix: np.ndarray) -> Tensor:
        """The geometric stage, with inverse transforms [N, 3, 3] in pixels."""
        if plain_wanted():
            return transform_reference(images, matrix, self.Hz_geom)
        return transform_fast(images, matrix, self.on_host("Hz_geom"))

    def filter(self, images: Tensor, gains: np.ndarray) -> Tensor:
        """The filtering stage, with the amplification [N, 4] of the bands."""
        taps = gains @ self.on_host("Hz_fbank")
        return filter_reference(images, taps) if plain_wanted() else filter_fast(images, taps, gains)

    def on_host(self, name: str) -> np.ndarray:
        """A buffer's values, float64, read from the device only after they have changed."""
        buffer: Tensor = getattr(self, name)
        if buffer.device.type == "cpu" or buffer.is_inference():
            return buffer.double().cpu().numpy()
        version = (buffer.data_ptr(), buffer._version)
        if name not in self._on_host or self._on_host[name][0] != version:
            self._on_host[name] = version, buffer.double().cpu().numpy()
        return self._on_host[name][1]

    def extra_repr(self) -> str:
        on = {k: v for k, v in vars(self.options).items() if v != type(self.options).__dataclass_fields__[k].default}
        return ", ".join(f"{name}={value}" for name, value in on.items())


def plain_wanted() -> bool:
    """Whether the plain formulation is asked for, by `reference_paths()`."""
    return not fast(torch.empty(0))


def as_working_dtype(images: Tensor) -> Tensor:
    """`images` in float32, or float64 where they are. Raises `InputError` unless floating-point [N, C, H, W]."""
    if images.ndim != 4 or not images.is_floating_point() or not images.numel():
        raise InputError(
            f"expected images to augment as floating-point [N, C, H, W] in [-1, 1], none of them 0, "
            f"got {images.dtype} {list(images.shape)}"
        )
    return images if images.dtype in (torch.float32, torch.float64) else images.float()


def check_scales(scales: list[Tensor]) -> None:
    """Raises `InputError` unless all resolutions hold the same samples and channels, smallest first."""
    shapes = [tuple(x.shape) for x in scales]
    if len({s[:2] for s in shapes}) != 1 or any(a[2] > b[2] or a[3] > b[3] for a, b in pairwise(shapes)):
        raise InputError(f"expected resolutions of the same samples and channels, smallest first, got shapes {shapes}")
