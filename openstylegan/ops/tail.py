"""The tail of a layer in few passes: clip(lrelu(y d + noise + b) gain), with first- and second-order gradients.

For activations with act(g x) = g act(x), g > 0 (linear, relu, leaky ReLU): the gain then joins d, noise and b, which
are small, and only the output has to be kept to know the slope at every point.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from openstylegan.ops import tail_compiled as compiled
from openstylegan.ops import triton_tail as by_triton
from openstylegan.ops.triton_found import usable


class Slopes(NamedTuple):
    """Slope below zero (1 linear, 0 relu), gain > 0, and the limit after it or None."""

    slope: float
    gain: float
    clamp: float | None


HOMOGENEOUS = {"linear": 1.0, "relu": 0.0, "lrelu": None}
"""Activations that `tail` can do, with their slope below zero (None: alpha)."""


def slopes_of(act: str, alpha: float, gain: float, clamp: float | None) -> Slopes | None:
    """The `Slopes` of an activation of `bias_act`, or None when `tail` cannot do it."""
    if act not in HOMOGENEOUS or gain <= 0:
        return None
    fixed = HOMOGENEOUS[act]
    slope = alpha if fixed is None else fixed
    return Slopes(slope, gain, clamp) if slope >= 0 else None


def tail(y: Tensor, d: Tensor | None, noise: Tensor | None, b: Tensor | None, slopes: Slopes, own: bool) -> Tensor:
    """`clip(act(y d + noise + b) gain)` for `y` [N, C, H, W], `d` [N, C, 1, 1], `noise` that broadcasts, `b` [C, 1, 1].

    `own` says that nobody else holds y: it may then be overwritten when no gradient is recorded.
    """
    inputs = (y, d, noise, b)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        return _Tail.apply(*inputs, slopes)
    return _tail(*inputs, slopes, y if own else None)


def _tail(
    y: Tensor, d: Tensor | None, noise: Tensor | None, b: Tensor | None, slopes: Slopes, out: Tensor | None
) -> Tensor:
    """In one kernel or compiled pass, or in three, into `out` or a new tensor."""
    if d is None and noise is None and usable(y):
        return by_triton.tail(y, b, *slopes, out)
    if compiled.usable(y, d, noise, b):
        return compiled.tail(y, d, noise, b, slopes, out)
    slope, gain, clamp = slopes
    first, second = (noise, b) if noise is not None else (b, None)
    if first is None:
        z = torch.mul(y, gain if d is None else d * gain, out=out)
    elif d is None:
        z = torch.add(first * gain, y, alpha=gain, out=out)
    elif y.dtype == torch.bfloat16:
        # addcmul is not vectorised there: 25 ms against 7 ms at 8 x 256 x 64 x 64.
        z = torch.mul(y, d * gain, out=out).add_(first, alpha=gain)
    else:
        z = torch.addcmul(first * gain, y, d * gain, out=out)
    if second is not None:
        z.add_(second, alpha=gain)
    if slope != 1:
        F.leaky_relu_(z, slope)
    return z if clamp is None else z.clamp_(-clamp, clamp)


class _Tail(Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, d: Tensor | None, noise: Tensor | None, b: Tensor | None, slopes: Slopes
    ) -> Tensor:
        z = _tail(y, d, noise, b, slopes, None)
        ctx.slopes, ctx.shapes = slopes, [None if t is None else t.shape for t in (d, noise, b)]
        # z is kept for its signs alone, y for the gradient of d.
        ctx.save_for_backward(y if ctx.needs_input_grad[1] else None, d, z if _bends(slopes) else None)
        return z

    @staticmethod
    def backward(ctx: Any, gz: Tensor) -> tuple[Tensor | None, ...]:
        y, d, z = ctx.saved_tensors
        if not torch.is_grad_enabled() and _compiled(gz, y, d, z):
            gz = gz.contiguous(memory_format=torch.channels_last)
            return *_compiled_gradients(gz, y, d, gz if z is None else z, ctx), None
        needs, gain = ctx.needs_input_grad, ctx.slopes.gain
        m = gz if z is None else _Bend.apply(gz, z, ctx.slopes)
        gd = gnoise = gb = None
        if needs[1]:
            gd = (m * y).sum([2, 3], keepdim=True) * gain
        if needs[2]:
            gnoise = m.sum_to_size(_like(ctx.shapes[1], m)).reshape(ctx.shapes[1]) * gain
        if needs[3]:
            gb = m.sum([0, 2, 3]).reshape(ctx.shapes[2]) * gain
        gy = None
        if needs[0]:
            scale = gain if d is None else d * gain
            # m is this pass's own when nothing is recorded and it is not gz itself: no new tensor then.
            gy = m * scale if torch.is_grad_enabled() or z is None else m.mul_(scale)
        return gy, gd, gnoise, gb, None


def _compiled(gz: Tensor, y: Tensor | None, d: Tensor | None, z: Tensor | None) -> bool:
    """Whether the gradients are made in one compiled pass."""
    given = [t for t in (y, z) if t is not None]
    return bool(given) and all(compiled.usable(t, d) and t.dtype == gz.dtype for t in given)


def _compiled_gradients(gz: Tensor, y: Tensor | None, d: Tensor | None, z: Tensor, ctx: Any) -> list[Tensor | None]:
    """Those of y, d, noise and b, in one pass."""
    (n, c), needs, gain = z.shape[:2], ctx.needs_input_grad, ctx.slopes.gain
    scale = z.new_full((n, c), gain, dtype=torch.float32) if d is None else d.detach().float().view(n, c) * gain
    wanted = (needs[3], needs[2])
    gy, sums, dots, by_pixel = compiled.gradient(gz, z, y if needs[1] else None, scale, ctx.slopes, wanted)
    gd = None if dots is None else (dots * gain)[:, :, None, None].to(gz.dtype)
    gb = None if sums is None else (sums.sum(0) * gain).reshape(ctx.shapes[2]).to(gz.dtype)
    gnoise = None
    if by_pixel is not None:
        gnoise = (by_pixel.sum_to_size(_like(ctx.shapes[1], by_pixel)) * gain).reshape(ctx.shapes[1]).to(gz.dtype)
    return [gy, gd, gnoise, gb]


def _like(shape: torch.Size, m: Tensor) -> list[int]:
    """`shape` with leading ones, as long as that of `m`."""
    return [1] * (m.ndim - len(shape)) + list(shape)


def _bends(slopes: Slopes) -> bool:
    return slopes.slope != 1 or slopes.clamp is not None


class _Bend(Function):
    """`g` times the slope at every point of a tail's output `z`, without the gain; linear in g, constant in z."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, z: Tensor, slopes: Slopes) -> Tensor:
        ctx.slopes = slopes
        ctx.save_for_backward(z)
        if usable(z):
            return by_triton.bend(g, z, slopes.slope, slopes.clamp)
        if compiled.usable(z) and g.dtype == z.dtype:
            return compiled.gradient(g, z, None, z.new_ones(z.shape[:2]), slopes, (False, False))[0]
        m = torch.ops.aten.leaky_relu_backward(g, z, slopes.slope, True)
        if slopes.clamp is None:
            return m
        # One pass, without a mask: 9 ms against 32 ms at 8 x 256 x 64 x 64.
        return torch.ops.aten.hardtanh_backward.grad_input(m, z, -slopes.clamp, slopes.clamp, grad_input=m)

    @staticmethod
    def backward(ctx: Any, gm: Tensor) -> tuple[Tensor, None, None]:
        return _Bend.apply(gm, ctx.saved_tensors[0], ctx.slopes), None, None
