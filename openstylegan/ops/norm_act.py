"""Batch normalisation by the statistics of the batch, and the leaky ReLU or the gate that follows it, in few passes.

    y = act(weight (x - mean) / sqrt(var + eps) + bias)

Where there is a compiler, norm_act.cpp reads channels-last x twice and writes y once; the gradient reads x and that of
y twice. Nothing but x and the statistics is kept. 16 x 64 x 64 x 64 with its gate, forward and back, on one core:
19 ms, and 39 by PyTorch's operations; in bfloat16 16 and 44.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from openstylegan.ops.native import native
from openstylegan.ops.paths import fast, readable
from openstylegan.ops.phases import LIBRARY

CHANNELS = 16
"""Below, vectors along the channels would be mostly empty."""
VALUES = 4096
"""Below, a call costs more than it saves."""


class Act(NamedTuple):
    """What follows the norm: the first half of the channels times the sigmoid of the second, or leaky ReLU."""

    gated: bool
    slope: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return F.glu(x, dim=1) if self.gated else F.leaky_relu(x, self.slope)


class _Norm(ctypes.Structure):
    _fields_ = [
        ("pixels", ctypes.c_int64),
        *[(name, ctypes.c_int) for name in ("channels", "bfloat16", "gated")],
        ("slope", ctypes.c_float),
        *[(name, ctypes.c_void_p) for name in ("x", "g", "scale", "shift", "mean", "inverse", "level", "tilt", "to")],
        *[(name, ctypes.c_void_p) for name in ("first", "second")],
    ]


def usable(x: Tensor, weight: Tensor) -> bool:
    """Whether `norm_act` of `x` [N, C, H, W] is compiled."""
    return (
        fast(x)
        and x.ndim == 4
        and x.dtype in (torch.float32, torch.bfloat16)
        and weight.dtype == torch.float32
        and x.shape[1] % 2 == 0
        and x.shape[1] >= CHANNELS
        and x.numel() >= VALUES
        and readable(x, weight)
        and native(LIBRARY).loaded is not None
    )


def norm_act(x: Tensor, weight: Tensor, bias: Tensor, eps: float, act: Act) -> tuple[Tensor, Tensor, Tensor]:
    """y, and the mean and the (biased) variance [C] of the batch, for `x` that is `usable`."""
    # Copied out here, where it is recorded: gradients of the second order go back to x through what is kept.
    return _NormAct.apply(x.contiguous(memory_format=torch.channels_last), weight, bias, eps, act)


class _NormAct(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, act: Act
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = torch.empty_like(weight), torch.empty_like(weight)
        _call("norm_moments", x, act, first=mean, second=var)
        inverse = (var + eps).rsqrt()
        scale = weight * inverse
        shift = torch.addcmul(bias, mean, scale, value=-1)
        n, c, h, w = x.shape
        y = x.new_empty(n, h, w, c // 2 if act.gated else c).permute(0, 3, 1, 2)
        _call("norm_apply", x, act, scale=scale, shift=shift, to=y)
        ctx.act, ctx.eps = act, eps
        ctx.mark_non_differentiable(mean, var)
        ctx.save_for_backward(x, weight, bias, mean, inverse, scale, shift)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, gy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse, scale, shift = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_recorded_gradients(x, weight, bias, gy, ctx), None, None
        gy = gy.contiguous(memory_format=torch.channels_last)
        gb, gw = torch.empty_like(weight), torch.empty_like(weight)
        kept = {"g": gy, "scale": scale, "shift": shift, "mean": mean}
        _call("norm_sums", x, ctx.act, **kept, inverse=inverse, first=gb, second=gw)
        gx = None
        if ctx.needs_input_grad[0]:
            each = scale * (x.shape[1] / x.numel())
            gx = torch.empty_like(x)
            _call("norm_gradient", x, ctx.act, **kept, level=gb * each, tilt=gw * each * inverse, to=gx)
        return gx, gw, gb, None, None


def _recorded_gradients(x: Tensor, weight: Tensor, bias: Tensor, gy: Tensor, ctx: Any) -> list[Tensor | None]:
    """The gradients by operations that have gradients themselves."""
    given = (x, weight, bias)
    wanted = [t for t, needed in zip(given, ctx.needs_input_grad, strict=False) if needed]
    y = ctx.act(F.batch_norm(x, None, None, weight, bias, True, 0.0, ctx.eps))
    found = iter(torch.autograd.grad(y, wanted, gy, create_graph=True))
    return [next(found) if needed else None for _, needed in zip(given, ctx.needs_input_grad, strict=False)]


def _call(name: str, x: Tensor, act: Act, **tensors: Tensor) -> None:
    library = native(LIBRARY).code
    job = _Norm(x.numel() // x.shape[1], x.shape[1], x.dtype == torch.bfloat16, act.gated, act.slope, x.data_ptr())
    for field, tensor in tensors.items():
        setattr(job, field, tensor.data_ptr())
    getattr(library, name)(ctypes.byref(job), torch.get_num_threads())
