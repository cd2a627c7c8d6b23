"""Stride-1 convolutions of contiguous planes, whose gradients of every order are convolutions of planes again.

`filtered_lrelu` works on planes: converting to channels-last (see `gradients`) and back would cost more than it saves.
Measured on one core at 8 x 128 x 84 x 84: oneDNN's weight gradient of planes takes 285 ms, of channels-last pictures
with both copies 710 ms, its convolution 144 ms and 182 ms.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from openstylegan.ops import winograd_planes
from openstylegan.ops.convolution import channels_last
from openstylegan.ops.frozen import derived
from openstylegan.ops.gradients import weight_gradients_wanted
from openstylegan.ops.layouts import to_channels_last, to_planes


def correlate(x: Tensor, w: Tensor, padding: int) -> Tensor:
    """`conv2d` of `x` [N, I, H, W] with `w` [O, I, k, k] and zero `padding` <= k - 1 on all sides; contiguous."""
    return _Correlate.apply(x, w, padding)


def scaled_correlate(x: Tensor, w: Tensor, before: Tensor, after: Tensor, padding: int) -> Tensor:
    """`correlate(x * before, w, padding) * after`, with scales [N, I] of the channels of x and [N, O] of the result.

    `after` is not zero. Where Winograd's transforms are compiled they scale on their way; elsewhere these are plain
    multiplications.
    """
    if not winograd_planes.pays(x, tuple(w.shape), padding):
        return correlate(x * before[:, :, None, None], w, padding) * after[:, :, None, None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, w, before, after)):
        return _Scaled.apply(x, w, before, after, padding)
    return winograd_planes.correlate(x, w, padding, before, after)


def _mirrored(w: Tensor) -> Tensor:
    """The weights [I, O, k, k] that turn the gradient of `correlate` into a correlation."""
    return w.flip([2, 3]).transpose(0, 1)


def _weight_gradient(x: Tensor, gy: Tensor, padding: int, kernel: int) -> Tensor:
    shape = (gy.shape[1], x.shape[1], kernel, kernel)
    if winograd_planes.pays(x, shape, padding):
        return winograd_planes.weight_gradient(x, gy, padding)
    found = torch.ops.aten.convolution_backward(
        gy, x, x.new_empty(shape), None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False]
    )
    return found[1]


class _Correlate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, padding: int) -> Tensor:
        ctx.padding, ctx.kernel = padding, w.shape[2]
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, w if ctx.needs_input_grad[0] else None)
        if winograd_planes.pays(x, tuple(w.shape), padding):
            return winograd_planes.correlate(x, w, padding)
        if x.dtype != torch.bfloat16 or x.device.type != "cpu":
            return F.conv2d(x.contiguous(), w, padding=padding)
        # Of planes PyTorch would make channels-last pictures too, and take its time.
        kernel = derived(w, "channels last", channels_last)
        return to_planes(F.conv2d(to_channels_last(x), kernel, padding=padding))

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, w = ctx.saved_tensors
        gx = _Correlate.apply(gy, _mirrored(w), ctx.kernel - 1 - ctx.padding) if ctx.needs_input_grad[0] else None
        gw = None
        if ctx.needs_input_grad[1] and weight_gradients_wanted():
            gw = _WeightGradient.apply(x, gy, ctx.padding, ctx.kernel)
        return gx, gw, None


class _WeightGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gy: Tensor, padding: int, kernel: int) -> Tensor:
        ctx.padding, ctx.kernel = padding, kernel
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, gy if ctx.needs_input_grad[0] else None)
        return _weight_gradient(x, gy, padding, kernel)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, gy = ctx.saved_tensors
        gx = _Correlate.apply(gy, _mirrored(v), ctx.kernel - 1 - ctx.padding) if ctx.needs_input_grad[0] else None
        ggy = _Correlate.apply(x, v, ctx.padding) if ctx.needs_input_grad[1] else None
        return gx, ggy, None, None


class _Scaled(Function):
    """`scaled_correlate` by Winograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, before: Tensor, after: Tensor, padding: int) -> Tensor:
        y = winograd_planes.correlate(x, w, padding, before, after)
        ctx.padding = padding
        ctx.save_for_backward(x, w, before, after, y)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, before, after, y = ctx.saved_tensors
        needs, padding = ctx.needs_input_grad, ctx.padding
        gx = gw = gbefore = gafter = None
        if needs[0] or needs[2]:
            # The gradient of what is convolved; then those of its factors.
            g = scaled_correlate(gy, _mirrored(w), after, torch.ones_like(before), 2 - padding)
            gx = g * before[:, :, None, None] if needs[0] else None
            gbefore = _dots(g, x) if needs[2] else None
        if needs[1] and weight_gradients_wanted():
            if torch.is_grad_enabled():
                gw = _WeightGradient.apply(x * before[:, :, None, None], gy * after[:, :, None, None], padding, 3)
            else:
                gw = winograd_planes.weight_gradient(x, gy, padding, before, after)
        if needs[3]:
            gafter = _dots(gy, y) / after
        return gx, gw, gbefore, gafter, None


def _dots(a: Tensor, b: Tensor) -> Tensor:
    """The sums [N, C] of a b over the pixels."""
    return (a * b).sum([2, 3])
