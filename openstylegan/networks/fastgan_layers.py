"""The blocks of FastGAN: Liu et al., "Towards faster and stabilized GAN training for high-fidelity few-shot image
synthesis" (arXiv 2101.04775), in the form that Projected GAN (arXiv 2111.01007) trains.

Names of all tensors are those of Projected GAN.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openstylegan.networks.spectral import (
    SpectralConv2d,
    SpectralConvTranspose2d,
    SpectralLinear,
    UpsampledSpectralConv2d,
)
from openstylegan.ops.frozen import derived
from openstylegan.ops.norm_act import Act, norm_act, usable
from openstylegan.ops.paths import fast
from openstylegan.ops.tail import Slopes, tail

MOMENTUM, EPSILON = 0.1, 1e-5
SCALED = Slopes(1.0, 1.0, None)
"""Of a `tail` that is a product."""


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation: in training mode by the statistics of the batch, which the running ones follow."""

    running: ClassVar[tuple[str, ...]] = ("running_mean", "running_var", "num_batches_tracked")

    def followed_by(self, act: Act, x: Tensor) -> Tensor:
        """`act` of what it makes of x; in training, in as few passes as can be."""
        if not self.training or not usable(x, self.weight):
            return gated(self(x)) if act.gated else act(self(x))
        y, mean, var = norm_act(x, self.weight, self.bias, self.eps, act)
        self.follow(mean, var, x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Moves the running statistics towards those of a batch of `count` pixels, of which `var` is the biased one."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * (count / max(count - 1, 1)), self.momentum)


class NormedSequence(nn.Sequential):
    """Layers one after the other, each `BatchNorm` together with the activation that follows it."""

    def forward(self, x: Tensor) -> Tensor:
        layers: list[Any] = list(self)
        while layers:
            layer, *layers = layers
            act = act_of(layers[0]) if layers and isinstance(layer, BatchNorm) else None
            if act is not None:
                x, layers = layer.followed_by(act, x), layers[1:]
            else:
                x = layer(x)
        return x


def act_of(layer: nn.Module) -> Act | None:
    """`layer` as what follows a norm, if it can."""
    if isinstance(layer, GLU):
        return Act(True)
    return Act(False, layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else None


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on y [N, y_dim]: norm(x) (1 + gain(y)) + bias(y)."""

    running: ClassVar[tuple[str, ...]] = ("stored_mean", "stored_var")
    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, y_dim: int):
        super().__init__()
        self.gain, self.bias = SpectralLinear(y_dim, channels), SpectralLinear(y_dim, channels)
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def whole_samples(self, num: int) -> int:
        """In training mode all samples of a micro-batch see each other (`training.memory`)."""
        return num if self.training else 1

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = self.gain(y).to(x.dtype), self.bias(y).to(x.dtype)
        x = F.batch_norm(x, self.stored_mean, self.stored_var, None, None, self.training, MOMENTUM, EPSILON)
        return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]


def gated(x: Tensor) -> Tensor:
    """x [N, 2 C, H, W] to [N, C, H, W]: the first half of the channels times the sigmoid of the second.

    The gradient of PyTorch's own loses the channels-last layout, which costs the normalisation before it 40 ms instead
    of 5 (16 x 64 x 32 x 32).
    """
    if not (fast(x) and x.requires_grad):
        return F.glu(x, dim=1)
    value, gate = x.chunk(2, dim=1)
    return value * gate.sigmoid()


class GLU(nn.Module):
    """The first half of the channels times the sigmoid of the second."""

    def forward(self, x: Tensor) -> Tensor:
        return gated(x)


class NoiseInjection(nn.Module):
    """x + w n, with one scalar w that starts at 0 and noise n [N, 1, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        scaled = self.scaled(noise, x.dtype)
        return x if scaled is None else x + scaled

    def scaled(self, noise: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """w n in `dtype`."""
        return None if noise is None else (self.weight * noise).to(dtype)


class InitLayer(nn.Module):
    """z [N, z_dim] to [N, channels, 4, 4]."""

    def __init__(self, z_dim: int, channels: int):
        super().__init__()
        self.init = NormedSequence(SpectralConvTranspose2d(z_dim, 2 * channels, 4), BatchNorm(2 * channels), GLU())

    def forward(self, z: Tensor) -> Tensor:
        return self.init(z[:, :, None, None])


class SkipExcitation(nn.Module):
    """A large map [N, O, H, W] scaled a channel at a time by what a small one [N, I, h, w] says."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            SpectralConv2d(in_channels, out_channels, 4),
            nn.SiLU(),
            SpectralConv2d(out_channels, out_channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        scale = self.main(small)
        return tail(large, scale, None, None, SCALED, own=False) if fast(large) else large * scale


def normalised_gated(conv: SpectralConv2d, norm: BatchNorm, x: Tensor, noise: Tensor | None) -> Tensor:
    """The gate of norm(conv(x) + noise), `noise` [N, 1, H, W] being scaled already.

    By running statistics, the normalisation is multiplied into the weights: it costs nothing there.
    """
    if norm.training:
        y = conv(x)
        return norm.followed_by(Act(True), y if noise is None else y + noise)
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = derived(conv.weight_orig, "normalised", lambda _: conv.weight() * gain[:, None, None, None])
    y = conv.convolved(x, weight, norm.bias - norm.running_mean * gain)
    if noise is None:
        return gated(y)
    scale = gain.to(y.dtype)[:, None, None]
    return gated(torch.addcmul(y, noise, scale) if needs_gradient(y, noise, scale) else y.addcmul_(noise, scale))


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether what is computed of `tensors` must not be written over."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class UpBlock(nn.Sequential):
    """Enlarges x twice: a convolution, normalisation and gating; `num_convs` 2 adds noise and does all of it again.

    The indices of the layers are those of Projected GAN's sequences, in which 0 enlarges.
    """

    def __init__(self, in_channels: int, out_channels: int, num_convs: int):
        layers: list[nn.Module] = [nn.Identity()]
        for n in range(num_convs):
            wide = 2 * out_channels
            layers.append(
                SpectralConv2d(out_channels, wide, 3, padding=1) if n else UpsampledSpectralConv2d(in_channels, wide)
            )
            layers += [NoiseInjection()] if num_convs > 1 else []
            layers += [BatchNorm(2 * out_channels), GLU()]
        super().__init__(*layers)
        self.num_convs = num_convs

    @property
    def num_noises(self) -> int:
        """How many noises [N, 1, 2 H, 2 W] it takes."""
        return self.num_convs if self.num_convs > 1 else 0

    def forward(self, x: Tensor, y: Tensor | None, noises: list[Tensor | None]) -> Tensor:  # type: ignore[override]
        """y is there for the conditional blocks' sake."""
        layers: list[Any] = list(self)[1:]
        left = list(noises)
        while layers:
            conv, *layers = layers
            noise = layers.pop(0).scaled(left.pop(0), x.dtype) if self.num_convs > 1 else None
            norm, _, *layers = layers
            x = normalised_gated(conv, norm, x, noise)
        return x


class ConditionalUpBlock(nn.Module):
    """The `UpBlock` of a conditional generator with one convolution."""

    num_noises = 0

    def __init__(self, in_channels: int, out_channels: int, y_dim: int):
        super().__init__()
        self.conv = UpsampledSpectralConv2d(in_channels, 2 * out_channels)
        self.bn = ConditionalBatchNorm(2 * out_channels, y_dim)

    def forward(self, x: Tensor, y: Tensor, noises: list[Tensor | None]) -> Tensor:
        return gated(self.bn(self.conv(x), y))


class ConditionalBigUpBlock(nn.Module):
    """The `UpBlock` of a conditional generator with two convolutions, which share one noise strength."""

    num_noises = 2

    def __init__(self, in_channels: int, out_channels: int, y_dim: int):
        super().__init__()
        self.conv1 = UpsampledSpectralConv2d(in_channels, 2 * out_channels)
        self.bn1 = ConditionalBatchNorm(2 * out_channels, y_dim)
        self.conv2 = SpectralConv2d(out_channels, 2 * out_channels, 3, padding=1)
        self.bn2 = ConditionalBatchNorm(2 * out_channels, y_dim)
        self.noise = NoiseInjection()

    def forward(self, x: Tensor, y: Tensor, noises: list[Tensor | None]) -> Tensor:
        x = gated(self.bn1(self.noise(self.conv1(x), noises[0]), y))
        return gated(self.bn2(self.noise(self.conv2(x), noises[1]), y))
