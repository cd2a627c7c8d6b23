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
from openstylegan.ops.frozen import derived
from openstylegan.ops.paths import fast

_SUMS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
"""By phase: which of the three taps fall on the first and on the second pixel."""
FEWEST_CHANNELS = 16
"""Below so many channels the phases take longer to put together than they save."""


def upsampled_conv2d(x: Tensor, w: Tensor) -> Tensor:
    """`conv2d(nearest_up_2(x), w, padding=1)` of `x` [N, I, H, W] with `w` [O, I, 3, 3]: [N, O, 2 H, 2 W].

    Raises `InputError` for shapes that do not fit.
    """
    check_images(x)
    if w.ndim != 4 or w.shape[1] != x.shape[1] or w.shape[2:] != (3, 3):
        raise InputError(f"expected weights [O, {x.shape[1]}, 3, 3] for x {list(x.shape)}, got {list(w.shape)}")
    if not fast(x) or x.shape[1] < FEWEST_CHANNELS:
        return upsampled_conv2d_reference(x, w)
    y = F.conv2d(channels_last(x), derived(w, "phases", phase_kernels), padding=1)
    return interleave(y, w.shape[0])


def upsampled_conv2d_reference(x: Tensor, w: Tensor) -> Tensor:
    """What `upsampled_conv2d` computes, written as its definition."""
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), w, padding=1)


def phase_kernels(w: Tensor) -> Tensor:
    """The kernels [4 O, I, 2, 2] of the phases (even, even), (even, odd), (odd, even), (odd, odd) of (rows, columns).

    By one product with a matrix of zeros and ones: sums of slices take 60 times as long (1.3 s for 2048 channels).
    """
    o, i = w.shape[:2]
    sums = torch.tensor(_SUMS, dtype=w.dtype, device=w.device)
    taps = torch.einsum("pam,qbn->pqabmn", sums, sums).reshape(16, 9) @ w.reshape(o * i, 9).t()
    return taps.view(4, 2, 2, o, i).permute(0, 3, 1, 2, 4).reshape(4 * o, 2, 2, i).permute(0, 3, 1, 2)


def interleave(y: Tensor, channels: int) -> Tensor:
    """The phases [N, 4 O, H + 1, W + 1], put together: [N, O, 2 H, 2 W]. A phase that is odd begins a pixel later."""
    n, _, h, w = y.shape
    h, w = h - 1, w - 1
    phases = y.permute(0, 2, 3, 1).unflatten(3, (4, channels))
    parts = [phases[:, r : r + h, c : c + w, 2 * r + c] for r in range(2) for c in range(2)]
    together = torch.stack(parts, dim=3).view(n, h, w, 2, 2, channels)
    return together.transpose(2, 3).reshape(n, 2 * h, 2 * w, channels).permute(0, 3, 1, 2)
