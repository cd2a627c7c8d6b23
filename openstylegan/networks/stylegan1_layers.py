"""The layers of StyleGAN1 in rosinality's form: equalized learning rate with gain sqrt(2 / fan_in), blur, AdaIN.

Papers: StyleGAN (arXiv 1812.04948), Progressive GAN (arXiv 1710.10196). Names, shapes and gains of all tensors are
those of style-based-gan-pytorch, so its weights load as they are.

Differs from NVIDIA's StyleGAN1: one noise picture for both layers of a block, its weight times sqrt(2 / C); fused
resampling divides by 4 when up-sampling too; biases come before the blur; instance norm with eps 1e-5.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.networks.layers import normalize_second_moment
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.gradients import correlate, scatter
from openstylegan.ops.upfirdn2d import upfirdn2d

SLOPE = 0.2


def equalized_gain(shape: tuple[int, ...]) -> float:
    """sqrt(2 / fan_in), fan_in being all dimensions but the first."""
    return math.sqrt(2 / math.prod(shape[1:]))


class Equalized(nn.Module):
    """A weight N(0, 1) `weight_orig` with its gain, and a `bias` that begins at 0."""

    def __init__(self, *shape: int):
        super().__init__()
        self.weight_orig = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.gain = equalized_gain(shape)

    @property
    def weight(self) -> Tensor:
        """weight_orig sqrt(2 / fan_in)."""
        return self.weight_orig * self.gain


class PixelNorm(nn.Module):
    """x / sqrt(mean over channels of x^2 + 1e-8)."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] of the same shape."""
        return normalize_second_moment(x)


class EqualLinear(nn.Module):
    """Fully connected: x [N, in] to [N, out]."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.linear = Equalized(out_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        # alpha scales inside the matrix product: no scaled copy of the weight is made.
        return torch.addmm(self.linear.bias, x, self.linear.weight_orig.t(), alpha=self.linear.gain)


class EqualConv2d(nn.Module):
    """Convolution: x [N, in, H, W] to [N, out, H + 2 padding - k + 1, ...]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int], padding: int = 0):
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.conv = Equalized(out_channels, in_channels, *sides)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        y = conv2d_resample(x, self.conv.weight, padding=self.padding)
        return y + self.conv.bias[:, None, None]


class Blur(nn.Module):
    """Every channel with [1, 2, 1] / 4 in both directions, zeros beyond the border; x keeps its shape.

    The kernel is stored once a channel, and once more for the backward pass, as the files have it.
    """

    weight: Tensor
    weight_flip: Tensor

    def __init__(self, channels: int):
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        for name in ("weight", "weight_flip"):
            self.register_buffer(name, torch.outer(taps, taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.weight[0, 0], padding=1, flip_filter=True)


def widened(weight: Tensor) -> Tensor:
    """A kernel [.., 3, 3] as the mean of itself at four places, [.., 4, 4]: the box filter of a resampling in it."""
    padded = F.pad(weight, (1, 1, 1, 1))
    return (padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]) / 4


class FusedUpsample(nn.Module):
    """Doubling and 3x3 convolution in one: x [N, in, H, W] to [N, out, 2 H, 2 W]; `weight` [in, out, 3, 3].

    Its results are a fourth of those of the two in turn, for the box filter sums to 1 instead of 4.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_channels, out_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.gain = equalized_gain((out_channels, in_channels, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = scatter(x, widened(self.weight * self.gain), stride=2)
        return y[:, :, 1:-1, 1:-1] + self.bias[:, None, None]


class FusedDownsample(nn.Module):
    """3x3 convolution and halving in one: x [N, in, H, W] to [N, out, H / 2, W / 2]; `weight` [out, in, 3, 3]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.gain = equalized_gain((out_channels, in_channels, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = correlate(x, widened(self.weight * self.gain), stride=2, padding=(1, 1))
        return y + self.bias[:, None, None]


class NoiseInjection(nn.Module):
    """x + sqrt(2 / C) weight_orig noise, for x [N, C, H, W] and noise [N or 1, 1, H, W]; begins without influence."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gain = equalized_gain((1, channels))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return x if noise is None else x + self.weight_orig * self.gain * noise


class AdaptiveInstanceNorm(nn.Module):
    """gamma instance_norm(x) + beta, both affine in the style [N, w_dim]; gamma begins at 1, beta at 0."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.style = EqualLinear(w_dim, 2 * channels)
        with torch.no_grad():
            self.style.linear.bias[:channels] = 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        gamma, beta = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return gamma * F.instance_norm(x, eps=1e-5) + beta


class ConstantInput(nn.Module):
    """A learned picture [1, C, h, w], the same for every sample."""

    def __init__(self, channels: int, shape: tuple[int, int]):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, *shape))

    def forward(self, num_samples: int) -> Tensor:
        """[N, C, h, w]."""
        return self.input.expand(num_samples, -1, -1, -1)


def upsampling(in_channels: int, out_channels: int, fused: bool) -> nn.Sequential:
    """Doubling, 3x3 convolution and blur."""
    if fused:
        return nn.Sequential(FusedUpsample(in_channels, out_channels), Blur(out_channels))
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"), EqualConv2d(in_channels, out_channels, 3, 1), Blur(out_channels)
    )


class StyledBlock(nn.Module):
    """One resolution of the generator: two layers of convolution, noise, leaky ReLU, AdaIN, with one w and one noise.

    `start` (h, w): the first layer is a learned constant of that size instead of a convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, fused: bool, start: tuple[int, int] | None = None
    ):
        super().__init__()
        self.is_first = start is not None
        self.conv1: nn.Module
        if start is None:
            self.conv1 = upsampling(in_channels, out_channels, fused)
        else:
            self.conv1 = ConstantInput(out_channels, start)
        self.noise1 = NoiseInjection(out_channels)
        self.adain1 = AdaptiveInstanceNorm(out_channels, w_dim)
        self.conv2 = EqualConv2d(out_channels, out_channels, 3, 1)
        self.noise2 = NoiseInjection(out_channels)
        self.adain2 = AdaptiveInstanceNorm(out_channels, w_dim)

    def forward(self, x: Tensor | None, w: Tensor, noise: Tensor | None) -> Tensor:
        """[N, out, 2 H, 2 W] from x [N, in, H, W] (None for the first block) and w [N, w_dim]."""
        x = self.conv1(w.shape[0]) if self.is_first else self.conv1(x)
        x = self.adain1(F.leaky_relu(self.noise1(x, noise), SLOPE), w)
        return self.adain2(F.leaky_relu(self.noise2(self.conv2(x), noise), SLOPE), w)


class DownBlock(nn.Module):
    """One resolution of the discriminator: convolution, blur, convolution that halves: [N, in, H, W] to half."""

    def __init__(self, in_channels: int, out_channels: int, fused: bool):
        super().__init__()
        self.conv1 = nn.Sequential(EqualConv2d(in_channels, out_channels, 3, 1), nn.LeakyReLU(SLOPE))
        halving: list[nn.Module] = [FusedDownsample(out_channels, out_channels)]
        if not fused:
            halving = [EqualConv2d(out_channels, out_channels, 3, 1), nn.AvgPool2d(2)]
        self.conv2 = nn.Sequential(Blur(out_channels), *halving, nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class LastBlock(nn.Module):
    """The base of the discriminator: [N, in, h, w] to [N, out, 1, 1], with a kernel as large as the map."""

    def __init__(self, in_channels: int, out_channels: int, shape: tuple[int, int]):
        super().__init__()
        self.conv1 = nn.Sequential(EqualConv2d(in_channels, out_channels, 3, 1), nn.LeakyReLU(SLOPE))
        self.conv2 = nn.Sequential(EqualConv2d(out_channels, out_channels, shape), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))
