"""The operations once more, in NumPy float64, straight from their definitions and by nothing else.

Nothing here shares a line or an idea with the package: zero insertion writes into a larger array, filtering is a sum
over windows, modulation loops over samples. Slow, and meant to be: it is what random options are checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]


def taps_2d(f: Array | None) -> Array:
    """A filter as a matrix [height, width]: none is one tap of 1, a separable one is its outer product."""
    if f is None:
        return np.ones((1, 1))
    return np.outer(f, f) if f.ndim == 1 else f


def insert_zeros(plane: Array, up: Pair) -> Array:
    """[H, W] to [H up_y, W up_x]: sample (i, j) goes to (i up_y, j up_x)."""
    out = np.zeros((plane.shape[0] * up[1], plane.shape[1] * up[0]))
    out[:: up[1], :: up[0]] = plane
    return out


def pad(plane: Array, sides: Sides) -> Array:
    """Zeros added on (left, right, top, bottom), or samples removed where a number is negative."""
    left, right, top, bottom = sides
    grown = np.pad(plane, [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
    rows = slice(max(-top, 0), grown.shape[0] - max(-bottom, 0))
    columns = slice(max(-left, 0), grown.shape[1] - max(-right, 0))
    return grown[rows, columns]


def correlate(plane: Array, kernel: Array) -> Array:
    """Sum over windows, valid region only, kernel not flipped."""
    return np.einsum("ijab,ab->ij", sliding_window_view(plane, kernel.shape), kernel)


def each_plane(x: Array, function: Callable[[Array], Array]) -> Array:
    """`function` on every [H, W] of [N, C, H, W]."""
    return np.stack([np.stack([function(plane) for plane in sample]) for sample in x])


def upfirdn2d(
    x: Array,
    f: Array | None = None,
    up: Pair = (1, 1),
    down: Pair = (1, 1),
    sides: Sides = (0, 0, 0, 0),
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Array:
    """Zero insertion, padding or cropping, FIR filter (a true convolution unless `flip_filter`), decimation."""
    kernel = taps_2d(f) * gain
    kernel = kernel if flip_filter else kernel[::-1, ::-1]

    def one(plane: Array) -> Array:
        return correlate(pad(insert_zeros(plane, up), sides), kernel)[:: down[1], :: down[0]]

    return each_plane(x, one)


def conv2d(x: Array, w: Array, groups: int = 1, flip_weight: bool = True) -> Array:
    """Valid correlation (a true convolution without `flip_weight`); w [O, I / groups, kh, kw]."""
    w = w if flip_weight else w[:, :, ::-1, ::-1]
    outputs, inputs = w.shape[:2]
    planes = []
    for sample in x:
        for o in range(outputs):
            first = o // (outputs // groups) * inputs
            planes.append(np.sum([correlate(sample[first + i], w[o, i]) for i in range(inputs)], axis=0))
    return np.stack(planes).reshape(len(x), outputs, *planes[0].shape)


def resampling_sides(f: Array | None, up: int, down: int, sides: Sides) -> Sides:
    """Padding around the upsampled image, with what keeps a resampled picture centred."""
    height, width = taps_2d(f).shape if f is not None else (1, 1)
    out = list(sides)
    for axis, taps in ((0, width), (2, height)):
        if up > 1:
            out[axis] += (taps + up - 1) // 2
            out[axis + 1] += (taps - up) // 2
        if down > 1:
            out[axis] += (taps - down + 1) // 2
            out[axis + 1] += (taps - down) // 2
    return out[0], out[1], out[2], out[3]


def conv2d_resample(
    x: Array,
    w: Array,
    f: Array | None = None,
    up: int = 1,
    down: int = 1,
    sides: Sides = (0, 0, 0, 0),
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Array:
    """Enlarge with f, convolve with w at full rate, reduce with f."""
    sides = resampling_sides(f, up, down, sides)
    x = upfirdn2d(x, f if up > 1 else None, (up, up), (1, 1), sides, flip_filter, up**2)
    x = conv2d(x, w, groups, flip_weight)
    return upfirdn2d(x, f, (1, 1), (down, down), flip_filter=flip_filter) if down > 1 else x


def modulated_conv2d(
    x: Array,
    weight: Array,
    styles: Array,
    noise: Array | None = None,
    demodulate: bool = True,
    convolve: Callable[[Array, Array], Array] = conv2d,
) -> Array:
    """Every sample with weights of its own: scaled by its style, then brought to unit norm per output channel."""
    samples = []
    for n in range(len(x)):
        w = weight * styles[n][None, :, None, None]
        if demodulate:
            w = np.stack([row / np.sqrt((row**2).sum() + 1e-8) for row in w])
        samples.append(convolve(x[n : n + 1], w)[0])
    y = np.stack(samples)
    return y if noise is None else y + noise


def modulated_conv2d_sg3(
    x: Array, w: Array, s: Array, demodulate: bool = True, padding: int = 0, input_gain: Array | None = None
) -> Array:
    """StyleGAN3's: unit second moments first, the gain on the inputs last."""
    if demodulate:
        w = np.stack([row / np.sqrt((row**2).mean()) for row in w])
        s = s / np.sqrt((s**2).mean())
    gains = np.broadcast_to(1.0 if input_gain is None else input_gain, s.shape)
    samples = []
    for n in range(len(x)):
        own = w * s[n][None, :, None, None]
        if demodulate:
            own = np.stack([row / np.sqrt((row**2).sum() + 1e-8) for row in own])
        own = own * gains[n][None, :, None, None]
        padded = each_plane(x[n : n + 1], lambda plane: pad(plane, (padding,) * 4))
        samples.append(conv2d(padded, own)[0])
    return np.stack(samples)


ACTIVATIONS: dict[str, Callable[[Array, float], Array]] = {
    "linear": lambda x, alpha: x,
    "relu": lambda x, alpha: np.where(x > 0, x, 0),
    "lrelu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "tanh": lambda x, alpha: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "sigmoid": lambda x, alpha: 1 / (1 + np.exp(-x)),
    "elu": lambda x, alpha: np.where(x >= 0, x, np.exp(np.minimum(x, 0)) - 1),
    "selu": lambda x, alpha: (
        1.0507009873554805 * np.where(x >= 0, x, 1.6732632423543772 * (np.exp(np.minimum(x, 0)) - 1))
    ),
    "softplus": lambda x, alpha: np.log(1 + np.exp(x)),
    "swish": lambda x, alpha: x / (1 + np.exp(-x)),
}
DEFAULT_ALPHA = {"lrelu": 0.2}
DEFAULT_GAIN = {"relu": 2**0.5, "lrelu": 2**0.5, "swish": 2**0.5}


def bias_act(
    x: Array,
    b: Array | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Array:
    """Bias along `dim`, activation, gain, clamp."""
    if b is not None:
        x = np.moveaxis(np.moveaxis(x, dim, -1) + b, -1, dim)
    y = ACTIVATIONS[act](x, DEFAULT_ALPHA.get(act, 0.0) if alpha is None else alpha)
    y = y * (DEFAULT_GAIN.get(act, 1.0) if gain is None else gain)
    return y if clamp is None else np.minimum(np.maximum(y, -clamp), clamp)


def filtered_lrelu(
    x: Array,
    fu: Array | None,
    fd: Array | None,
    b: Array | None,
    up: int,
    down: int,
    sides: Sides,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Array:
    """Bias, enlarge with fu, leaky ReLU with gain and clamp at the high rate, reduce with fd."""
    x = bias_act(x, b)
    x = upfirdn2d(x, fu, (up, up), (1, 1), sides, flip_filter, up**2)
    x = bias_act(x, None, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(x, fd, (1, 1), (down, down), flip_filter=flip_filter)


def setup_filter(
    f: Sequence[float] | Sequence[Sequence[float]],
    normalize: bool,
    flip_filter: bool,
    gain: float,
    separable: bool | None,
) -> Array:
    """Taps: an outer product when short, normalized to sum 1, flipped, scaled."""
    taps = np.array(f, np.float64)
    keep_1d = taps.ndim == 1 and (len(taps) >= 8 if separable is None else separable)
    if taps.ndim == 1 and not keep_1d:
        taps = taps[:, None] * taps[None, :]
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps[::-1] if taps.ndim == 1 else taps[::-1, ::-1]
    return taps * (gain if taps.ndim == 2 else gain**0.5)
