"""`upfirdn2d` with any filter in one Triton kernel, for tensors on CUDA: sums in float32, rounded once.

Pictures in planes and channels-last ones are both read and written in the order of their memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from openstylegan.ops.triton_found import is_wide, kernels_for, launch

BLOCK = 256
"""Results of a program: two for a thread."""


def resample(x: Tensor, taps: Tensor, up: Sequence[int], down: Sequence[int], pad: Sequence[int], flip: bool) -> Tensor:
    """`x` [N, C, H, W] zero-inserted by `up`, padded by `pad` (x0, x1, y0, y1), correlated with `taps` [height, width]
    (mirrored unless `flip`); every `down`-th sample of that. Factors are (x, y)."""
    x, taps = x.detach(), taps.detach().contiguous()
    height, width = taps.shape
    out_x = (x.shape[3] * up[0] + pad[0] + pad[1] - width) // down[0] + 1
    out_y = (x.shape[2] * up[1] + pad[2] + pad[3] - height) // down[1] + 1
    channels_last = x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.empty((*x.shape[:2], out_y, out_x), dtype=x.dtype, device=x.device, memory_format=layout)
    if y.numel() == 0:
        return y
    launch(
        kernels_for(x).resample_kernel, -(-y.numel() // BLOCK), x, taps, y,
        *(y.numel(), x.shape[1], x.shape[2], x.shape[3], *x.stride(), out_y, out_x),
        *(*up, *down, pad[0], pad[2], width, height, -(-height // up[1]), int(not flip)),
        COUNT_X=-(-width // up[0]), CHANNELS_LAST=channels_last, WIDE=is_wide((x, y)), BLOCK=BLOCK,
    )  # fmt: skip
    return y
