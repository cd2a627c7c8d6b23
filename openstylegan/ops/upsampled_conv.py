"""A 3x3 convolution of a picture enlarged twice by repeating its pixels, without enlarging it.

Each of the four phases of the result sees the same pixel under two rows (and two columns) of the kernel, so it is a 2x2
convolution of the small picture with sums of the kernel's taps: 16 products a pixel instead of 36. The phases are the
channels of one convolution, or (in bfloat16 on matrix units) those of a transposed convolution of stride 2.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from openstylegan.errors import InputError
from openstylegan.ops import amx
from openstylegan.ops.amx import Ends
from openstylegan.ops.arguments import check_images
from openstylegan.ops.convolution import channels_last, rounded
from openstylegan.ops.few_pixels import few_pixels_pay, upsampled_few_pixels
from openstylegan.ops.frozen import in_dtype, while_resting
from openstylegan.ops.gradients import correlate, weight_gradient, weight_gradients_wanted
from openstylegan.ops.paths import fast
from openstylegan.ops.phases import (
    phase_kernels,
    phase_kernels_gradient,
    put_together,
    take_apart,
    transposed_kernels,
    transposed_kernels_gradient,
)

KERNEL = (4, 4)
TRANSPOSED = (2, (1, 1))
"""Stride and padding of the transposed convolution."""
FEWEST_CHANNELS = 16
"""Below so many channels the phases take longer to put together than they save."""


def upsampled_conv2d(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """`conv2d(nearest_up_2(x), w, b, padding=1)`: `x` [N, I, H, W], `w` [O, I, 3, 3], `b` [O] to [N, O, 2 H, 2 W].

    Weights may be float32 beside pictures in bfloat16: they are rounded, their gradients are not.

    Raises `InputError` for shapes that do not fit.
    """
    check_images(x)
    if w.ndim != 4 or w.shape[1] != x.shape[1] or w.shape[2:] != (3, 3):
        raise InputError(f"expected weights [O, {x.shape[1]}, 3, 3] for x {list(x.shape)}, got {list(w.shape)}")
    if not fast(x) or x.shape[1] < FEWEST_CHANNELS:
        return upsampled_conv2d_reference(x, w, b)
    if few_pixels_pay(x.shape[0] * x.shape[2] * x.shape[3], w.numel()):
        y = upsampled_few_pixels(x, in_dtype(w, x.dtype))
        return y if b is None else y + b[:, None, None]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, w, b)):
        y = _Upsampled.apply(x, w)
        return y if b is None else y + b[:, None, None]
    return _by_phases(x, w, b)


def upsampled_conv2d_reference(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """What `upsampled_conv2d` computes, written as its definition."""
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), in_dtype(w, x.dtype), b, padding=1)


class _Upsampled(Function):
    """`upsampled_conv2d` without bias. Gradients that are recorded themselves are those of a transposed convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return _by_phases(x, w)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, w = ctx.saved_tensors
        needs = (ctx.needs_input_grad[0], ctx.needs_input_grad[1] and weight_gradients_wanted())
        if torch.is_grad_enabled():
            return _recorded_gradients(x, w.contiguous(), gy, needs)
        return _gradients(x, w, channels_last(gy), needs)


def _by_phases(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    x = channels_last(x)
    if amx.usable(x, w):
        kernels = _transposed(w)
        shift = None if b is None else b.float()
        return amx.scatter(x, kernels, *TRANSPOSED, (2 * x.shape[2], 2 * x.shape[3]), Ends(shift=shift))
    return put_together(F.conv2d(x, _phases(w, x.dtype), None if b is None else b.repeat(4), padding=1), w.shape[0])


def _transposed(w: Tensor) -> Tensor:
    return while_resting(w, "enlarging, transposed", lambda w: transposed_kernels(w.contiguous()))


def _phases(w: Tensor, dtype: torch.dtype) -> Tensor:
    return while_resting(rounded(w, dtype), "phases", lambda w: phase_kernels(w.contiguous()))


def _gradients(x: Tensor, w: Tensor, gy: Tensor, needs: tuple[bool, bool]) -> tuple[Tensor | None, Tensor | None]:
    """Those of x and w, channels-last gy [N, O, 2 H, 2 W]."""
    if amx.usable(gy, w) and amx.gradient_usable(gy, x, KERNEL):
        gx = amx.correlate(gy, _transposed(w), *TRANSPOSED) if needs[0] else None
        gk = amx.weight_gradient(gy, channels_last(x), *TRANSPOSED, KERNEL, w.dtype) if needs[1] else None
        return gx, None if gk is None else transposed_kernels_gradient(gk)
    wanted, ones = [*needs, False], [1, 1]
    gx, gk, _ = torch.ops.aten.convolution_backward(
        take_apart(gy), channels_last(x), _phases(w, gy.dtype), None, ones, ones, ones, False, [0, 0], 1, wanted
    )
    return gx, None if gk is None else phase_kernels_gradient(gk).to(w.dtype)


def _recorded_gradients(
    x: Tensor, w: Tensor, gy: Tensor, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The same, by operations that have gradients."""
    gx = correlate(gy, transposed_kernels(w), *TRANSPOSED) if needs[0] else None
    gk = weight_gradient(gy, x, *TRANSPOSED, KERNEL) if needs[1] else None
    return gx, None if gk is None else transposed_kernels_gradient(gk).to(w.dtype)
