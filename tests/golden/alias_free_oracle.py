"""StyleGAN3's generator once more, in NumPy float64: a function of a state dict, composed of `oracles`.

Paper: arXiv 2106.12423. Bands, rates, sizes and filters are worked out here again from the options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden import oracles
from golden.network_oracles import State, dense, mapping, part, truncate
from golden.oracles import Array

DEFAULTS: dict[str, Any] = {
    "channel_base": 32768,
    "channel_max": 512,
    "num_layers": 14,
    "num_critical": 2,
    "first_cutoff": 2,
    "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3,
    "margin_size": 10,
    "output_scale": 0.25,
    "conv_kernel": 3,
    "filter_size": 6,
    "lrelu_upsampling": 2,
    "use_radial_filters": False,
    "conv_clamp": 256,
}


@dataclass
class Bands:
    """Cutoffs, half widths of transitions, rates, sizes and channels of all layers."""

    cutoff: Array
    half_width: Array
    rate: Array
    size: Array
    channels: Array


def bands(o: dict[str, Any], side: int, img_channels: int) -> Bands:
    """The schedule of `o` [num_layers + 1] for pictures `side` pixels wide."""
    n, critical = o["num_layers"], o["num_critical"]
    progress = np.minimum(np.arange(n + 1) / (n - critical), 1)
    last = side / 2
    cutoff = o["first_cutoff"] * (last / o["first_cutoff"]) ** progress
    stopband = o["first_stopband"] * (last * o["last_stopband_rel"] / o["first_stopband"]) ** progress
    rate = 2.0 ** np.ceil(np.log2(np.minimum(2 * stopband, side)))
    size = rate + 2 * o["margin_size"]
    size[-2:] = side
    channels = np.round(np.minimum(o["channel_base"] / 2 / cutoff, o["channel_max"]))
    channels[-1] = img_channels
    half_width = np.maximum(stopband, rate / 2) - cutoff
    return Bands(cutoff, half_width, rate, size.astype(int), channels.astype(int))


def bessel(x: Array) -> Array:
    """J1, the mean of cos(t - x sin t) over half a turn."""
    t = (np.arange(256) + 0.5) * math.pi / 256
    return np.cos(t - x[..., None] * np.sin(t)).mean(axis=-1)


def lowpass(taps: int, cutoff: float, half_width: float, rate: float, radial: bool) -> Array | None:
    """A windowed sinc, or a windowed jinc of both directions; None for one tap."""
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window, x = np.kaiser(taps, beta), (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        r = np.hypot(x[:, None], x)
        f = bessel(2 * math.pi * cutoff * r) / (math.pi * r) * np.outer(window, window)
    else:
        f = np.sinc(2 * cutoff * x) * window
    return f / f.sum()


def features(w: Array, state: State, b: Bands, transform: Array) -> Array:
    """The input's sines [N, C, size, size]."""
    made = []
    x = (np.arange(b.size[0]) + 0.5 - b.size[0] / 2) / b.rate[0]
    for row in dense(w, part(state, "affine")):
        cos, sin, right, below = row / math.hypot(row[0], row[1])
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        matrix = turn @ np.array([[1, 0, -right], [0, 1, -below], [0, 0, 1]]) @ transform
        phases, freqs = state["phases"] + state["freqs"] @ matrix[:2, 2], state["freqs"] @ matrix[:2, :2]
        length = np.sqrt((freqs**2).sum(axis=1))
        amplitudes = np.clip(1 - (length - b.cutoff[0]) / (b.rate[0] / 2 - b.cutoff[0]), 0, 1)
        angles = x[None, :, None] * freqs[:, 0] + x[:, None, None] * freqs[:, 1] + phases
        made.append(np.sin(2 * math.pi * angles) * amplitudes @ state["weight"].T / math.sqrt(len(phases)))
    return np.stack(made).transpose(0, 3, 1, 2)


def layer(x: Array, w: Array, i: int, state: State, b: Bands, o: dict[str, Any]) -> Array:
    """Layer `i`: modulated convolution, then the nonlinearity between its two filters."""
    before, is_rgb, is_critical = max(i - 1, 0), i == o["num_layers"], i >= o["num_layers"] - o["num_critical"]
    rate = max(b.rate[before], b.rate[i]) * (1 if is_rgb else o["lrelu_upsampling"])
    up, down = round(rate / b.rate[before]), round(rate / b.rate[i])
    up_taps, down_taps = (o["filter_size"] * f if f > 1 and not is_rgb else 1 for f in (up, down))
    fu = lowpass(up_taps, b.cutoff[before], b.half_width[before], rate, False)
    fd = lowpass(down_taps, b.cutoff[i], b.half_width[i], rate, o["use_radial_filters"] and not is_critical)
    kernel = 1 if is_rgb else o["conv_kernel"]
    total = (b.size[i] - 1) * down + 1 - (b.size[before] + kernel - 1) * up + up_taps + down_taps - 2
    low = math.floor((total + up) / 2)
    sides = (low, total - low, low, total - low)
    styles = dense(w, part(state, "affine")) / (math.sqrt(x.shape[1]) if is_rgb else 1)
    gain = 1 / np.sqrt(state["magnitude_ema"])
    x = oracles.modulated_conv2d_sg3(x, state["weight"], styles, not is_rgb, kernel - 1, gain)
    gain, slope = (1.0, 1.0) if is_rgb else (math.sqrt(2), 0.2)
    return oracles.filtered_lrelu(x, fu, fd, state["bias"], up, down, sides, gain, slope, o["conv_clamp"], False)


def generator(
    z: Array, c: Array, state: State, side: int, img_channels: int, options: dict[str, Any], psi: float, cutoff: Any
) -> tuple[Array, Array]:
    """ws [N, num_layers + 2, w_dim] and images [N, C, side, side]; `state["synthesis.input.transform"]` moves them."""
    o = {**DEFAULTS, **options}
    b = bands(o, side, img_channels)
    w = mapping(z, c, part(state, "mapping"), {"num_layers": 2, **o.get("mapping_kwargs", {})})
    ws = truncate(w, state["mapping.w_avg"], o["num_layers"] + 2, psi, cutoff)
    own = part(state, "synthesis.input")
    x = features(ws[:, 0], own, b, own["transform"])
    for i in range(o["num_layers"] + 1):
        name = f"synthesis.L{i}_{b.size[i]}_{b.channels[i]}"
        x = layer(x, ws[:, i + 1], i, part(state, name), b, o)
    return ws, x * o["output_scale"]
