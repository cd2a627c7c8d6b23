"""A weight over its spectral norm, with the step of power iteration before it, in few passes over the weight.

Where there is a compiler, spectral.cpp reads the weight three times and writes the result in the dtype in which it is
used; the gradient reads weight and gradient once and the gradient once more. See `networks.spectral` for the equations.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from openstylegan.ops.native import native
from openstylegan.ops.paths import fast, readable
from openstylegan.ops.phases import LIBRARY

DTYPES = (torch.float32, torch.bfloat16)


class _Spectral(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("rows", "columns", "bfloat16")],
        *[(name, ctypes.c_void_p) for name in ("weight", "u", "v", "sigma", "times", "result", "g", "to")],
    ]


def usable(weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> bool:
    """Whether `spectral_weight` of these is compiled."""
    return (
        fast(weight)
        and all(t.dtype == torch.float32 and t.is_contiguous() for t in (weight, u, v))
        and dtype in DTYPES
        and weight.numel() == u.numel() * v.numel() > 0
        and readable(weight, u, v)
        and native(LIBRARY).loaded is not None
    )


def spectral_weight(weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
    """v = unit(M^T u), u = unit(M v), both written over; then `weight` / (u^T M v) in `dtype`, M being the `weight`
    [O, ...] as a matrix of O rows. u and v are constants in the gradient."""
    return _SpectralWeight.apply(weight, u, v, dtype)


class _SpectralWeight(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
        result = torch.empty_like(weight, dtype=dtype)
        sigma, times = weight.new_empty(1), torch.empty_like(u)
        _call("spectral_weight", weight, u, v, dtype, sigma=sigma, times=times, result=result)
        torch.autograd.graph.increment_version([t for t in (u, v) if not t.is_inference()])
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(weight, u.clone(), v.clone(), sigma)
        return result

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        weight, u, v, sigma = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _recorded_gradient(weight, u, v, g.to(weight.dtype)), None, None, None
        g, gw, times = g.contiguous(), torch.empty_like(weight), torch.empty_like(u)
        _call("spectral_gradient", weight, u, v, g.dtype, sigma=sigma, times=times, g=g, to=gw)
        return gw, None, None, None


def _recorded_gradient(weight: Tensor, u: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """(g - <g, weight> / sigma u v^T) / sigma, by operations that have gradients themselves."""
    inverse = 1 / torch.dot(u, torch.mv(weight.flatten(1), v))
    slope = torch.dot(g.flatten(), weight.flatten()) * inverse.square()
    return g * inverse - torch.outer(u, v * slope).view_as(weight)


def _call(name: str, weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype, **tensors: Tensor) -> None:
    library = native(LIBRARY).loaded
    assert library is not None
    job = _Spectral(u.numel(), v.numel(), dtype == torch.bfloat16, *(t.data_ptr() for t in (weight, u, v)))
    for field, tensor in tensors.items():
        setattr(job, field, tensor.data_ptr())
    getattr(library, name)(ctypes.byref(job), torch.get_num_threads())
