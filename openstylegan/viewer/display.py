"""What is shown of a layer: its channels, gain, statistics, and the bytes of the picture.

Bytes are clamp(127.5 x 10^(dB/20) + 128, 0, 255), truncated, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openstylegan.features.base import as_rgb
from openstylegan.images import to_uint8
from openstylegan.viewer.pictures import Histogram, Moments, Shown
from openstylegan.viewer.spectrum import coloured, log_spectrum
from openstylegan.viewer.state import View

BINS = 64
SMALLEST_MAGNITUDE, LARGEST_MAGNITUDE = 1e-8, 1e8


@dataclass(frozen=True)
class Selection:
    """The shown channels of a layer: `count` from `first` on."""

    first: int
    count: int

    def of(self, layer: Tensor) -> Tensor:
        """Those channels of [C, H, W]."""
        return layer[self.first : self.first + self.count]


def select(view: View, channels: int) -> Selection:
    """All channels of a picture; of a layer three, or one, from the view's on, clamped to what there is."""
    if view.mode == "image":
        return Selection(0, channels)
    count = 3 if view.rgb and channels >= 3 else 1
    return Selection(min(view.channel, channels - count), count)


def picture_of(layer: Tensor, view: View) -> Tensor:
    """The bytes [C, H, W] of a layer [C, H, W]; [3, H, 2 W] with its spectrum at the right where that is wanted."""
    shown = select(view, len(layer)).of(layer)
    image = to_uint8(gained(shown, view))
    if not view.fft:
        return image
    spectrum = coloured(log_spectrum(layer if view.fft_all else shown, view.fft_beta), view.fft_range_db)
    return torch.cat([as_rgb(image[None])[0], spectrum], dim=2)


def gained(shown: Tensor, view: View) -> Tensor:
    """The shown channels [n, H, W] float32, normalized where a layer is to be, with the gain."""
    x = shown.float()
    if view.normalize and view.mode == "layer":
        x = x / x.abs().amax((1, 2), keepdim=True).clamp(SMALLEST_MAGNITUDE, LARGEST_MAGNITUDE)
    return x if view.scale_db == 0 else x * 10 ** (view.scale_db / 20)


def describe(name: str, layer: Tensor, view: View) -> Shown:
    """Names and numbers of what is shown of a layer [C, H, W]."""
    chosen = select(view, len(layer))
    finite, own = finite_of(layer), finite_of(chosen.of(layer))
    channels, height, width = layer.shape
    return Shown(
        name=name,
        shape=(channels, height, width),
        dtype=str(layer.dtype).removeprefix("torch."),
        channel=chosen.first,
        channels=chosen.count,
        all=moments(finite),
        selected=moments(own),
        histogram=histogram(finite),
        not_finite=layer.numel() - len(finite),
    )


def finite_of(layer: Tensor) -> Tensor:
    """The finite values of a layer, float32 [n]."""
    values = layer.float().flatten()
    there = values.isfinite()
    return values if there.all() else values[there]


def moments(values: Tensor) -> Moments:
    """Mean, population standard deviation and largest magnitude; zeros where there is nothing."""
    if not len(values):
        return Moments(0.0, 0.0, 0.0)
    std, mean = torch.std_mean(values, correction=0)
    return Moments(float(mean), float(std), float(values.abs().max()))


def histogram(values: Tensor) -> Histogram:
    """Counts in `BINS` equal bins from the smallest to the largest value."""
    if not len(values):
        return Histogram(0.0, 0.0, (0,) * BINS)
    low, high = (float(v) for v in torch.aminmax(values))
    counts = torch.histc(values, BINS, low, high) if high > low else torch.tensor([len(values), *[0] * (BINS - 1)])
    return Histogram(low, high, tuple(int(n) for n in counts))
