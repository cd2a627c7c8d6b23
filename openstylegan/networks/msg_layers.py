"""The layers of MSG-StyleGAN: equalized learning rate, resampling with a box filter, styles by instance normalization.

Papers: MSG-GAN (arXiv 1903.06048), StyleGAN (arXiv 1812.04948). Parameters are stored unscaled and multiplied by
gain / sqrt(fan_in) at run time; the gain of the leaky ReLU is the weight's, never the activation's.

Differs from MSG-StyleGAN: a kernel is applied one way at every size (there, the kernels of up-sampling layers from 128
px on act mirrored; the reader of its files mirrors them back), and resampling is always part of the convolution, which
is the same function and takes fewer multiplications.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.ops.bias_act import bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.frozen import derived
from openstylegan.ops.gradients import correlate, scatter
from openstylegan.ops.upfirdn2d import setup_filter, upfirdn2d

GAIN = math.sqrt(2)
"""Of every layer but styles, pictures and the last one, whose gain is 1."""
EPS = 1e-8


def lrelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """max(x + b, 0.2 (x + b)), for x [N, C, ...] and a bias [C]."""
    return bias_act(x, bias, act="lrelu", gain=1)


def boxed(weight: Tensor) -> Tensor:
    """A kernel [.., 3, 3] summed at four places, [.., 4, 4]: with nearest or mean resampling by 2 inside it."""
    padded = F.pad(weight, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]


def for_doubling(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] as the kernel [I, O, 4, 4] of a transposed convolution that doubles (nearest) and correlates."""
    return boxed(weight.flip([2, 3])).transpose(0, 1)


def for_halving(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] as the kernel [O, I, 4, 4] of a strided convolution that correlates and takes 2x2 means."""
    return boxed(weight) / 4


def double_and_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, I, H, W] doubled and correlated with weight [O, I, 3, 3]: [N, O, 2 H, 2 W]."""
    return scatter(x, derived(weight, "doubling", for_doubling), stride=2)[:, :, 1:-1, 1:-1]


def convolve_and_halve(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, I, H, W] correlated with weight [O, I, 3, 3] and halved: [N, O, H / 2, W / 2]."""
    return correlate(x, derived(weight, "halving", for_halving), stride=2, padding=(1, 1))


class ScaledDense(nn.Module):
    """x W^T gain m / sqrt(in) + m b on x [N, in], with m = `lr_multiplier`; W begins as N(0, 1) / m, b as 0."""

    def __init__(self, in_features: int, out_features: int, gain: float = GAIN, lr_multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.weight_gain, self.bias_gain = gain * lr_multiplier / math.sqrt(in_features), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] to [N, out], without activation."""
        return torch.addmm(self.bias, x, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)


class ScaledWeight(nn.Module):
    """A convolution's weight [O, I, k, k], N(0, 1) at first, with its gain / sqrt(I k k)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, gain: float = GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.weight_gain = gain / math.sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2

    def scaled(self) -> Tensor:
        """The weight as it is applied."""
        return derived(self.weight, "scaled", lambda weight: weight * self.weight_gain)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I, H, W] to [N, O, H, W], zeros beyond the border."""
        return conv2d_resample(x, self.scaled(), padding=self.padding)


class ScaledConv(ScaledWeight):
    """As `ScaledWeight`, with a bias and, unless `linear`, a leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, linear: bool = False):
        super().__init__(in_channels, out_channels, kernel_size, 1.0 if linear else GAIN)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I, H, W] to [N, O, H, W]."""
        x = super().forward(x)
        return x + self.bias[:, None, None] if self.linear else lrelu(x, self.bias)


class Blur(nn.Module):
    """Every channel with [1, 2, 1] / 4 in both directions, zeros beyond the border; x keeps its shape."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taps", setup_filter([1, 2, 1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.taps, padding=1)


class HalvingConv(ScaledConv):
    """Blur, 3x3 convolution, halving, bias and leaky ReLU: x [N, I, H, W] to [N, O, H / 2, W / 2]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        return lrelu(convolve_and_halve(self.blur(x), self.scaled()), self.bias)


class DoublingConv(ScaledWeight):
    """Doubling, 3x3 convolution and blur: x [N, I, H, W] to [N, O, 2 H, 2 W]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        return self.blur(double_and_convolve(x, self.scaled()))


class StyledEnd(nn.Module):
    """What ends every layer of the generator: noise, bias, leaky ReLU, instance normalization, style.

    y = (s0 + 1) norm(lrelu(x + n b_n + b)) + s1, with s = style(w) [N, 2, C]. `noise_const` [h, w] is the layer's own
    noise.
    """

    noise_const: Tensor

    def __init__(self, channels: int, w_dim: int, shape: tuple[int, int]):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise_weight = nn.Parameter(torch.zeros(channels))
        self.style = ScaledDense(w_dim, 2 * channels, gain=1.0)
        self.register_buffer("noise_const", torch.randn(*shape))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, C, h, w] of the same shape; noise [N or 1, 1, h, w] or None."""
        if noise is not None:
            x = torch.addcmul(x, noise, self.noise_weight[:, None, None])
        x = F.instance_norm(lrelu(x, self.bias), eps=EPS)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)
