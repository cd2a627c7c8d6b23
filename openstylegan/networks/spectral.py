"""Spectrally normalised layers: Miyato et al., "Spectral normalization for GANs" (arXiv 1802.05957).

A weight is divided by an estimate of its largest singular value, sigma = u^T M v, M being the weight as a matrix with a
row for each output channel. In training mode every forward pass first moves v to norm(M^T u) and u to norm(M v); u and
v are buffers, and constants in the gradient. State is named weight_orig, weight_u, weight_v and bias.

Where pictures are small, most of a layer's time in training goes into passes over its weight: there the results are
divided, and the weight stays as it is, in whatever order a convolution has put it. Its gradient takes one more pass.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from openstylegan.ops.convolution import channels_last
from openstylegan.ops.frozen import derived, in_dtype
from openstylegan.ops.gradients import correlate
from openstylegan.ops.paths import fast
from openstylegan.ops.spectral import power_iteration, usable
from openstylegan.ops.upsampled_conv import upsampled_conv2d

EPSILON = 1e-12


def unit(x: Tensor) -> Tensor:
    """x / max(|x|, 1e-12)."""
    return F.normalize(x, dim=0, eps=EPSILON)


def sigma(weight: Tensor, u: Tensor, v: Tensor, rows: int) -> Tensor:
    """u^T M v, a scalar: M is `weight` as [output channels, all else], `rows` its dimension of output channels."""
    return torch.dot(u, times(weight, v, rows))


def times(weight: Tensor, v: Tensor, rows: int) -> Tensor:
    """M v [O]; the weight is read where it is, not copied."""
    if rows == 0:
        return torch.mv(weight.flatten(1), v)
    i, o = weight.shape[:2]
    return torch.bmm(weight.view(i, o, -1), v.view(i, -1, 1)).sum(0).view(o)


def transposed_times(weight: Tensor, u: Tensor, rows: int) -> Tensor:
    """M^T u, the length of v."""
    if rows == 0:
        return torch.mv(weight.flatten(1).t(), u)
    i, o = weight.shape[:2]
    return torch.matmul(u.view(1, o), weight.view(i, o, -1)).flatten()


def plus_outer(weight: Tensor, u: Tensor, v: Tensor, rows: int) -> Tensor:
    """`weight` + u v^T."""
    factors = u[:, None], v.view(*weight.shape[:rows], 1, -1)
    return torch.addcmul(weight.flatten(rows + 1), *factors).view_as(weight)


class SpectralWeight(nn.Module):
    """A weight of `shape` with its spectral norm; `rows` is the dimension of the output channels.

    The initial weight (and bias) is uniform within 1 / sqrt(fan_in), as PyTorch's own layers have it.
    """

    running: ClassVar[tuple[str, ...]] = ("weight_u", "weight_v")
    weight_u: Tensor
    weight_v: Tensor
    bias: Tensor | None

    def __init__(self, *shape: int, rows: int = 0, bias: bool = False):
        super().__init__()
        self.rows = rows
        self.weight_orig = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.weight_orig, a=math.sqrt(5))
        limit = 1 / math.sqrt(self.weight_orig[0].numel())
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(shape[rows]).uniform_(-limit, limit)) if bias else None
        )
        matrix = self.matrix()
        self.register_buffer("weight_u", unit(torch.randn(matrix.shape[0])))
        self.register_buffer("weight_v", unit(torch.randn(matrix.shape[1])))

    def matrix(self) -> Tensor:
        """The weight as [output channels, all else]."""
        return self.weight_orig.transpose(0, self.rows).flatten(1)

    def weight(self) -> Tensor:
        """weight_orig / sigma, after a step of power iteration in training mode."""
        if self.training:
            return torch.mul(*self.measured())
        return derived(self.weight_orig, "spectrally normalised", self.normalised)

    def normalised(self, weight: Tensor) -> Tensor:
        """`weight` over sigma of the stored vectors."""
        vectors = self.weight_u.clone(), self.weight_v.clone()
        return torch.mul(*_WithNorm.apply(weight, *vectors, 1 / sigma(weight.detach(), *vectors, self.rows), self.rows))

    def measured(self) -> tuple[Tensor, Tensor]:
        """weight_orig as it lies and 1 / sigma, a scalar, after a step of power iteration.

        Multiply the smaller of weight and results with the latter.
        """
        sigma = self.iterate()
        return _WithNorm.apply(self.weight_orig, self.weight_u.clone(), self.weight_v.clone(), 1 / sigma, self.rows)

    @torch.no_grad()
    def iterate(self) -> Tensor:
        """One step of power iteration; returns sigma."""
        own = self.weight_orig, self.weight_u, self.weight_v
        if self.rows == 0 and usable(*own):
            return power_iteration(*own)
        self.weight_v.copy_(unit(transposed_times(self.weight_orig, self.weight_u, self.rows)))
        product = times(self.weight_orig, self.weight_v, self.rows)
        self.weight_u.copy_(unit(product))
        return torch.dot(self.weight_u, product)


class _WithNorm(Function):
    """`weight` itself and `inverse` = 1 / sigma, sigma = u^T M v, M being its matrix.

    With g the gradient of the one and h that of the other, the weight's is g - h / sigma^2 u v^T: in one pass, where
    autograd would write the second term and add it.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, inverse: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        ctx.rows = rows
        ctx.save_for_backward(weight, u, v, inverse)
        return weight.view_as(weight), inverse.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight, u, v, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            inverse = 1 / sigma(weight, u, v, ctx.rows)
        return plus_outer(g, u, v * (h * -inverse.square()), ctx.rows), None, None, None, None


class SpectralConv2d(SpectralWeight):
    """`conv2d` of x [N, I / groups, H, W] with a normalised weight [O, I / groups, k, k]."""

    enlarges = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ):
        super().__init__(out_channels, in_channels // groups, kernel_size, kernel_size, bias=bias)
        self.stride, self.padding, self.groups = stride, padding, groups

    def forward(self, x: Tensor) -> Tensor:
        num_results = x.numel() // x.shape[1] * len(self.weight_orig) * self.enlarges**2 // self.stride**2
        if not self.training or not fast(x) or num_results > self.weight_orig.numel():
            return self.convolved(x, self.weight(), self.bias)
        weight, inverse = self.measured()
        y = self.convolved(x, weight, None).to(inverse.dtype) * inverse
        return (y if self.bias is None else y + self.bias[:, None, None]).to(x.dtype)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with another weight of this shape, in the dtype of x."""
        bias = None if bias is None else bias.to(x.dtype)
        if self.groups > 1 or not fast(x):
            return F.conv2d(x, in_dtype(weight, x.dtype), bias, self.stride, self.padding, groups=self.groups)
        y = correlate(x, weight, self.stride, (self.padding, self.padding))
        if bias is None:
            return y
        shift = bias[:, None, None]
        return y + shift if y.requires_grad or shift.requires_grad else y.add_(shift)


class UpsampledSpectralConv2d(SpectralConv2d):
    """The same, 3x3 with padding 1, of x with every pixel repeated: [N, I, H, W] to [N, O, 2 H, 2 W]."""

    enlarges = 2

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """By the phases of the result (`ops.upsampled_conv`)."""
        return upsampled_conv2d(x, weight, None if bias is None else bias.to(x.dtype))


class SpectralConvTranspose2d(SpectralWeight):
    """`conv_transpose2d` of x [N, I, H, W] with a normalised weight [I, O, k, k], stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size, kernel_size, rows=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1) or not fast(x):
            return F.conv_transpose2d(x, in_dtype(self.weight(), x.dtype))
        o, kh, kw = self.weight_orig.shape[1:]
        if not self.training:
            y = x.flatten(1) @ in_dtype(self.weight(), x.dtype).flatten(1)
        else:
            weight, inverse = self.measured()
            y = (x.flatten(1).to(weight.dtype) @ weight.flatten(1) * inverse).to(x.dtype)
        return channels_last(y.view(-1, o, kh, kw))


class SpectralLinear(SpectralWeight):
    """A fully connected layer with a normalised weight [O, I] and a bias."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(out_features, in_features, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(), self.bias)
