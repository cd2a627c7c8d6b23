"""Bias, linear, ReLU or leaky ReLU, gain and clamp in one Triton kernel, the gradient's slopes in another; on CUDA."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from openstylegan.ops.triton_found import is_wide, kernels_for, launch

BLOCK = 1024
"""Values of a program: eight for a thread."""


def tail(x: Tensor, b: Tensor | None, slope: float, gain: float, clamp: float | None, out: Tensor | None) -> Tensor:
    """`clip(lrelu(x + b) gain)` for x [N, C, H, W] and C biases; in the memory of `out` where that is dense as x is."""
    x = _dense(x.detach())
    if out is None or out.stride() != x.stride():
        out = torch.empty_like(x)
    launch(
        kernels_for(x).tail_kernel, -(-x.numel() // BLOCK), x, x if b is None else b.detach().contiguous(), out,
        *(x.numel(), x.shape[1], x.shape[2] * x.shape[3], float(slope), float(gain), inf if clamp is None else clamp),
        HAS_BIAS=b is not None, CHANNELS_LAST=not x.is_contiguous(), WIDE=is_wide((x,)), BLOCK=BLOCK,
    )  # fmt: skip
    return out


def bend(g: Tensor, z: Tensor, slope: float, clamp: float | None) -> Tensor:
    """`g` times the slope, without gain, at every point of a tail's output `z` [N, C, H, W]."""
    z = _dense(z.detach())
    layout = torch.contiguous_format if z.is_contiguous() else torch.channels_last
    g = g.detach().contiguous(memory_format=layout)
    m = torch.empty_like(g, memory_format=layout)
    numbers = (z.numel(), float(slope), inf if clamp is None else float(clamp))
    launch(kernels_for(z).bend_kernel, -(-z.numel() // BLOCK), g, z, m, *numbers, WIDE=is_wide((z,)), BLOCK=BLOCK)
    return m


def _dense(x: Tensor) -> Tensor:
    """`x` as planes or channels-last, without gaps."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
