"""The step of power iteration by which a spectral norm is estimated: two readings of the weight, by spectral.cpp.

See `networks.spectral` for the equations.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from openstylegan.ops.native import native
from openstylegan.ops.paths import fast, readable
from openstylegan.ops.phases import LIBRARY


class _Spectral(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("rows", "columns")],
        *[(name, ctypes.c_void_p) for name in ("weight", "u", "v", "times", "sigma")],
    ]


def usable(weight: Tensor, u: Tensor, v: Tensor) -> bool:
    """Whether `power_iteration` of these is compiled."""
    return (
        fast(weight)
        and all(t.dtype == torch.float32 and t.is_contiguous() for t in (weight, u, v))
        and weight.numel() == u.numel() * v.numel() > 0
        and readable(weight, u, v)
        and native(LIBRARY).loaded is not None
    )


def power_iteration(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """v = unit(M^T u), u = unit(M v), both written over; returns u^T M v, a scalar. M is the `weight` [O, ...] as a
    matrix of O rows."""
    library = native(LIBRARY).code
    times, sigma = torch.empty_like(u), weight.new_empty(())
    at = [t.data_ptr() for t in (weight, u, v, times, sigma)]
    library.power_iteration(ctypes.byref(_Spectral(u.numel(), v.numel(), *at)), torch.get_num_threads())
    torch.autograd.graph.increment_version([t for t in (u, v) if not t.is_inference()])
    return sigma
