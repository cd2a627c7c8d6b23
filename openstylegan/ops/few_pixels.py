"""Convolutions of very small maps with very many weights, as one product of the weights as they lie in memory.

oneDNN puts weights into an order of its own before each convolution: for 2048 channels at 4 x 4 pixels that takes three
times as long as the products. Here the few pixels are put in order instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from openstylegan.ops.frozen import derived

_SUMS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
"""By phase: which of the three taps fall on the first and on the second pixel."""
MOST_PIXELS = 64
"""Output pixels of the batch (per phase, where there are phases)."""
FEWEST_WEIGHTS = 1 << 21


def few_pixels_pay(num_pixels: int, num_weights: int) -> bool:
    """Whether putting weights in order would take longer than the products."""
    return num_pixels <= MOST_PIXELS and num_weights >= FEWEST_WEIGHTS


def correlate_few_pixels(x: Tensor, w: Tensor, padding: tuple[int, int]) -> Tensor:
    """`conv2d` of `x` [N, I, H, W] with `w` [O, I, kh, kw], stride 1."""
    n, _, h, wide = x.shape
    sides = (h + 2 * padding[0] - w.shape[2] + 1, wide + 2 * padding[1] - w.shape[3] + 1)
    pixels = F.unfold(x, tuple(w.shape[2:]), padding=padding).transpose(0, 1).flatten(1)
    return in_place(w.flatten(1) @ pixels, n, sides)


def upsampled_few_pixels(x: Tensor, w: Tensor) -> Tensor:
    """`conv2d(nearest_up_2(x), w, padding=1)` of `x` [N, I, H, W] with `w` [O, I, 3, 3], by its four phases."""
    n, i, h, wide = x.shape
    seen = F.unfold(x, (2, 2), padding=1).view(n, 4 * i, h + 1, wide + 1).transpose(0, 1)
    parts = [seen[:, :, r : r + h, c : c + wide].flatten(1) for r in range(2) for c in range(2)]
    phases = torch.bmm(derived(w, "phase rows", phase_rows), torch.stack(parts))
    together = phases.view(2, 2, w.shape[0], n, h, wide).permute(2, 3, 4, 0, 5, 1)
    return in_place(together.reshape(w.shape[0], -1), n, (2 * h, 2 * wide))


def phase_rows(w: Tensor) -> Tensor:
    """The 2x2 kernels of the phases (rows even, odd) x (columns even, odd) as rows [4, O, 4 I].

    By one product with a matrix of zeros and ones: sums of slices take 60 times as long (1.3 s for 2048 channels).
    """
    return phase_taps(w).permute(0, 3, 4, 1, 2).reshape(4, w.shape[0], -1)


def phase_taps(w: Tensor) -> Tensor:
    """Sums of the taps of `w` [O, I, 3, 3] that fall on the same pixel: [phases, rows, columns, O, I], 4 x 2 x 2."""
    o, i = w.shape[:2]
    sums = torch.tensor(_SUMS, dtype=w.dtype, device=w.device)
    taps = torch.einsum("pam,qbn->pqabmn", sums, sums).reshape(16, 9) @ w.reshape(o * i, 9).t()
    return taps.view(4, 2, 2, o, i)


def in_place(y: Tensor, num: int, sides: tuple[int, int]) -> Tensor:
    """[O, N H W] as a channels-last [N, O, H, W]."""
    return y.view(-1, num, *sides).permute(1, 0, 2, 3).contiguous(memory_format=torch.channels_last)
