"""The layer schedule of StyleGAN3: which band of frequencies, which sampling rate and which filters a layer has.

From "Alias-free generative adversarial networks" (arXiv 2106.12423, section 3.2). The unit of length is the width of
the image: frequencies are in cycles and sampling rates in samples per image width.

Differs from StyleGAN3: pictures may have any side that StyleGAN2's here may have (4..7 times a power of two); sampling
rates are then that factor's odd part times powers of two. For powers of two the schedule is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.networks.resolution import ResolutionPlan
from openstylegan.ops.lowpass import design_lowpass


@dataclass(frozen=True)
class SynthesisOptions:
    """The options of a synthesis network, under the originals' names.

    `num_layers` counts neither the input nor ToRGB; the last `num_critical` of them, and ToRGB, sample critically.
    `first_cutoff` and `first_stopband` are in cycles per image width, `last_stopband_rel` in units of the last cutoff
    (half the resolution); `margin_size` is in pixels at each layer's own rate. Filters have `filter_size` taps per
    factor of resampling, layer nonlinearities run at `lrelu_upsampling` times the sampling rate.
    """

    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    num_fp16_res: int = 4
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256
    magnitude_ema_beta: float = 0.999

    def __post_init__(self) -> None:
        at_least = {
            "num_critical": 0,
            "num_layers": max(self.num_critical, 0) + 1,
            "margin_size": 0,
            "conv_kernel": 1,
            "filter_size": 1,
            "lrelu_upsampling": 1,
        }
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise InputError(f"expected {name} to be at least {low}, got {getattr(self, name)}")
        if not 0 <= self.magnitude_ema_beta <= 1:
            raise InputError(f"expected magnitude_ema_beta from 0 to 1, got {self.magnitude_ema_beta}")
        if self.first_cutoff <= 0 or self.first_stopband < self.first_cutoff or self.last_stopband_rel < 1:
            raise InputError(
                "expected 0 < first_cutoff <= first_stopband and last_stopband_rel >= 1, "
                f"got {self.first_cutoff}, {self.first_stopband} and {self.last_stopband_rel}"
            )


@dataclass(frozen=True)
class Signal:
    """What flows between two layers: `channels` pictures of `size` pixels, margins included, at `rate` samples per
    image width, of frequencies up to `cutoff` and nothing beyond `cutoff + half_width`."""

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float


@dataclass(frozen=True)
class LayerPlan:
    """One layer: its signals, the `tmp_rate` of its nonlinearity, its filters, and its padding (before, after) on both
    axes, which is relative to the up-sampled picture and negative where it crops."""

    name: str
    before: Signal
    after: Signal
    is_torgb: bool
    is_critically_sampled: bool
    low_precision_allowed: bool
    conv_kernel: int
    tmp_rate: int
    up_taps: int
    down_taps: int
    down_radial: bool

    @property
    def up(self) -> int:
        """Factor from the rate before to that of the nonlinearity."""
        return self.tmp_rate // self.before.rate

    @property
    def down(self) -> int:
        """Factor from the rate of the nonlinearity to that after."""
        return self.tmp_rate // self.after.rate

    def up_filter(self) -> Tensor | None:
        """The low-pass filter between the rate before and that of the nonlinearity: the band of the signal before."""
        return design_lowpass(self.up_taps, self.before.cutoff, self.before.half_width * 2, self.tmp_rate)

    def down_filter(self) -> Tensor | None:
        """The low-pass filter between the rate of the nonlinearity and that after: the band of the signal after."""
        band = (self.after.cutoff, self.after.half_width * 2)
        return design_lowpass(self.down_taps, *band, self.tmp_rate, self.down_radial)

    @property
    def padding(self) -> tuple[int, int]:
        """So much that the convolution, which pads by k - 1, and the filters end at the size after.

        before = floor((total + up) / 2): a sample stands first among the zeros inserted behind it.
        """
        wanted = (self.after.size - 1) * self.down + 1
        given = (self.before.size + self.conv_kernel - 1) * self.up
        total = wanted - given + self.up_taps + self.down_taps - 2
        low = (total + self.up) // 2
        return low, total - low


def make_schedule(img_resolution: int, img_channels: int, options: SynthesisOptions) -> list[LayerPlan]:
    """The layers from the first to ToRGB. Raises `InputError` for a resolution below twice the first cutoff."""
    signals = make_signals(img_resolution, img_channels, options)
    return [make_layer(i, signals, img_resolution, options) for i in range(len(signals))]


def bands(img_resolution: int, options: SynthesisOptions) -> tuple[np.ndarray, np.ndarray]:
    """Cutoffs and least stopbands of the layers: both grow geometrically, up to the first critical layer."""
    last_cutoff = img_resolution / 2
    if last_cutoff < options.first_cutoff:
        raise InputError(f"expected img_resolution to be at least {2 * options.first_cutoff:g}, got {img_resolution}")
    last_stopband = last_cutoff * options.last_stopband_rel
    n, critical = options.num_layers, options.num_critical
    exponents = np.minimum(np.arange(n + 1) / (n - critical), 1)
    cutoffs = options.first_cutoff * (last_cutoff / options.first_cutoff) ** exponents
    return cutoffs, options.first_stopband * (last_stopband / options.first_stopband) ** exponents


def make_signals(img_resolution: int, img_channels: int, options: SynthesisOptions) -> list[Signal]:
    """The signal after each layer; the first is also that of the input. A rate is the smallest that holds the stopband.

    In float64 and in NumPy's rounding, which decides where twice a stopband is exactly a power of two.
    """
    cutoffs, stopbands = bands(img_resolution, options)
    odd = img_resolution // (img_resolution & -img_resolution)
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, img_resolution) / odd))) * odd
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + options.margin_size * 2
    sizes[-2:] = img_resolution
    channels = np.rint(np.minimum(options.channel_base / 2 / cutoffs, options.channel_max))
    channels[-1] = img_channels
    if channels.min() < 1:
        raise InputError("expected at least one channel in every layer; choose a larger channel_base or channel_max")
    if (rates != np.floor(rates)).any():
        raise InputError(f"expected whole sampling rates, got {rates.min():g}; choose a larger first_stopband")
    return [
        Signal(int(c), int(size), int(rate), float(cutoff), float(half_width))
        for c, size, rate, cutoff, half_width in zip(channels, sizes, rates, cutoffs, half_widths, strict=True)
    ]


def make_layer(i: int, signals: Sequence[Signal], img_resolution: int, options: SynthesisOptions) -> LayerPlan:
    """Layer `i`, which takes the signal of the layer before it (the first takes its own) and gives its own."""
    before, after = signals[max(i - 1, 0)], signals[i]
    is_torgb, is_critical = i == options.num_layers, i >= options.num_layers - options.num_critical
    tmp_rate = max(before.rate, after.rate) * (1 if is_torgb else options.lrelu_upsampling)

    def taps(factor: int) -> int:
        return options.filter_size * factor if factor > 1 and not is_torgb else 1

    return LayerPlan(
        name=f"L{i}_{after.size}_{after.channels}",
        before=before,
        after=after,
        is_torgb=is_torgb,
        is_critically_sampled=is_critical,
        low_precision_allowed=after.rate * 2**options.num_fp16_res > img_resolution,
        conv_kernel=1 if is_torgb else options.conv_kernel,
        tmp_rate=tmp_rate,
        up_taps=taps(tmp_rate // before.rate),
        down_taps=taps(tmp_rate // after.rate),
        down_radial=options.use_radial_filters and not is_critical,
    )


def check_resolution(img_resolution: int | Sequence[int]) -> int:
    """The side of a square picture. Raises `InputError` for another shape, and for a side that no schedule reaches."""
    plan = ResolutionPlan.of(img_resolution)
    height, width = plan.shape
    if height != width:
        raise InputError(f"expected square pictures for StyleGAN3, got {height} x {width}; crop or pad them")
    return height
