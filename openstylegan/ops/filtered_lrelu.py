"""A leaky ReLU at a higher sampling rate, between two low-pass filters: the alias-free nonlinearity.

From StyleGAN3 (arXiv 2106.12423, section 3.2). Differs from the original: no compiled kernel is needed; gradients keep
the input instead of the signs.
"""

from __future__ import annotations

from math import sqrt
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from openstylegan.ops import filtered_lrelu_compiled as compiled
from openstylegan.ops import filtered_lrelu_pixels as pixels
from openstylegan.ops import filtered_lrelu_products as products
from openstylegan.ops import triton_filtered_lrelu as by_triton
from openstylegan.ops.arguments import Padding, factor_xy, padding_xxyy
from openstylegan.ops.bias_act import bias_act, bias_act_reference, check_bias_act
from openstylegan.ops.filtered_lrelu_products import Setting
from openstylegan.ops.paths import fast, on_triton
from openstylegan.ops.triton_found import usable
from openstylegan.ops.upfirdn2d import output_size, upfirdn2d, upfirdn2d_reference


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
    `(in * up + p0 + p1 - (taps_u - 1) - (taps_d - 1) + down - 1) // down`. Filters have no gradient here.
    """
    if not _in_one(x, fu, fd, gain):
        return _composed(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter)
    pad = padding_xxyy(padding)
    _check(x, fu, fd, b, up, down, pad, gain, slope, clamp)
    setting = Setting(up, down, pad, gain, slope, clamp, flip_filter)
    if not (torch.is_grad_enabled() and (x.requires_grad or (b is not None and b.requires_grad))):
        y = pixels.forward(x, b, fu, fd, setting)
        if y is not None:
            return y
    return _FilteredLrelu.apply(x, b, fu, fd, setting)


def _composed(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """The op as a chain of the others."""
    x = bias_act(x, b)
    x = upfirdn2d(x, fu, up=up, padding=padding, gain=up**2, flip_filter=flip_filter)
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter)


def _in_one(x: Tensor, fu: Tensor | None, fd: Tensor | None, gain: float) -> bool:
    """Whether the op can be computed at once. The gain then joins the filter: gain * lrelu(z) = lrelu(gain * z)."""
    if (fu is None and fd is None) or gain <= 0 or x.ndim != 4 or x.numel() == 0:
        return False
    return by_triton.takes(fu, fd) if on_triton(x) else fast(x) and (fu is None or fu.ndim == 1)


def _check(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    pad: tuple[int, int, int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> None:
    """Raises the `InputError`s of the ops that make up this one."""
    check_bias_act(x, b, 1, "lrelu", slope, gain, clamp)
    factor_xy(up, "up"), factor_xy(down, "down")
    width, height = output_size(x, fu, (up, up), (1, 1), pad)
    output_size(x.new_empty((1, 1, height, width), device="meta"), fd, (1, 1), (down, down), (0, 0, 0, 0))


def _form(x: Tensor) -> ModuleType:
    """What computes `x`: a kernel or compiled code where there is some, else products."""
    if usable(x):
        return by_triton
    return compiled if compiled.usable(x) else products


class _FilteredLrelu(Function):
    """The op. Its gradient is linear in `gy` and, but for the kinks, does not change with x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, setting: Setting
    ) -> Tensor:
        ctx.setting = setting
        ctx.save_for_backward(x, b, fu, fd)
        return _form(x).forward(x, b, fu, fd, setting)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        b = ctx.saved_tensors[1]
        gx = _Pullback.apply(gy, *ctx.saved_tensors, ctx.setting)
        gb = gx.sum([0, 2, 3]).to(b.dtype) if ctx.needs_input_grad[1] else None
        return gx if ctx.needs_input_grad[0] else None, gb, None, None, None


class _Pullback(Function):
    """The gradient with respect to x."""

    @staticmethod
    def forward(
        ctx: Any,
        gy: Tensor,
        x: Tensor,
        b: Tensor | None,
        fu: Tensor | None,
        fd: Tensor | None,
        setting: Setting,
    ) -> Tensor:
        ctx.setting = setting
        ctx.save_for_backward(x, b, fu, fd)
        return _form(x).pullback(x, b, gy, fu, fd, setting)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        return _Pushforward.apply(v, *ctx.saved_tensors, ctx.setting), None, None, None, None, None


class _Pushforward(Function):
    """The gradient of `_Pullback` with respect to `gy`."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        x: Tensor,
        b: Tensor | None,
        fu: Tensor | None,
        fd: Tensor | None,
        setting: Setting,
    ) -> Tensor:
        ctx.setting = setting
        ctx.save_for_backward(x, b, fu, fd)
        return _form(x).pushforward(x, b, v, fu, fd, setting)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        return _Pullback.apply(gy, *ctx.saved_tensors, ctx.setting), None, None, None, None, None


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
