"""Layers of StyleGAN2 with equalized learning rate, and the statistics layers around them.

Papers: equalized learning rate, minibatch standard deviation: Progressive GAN (arXiv 1710.10196); StyleGAN2 (arXiv
1912.04958); Freeze-D (arXiv 2002.10964).

Parameters are stored unscaled under the originals' names and multiplied by their gain at run time.

Differs from StyleGAN2-ADA: the gain of a convolution's weight joins the gain of a positively homogeneous activation,
which costs nothing, instead of being multiplied into the weight; equal up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openstylegan.errors import InputError
from openstylegan.ops.bias_act import ACTIVATIONS, bias_act
from openstylegan.ops.conv2d_resample import conv2d_resample
from openstylegan.ops.tail import HOMOGENEOUS
from openstylegan.ops.upfirdn2d import setup_filter
from openstylegan.registry import lookup


def normalize_second_moment(x: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x * rsqrt(mean(x^2 over `dim`) + eps)."""
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


def check_activation(name: str) -> str:
    """`name` when it is an activation of `bias_act`; raises `InputError` naming the known ones otherwise."""
    lookup(ACTIVATIONS, name, "activation")
    return name


class Dense(nn.Module):
    """Fully connected layer: act(x W^T m / sqrt(in) + m b) on x [N, in], with m = `lr_multiplier`.

    The initial weight is N(0, 1) / m; the initial bias is `bias_init`, not divided by m.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
    ):
        super().__init__()
        self.activation = check_activation(activation)
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        # alpha and beta scale inside the matrix product: no scaled copy of the weight is made.
        x = torch.addmm(self.bias, x, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        return x if self.activation == "linear" else bias_act(x, act=self.activation)


class Conv2d(nn.Module):
    """Convolution with optional resampling: clamp(act(conv(x, W / sqrt(in k k)) + b) gain), x [N, in, H, W].

    `up` or `down` by a factor resamples with `resample_filter`; the kernel is mirrored when `up` > 1. A `frozen` layer
    holds weight and bias as buffers of the same names (Freeze-D).
    """

    resample_filter: Tensor
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        frozen: bool = False,
    ):
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = check_activation(activation), up, down, conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.act_gain = ACTIVATIONS[activation].gain
        self.is_linear_map = activation == "linear" and not bias and conv_clamp is None
        self.register_buffer("resample_filter", setup_filter(list(resample_filter)))
        weight = torch.randn(out_channels, in_channels, kernel_size, kernel_size)
        zeros = torch.zeros(out_channels) if bias else None
        if frozen:
            self.register_buffer("weight", weight)
            self.register_buffer("bias", zeros)
        else:
            self.weight = nn.Parameter(weight)
            self.register_parameter("bias", None if zeros is None else nn.Parameter(zeros))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """[N, in, H, W] -> [N, out, H up / down, W up / down]; the clamp limit is multiplied by `gain` too."""
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        weight, bias, act_gain = self.weight, self.bias, self.act_gain * gain
        if self.is_linear_map:
            weight, act_gain = weight * (self.weight_gain * act_gain), 1.0
        elif self.activation in HOMOGENEOUS and x.dtype != torch.float16:
            # act(g y + b) = g act(y + b / g): the weight's gain joins the gain of the activation. Not in float16,
            # whose range the unscaled sums would leave.
            bias = None if bias is None else bias / self.weight_gain
            act_gain = act_gain * self.weight_gain
        else:
            weight = weight * self.weight_gain
        x = conv2d_resample(
            x,
            weight,
            f=self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,
        )
        if self.is_linear_map:
            return x
        bias = None if bias is None else bias.to(x.dtype)
        return bias_act(x, bias, act=self.activation, gain=act_gain, clamp=clamp)


def minibatch_stddev(x: Tensor, group_size: int | None, num_channels: int = 1) -> Tensor:
    """x [N, C, H, W] with `num_channels` more channels: the standard deviation over groups of samples.

    Groups have G = min(group_size, N) samples (None: all) and are strided: group j holds the samples j, j + N/G, ...
    Raises `InputError` when N is not a multiple of G or C not one of `num_channels`.
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group != 0:
        raise InputError(
            f"expected a batch that is a multiple of the minibatch-stddev group size {group}, got {n}; "
            "change batch_gpu or mbstd_group_size"
        )
    if c % num_channels != 0:
        raise InputError(f"expected mbstd_num_channels to divide {c} channels, got {num_channels}")
    y = x.reshape(group, n // group, num_channels, c // num_channels, h, w)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=[2, 3, 4])
    y = y.repeat(group, 1)[:, :, None, None].expand(-1, -1, h, w)
    return torch.cat([x, y], dim=1)


class MinibatchStddev(nn.Module):
    """`minibatch_stddev` as a module without tensors."""

    def __init__(self, group_size: int | None, num_channels: int = 1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def whole_samples(self, num: int) -> int:
        """Micro-batches that hold whole groups have the groups of the uncut batch (`training.memory`)."""
        return num if self.group_size is None else min(self.group_size, num)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + num_channels, H, W]."""
        return minibatch_stddev(x, self.group_size, self.num_channels)
