"""A 3x3 convolution of a picture enlarged twice by repeating its pixels, without enlarging it.

Each of the four phases of the result sees the same pixel under two rows (and two columns) of the kernel, so it is a 2x2
convolution of the small picture with sums of the kernel's taps: 16 products a pixel instead of 36. The phases are the
channels of one convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.errors import InputError
from openstylegan.ops.arguments import check_images
from openstylegan.ops.convolution import channels_last
from openstylegan.ops.few_pixels import few_pixels_pay, phase_taps, upsampled_few_pixels
from openstylegan.ops.frozen import derived
from openstylegan.ops.paths import fast

FEWEST_CHANNELS = 16
"""Below so many channels the phases take longer to put together than they save."""


def upsampled_conv2d(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """`conv2d(nearest_up_2(x), w, b, padding=1)`: `x` [N, I, H, W], `w` [O, I, 3, 3], `b` [O] to [N, O, 2 H, 2 W].

    Raises `InputError` for shapes that do not fit.
    """
    check_images(x)
    if w.ndim != 4 or w.shape[1] != x.shape[1] or w.shape[2:] != (3, 3):
        raise InputError(f"expected weights [O, {x.shape[1]}, 3, 3] for x {list(x.shape)}, got {list(w.shape)}")
    if not fast(x) or x.shape[1] < FEWEST_CHANNELS:
        return upsampled_conv2d_reference(x, w, b)
    if few_pixels_pay(x.shape[0] * x.shape[2] * x.shape[3], w.numel()):
        y = upsampled_few_pixels(x, w)
        return y if b is None else y + b[:, None, None]
    bias = None if b is None else b.repeat(4)
    y = F.conv2d(channels_last(x), derived(w, "phases", phase_kernels), bias, padding=1)
    return interleave(y, w.shape[0])


def upsampled_conv2d_reference(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """What `upsampled_conv2d` computes, written as its definition."""
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), w, b, padding=1)


def phase_kernels(w: Tensor) -> Tensor:
    """The kernels [4 O, I, 2, 2] of the phases (even, even), (even, odd), (odd, even), (odd, odd) of rows, columns."""
    o, i = w.shape[:2]
    return phase_taps(w).permute(0, 3, 1, 2, 4).reshape(4 * o, 2, 2, i).permute(0, 3, 1, 2)


def interleave(y: Tensor, channels: int) -> Tensor:
    """The phases [N, 4 O, H + 1, W + 1], put together: [N, O, 2 H, 2 W]. A phase that is odd begins a pixel later."""
    n, _, h, w = y.shape
    h, w = h - 1, w - 1
    phases = y.permute(0, 2, 3, 1).unflatten(3, (4, channels))
    if not (torch.is_grad_enabled() and y.requires_grad):
        whole = y.new_empty(n, 2 * h, 2 * w, channels)
        for r in range(2):
            for c in range(2):
                whole[:, r::2, c::2] = phases[:, r : r + h, c : c + w, 2 * r + c]
        return whole.permute(0, 3, 1, 2)
    parts = [phases[:, r : r + h, c : c + w, 2 * r + c] for r in range(2) for c in range(2)]
    together = torch.stack(parts, dim=3).view(n, h, w, 2, 2, channels)
    return together.transpose(2, 3).reshape(n, 2 * h, 2 * w, channels).permute(0, 3, 1, 2)
