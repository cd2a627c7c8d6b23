"""A leaky ReLU at a higher sampling rate, between two low-pass filters: the alias-free nonlinearity.

From StyleGAN3 (arXiv 2106.12423, section 3.2). Differs from the original: no compiled kernel.
"""

from __future__ import annotations

from math import sqrt

from torch import Tensor

from openstylegan.ops.arguments import Padding
from openstylegan.ops.bias_act import bias_act, bias_act_reference
from openstylegan.ops.upfirdn2d import upfirdn2d, upfirdn2d_reference


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """`x` [N, C, H, W] plus bias, up-sampled with `fu`, leaky ReLU, gain and clamp, down-sampled with `fd`.

    padding is relative to the up-sampled picture, whose zeros get no bias. The clamp acts before `fd`, so the
    result may slightly exceed it. Output per axis:
    `(in * up + p0 + p1 - (taps_u - 1) - (taps_d - 1) + down - 1) // down`.
    """
    x = bias_act(x, b)
    x = upfirdn2d(x, fu, up=up, padding=padding, gain=up**2, flip_filter=flip_filter)
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter)


def filtered_lrelu_reference(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """What `filtered_lrelu` computes, one op after the other."""
    x = bias_act_reference(x, b)
    x = upfirdn2d_reference(x, fu, up=up, padding=padding, gain=up**2, flip_filter=flip_filter)
    x = bias_act_reference(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d_reference(x, fd, down=down, flip_filter=flip_filter)
