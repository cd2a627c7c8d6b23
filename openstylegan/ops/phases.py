"""What the phases of a convolution of an enlarged picture are made of, by phases.cpp where there is a compiler.

Along an axis the three taps k0, k1, k2 of a kernel fall on four, k2, k1 + k2, k0 + k1, k0, of a transposed convolution
of stride 2 and padding 1, or of two phases with two taps each. Kernels of 2048 x 2048 channels are 150 MB: what counts
is how often they are read, and that they are written in the order in which they are used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from openstylegan.ops.native import native
from openstylegan.ops.paths import readable

LIBRARY = "fastgan"
"""Of `native.PARTS`."""
_SPREAD = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
_OF_PHASE = (3, 1, 2, 0)
"""Which of the four is tap a of phase r: number 2 r + a of these."""


class _Taps(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("outputs", "inputs", "bfloat16")],
        *[(name, ctypes.c_int64) for name in ("of_output", "of_input")],
        ("places", ctypes.c_int64 * 16),
        *[(name, ctypes.c_void_p) for name in ("from_", "to")],
    ]


class _Phases(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("samples", "height", "width", "bytes")],
        *[(name, ctypes.c_void_p) for name in ("phases", "picture")],
    ]


def transposed_kernels(w: Tensor) -> Tensor:
    """Kernels [I, O, 4, 4] of the transposed convolution, for `w` [O, I, 3, 3]; taps outermost in memory."""
    if not _compiled(w):
        return _spread(w).permute(3, 2, 0, 1)
    kernels = w.new_empty(4, 4, *w.shape[:2]).permute(3, 2, 0, 1)
    taps = _taps(w, kernels, kernels.stride()[:2], _places(kernels), True)
    native(LIBRARY).code.spread_taps(ctypes.byref(taps), _threads())
    return kernels


def transposed_kernels_gradient(g: Tensor) -> Tensor:
    """The gradient [O, I, 3, 3] of `transposed_kernels`, for `g` [I, O, 4, 4]."""
    if not _compiled(g):
        return _gathered(g.permute(2, 3, 1, 0))
    gw = g.new_empty(g.shape[1], g.shape[0], 3, 3)
    native(LIBRARY).code.gather_taps(ctypes.byref(_taps(gw, g, g.stride()[:2], _places(g), False)), _threads())
    return gw


def phase_kernels(w: Tensor) -> Tensor:
    """The kernels [4 O, I, 2, 2] of the phases (even, even), (even, odd), (odd, even), (odd, odd) of rows, columns;
    channels-last."""
    o, i = w.shape[:2]
    if not _compiled(w):
        phases = _spread(w)[list(_OF_PHASE)][:, list(_OF_PHASE)].view(2, 2, 2, 2, o, i)
        return phases.permute(0, 2, 4, 1, 3, 5).reshape(4 * o, 2, 2, i).permute(0, 3, 1, 2)
    kernels = w.new_empty(4 * o, 2, 2, i).permute(0, 3, 1, 2)
    taps = _taps(w, kernels, (1, 4 * i), _phase_places(kernels), True)
    native(LIBRARY).code.spread_taps(ctypes.byref(taps), _threads())
    return kernels


def phase_kernels_gradient(g: Tensor) -> Tensor:
    """The gradient [O, I, 3, 3] of `phase_kernels`, for `g` [4 O, I, 2, 2]."""
    o, i = g.shape[0] // 4, g.shape[1]
    if not _compiled(g):
        four = g.view(2, 2, o, i, 2, 2).permute(0, 4, 1, 5, 2, 3).reshape(4, 4, o, i)
        back = [_OF_PHASE.index(k) for k in range(4)]
        return _gathered(four[back][:, back])
    gw = g.new_empty(o, i, 3, 3)
    taps = _taps(gw, g, (g.stride(1), g.stride(0)), _phase_places(g), False)
    native(LIBRARY).code.gather_taps(ctypes.byref(taps), _threads())
    return gw


def put_together(y: Tensor, channels: int) -> Tensor:
    """Phases [N, 4 O, H + 1, W + 1] as one picture [N, O, 2 H, 2 W]. A phase that is odd begins a pixel later."""
    n, _, h, w = y.shape
    h, w = h - 1, w - 1
    y = y.contiguous(memory_format=torch.channels_last)
    whole = y.new_empty(n, 2 * h, 2 * w, channels)
    if _compiled(y):
        native(LIBRARY).code.put_together(ctypes.byref(_phases(y, whole, n, h, w, channels)), _threads())
    else:
        phases = y.permute(0, 2, 3, 1).unflatten(3, (4, channels))
        for r in range(2):
            for c in range(2):
                whole[:, r::2, c::2] = phases[:, r : r + h, c : c + w, 2 * r + c]
    return whole.permute(0, 3, 1, 2)


def take_apart(g: Tensor) -> Tensor:
    """The gradient [N, 4 O, H + 1, W + 1] of `put_together`, for `g` [N, O, 2 H, 2 W]."""
    n, channels, h, w = g.shape[0], g.shape[1], g.shape[2] // 2, g.shape[3] // 2
    picture = g.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    if _compiled(g):
        phases = g.new_empty(n, h + 1, w + 1, 4, channels)
        native(LIBRARY).code.take_apart(ctypes.byref(_phases(phases, picture, n, h, w, channels)), _threads())
    else:
        phases = g.new_zeros(n, h + 1, w + 1, 4, channels)
        for r in range(2):
            for c in range(2):
                phases[:, r : r + h, c : c + w, 2 * r + c] = picture[:, r::2, c::2]
    return phases.flatten(3).permute(0, 3, 1, 2)


def _spread(w: Tensor) -> Tensor:
    """The 4 x 4 taps of `w` [O, I, 3, 3] as [4, 4, O, I], by one product with a matrix of zeros and ones.

    Sums of slices take 60 times as long (1.3 s for 2048 channels).
    """
    o, i = w.shape[:2]
    return (_matrix(w) @ w.reshape(o * i, 9).t()).view(4, 4, o, i)


def _gathered(four: Tensor) -> Tensor:
    """The transpose of `_spread`: [4, 4, O, I] to [O, I, 3, 3]."""
    o, i = four.shape[2:]
    return (_matrix(four).t() @ four.reshape(16, o * i)).t().reshape(o, i, 3, 3)


def _matrix(like: Tensor) -> Tensor:
    axis = torch.tensor(_SPREAD, dtype=like.dtype, device=like.device)
    return torch.einsum("am,bn->abmn", axis, axis).reshape(16, 9)


def _places(kernels: Tensor) -> list[int]:
    """Where the taps of kernels [I, O, 4, 4] begin."""
    return [a * kernels.stride(2) + b * kernels.stride(3) for a in range(4) for b in range(4)]


def _phase_places(kernels: Tensor) -> list[int]:
    """The same of the phases' kernels [4 O, I, 2, 2]."""
    of_phase, of_row, of_column = (kernels.shape[0] // 4 * kernels.stride(0), kernels.stride(2), kernels.stride(3))
    at = [divmod(_OF_PHASE.index(k), 2) for k in range(4)]
    return [(2 * r + c) * of_phase + a * of_row + b * of_column for r, a in at for c, b in at]


def _taps(w: Tensor, kernels: Tensor, steps: Sequence[int], places: Sequence[int], spreads: bool) -> _Taps:
    """`steps`: from one input, and from one output of `kernels` to the next."""
    assert w.is_contiguous()
    ends = (w.data_ptr(), kernels.data_ptr()) if spreads else (kernels.data_ptr(), w.data_ptr())
    sizes = (w.shape[0], w.shape[1], w.dtype == torch.bfloat16)
    return _Taps(*sizes, steps[1], steps[0], (ctypes.c_int64 * 16)(*places), *ends)


def _phases(phases: Tensor, picture: Tensor, n: int, h: int, w: int, channels: int) -> _Phases:
    return _Phases(n, h, w, channels * picture.itemsize, phases.data_ptr(), picture.data_ptr())


def _compiled(x: Tensor) -> bool:
    """Whether it is done by the C++: where nothing is recorded."""
    recorded = torch.is_grad_enabled() and x.requires_grad
    known = x.dtype in (torch.float32, torch.bfloat16)
    return known and not recorded and readable(x) and native(LIBRARY).loaded is not None


def _threads() -> int:
    return torch.get_num_threads()
