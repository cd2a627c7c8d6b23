"""Convolutions whose input channels are scaled by a style, a sample at a time, with demodulation.

`modulated_conv2d` is StyleGAN2's (arXiv 1912.04958, equations 1-3), `modulated_conv2d_sg3` is StyleGAN3's
(arXiv 2106.12423, appendix F).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops import alias_free_pixels, winograd_planes
from openstylegan.ops.amx_layer import layer as amx_layer
from openstylegan.ops.arguments import Padding, check_images
from openstylegan.ops.bias_act import bias_act, check_bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample, conv2d_resample_reference
from openstylegan.ops.convolution import channels_last, rounded
from openstylegan.ops.frozen import derived, kept
from openstylegan.ops.paths import exportable, fast
from openstylegan.ops.plane_convolution import correlate as plane_correlate
from openstylegan.ops.plane_convolution import scaled_correlate
from openstylegan.ops.power import power, with_power
from openstylegan.ops.tail import Slopes, slopes_of, tail

EPSILON = 1e-8
FOLDED_WHEN_KEPT = 8
"""How many times larger than the weights a picture must be for folding when the weights' transforms are kept."""


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool = True,
) -> Tensor:
    """`x` [N, I, H, W] convolved with `weight` [O, I, k, k] scaled by `styles` [N, I], plus `noise`.

    y_n = conv(x_n, d_no w_oi s_ni) + noise, with d_no = (sum_ikk (w_oi s_ni)^2 + 1e-8)^-1/2, or 1 without `demodulate`.
    noise: already scaled, [H', W'] or [N, 1, H', W'] of the output. fused_modconv True scales the weights (one group a
    sample), False scales input and output; equal but for rounding, and the fast path takes whichever is cheaper. Raises
    `InputError` for shapes that do not fit.
    """
    if x.dtype == torch.float16 or not fast(x):
        return modulated_conv2d_reference(
            x, weight, styles, noise, up, down, padding, resample_filter, demodulate, flip_weight, fused_modconv
        )
    check_modulation(x, weight, styles)
    resample = Resample(up, down, padding, resample_filter, flip_weight)
    return _fast(x, weight, styles, noise, None, resample, demodulate, Slopes(1, 1, None))


def modulated_conv2d_bias_act(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool = True,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """`bias_act(modulated_conv2d(...), b, act=act, ...)`, a whole layer in one, with fewer passes over its output."""
    _, slope, factor = check_bias_act(x, None, 1, act, alpha, gain, clamp)
    slopes = slopes_of(act, slope, factor, clamp)
    if slopes is None or x.dtype == torch.float16 or not fast(x):
        y = modulated_conv2d(
            x,
            weight,
            styles,
            noise,
            up=up,
            padding=padding,
            resample_filter=resample_filter,
            demodulate=demodulate,
            flip_weight=flip_weight,
            fused_modconv=fused_modconv,
        )
        return bias_act(y, b, act=act, alpha=alpha, gain=gain, clamp=clamp)
    check_modulation(x, weight, styles)
    if b is not None and list(b.shape) != [weight.shape[0]]:
        raise InputError(f"expected a bias of shape [{weight.shape[0]}], got {list(b.shape)}")
    resample = Resample(up, 1, padding, resample_filter, flip_weight)
    return _fast(x, weight, styles, noise, b, resample, demodulate, slopes)


class Resample(NamedTuple):
    """The resampling around a modulated convolution, as `conv2d_resample` takes it."""

    up: int
    down: int
    padding: Padding
    f: Tensor | None
    flip_weight: bool

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        return conv2d_resample(
            x, w, f=self.f, up=self.up, down=self.down, padding=self.padding, flip_weight=self.flip_weight
        )


def _fast(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None,
    b: Tensor | None,
    convolve: Resample,
    demodulate: bool,
    slopes: Slopes,
) -> Tensor:
    """The fast path: one convolution for the whole batch between two scalings, the second joined with the tail.

    A grouped convolution over the batch would need weights of its own for every sample.
    """
    dtype = x.dtype
    d = None
    if demodulate:
        weight, kernels = _with_power(weight)
        d = (styles.square() @ kernels.t() + EPSILON).rsqrt()
    if convolve.down == 1 and dtype == torch.bfloat16 and not _recorded(x, weight, styles, noise, b):
        up, _, padding, f, flip_weight = convolve
        done = amx_layer(x, weight, styles, d, noise, b, up, padding, f, flip_weight, slopes)
        if done is not None:
            return done
    noise = None if noise is None else noise.to(dtype)
    b = None if b is None else b.to(dtype)[:, None, None]
    if tuple(weight.shape[2:]) == (1, 1) and convolve.up == convolve.down == 1 and convolve.padding == 0:
        y = _products_a_sample(x, weight, styles, d)
        d = None
    elif _folds(x, weight, styles, convolve):
        y = convolve(x, _folded(weight, styles, d).to(dtype))
        d = None
    else:
        scaled = tail(x, styles.to(dtype)[:, :, None, None], None, None, Slopes(1, 1, None), own=False)
        y = convolve(scaled, weight)
    if d is not None:
        d = d.to(dtype)[:, :, None, None]
    if d is None and noise is None and b is None and slopes == Slopes(1, 1, None):
        return y
    return tail(y, d, noise, b, slopes, own=True)


def _with_power(weight: Tensor) -> tuple[Tensor, Tensor]:
    """`with_power`, kept where what is derived from weights is."""
    return (weight, derived(weight, "power", power)) if kept(weight) else with_power(weight)


def _folded(weight: Tensor, styles: Tensor, d: Tensor | None) -> Tensor:
    """The weights [O, I, k, k] of a batch of one."""
    scale = styles if d is None else styles * d.t()
    return weight * scale[:, :, None, None]


def _folds(x: Tensor, weight: Tensor, styles: Tensor, convolve: Resample) -> bool:
    """Whether scaling the weights is cheaper than scaling input and output: one large picture, and no gradients.

    With gradients, `no_weight_gradients` would cut the gradient of the styles off. Where what is derived from weights
    is kept, folded weights would have to be derived again: only small ones are folded then.
    """
    smaller = FOLDED_WHEN_KEPT if kept(weight) else 1
    return not _recorded(x, weight, styles) and x.shape[0] == 1 and x[0].numel() > smaller * weight.numel()


def _products_a_sample(x: Tensor, weight: Tensor, styles: Tensor, d: Tensor | None) -> Tensor:
    """A 1x1 convolution: pixels [N, H W, I] times weights [N, I, O], which are small."""
    n, i, h, w = x.shape
    weights = weight[None, :, :, 0, 0] * styles[:, None, :]
    if d is not None:
        weights = weights * d[:, :, None]
    y = channels_last(x).permute(0, 2, 3, 1).reshape(n, h * w, i) @ weights.to(x.dtype).transpose(1, 2)
    return y.view(n, h, w, -1).permute(0, 3, 1, 2)


def modulated_conv2d_reference(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool = True,
) -> Tensor:
    """What `modulated_conv2d` computes, written as its equation with plain operations, in both forms."""
    check_modulation(x, weight, styles)
    if x.dtype == torch.float16 and demodulate:
        weight, styles = _within_half_range(weight, styles)
    convolve = partial(
        conv2d_resample_reference, f=resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
    )
    if fused_modconv and not exportable():
        return _one_group_a_sample(convolve, x, weight, styles, noise, demodulate)
    d = demodulation(weight, styles).to(x.dtype)[:, :, None, None] if demodulate else None
    x = x * styles.to(x.dtype)[:, :, None, None]
    x = convolve(x, weight.to(x.dtype))
    if d is not None and noise is not None:
        return torch.addcmul(noise.to(x.dtype), x, d)
    x = x if d is None else x * d
    return x if noise is None else x + noise.to(x.dtype)


def check_modulation(x: Tensor, weight: Tensor, styles: Tensor) -> None:
    """Raises `InputError` unless `weight` [O, I, k, k] and `styles` [N, I] fit `x` [N, I, H, W]."""
    check_images(x)
    if weight.ndim != 4 or weight.shape[1] != x.shape[1]:
        raise InputError(f"expected weights [O, {x.shape[1]}, k, k] for x {list(x.shape)}, got {list(weight.shape)}")
    if list(styles.shape) != list(x.shape[:2]):
        raise InputError(f"expected styles {list(x.shape[:2])} for x {list(x.shape)}, got {list(styles.shape)}")


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """d [N, O] = (sum_ikk (w_oi s_ni)^2 + 1e-8)^-1/2, by one product of [N, I] and [I, O]."""
    return (styles.square() @ weight.square().sum([2, 3]).t() + EPSILON).rsqrt()


def _recorded(*inputs: Tensor | None) -> bool:
    """Whether autograd will want gradients of any of `inputs`."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)


def _within_half_range(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and styles scaled so that float16 cannot overflow; the demodulation takes the scale out again."""
    fan_in = weight[0].numel()
    weight = weight * (1 / sqrt(fan_in) / weight.abs().amax([1, 2, 3], keepdim=True))
    return weight, styles / styles.abs().amax(1, keepdim=True)


def _one_group_a_sample(
    convolve: Callable[..., Tensor], x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor | None, demodulate: bool
) -> Tensor:
    """The fused form: weights [N, O, I, k, k], a grouped convolution over the batch."""
    n = x.shape[0]
    w = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum([2, 3, 4], keepdim=True) + EPSILON).rsqrt()
    w = w.reshape(-1, *w.shape[2:]).to(x.dtype)
    x = x.reshape(1, -1, *x.shape[2:])
    x = convolve(x, w, groups=n)
    x = x.reshape(n, -1, *x.shape[2:])
    return x if noise is None else x + noise.to(x.dtype)


def modulated_conv2d_sg3(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    demodulate: bool = True,
    padding: int = 0,
    input_gain: Tensor | None = None,
) -> Tensor:
    """StyleGAN3's form: `x` [N, I, H, W] correlated with `w` [O, I, k, k] scaled by `s` [N, I].

    With `demodulate`, w and s are first brought to unit second moment: w over (I, k, k) of each output channel, s over
    all its entries, which couples the samples of a batch by rounding only. input_gain: [], [I] or [N, I], after it.
    The fast path scales input and output around one convolution, or the weights of one picture; planes stay
    contiguous, as `filtered_lrelu` takes them. In bfloat16 on matrix units, where no gradient is recorded, the result
    is channels-last and may have room between its pixels.
    """
    if x.dtype == torch.float16 or not fast(x):
        return modulated_conv2d_sg3_reference(x, w, s, demodulate, padding, input_gain)
    check_modulation(x, w, s)
    before, after = _sg3_scales(w, s, demodulate, input_gain)
    if not _recorded(x, w, s, input_gain) and alias_free_pixels.usable(x, w, padding):
        return alias_free_pixels.scaled_correlate(x, w, before, after, padding)
    if tuple(w.shape[2:]) == (1, 1) and padding == 0:
        if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            return _products_a_sample(x, w, before, after)
        weights = w[None, :, :, 0, 0] * before[:, None, :] * after[:, :, None]
        return (weights.to(x.dtype) @ x.reshape(*x.shape[:2], -1)).reshape(x.shape[0], w.shape[0], *x.shape[2:])
    if winograd_planes.pays(x, tuple(w.shape), padding):
        return scaled_correlate(x, w, before, after, padding)
    if x.shape[0] == 1 and not _recorded(x, w, s) and not kept(w) and x[0].numel() > w[0].numel():
        return _planes(x, (w * (before * after.t())[:, :, None, None]).to(x.dtype), padding)
    y = _planes(x * before.to(x.dtype)[:, :, None, None], rounded(w, x.dtype), padding)
    return y * after.to(x.dtype)[:, :, None, None]


def _planes(x: Tensor, w: Tensor, padding: int) -> Tensor:
    """A convolution whose result is contiguous."""
    if w.shape[2] == w.shape[3] > padding:
        return plane_correlate(x, w, padding)
    return F.conv2d(x.contiguous(), w, padding=padding)


def _sg3_scales(w: Tensor, s: Tensor, demodulate: bool, input_gain: Tensor | None) -> tuple[Tensor, Tensor]:
    """What input [N, I] and output [N, O] of the convolution are multiplied by: one reading of the weights."""
    n, o, taps = s.shape[0], w.shape[0], w[0].numel()
    after = w.new_ones(n, o)
    if demodulate:
        _, kernels = _with_power(w)
        unit = (kernels.sum(1) / taps).rsqrt()
        s = s * s.square().mean().rsqrt()
        after = unit * (s.square() @ kernels.t() * unit.square() + EPSILON).rsqrt()
    before = s if input_gain is None else s * input_gain
    return before, after


def modulated_conv2d_sg3_reference(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    demodulate: bool = True,
    padding: int = 0,
    input_gain: Tensor | None = None,
) -> Tensor:
    """What `modulated_conv2d_sg3` computes: weights of every sample, one grouped convolution."""
    check_modulation(x, w, s)
    n, i = s.shape
    if demodulate:
        w = w * w.square().mean([1, 2, 3], keepdim=True).rsqrt()
        s = s * s.square().mean().rsqrt()
    if exportable():
        return _sg3_unfused(x, w, s, demodulate, padding, input_gain)
    weights = w[None] * s[:, None, :, None, None]
    if demodulate:
        weights = weights * (weights.square().sum([2, 3, 4], keepdim=True) + EPSILON).rsqrt()
    if input_gain is not None:
        weights = weights * input_gain.expand(n, i)[:, None, :, None, None]
    weights = weights.reshape(-1, *weights.shape[2:]).to(x.dtype)
    y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weights, padding=padding, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


def _sg3_unfused(x: Tensor, w: Tensor, s: Tensor, demodulate: bool, padding: int, input_gain: Tensor | None) -> Tensor:
    """The same with input and output scaled around one convolution, for `w` and `s` of unit second moment."""
    scale = s if input_gain is None else s * input_gain
    y = F.conv2d(x * scale.to(x.dtype)[:, :, None, None], w.to(x.dtype), padding=padding)
    return y * demodulation(w, s).to(x.dtype)[:, :, None, None] if demodulate else y
